"""Runs that a flow leaves behind when it ends; the lines are of engine.md, section 4.11."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import task
from oxtask.exceptions import CancelledRun
from oxtask.states import Cancelled, Failed
from oxtask.task_runners import TaskRunner, ThreadPoolTaskRunner

ONE_WORKER = ThreadPoolTaskRunner(max_workers=1)

pytestmark = pytest.mark.parametrize("way", WAYS)


@task
def broken():
    raise ValueError("no luck")


def failing(attempt):
    raise ValueError("in the flow")


class Bench:
    """A task that holds the only worker until it is let go, and what comes after it."""

    def __init__(self):
        self.begun, self.gate = threading.Event(), threading.Event()
        self.done, self.futures = [], []

    def submit(self):
        @task
        def work(number):
            self.begun.set()
            assert self.gate.wait(20)
            self.done.append(number)
            return number

        self.futures = list(work.map(range(5)))
        self.begun.wait(20)
        threading.Timer(0.05, self.gate.set).start()


@pytest.fixture
def bench():
    return Bench()


def test_a_flow_that_completed_waits_for_all_that_was_submitted(ran, bench, lines, way):
    """FL-105, D3"""

    def body(attempt):
        bench.submit()
        return "done"

    result = ran(way, body, task_runner=ONE_WORKER)
    assert result.value == "done"
    assert bench.done == [0, 1, 2, 3, 4]
    assert [future.state.name for future in bench.futures] == ["Completed"] * 5
    assert lines("WARNING") == []


def test_the_flow_has_its_state_before_its_runs_have_ended(logs, bench, way):
    """FL-105"""
    seen = []

    def hook(flow, flow_run, state):
        seen.append((state.name, list(bench.done)))

    def body(attempt):
        bench.submit()

    call(made(way, body, task_runner=ONE_WORKER, on_completion=[hook]))
    assert seen == [("Completed", [])]
    assert logs[0].record.end_time < bench.futures[-1].state.timestamp


@pytest.mark.parametrize("end", [failing, lambda attempt: Failed(), lambda attempt: Cancelled()])
def test_a_flow_that_failed_cancels_what_has_not_started(ran, bench, lines, way, end):
    """FL-105, FL-106, FL-107, D3, FL-109"""

    def body(attempt):
        bench.submit()
        return end(attempt)

    result = ran(way, body, task_runner=ONE_WORKER)
    assert result.error is not None
    assert bench.done == [0], "runs under way come to their end"
    states = [future.state for future in bench.futures]
    assert [state.name for state in states] == ["Completed"] + ["Cancelled"] * 4
    assert all(state.is_final() for state in states)
    with pytest.raises(CancelledRun):
        bench.futures[1].result()
    (warning,) = lines("WARNING")
    assert "4 task run(s) that had not started were cancelled" in warning
    assert "Please wait for all submitted tasks to complete before exiting your flow" in warning


def test_failures_that_nobody_waits_for_do_not_fail_the_flow(ran, way):
    """FL-106"""
    futures = []

    def body(attempt):
        futures.append(broken.submit())
        return "done"

    result = ran(way, body)
    assert (result.value, result.state.name) == ("done", "Completed")
    assert futures[0].state.name == "Failed"


def test_a_run_that_waits_for_its_next_attempt_is_cancelled_when_the_flow_fails(ran, way):
    """FL-107, W11"""
    futures = []
    tried = threading.Event()

    @task(retries=1, retry_delay_seconds=60)
    def flaky():
        tried.set()
        raise ValueError("once")

    def body(attempt):
        futures.append(flaky.submit())
        tried.wait(10)
        while futures[0].state.name != "AwaitingRetry":
            time.sleep(0.001)
        raise ValueError("in the flow")

    started = time.monotonic()
    ran(way, body)
    assert time.monotonic() - started < 10
    assert futures[0].state.name == "Cancelled"
    with pytest.raises(CancelledRun):
        futures[0].result()


def test_runs_that_wait_for_others_are_drained_as_well(ran, bench, way):
    """FL-105"""
    order = []

    @task
    def after(_):
        order.append("after")

    def body(attempt):
        bench.submit()
        after.submit(bench.futures[-1])
        after.submit(None, wait_for=[bench.futures[0]])

    ran(way, body, task_runner=ONE_WORKER)
    assert order == ["after", "after"]


def test_runs_that_tasks_submit_while_the_flow_drains_are_drained_as_well(ran, bench, way):
    """FL-105"""
    order = []

    @task
    def grandchild():
        order.append("grandchild")

    @task
    def child():
        assert bench.gate.wait(20)
        grandchild.submit()

    def body(attempt):
        child.submit()
        threading.Timer(0.05, bench.gate.set).start()

    ran(way, body)
    assert order == ["grandchild"]


def test_a_flow_that_drains_does_not_stop_the_event_loop(bench, way):
    """FL-105: async flows await the end of what was submitted"""
    if way == "sync":
        return
    main = made(way, lambda attempt: bench.submit(), task_runner=ONE_WORKER)

    async def around():
        run = asyncio.ensure_future(main())
        ticks = 0
        while not run.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return ticks

    assert asyncio.run(around()) >= 3
    assert bench.done == [0, 1, 2, 3, 4]


def test_an_async_flow_that_is_cancelled_while_it_drains_waits_no_longer(logs, bench, way):
    """FL-105, FL-86: the run had ended"""
    if way == "sync":
        return
    main = made(way, lambda attempt: bench.submit(), task_runner=ONE_WORKER)

    async def around():
        run = asyncio.ensure_future(main())
        while not (logs and logs[0].record.state.is_final()):
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(around())
    assert shown(logs[0])[-1] == "Completed"
    assert {future.state.name for future in bench.futures[1:]} == {"Cancelled"}


class Noting(TaskRunner):
    """A runner written in Python, which carries runs out at once."""

    notes = []

    def submit(self, task, parameters, wait_for=None, dependencies=None):
        raise NotImplementedError

    def duplicate(self):
        return type(self)()

    def cancel_all(self):
        self.notes.append("cancel_all")

    def __exit__(self, *error):
        self.notes.append("exit")
        super().__exit__(*error)


@pytest.mark.parametrize(
    ("end", "notes"),
    [
        (lambda attempt: 1, ["exit"]),
        (failing, ["exit"]),
        (lambda attempt: (_ for _ in ()).throw(KeyboardInterrupt), ["cancel_all", "exit"]),
    ],
)
def test_a_runner_of_ones_own_is_left_when_the_flow_ends(ran, way, end, notes):
    """FL-88, FL-105"""
    Noting.notes.clear()
    ran(way, end, task_runner=Noting())
    assert Noting.notes == notes
