"""Retries: how often, when, on what condition, and what is logged."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest
from ways import WAYS, history, run

from oxtask import flow, task
from oxtask._core import current_run
from oxtask._internal.task_runs import log_of
from oxtask.context import TaskRunContext
from oxtask.states import Cancelled, Failed
from oxtask.task_runners import ThreadPoolTaskRunner
from oxtask.tasks import exponential_backoff

each_way = pytest.mark.parametrize("way", WAYS)
SHORT = 0.005


def fails(count):
    raise ValueError(count)


def delays_of(future):
    """Return the delays that the states of a run asked for, in seconds."""
    states = log_of(future).history
    waits = [state for state in states if state.name == "AwaitingRetry"]
    return [
        (state.state_details.scheduled_time - state.timestamp).total_seconds() for state in waits
    ]


# --- how often ------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_there_are_as_many_attempts_as_retries_and_one(way, retries):
    """28.1, TE-30"""
    ran = run(way, fails, retries=retries)
    assert ran.bodies == retries + 1
    assert ran.error.args == (retries + 1,)


@each_way
def test_attempts_end_with_the_first_success(way):
    """28.1"""

    def body(count):
        if count < 2:
            raise ValueError
        return count

    ran = run(way, body, retries=5)
    assert (ran.bodies, ran.value) == (2, 2)


@each_way
@pytest.mark.parametrize("make", [ValueError, TimeoutError, lambda: None])
def test_exceptions_timeouts_and_failed_states_are_tried_again(way, make):
    """TE-31"""

    def body(count):
        error = make()
        if error is None:
            return Failed(message="mine")
        raise error

    assert run(way, body, retries=2).bodies == 3


@each_way
def test_other_ends_are_not_tried_again(way):
    """TE-31"""

    def crash(count):
        raise KeyboardInterrupt

    assert run(way, lambda count: Cancelled(), retries=2).bodies == 1
    assert run(way, crash, retries=2).bodies == 1


def test_a_failed_upstream_is_not_tried_again():
    """TE-31"""

    @flow
    def main():
        failed = task(lambda: 1 / 0).submit()
        future = task(lambda x: x, retries=3).submit(failed)
        future.wait()
        return history(future)

    assert main() == ["Pending", "NotReady:PENDING"]


def test_retries_of_nested_tasks_multiply():
    """26.5"""
    calls = []

    @task(retries=1)
    def inner():
        calls.append(1)
        raise ValueError

    @task(retries=1)
    def outer():
        return inner()

    with pytest.raises(ValueError):
        outer()
    assert len(calls) == 4


@each_way
def test_each_attempt_sees_its_number_and_state(way):
    """26.2, TE-28"""
    seen = []

    def body(count):
        context = TaskRunContext.get()
        seen.append((context.task_run.run_count, context.task_run.state.name, context.start_time))
        fails(count)

    run(way, body, retries=2, retry_delay_seconds=[0, SHORT])
    assert [entry[:2] for entry in seen] == [(1, "Running"), (2, "Retrying"), (3, "Retrying")]
    starts = [entry[2] for entry in seen]
    assert starts == sorted(set(starts))


@each_way
def test_the_start_of_a_run_is_that_of_its_first_attempt(way):
    """TE-25, TE-26, TE-27"""
    ran = run(way, lambda count: fails(count) if count < 3 else None, retries=2)
    states = log_of(ran.future).history
    record = ran.task_run
    assert record.start_time == states[1].timestamp
    assert record.end_time == states[-1].timestamp
    running = itertools.pairwise(states[1:])
    spent = sum(
        (after.timestamp - state.timestamp for state, after in running),
        start=0 * record.total_run_time,
    )
    assert record.total_run_time == spent


# --- delays ---------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (SHORT, [SHORT, SHORT, SHORT]),
        ([SHORT, 2 * SHORT], [SHORT, 2 * SHORT, 2 * SHORT]),
        (lambda retries: [SHORT * retries], [3 * SHORT] * 3),
        (exponential_backoff(SHORT), [SHORT, 2 * SHORT, 4 * SHORT]),
        ([0, SHORT], [SHORT, SHORT]),
        ([], []),
        (0, []),
    ],
)
def test_delays_are_taken_in_turn_and_the_last_repeats(way, delay, expected):
    """28.2, TE-32, TE-36"""
    ran = run(way, fails, retries=3, retry_delay_seconds=delay)
    assert delays_of(ran.future) == pytest.approx(expected)


@each_way
def test_the_next_attempt_does_not_begin_before_its_time(way):
    """TE-36"""
    ran = run(way, fails, retries=1, retry_delay_seconds=0.02)
    states = log_of(ran.future).history
    awaiting, retrying = states[2], states[3]
    assert retrying.timestamp >= awaiting.state_details.scheduled_time
    assert awaiting.message == "Task run encountered an exception ValueError: 1"


@each_way
@pytest.mark.parametrize("factor", [0.3, 3])
def test_jitter_spreads_the_delays_within_its_bounds(way, factor):
    """3.17, W5, TE-35"""
    ran = run(way, fails, retries=20, retry_delay_seconds=0.001, retry_jitter_factor=factor)
    delays = delays_of(ran.future)
    lowest = {0.3: 0.00075, 3: 0.000093}[factor]
    assert all(lowest - 2e-6 <= delay <= 0.001 * (1 + factor) + 2e-6 for delay in delays)
    assert len({round(delay * 1e6) for delay in delays}) > 1


@each_way
def test_no_jitter_changes_nothing(way):
    """TE-35"""
    ran = run(way, fails, retries=2, retry_delay_seconds=SHORT, retry_jitter_factor=0)
    assert delays_of(ran.future) == pytest.approx([SHORT, SHORT])
    ran = run(way, fails, retries=2, retry_jitter_factor=5)
    assert delays_of(ran.future) == []


def test_a_delay_holds_no_worker():
    """Retry delays hold no worker"""
    gate = threading.Event()

    @task(retries=1, retry_delay_seconds=0.05)
    def flaky(x):
        if current_run.get().future.state.name == "Running":
            raise ValueError
        gate.wait(10)
        return x

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        futures = flaky.map(range(50))
        assert task(lambda: 1).submit().result() == 1
        gate.set()
        return futures.result()

    began = time.monotonic()
    assert main() == list(range(50))
    assert time.monotonic() - began < 2


def test_a_delay_of_an_async_call_leaves_the_loop_free():
    """TE-36"""
    order = []

    @task(retries=1, retry_delay_seconds=0.02)
    async def flaky():
        order.append("attempt")
        if len(order) == 1:
            raise ValueError

    async def main():
        async def other():
            order.append("other")

        await asyncio.gather(flaky(), other())

    asyncio.run(main())
    assert order == ["attempt", "other", "attempt"]


def test_an_interrupt_ends_the_delay_of_a_direct_call():
    """TE-45: the run crashes, and is not left awaiting a retry"""
    futures = []

    @task(retries=1, retry_delay_seconds=30)
    def body():
        futures.append(current_run.get().future)
        raise ValueError

    async def main():
        @task(retries=1, retry_delay_seconds=30)
        async def abody():
            body.fn()

        running = asyncio.ensure_future(abody())
        while not futures or history(futures[0])[-1] != "AwaitingRetry:SCHEDULED":
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert history(futures[0])[-2:] == ["AwaitingRetry:SCHEDULED", "Crashed"]


# --- log lines ------------------------------------------------------------------------------------


@each_way
def test_retries_are_logged(way, lines):
    """28.5, 42.12, TE-41"""
    run(way, fails, hooks=False, retries=2, retry_delay_seconds=[0, SHORT])
    text = "Task run failed with exception: ValueError"
    assert [line for line in lines("INFO") if line.startswith(text)] == [
        f"{text}(1) - Retry 1/2 will start immediately",
        f"{text}(2) - Retry 2/2 will start {SHORT:g} second(s) from now",
    ]
    assert [line for line in lines("ERROR") if line.startswith(text)] == [
        f"{text}(3) - Retries are exhausted"
    ]


@each_way
def test_without_retries_nothing_is_said_of_them(way, lines):
    """28.5"""
    run(way, fails, hooks=False)
    assert lines("ERROR")[0] == "Task run failed with exception: ValueError(1)"


@each_way
def test_a_failed_state_is_logged_as_one(way, lines):
    """TE-41"""
    run(way, lambda count: Failed(message="mine"), hooks=False, retries=1)
    assert any("Task run failed with state: Failed" in line for line in lines("INFO"))
    assert any(
        "Task run failed with state: Failed" in line and "exhausted" in line
        for line in lines("ERROR")
    )


@each_way
def test_the_end_of_a_run_is_logged(way, lines):
    """26.8"""
    run(way, lambda count: 1, hooks=False)
    assert "Finished in state Completed()" in lines("INFO")
    run(way, fails, hooks=False)
    assert any(line.startswith("Finished in state Failed(") for line in lines("ERROR"))
