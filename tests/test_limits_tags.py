"""Limits of tags: they hold for task runs, without a word in the task."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from limit_tools import PATIENCE, client, make, refused, taken, thread, until, waited_for
from ways import WAYS, history, run

from oxtask import flow, tags, task
from oxtask._internal import limits
from oxtask.client.schemas.actions import GlobalConcurrencyLimitUpdate
from oxtask.concurrency.sync import ConcurrencySlotAcquisitionError, concurrency
from oxtask.exceptions import CancelledRun
from oxtask.task_runners import ThreadPoolTaskRunner

pytestmark = pytest.mark.usefixtures("no_limits")


def full(name="tag:db"):
    """Return a block in which all slots of a limit are taken by somebody else."""
    return concurrency(name)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_has_a_slot_of_each_limit_while_it_runs(way):
    """CC-10"""
    make("tag:db")
    make("tag:web", 2)
    seen = []

    ran = run(
        way,
        lambda _: seen.append((taken("tag:db"), taken("tag:web"))),
        tags=["db", "web", "other"],
    )

    assert seen == [(1, 1)]
    assert ran.history == ["Pending", "Running", "Completed"]
    assert (taken("tag:db"), taken("tag:web")) == (0, 0)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("way", WAYS)
def test_the_slot_of_a_run_that_fails_is_given_back(way, error):
    """CC-10"""
    make("tag:db")

    def fail(_):
        raise error

    run(way, fail, tags=["db"])

    assert taken("tag:db") == 0


def test_tags_of_the_context_count():
    """CC-10"""
    make("tag:db")

    @task
    def look():
        return taken("tag:db")

    assert look() == 0
    with tags("db"):
        assert look() == 1
        assert look.with_options(name="other")() == 1
    assert look() == 0


def test_generator_tasks_hold_their_slot_to_the_last_item():
    """CC-10"""
    make("tag:db")

    @task(tags={"db"})
    def items():
        yield taken("tag:db")
        yield taken("tag:db")

    @task(tags={"db"})
    async def items_async():
        yield taken("tag:db")

    async def collect():
        return [item async for item in items_async()]

    assert list(items()) == [1, 1]
    begun = items()
    assert next(begun) == 1
    begun.close()
    assert taken("tag:db") == 0
    assert asyncio.run(collect()) == [1]
    assert taken("tag:db") == 0


@pytest.mark.parametrize("way", ["submit", "submit async"])
def test_a_run_that_waits_is_pending_and_does_not_start(way):
    """CC-10"""
    make("tag:db")
    states = []

    @task(tags={"db"})
    def on_thread():
        return 1

    @task(tags={"db"})
    async def on_loop():
        return 1

    body = on_thread if way == "submit" else on_loop

    @flow
    def program():
        with full():
            future = body.submit()
            until(lambda: waited_for("tag:db"))
            states.append(future.state.name)
        return future.result(), history(future)

    assert program() == (1, ["Pending", "Running", "Completed"])
    assert states == ["Pending"]


def test_runs_follow_each_other_without_a_pause():
    """CC-08: the reference took 5.6 s for three runs of 0.3 s"""
    make("tag:db")

    @task(tags={"db"})
    def work(_):
        time.sleep(0.1)

    @flow
    def program():
        began = time.monotonic()
        work.map(range(5)).wait()
        return time.monotonic() - began

    assert 0.5 <= program() < 1.0


@pytest.mark.parametrize("way", WAYS)
def test_a_limit_of_zero_fails_the_run_at_once(way):
    """CC-11, D6"""
    make("tag:db", 0)

    ran = run(way, lambda _: 1, tags=["db"], retries=3)

    assert ran.bodies == 0
    assert isinstance(ran.error, ConcurrencySlotAcquisitionError)
    assert "'tag:db' is 0: no task run with this tag may start" in str(ran.error)
    assert ran.hooks == ["failure"]


def test_the_state_of_a_run_that_may_not_start_says_why():
    """CC-11, D6"""
    make("tag:db", 0)

    @task(tags={"db"})
    def body():
        return 1

    state = body(return_state=True)

    assert state.name == "Failed"
    assert "raise the limit, or take the tag off" in state.message


def test_a_limit_that_becomes_zero_fails_who_waits():
    """CC-11, D6"""
    make("tag:db")

    @task(tags={"db"})
    def body():
        return 1

    with (
        full(),
        thread(refused, ConcurrencySlotAcquisitionError, body),
    ):
        until(lambda: waited_for("tag:db"))
        client.update_global_concurrency_limit("tag:db", GlobalConcurrencyLimitUpdate(limit=0))


def test_a_signal_while_a_run_waits_crashes_it():
    """CC-12"""
    make("tag:db")
    states = []

    async def main():
        @task(tags={"db"})
        async def body():
            return 1

        with full():
            waiting = asyncio.create_task(body(return_state=True))
            while not waited_for("tag:db"):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            states.append(waited_for("tag:db"))

    asyncio.run(main())

    assert states == [0]
    assert taken("tag:db") == 0


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_that_is_cancelled_while_it_waits_leaves_the_queue(is_async):
    """CC-10"""
    make("tag:db")

    @task(tags={"db"})
    def on_thread():
        return 1

    @task(tags={"db"})
    async def on_loop():
        return 1

    @flow
    def program():
        with full():
            future = (on_loop if is_async else on_thread).submit()
            until(lambda: waited_for("tag:db"))
            assert future.cancel()
            until(lambda: not waited_for("tag:db"))
        with pytest.raises(CancelledRun):
            future.result()

    program()

    assert taken("tag:db") == 0


@pytest.mark.parametrize("way", WAYS)
def test_no_slot_is_held_while_a_run_awaits_its_retry(way):
    """TE-43, W12"""
    make("tag:db")
    seen = []

    def fail_once(attempt):
        seen.append(taken("tag:db"))
        if attempt == 1:
            raise ValueError

    def look(task, task_run, state):
        seen.append(taken("tag:db"))
        return True

    def take_it():
        until(lambda: len(seen) == 2)
        with full():
            seen.append("taken")

    with thread(take_it):
        ran = run(
            way,
            fail_once,
            tags=["db"],
            retries=1,
            retry_delay_seconds=0.2,
            retry_condition_fn=look,
        )

    assert seen == [1, 1, "taken", 1]
    assert [name.split(":")[0] for name in ran.history[1:]] == [
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Completed",
    ]
    assert taken("tag:db") == 0


def test_another_run_gets_the_slot_while_one_awaits_its_retry():
    """TE-43, W12"""
    make("tag:db")
    order = []

    @task(tags={"db"}, retries=1, retry_delay_seconds=0.2)
    def failing():
        order.append("failing")
        if order == ["failing"]:
            raise ValueError

    @task(tags={"db"})
    def other():
        order.append("other")

    @flow
    def program():
        first = failing.submit()
        until(lambda: order)
        other.submit().wait()
        first.wait()

    program()

    assert order == ["failing", "other", "failing"]


def test_slots_of_a_body_that_ran_out_of_time_are_given_back():
    """TE-85: those it took itself, and that of its tag"""
    make("a")
    make("tag:db")

    @task(tags={"db"}, timeout_seconds=0.05)
    def slow():
        with concurrency("a"):
            while True:
                time.sleep(0.001)

    @task(tags={"db"}, timeout_seconds=0.05)
    async def slow_async():
        with concurrency("a"):
            await asyncio.sleep(PATIENCE)

    @flow
    def submitting():
        names = []
        for body in (slow, slow_async):
            future = body.submit()
            future.wait()
            names.append(future.state.name)
            until(lambda: taken("a") == taken("tag:db") == 0)
        return names

    assert submitting() == ["TimedOut", "TimedOut"]
    assert slow(return_state=True).name == "TimedOut"
    assert asyncio.run(slow_async(return_state=True)).name == "TimedOut"
    assert taken("a") == taken("tag:db") == 0


def test_a_run_gives_its_tag_slot_back_though_its_thread_is_stuck():
    """TE-85"""
    make("tag:db")
    stuck = threading.Event()

    @task(tags={"db"}, timeout_seconds=0.05)
    def hanging():
        stuck.wait(PATIENCE)

    @task(tags={"db"})
    def other():
        return "had a slot"

    @flow
    def program():
        hanging.submit().wait()
        result = other.submit().result(timeout=PATIENCE / 2)
        stuck.set()
        return result

    assert program() == "had a slot"


@pytest.mark.parametrize("is_async", [False, True])
def test_runs_that_wait_for_a_slot_do_not_keep_others_from_workers(is_async):
    """CC-10: else the holder would wait for a worker, and the worker for the holder"""
    make("tag:db")

    @task
    def helper():
        return 1

    @task(tags={"db"})
    def on_thread(first):
        if first:
            until(lambda: waited_for("tag:db"))
        return helper.submit().result()

    @task(tags={"db"})
    async def on_loop(first):
        while first and not waited_for("tag:db"):
            await asyncio.sleep(0)
        return await helper.submit().aresult()

    body = on_loop if is_async else on_thread

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def program():
        return body.map([True, False, False]).result(timeout=PATIENCE)

    assert program() == [1, 1, 1]


def test_blocks_that_wait_for_a_slot_do_not_keep_others_from_workers():
    """CC-02"""
    make("a")

    @task
    def helper():
        return 1

    @task
    def body(first):
        with concurrency("a"):
            if first:
                until(lambda: waited_for("a"))
            return helper.submit().result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def program():
        return body.map([True, False, False]).result(timeout=PATIENCE)

    assert sorted(program()) == [1, 1, 1]


def test_runs_without_limits_of_tags_do_not_touch_the_store(monkeypatch):
    """CC-14"""
    make("a")
    make("tag:db")

    @task(tags={"db"})
    def body():
        return 1

    assert body._is_rich()
    client.delete_global_concurrency_limit_by_name("tag:db")
    assert not body._is_rich()
    monkeypatch.setattr(limits.Store, "tag_limits", lambda *_: pytest.fail("asked for limits"))
    monkeypatch.setattr(limits.Store, "request", lambda *_: pytest.fail("asked for slots"))

    assert body() == 1


def test_runs_whose_tags_have_no_limit_take_nothing(monkeypatch):
    """CC-14"""
    make("tag:db")
    monkeypatch.setattr(limits.Store, "request", lambda *_: pytest.fail("asked for slots"))

    @task(tags={"web"})
    def body():
        return 1

    assert body() == 1


def test_limits_come_and_go_between_the_runs_of_a_task():
    """CC-14"""

    @task(tags={"db"})
    def body():
        return None if not client.read_global_concurrency_limits() else taken("tag:db")

    assert body() is None
    make("tag:db")
    assert body() == 1
    client.delete_global_concurrency_limit_by_name("tag:db")
    assert body() is None


def test_an_inactive_limit_does_not_hold():
    """CC-05, CC-10"""
    make("tag:db", 0, active=False)

    @task(tags={"db"})
    def body():
        return taken("tag:db")

    assert body() == 0
