"""Runs are read back by their ids."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import uuid
from threading import Event

import pytest

from oxtask import Task, flow, get_client, task
from oxtask.client.orchestration import OxtaskClient, SyncOxtaskClient
from oxtask.client.schemas.responses import SetStateStatus
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import MissingResult, ObjectNotFound
from oxtask.flow_engine import run_flow
from oxtask.settings import temporary_settings
from oxtask.states import Cancelled, Completed, Failed, Running

PATIENCE = 10


@task
def double(x):
    return 2 * x


@task
def fail(x):
    raise ValueError(f"no {x}")


def names(states):
    return [state.name for state in states]


# --- task runs ------------------------------------------------------------------------------------


def test_a_run_is_read_back_by_the_id_of_its_future(client):
    """CX-13, RR-11"""

    @flow
    def main():
        future = double.submit(1)
        future.wait()
        run = client.read_task_run(future.task_run_id)
        return run, client.read_task_run_states(str(run.id)), FlowRunContext.get().flow_run.id

    run, states, flow_run_id = main()
    assert names(states) == ["Pending", "Running", "Completed"]
    assert run.state == states[-1]
    assert (run.name[:7], run.flow_run_id, run.run_count) == ("double-", flow_run_id, 1)
    assert run.start_time == states[1].timestamp
    assert run.end_time == states[2].timestamp
    assert {state.state_details.task_run_id for state in states} == {run.id}


@pytest.mark.parametrize("function", [double, fail])
def test_a_run_whose_state_was_read_is_known_when_all_else_is_gone(client, function):
    """CX-13: also outside of flows"""
    state = function(1, return_state=True)
    gc.collect()
    run = client.read_task_run(state.state_details.task_run_id)
    assert run.state_id == state.id
    assert (run.state_type, run.state.message) == (state.type, state.message)
    assert run.flow_run_id is None


def test_a_run_that_looked_at_itself_is_known_when_it_has_ended(client):
    """CX-13"""

    @task
    def own_id():
        return TaskRunContext.get().task_run.id

    @flow
    def main():
        return own_id(), own_id.submit().result()

    for run_id in (own_id(), *main()):
        assert names(client.read_task_run_states(run_id)) == ["Pending", "Running", "Completed"]


def test_a_run_under_way_is_read_as_it_stands(client):
    """CX-13, TR-08"""
    go, begun = Event(), Event()

    @task
    def wait_for_it():
        begun.set()
        assert go.wait(PATIENCE)

    @flow
    def main():
        future = wait_for_it.submit()
        dependent = double.submit(future)
        assert begun.wait(PATIENCE)
        running = client.read_task_run(future.task_run_id)
        pending = client.read_task_run(dependent.task_run_id)
        assert (running.state_name, pending.state_name) == ("Running", "Pending")
        assert running.end_time is None
        go.set()
        future.wait()
        assert client.read_task_run(running.id).state_name == "Completed"
        dependent.cancel()

    main()


def test_what_is_read_is_a_copy_without_data(client):
    """CX-13: no result and no argument is kept alive"""
    state = double([1], return_state=True)
    run = client.read_task_run(state.state_details.task_run_id)
    assert state.result(_sync=True) == [1, 1]
    assert run.state.data is None
    with pytest.raises(MissingResult):
        run.state.result(_sync=True)
    run.name = "changed"
    run.tags.append("changed")
    again = client.read_task_run(run.id)
    assert again.name == "double"
    assert again.tags == []


def test_results_and_arguments_are_released(client):
    """CX-13"""

    class Thing:
        count = 0

        def __init__(self):
            Thing.count += 1

        def __del__(self):
            Thing.count -= 1

    @task(on_completion=[lambda *_: None])
    def make(_):
        return Thing()

    @flow
    def main(_):
        return make.submit(Thing()).state.state_details.task_run_id

    task_run_id = main(Thing())
    gc.collect()
    assert Thing.count == 0
    assert client.read_task_run(task_run_id).state_name in {"Pending", "Running", "Completed"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"retries": 1}, ["Pending", "Running", "Retrying", "Failed"]),
        ({"on_failure": [lambda *_: None]}, ["Pending", "Running", "Failed"]),
        ({"timeout_seconds": PATIENCE}, ["Pending", "Running", "Failed"]),
    ],
)
def test_runs_with_a_record_of_their_own_are_known_without_a_look(client, options, expected):
    """CX-13, RR-11"""
    with pytest.raises(ValueError, match="no 1"):
        fail.with_options(**options)(1)
    (run,) = client.read_task_runs()
    assert names(client.read_task_run_states(run.id)) == expected


def test_plain_runs_that_nobody_looks_at_are_not_recorded(client):
    """CX-13: they cost nothing"""

    @flow
    def main():
        double(1)
        double.submit(1).result()
        double.map([1, 2]).result()

    main()
    assert client.read_task_runs() == []


def test_an_unknown_run_is_not_found(client):
    """CX-13"""
    unknown = uuid.uuid4()
    for read in (client.read_task_run, client.read_task_run_states, client.delete_task_run):
        with pytest.raises(ObjectNotFound, match=str(unknown)):
            read(unknown)
    for read in (client.read_flow_run, client.read_flow_run_states, client.delete_flow_run):
        with pytest.raises(ObjectNotFound, match="OXTASK_HISTORY_MAX_RUNS"):
            read(unknown)
    with pytest.raises(ValueError, match="'task_run_id' must be a UUID"):
        client.read_task_run("three")


# --- every run ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda: double(1), id="call"),
        pytest.param(lambda: double.submit(1).result(), id="submit"),
        pytest.param(lambda: double.map([1]).result(), id="map"),
        pytest.param(lambda: list(double.stream([1])), id="stream"),
    ],
)
def test_while_a_client_is_open_every_run_is_recorded(opened, run):
    """CX-13"""

    @flow
    def main():
        run()

    main()
    (found,) = opened.read_task_runs()
    assert names(opened.read_task_run_states(found.id)) == ["Pending", "Running", "Completed"]
    assert found.task_inputs == {"x": []}


def test_async_runs_are_recorded_as_well(opened):
    """CX-13"""

    @task
    async def adouble(x):
        return 2 * x

    @flow
    async def main():
        return await adouble(1), adouble.map([1, 2]).result()

    assert asyncio.run(main()) == (2, [2, 4])
    assert names(run.state for run in opened.read_task_runs()) == ["Completed"] * 3


def test_a_setting_records_every_run_of_a_flow(client):
    """CX-13"""

    @flow
    def main():
        return double.map(range(3)).result()

    with temporary_settings({"history.every_run": True}):
        main()
    main()
    assert len(client.read_task_runs()) == 3


def test_recording_ends_with_the_last_client(history):
    """CX-13"""
    with get_client(sync_client=True) as outer:
        with outer, get_client(sync_client=True):
            assert history.is_recording()
        assert history.is_recording()
    assert not history.is_recording()


# --- flow runs ------------------------------------------------------------------------------------


def test_a_flow_run_is_read_back(client):
    """CX-13, RR-02"""

    @flow(name="sums", version="7")
    def main(x, items, big):
        return FlowRunContext.get().flow_run.id

    run_id = main(1, [1, 2], list(range(1_000)))
    run = client.read_flow_run(run_id)
    assert names(client.read_flow_run_states(run_id)) == ["Pending", "Running", "Completed"]
    assert (run.flow_version, run.run_count, run.parent_task_run_id) == ("7", 1, None)
    assert run.parameters == {"x": 1, "items": [1, 2], "big": "<list>"}
    assert run.flow_id == client.read_flow_runs()[0].flow_id


def test_a_flow_run_under_way_is_read_as_it_stands(client):
    """CX-13"""

    @flow
    def main(big):
        run = client.read_flow_run(FlowRunContext.get().flow_run.id)
        assert [found.id for found in client.read_flow_runs()] == [run.id]
        return run

    run = main(list(range(1_000)))
    assert (run.state_name, run.end_time) == ("Running", None)
    assert run.parameters == {"big": list(range(1_000))}


def test_while_a_client_is_open_all_parameters_are_kept(opened):
    """CX-13"""

    @flow
    def main(big):
        return FlowRunContext.get().flow_run.id

    assert opened.read_flow_run(main(list(range(1_000)))).parameters["big"] == list(range(1_000))


def test_flow_runs_that_end_badly_are_read_back(client):
    """CX-13"""

    @flow(retries=1)
    def main():
        raise KeyError("x")

    with pytest.raises(KeyError):
        main()
    (run,) = client.read_flow_runs()
    states = ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]
    assert names(client.read_flow_run_states(run.id)) == states
    assert "KeyError" in run.state.message


def test_a_flow_run_can_be_made_first_and_run_later(client):
    """CX-13"""

    @flow
    def main(x):
        return FlowRunContext.get().flow_run.name

    made = client.create_flow_run(main, name="mine", parameters={"x": 1}, tags=["a"])
    assert client.read_flow_run(made.id).state_name == "Pending"
    assert run_flow(main, made) == "mine"
    run = client.read_flow_run(made.id)
    assert (run.state_name, run.tags, run.parameters) == ("Completed", ["a"], {"x": 1})
    client.delete_flow_run(made.id)
    assert client.read_flow_runs() == []


# --- changes --------------------------------------------------------------------------------------


def test_an_ended_run_leaves_its_state_only_by_force(client):
    """CX-13"""
    run_id = double(1, return_state=True).state_details.task_run_id
    refused = client.set_task_run_state(run_id, Failed(message="no"))
    assert (refused.status, refused.state.name) == (SetStateStatus.REJECT, "Completed")
    assert "force=True" in refused.reason
    done = client.set_task_run_state(run_id, Failed(message="no", data=1), force=True)
    assert done.status is SetStateStatus.ACCEPT
    assert names(client.read_task_run_states(run_id))[-2:] == ["Completed", "Failed"]
    assert client.read_task_run(run_id).state.data is None


def test_a_flow_run_takes_a_state_when_it_is_not_under_way(client):
    """CX-13"""

    @flow
    def main():
        run_id = FlowRunContext.get().flow_run.id
        assert client.set_flow_run_state(run_id, Completed()).status is SetStateStatus.REJECT

    made = client.create_flow_run(main)
    assert client.set_flow_run_state(made.id, Running()).status is SetStateStatus.ACCEPT
    assert names(client.read_flow_run_states(made.id)) == ["Pending", "Running"]
    main()


def test_a_run_under_way_is_cancelled_by_its_id(client):
    """FL-89"""
    go, begun = Event(), Event()

    @task
    def wait_for_it():
        begun.set()
        go.wait(PATIENCE)

    @flow
    def main():
        futures = [wait_for_it.submit(), wait_for_it.submit()]
        assert begun.wait(PATIENCE)
        refused = client.set_task_run_state(futures[0].task_run_id, Completed(), force=True)
        assert refused.status is SetStateStatus.REJECT
        assert client.cancel(futures[0].task_run_id)
        assert not client.cancel(futures[0].task_run_id)
        assert client.set_task_run_state(futures[1].task_run_id, Cancelled()).status == "ACCEPT"
        go.set()
        return [future.task_run_id for future in futures]

    for run_id in main():
        assert client.read_task_run(run_id).state_name == "Cancelled"


# --- both clients ---------------------------------------------------------------------------------


def test_the_async_client_does_the_same():
    """CX-13"""

    async def main():
        async with get_client() as client:
            assert isinstance(client, OxtaskClient)
            double(1)
            (run,) = await client.read_task_runs()
            assert await client.read_task_run(run.id) == run
            states = await client.read_task_run_states(run.id)
            made = await client.create_flow_run(flow(lambda: None, name="f"))
            assert await client.read_flow_run(made.id) == made
            await client.set_flow_run_state(made.id, Running())
            assert names(await client.read_flow_run_states(made.id)) == ["Pending", "Running"]
            assert len(await client.read_flow_runs()) == 1
            await client.delete_flow_run(made.id)
            result = await client.set_task_run_state(run.id, Failed(), force=True)
            assert result.status is SetStateStatus.ACCEPT
            assert not await client.cancel(run.id)
            await client.delete_task_run(run.id)
            assert await client.read_task_runs() == []
            assert await client.read_logs() == []
            return states

    assert names(asyncio.run(main())) == ["Pending", "Running", "Completed"]


def test_both_clients_have_the_same_methods():
    """CX-13"""

    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(OxtaskClient) == public(SyncOxtaskClient)


def test_a_client_needs_no_engine_to_be_imported_first():
    """CX-13"""
    script = "import oxtask; c = oxtask.get_client(sync_client=True); print(c.read_flow_runs())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


FORK = """
import os
from oxtask import get_client, task

@task
def double(x):
    return 2 * x

state = double(1, return_state=True)
read, write = os.pipe()
if os.fork() == 0:
    client = get_client(sync_client=True)
    run = client.read_task_run(state.state_details.task_run_id)
    double(2, return_state=True)
    os.write(write, f"{run.state_name} {len(client.read_task_runs())}".encode())
    os._exit(0)
os.wait()
print(os.read(read, 100).decode(), len(get_client(sync_client=True).read_task_runs()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_knows_what_had_ended_and_goes_its_own_way():
    """CX-13"""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Completed 2 1\n", "")


def test_tasks_are_recorded_by_whatever_client_is_open_in_another_thread(opened):
    """CX-13: recording holds for the process"""
    from threading import Thread

    thread = Thread(target=Task(double.fn, name="elsewhere"), args=(1,))
    thread.start()
    thread.join()
    assert [run.name for run in opened.read_task_runs()] == ["elsewhere"]
