"""Waiting for runs by their ids: `TaskRunWaiter`, `FlowRunWaiter`, `wait_for_flow_run`."""

from __future__ import annotations

import asyncio
import logging
import threading
from uuid import uuid4

import pytest

from oxtask import flow, get_client, task
from oxtask._internal import run_ends
from oxtask.exceptions import FlowRunWaitTimeout, ObjectNotFound
from oxtask.flow_engine import run_flow
from oxtask.flow_runs import FlowRunWaiter, wait_for_flow_run
from oxtask.states import Failed, Paused
from oxtask.task_engine import run_task, run_task_async
from oxtask.task_runs import TaskRunWaiter

PATIENCE = 10


@pytest.fixture(autouse=True)
def nobody_waits():
    yield
    assert not run_ends._board
    assert not run_ends.listeners


@pytest.fixture
def client():
    return get_client(sync_client=True)


@pytest.fixture
def flow_run(client):
    """Return the record of a flow run that nobody has begun."""
    return client.create_flow_run(flow(lambda: "done", name="main"))


def end_soon(client, run, state):
    threading.Timer(0.02, client.set_flow_run_state, [run.id, state]).start()


# --- task runs ------------------------------------------------------------------------------------


def test_a_task_run_that_has_ended_is_not_waited_for():
    """WT-01"""
    run_id = uuid4()
    run_task(task(lambda: 1), task_run_id=run_id)
    state = asyncio.run(TaskRunWaiter.wait_for_task_run(run_id))
    assert state.is_completed()
    assert state.state_details.task_run_id == run_id


def test_a_task_run_is_waited_for_before_it_has_begun():
    """WT-01: as in the reference, it need not be known"""
    run_id = uuid4()

    @task
    async def slow():
        await asyncio.sleep(0.02)

    async def main():
        waiting = asyncio.ensure_future(TaskRunWaiter.wait_for_task_run(str(run_id), PATIENCE))
        await asyncio.sleep(0)
        await run_task_async(slow, task_run_id=run_id)
        return await waiting

    assert asyncio.run(main()).is_completed()


@pytest.mark.parametrize("retries", [0, 1])
def test_a_task_run_on_another_thread_wakes_who_waits(retries):
    """WT-01, W30"""
    run_id = uuid4()
    failing = task(lambda: 1 / 0, retries=retries)
    run = threading.Thread(target=run_task, args=[failing, run_id], kwargs={"return_type": "state"})

    async def main():
        threading.Timer(0.02, run.start).start()
        return await TaskRunWaiter.wait_for_task_run(run_id, PATIENCE)

    assert asyncio.run(main()).is_failed()
    run.join(PATIENCE)


def test_a_timeout_of_a_task_run_is_silent():
    """WT-01"""
    for timeout in (0, 0.01):
        assert asyncio.run(TaskRunWaiter.wait_for_task_run(uuid4(), timeout)) is None
    with pytest.raises(ValueError, match="timeout"):
        asyncio.run(TaskRunWaiter.wait_for_task_run(uuid4(), -1))
    with pytest.raises(ValueError, match="'task_run_id' must be a UUID"):
        asyncio.run(TaskRunWaiter.wait_for_task_run("no id"))


