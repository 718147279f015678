"""Cancelling flow runs from outside of them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
import uuid

import pytest
from flow_ways import WAYS, call, logs_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.context import FlowRunContext
from oxtask.exceptions import CancelledRun
from oxtask.flow_runs import cancel

CANCELLED = ["Pending", "Running", "Cancelling", "Cancelled"]

every_way = pytest.mark.parametrize("way", WAYS)


def soon(run_id):
    """Cancel a run from another thread."""
    threading.Timer(0.02, cancel, [run_id]).start()


def own():
    return FlowRunContext.get().flow_run.id


def made(way, function, **options):
    """Make a flow that cancels itself soon, and then calls ``function``."""

    def body():
        soon(own())
        return function()

    async def async_body():
        soon(own())
        value = function()
        return await value if hasattr(value, "__await__") else value

    return flow(async_body if way == "async" else body, **{"name": "main"} | options)


def on_thread(function):
    """Call a function on a thread; return what it returned or raised."""
    results = []

    def target():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return results[0]


def spin():
    until = time.monotonic() + 20
    while time.monotonic() < until:
        pass


def sleep(seconds):
    time.sleep(seconds)


def waiting():
    begun = threading.Event()
    future = task(lambda: (begun.set(), time.sleep(20))).submit()
    begun.wait()
    future.result()


WAITS = {
    "sleeps": lambda: time.sleep(20),
    "computes": spin,
    "waits for a task": lambda: waiting(),
    "runs a task that it waits for": lambda: task(sleep).submit(20).result(),
    "runs a task": lambda: task(sleep)(20),
    "runs a flow": lambda: flow(sleep)(20),
}


@every_way
@pytest.mark.parametrize("what", WAITS)
def test_a_run_on_the_main_thread_is_interrupted_wherever_it_is(way, what, logs):
    """FL-89"""
    seen = []
    hooks = {
        "on_cancellation": [lambda flow, run, state: seen.append(state.name)],
        "on_crashed": [lambda flow, run, state: seen.append("crashed")],
        "on_failure": [lambda flow, run, state: seen.append("failed")],
    }
    began = time.monotonic()
    with pytest.raises(CancelledRun, match="Flow run was cancelled"):
        call(made(way, WAITS[what], **hooks))
    assert time.monotonic() - began < 10
    assert shown(logs[0]) == CANCELLED
    assert seen == ["Cancelling"]
    assert logs[0].record.end_time is not None


def test_an_async_run_that_awaits_is_interrupted(logs):
    """FL-89: and the code around it goes on, not cancelled"""

    async def whole():
        with pytest.raises(CancelledRun):
            await made("async", lambda: asyncio.sleep(20))()
        await asyncio.sleep(0)
        current = asyncio.current_task()
        return current.cancelling() if hasattr(current, "cancelling") else 0

    assert asyncio.run(whole()) == 0
    assert shown(logs[0]) == CANCELLED


@every_way
@pytest.mark.parametrize("what", ["computes", "waits for a task"])
def test_a_run_on_another_thread_is_interrupted(way, what, logs):
    """FL-89"""
    function = (lambda: asyncio.sleep(20)) if way == "async" else WAITS[what]
    began = time.monotonic()
    assert isinstance(on_thread(lambda: call(made(way, function))), CancelledRun)
    assert time.monotonic() - began < 10
    assert shown(logs[0]) == CANCELLED


@every_way
def test_the_state_can_be_asked_for(way):
    """FL-89, FL-53"""
    function = (lambda: asyncio.sleep(20)) if way == "async" else WAITS["sleeps"]
    main = made(way, function)

    async def whole():
        return await main(return_state=True)

    state = asyncio.run(whole()) if way == "async" else main(return_state=True)
    assert state.is_cancelled()
    with pytest.raises(CancelledRun, match="Flow run was cancelled"):
        state.result(_sync=True)


def test_the_runs_inside_of_a_run_are_cancelled_with_it(logs):
    """FL-89"""
    futures, seen = [], []

    def hook(flow, run, state):
        seen.append(flow.name)

    @flow(on_cancellation=[hook])
    def inner():
        futures.extend(task(sleep).map([20] * 3))
        soon(logs[0].record.id)
        task(sleep)(20)

    @flow(on_cancellation=[hook])
    def main():
        inner()

    with pytest.raises(CancelledRun):
        main()
    assert [shown(log) for log in logs] == [CANCELLED, CANCELLED]
    assert seen == ["inner", "main"]
    assert {future.state.name for future in futures} == {"Cancelled"}


def test_the_run_around_a_run_goes_on(logs):
    """FL-89"""

    @flow
    def inner():
        cancel(own())
        time.sleep(20)

    @flow
    def main():
        with pytest.raises(CancelledRun):
            inner()
        return inner(return_state=True).name

    assert main() == "Cancelled"
    assert shown(logs[0]) == ["Pending", "Running", "Completed"]


@every_way
def test_whatever_a_run_does_when_it_is_cancelled_it_is_cancelled(way, logs):
    """FL-89: it returns, raises something else, or swallows the interruption"""

    def swallow():
        with contextlib.suppress(BaseException):
            time.sleep(20)
        return 1

    def replace():
        try:
            time.sleep(20)
        finally:
            raise ValueError

    def catch():
        with contextlib.suppress(Exception):
            task(sleep).submit(20).result()
        return 1

    for function in (swallow, replace, catch):
        with pytest.raises(CancelledRun):
            call(made(way, function, retries=1))
    assert [shown(log) for log in logs] == [CANCELLED] * 3


def test_a_task_that_the_run_calls_is_cancelled():
    """FL-89"""
    seen = []

    @task(on_failure=[lambda *args: seen.append("failed")], retries=2)
    def body():
        cancel(own())
        time.sleep(20)

    @flow
    def main():
        try:
            return body()
        finally:
            seen.append("left")

    assert main(return_state=True).name == "Cancelled"
    assert seen == ["left"]


@every_way
def test_a_run_that_waits_for_its_next_attempt_is_cancelled(way, logs):
    """FL-89, PW-02"""

    def fail():
        raise ValueError

    began = time.monotonic()
    with pytest.raises(CancelledRun):
        call(made(way, fail, retries=3, retry_delay_seconds=20))
    assert time.monotonic() - began < 10
    assert shown(logs[0])[-3:] == ["AwaitingRetry:SCHEDULED", "Cancelling", "Cancelled"]


def test_only_a_run_that_is_under_way_can_be_cancelled():
    """FL-89"""
    ids = []
    flow(lambda: ids.append(own()))()
    assert cancel(ids[0]) is False
    assert cancel(str(uuid.uuid4())) is False
    with pytest.raises(ValueError, match="run_id"):
        cancel("no id")


def test_a_run_that_has_ended_cannot_be_cancelled_any_more(logs):
    """FL-89: not in its last hooks either"""
    answers = []
    hook = [lambda flow, run, state: answers.append(cancel(run.id))]
    flow(lambda: None, on_completion=hook)()
    assert answers == [False]
    assert shown(logs[0]) == ["Pending", "Running", "Completed"]


def test_hooks_of_outermost_runs_can_be_left_to_another_process(monkeypatch):
    """FL-90: those of runs inside of them, and those of crashes, are called"""
    monkeypatch.setenv("OXTASK__ENABLE_CANCELLATION_AND_CRASHED_HOOKS", "false")
    seen = []

    def hook(flow, run, state):
        seen.append((flow.name, state.name))

    @flow(on_cancellation=[hook])
    def inner():
        cancel(own())

    @flow(on_cancellation=[hook])
    def outer():
        inner(return_state=True)
        cancel(own())

    @flow(on_crashed=[hook])
    def crashing():
        raise SystemExit

    outer(return_state=True)
    with pytest.raises(SystemExit):
        crashing()
    assert seen == [("inner", "Cancelling"), ("crashing", "Crashed")]


def test_a_cancelled_run_leaves_no_handler_behind():
    """FL-89, FL-88"""
    before = signal.getsignal(signal.SIGTERM)
    made("sync", WAITS["sleeps"])(return_state=True)
    assert signal.getsignal(signal.SIGTERM) is before


@every_way
def test_a_generator_hears_of_it_at_its_next_item(way, logs):
    """FL-89, FL-115: the consumer is left alone"""

    @flow
    def items():
        yield own()
        yield 2

    @flow
    async def aitems():
        yield own()
        yield 2

    async def consume():
        generator = aitems()
        cancel(await anext(generator))
        await asyncio.sleep(0)
        await anext(generator)

    with pytest.raises(CancelledRun):
        if way == "async":
            asyncio.run(consume())
        else:
            generator = items()
            cancel(next(generator))
            next(generator)
    assert shown(logs[0]) == CANCELLED


def test_runs_that_end_while_they_are_cancelled_leave_no_interruption_behind():
    """FL-89: on a thread, where it may arrive late"""

    def many():
        for _ in range(200):
            started = threading.Event()

            def body(started=started):
                ids.append(own())
                started.set()

            ids = []

            def canceller(started=started, ids=ids):
                started.wait()
                cancel(ids[0])

            thread = threading.Thread(target=canceller)
            thread.start()
            state = flow(body)(return_state=True)
            assert state.name in {"Completed", "Cancelled"}
            thread.join()
        return "done"

    assert on_thread(many) == "done"
    assert many() == "done"
