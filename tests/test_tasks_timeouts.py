"""Timeouts: on the calling thread, on worker threads, on event loops."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from ways import WAYS, history, run

from oxtask import flow, task
from oxtask._core import current_run
from oxtask.exceptions import TaskRunTimeoutError
from oxtask.task_runners import ThreadPoolTaskRunner

each_way = pytest.mark.parametrize("way", WAYS)
LIMIT = 0.05
LONG = 20.0


class Block:
    """Blocks for a long time in C, unless it is released."""

    def __init__(self):
        self.event = threading.Event()

    def wait(self):
        self.event.wait(LONG)


@pytest.fixture
def block():
    held = Block()
    yield held
    held.event.set()


def timed(call):
    """Return what a call returned or raised, and how long it took in seconds."""
    began = time.monotonic()
    try:
        result = call()
    except BaseException as error:
        result = error
    return result, time.monotonic() - began


def spin(seconds=LONG):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def run_async(way, body, **options):
    """Run an async task whose function awaits ``body()``."""
    made = task(body, **options)
    if way == "await":
        return timed(lambda: asyncio.run(made()))
    return timed(flow(lambda: made.submit().result()))


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["call", "submit", "map"])
def test_a_run_that_takes_too_long_is_timed_out(way, block):
    """3.2 timeout; 28.6, 28.7, TE-76, TE-78, TE-84, W07"""
    ran, seconds = timed(lambda: run(way, lambda count: block.wait(), timeout_seconds=LIMIT))
    assert seconds < LONG / 4
    assert ran.history == ["Pending", "Running", "TimedOut:FAILED"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running", "failure"]
    assert type(ran.error) is TaskRunTimeoutError
    assert isinstance(ran.error, TimeoutError)
    assert str(ran.error) == f"Scope timed out after {LIMIT} second(s)."
    assert ran.state.message == f"Task run exceeded timeout of {LIMIT} second(s)"


@pytest.mark.parametrize("way", ["await", "submit"])
def test_an_async_run_that_takes_too_long_is_timed_out(way):
    """3.2 timeout; 28.7, TE-81"""
    seen = []

    async def body():
        seen.append(current_run.get().future)
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    error, seconds = run_async(way, body, timeout_seconds=LIMIT)
    assert seconds < LONG / 4
    assert type(error) is TaskRunTimeoutError
    assert seen[1] == "cancelled"
    assert history(seen[0]) == ["Pending", "Running", "TimedOut:FAILED"]


@pytest.mark.parametrize("way", ["call", "submit", "map"])
def test_a_timeout_is_tried_again_and_the_clock_starts_anew(way, block):
    """3.2 timeout + retry; 28.6, TE-42"""

    def body(count):
        if count == 1:
            block.wait()
        return "value"

    ran = run(way, body, timeout_seconds=LIMIT, retries=1)
    assert ran.history == ["Pending", "Running", "Retrying:RUNNING", "Completed"]
    assert ran.hooks == ["running", "running", "completion"]
    assert ran.value == "value"

    ran = run(way, lambda count: block.wait(), timeout_seconds=LIMIT, retries=1)
    assert ran.history == ["Pending", "Running", "Retrying:RUNNING", "TimedOut:FAILED"]
    assert ran.task_run.run_count == 2
    assert ran.hooks == ["running", "running", "failure"]


@pytest.mark.parametrize("way", ["call", "submit"])
def test_a_timeout_with_a_delay_awaits_its_retry(way, block):
    """3.2"""
    ran = run(
        way,
        lambda count: block.wait() if count == 1 else None,
        timeout_seconds=LIMIT,
        retries=1,
        retry_delay_seconds=0.005,
    )
    assert ran.history == [
        *("Pending", "Running", "AwaitingRetry:SCHEDULED", "Retrying:RUNNING", "Completed"),
    ]


@each_way
def test_a_run_that_is_in_time_is_not_touched(way):
    """28.7"""
    ran = run(way, lambda count: count, timeout_seconds=LONG)
    assert ran.history == ["Pending", "Running", "Completed"]
    assert ran.value == 1


@each_way
def test_no_timeout_is_no_limit(way):
    """TE-75"""
    assert run(way, lambda count: count, timeout_seconds=0).value == 1


# --- on worker threads ----------------------------------------------------------------------------


def test_a_stuck_thread_is_replaced_and_its_late_result_dropped(block):
    """TE-78, W07"""

    @task(timeout_seconds=LIMIT)
    def stuck():
        block.wait()
        return "late"

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        future = stuck.submit()
        other = task(lambda: "other").submit()
        future.wait()
        assert history(future)[-1] == "TimedOut:FAILED"
        assert other.result() == "other"
        block.event.set()
        assert task(lambda: 1).submit().result() == 1
        return future.state.name

    assert main() == "TimedOut"


def test_a_loop_on_a_worker_is_stopped():
    """TE-77"""
    stopped = threading.Event()

    @task(timeout_seconds=LIMIT)
    def loops():
        try:
            spin()
        finally:
            stopped.set()

    @flow
    def main():
        future = loops.submit()
        future.wait()
        return future.state.name

    assert main() == "TimedOut"
    assert stopped.wait(LONG / 4)


def test_a_warning_tells_where_the_thread_is(block, lines):
    """TE-77, TE-78, 28.7: once for each attempt, and not for other runs"""

    @task(timeout_seconds=LIMIT, retries=1)
    def stuck():
        block.wait()

    @flow
    def main():
        stuck.submit().wait()

    main()
    warnings = [line for line in lines("WARNING") if "running in a worker thread" in line]
    assert len(warnings) == 2
    assert "self.event.wait(LONG)" in warnings[0]


@pytest.mark.parametrize("way", ["call", "await", "submit async"])
def test_there_is_no_such_warning_for_other_runs(way, lines):
    """TE-77"""
    run(way, lambda count: 1, timeout_seconds=LONG)
    if way == "call":
        timed(task(spin, timeout_seconds=LIMIT))
    assert lines("WARNING") == []


def test_time_in_the_queue_and_before_a_retry_does_not_count():
    """TE-75"""
    gate = threading.Event()

    @task(timeout_seconds=1, retries=1, retry_delay_seconds=0.01)
    def quick(upstream):
        if current_run.get().future.state.name == "Running":
            raise ValueError
        return "in time"

    @task
    def slow():
        gate.wait(LONG)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        future = quick.submit(slow.submit())
        spin(0.05)
        gate.set()
        return future.result(), history(future)[-1]

    assert main() == ("in time", "Completed")