def test_who_is_cancelled_waits_no_more():
    """WT-01"""

    async def main():
        waiting = asyncio.ensure_future(TaskRunWaiter.wait_for_task_run(uuid4()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


def test_every_callback_of_a_task_run_is_called(caplog):
    """WT-01, W-U2"""
    run_id, calls = uuid4(), []
    TaskRunWaiter.add_done_callback(run_id, lambda: calls.append(1))
    TaskRunWaiter.add_done_callback(run_id, lambda: 1 / 0)
    TaskRunWaiter.add_done_callback(run_id, lambda: calls.append(2))
    run_task(task(lambda: None), task_run_id=run_id)
    TaskRunWaiter.add_done_callback(run_id, lambda: calls.append(3))
    assert calls == [1, 2, 3]
    assert "A callback of a future raised" in caplog.text


@pytest.mark.parametrize("waiter", [TaskRunWaiter, FlowRunWaiter])
def test_there_is_one_waiter_of_a_kind(waiter):
    """WT-01"""
    assert waiter.instance() is waiter.instance()
    assert type(waiter.instance()) is waiter
    assert (waiter.instance().start(), waiter.instance().stop()) == (None, None)


# --- flow runs ------------------------------------------------------------------------------------


def test_a_flow_run_that_has_ended_is_not_waited_for(client, flow_run):
    """WT-01"""
    run_flow(flow(lambda: None, name="main"), flow_run=flow_run)
    assert asyncio.run(FlowRunWaiter.wait_for_flow_run(flow_run.id)) is None
    record = asyncio.run(wait_for_flow_run(flow_run.id))
    assert (record.id, record.state.name) == (flow_run.id, "Completed")


def test_a_flow_run_wakes_who_waits(client, flow_run):
    """WT-01, W30: both ways to wait, and callbacks"""
    calls = []
    FlowRunWaiter.add_done_callback(flow_run.id, lambda: calls.append(1))
    FlowRunWaiter.add_done_callback(flow_run.id, lambda: calls.append(2))

    async def main():
        await FlowRunWaiter.wait_for_flow_run(flow_run.id, 0.001)
        run = threading.Thread(
            target=run_flow, args=[flow(lambda: 1, name="main")], kwargs={"flow_run": flow_run}
        )
        threading.Timer(0.02, run.start).start()
        record, _ = await asyncio.gather(
            wait_for_flow_run(flow_run.id, PATIENCE),
            FlowRunWaiter.wait_for_flow_run(flow_run.id, PATIENCE),
        )
        await asyncio.to_thread(run.join, PATIENCE)
        return record

    assert asyncio.run(main()).state.is_completed()
    assert calls == [1, 2]


def test_a_flow_run_that_does_not_end_in_time_raises(flow_run):
    """WT-01"""
    message = f"Flow run with ID {flow_run.id} exceeded watch timeout of 0.01 seconds"
    with pytest.raises(FlowRunWaitTimeout, match=message):
        asyncio.run(wait_for_flow_run(flow_run.id, timeout=0.01))
    with pytest.raises(ObjectNotFound):
        asyncio.run(wait_for_flow_run(uuid4()))


def test_the_states_of_a_flow_run_are_logged_on_request(client, flow_run, caplog):
    """WT-01: the present one, and those that follow"""
    caplog.set_level(logging.INFO, logger="oxtask")
    run_id = flow_run.id

    @flow(name="main")
    def main():
        pass

    async def wait():
        run = threading.Thread(target=run_flow, args=[main], kwargs={"flow_run": flow_run})
        threading.Timer(0.02, run.start).start()
        await wait_for_flow_run(run_id, PATIENCE, log_states=True)
        await asyncio.to_thread(run.join, PATIENCE)

    asyncio.run(wait())
    states = [line.args[0] for line in caplog.records if "is in state" in line.msg]
    assert states == ["Pending", "Running", "Completed"]
    caplog.clear()
    asyncio.run(wait_for_flow_run(run_id))
    assert not caplog.records


def test_who_asks_to_poll_is_told_that_nobody_does(client, flow_run, caplog):
    """WT-01: and a state that a client sets ends the wait as well"""
    end_soon(client, flow_run, Failed())
    record = asyncio.run(wait_for_flow_run(flow_run.id, PATIENCE, poll_interval=1, client=client))
    assert record.state.is_failed()
    assert "'poll_interval' has no effect" in caplog.text


def test_a_flow_run_left_in_a_state_that_is_not_final_goes_on(client, flow_run):
    """WT-01"""
    client.set_flow_run_state(flow_run.id, Paused())
    with pytest.raises(FlowRunWaitTimeout):
        asyncio.run(wait_for_flow_run(flow_run.id, timeout=0.01))
