"""Timeouts: on the calling thread, on worker threads, on event loops."""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import sys
import threading
import time

import pytest
from ways import CALLS, WAYS, history, run

from oxtask import flow, task
from oxtask._core import current_run
from oxtask._internal.task_runs import log_of
from oxtask.exceptions import FlowRunTimeoutError, TaskRunTimeoutError
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


# --- on the calling thread ------------------------------------------------------------------------


def test_the_main_thread_is_interrupted_in_sleep_and_in_loops():
    """TE-76"""
    for body in (lambda: time.sleep(LONG), spin):
        error, seconds = timed(task(body, timeout_seconds=LIMIT))
        assert type(error) is TaskRunTimeoutError
        assert seconds < LONG / 4


def test_another_thread_is_interrupted_between_instructions():
    """TE-77"""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        error, seconds = pool.submit(timed, task(spin, timeout_seconds=LIMIT)).result()
    assert type(error) is TaskRunTimeoutError
    assert seconds < LONG / 4


@pytest.mark.parametrize("thread", ["main", "other"])
def test_a_body_that_swallows_the_interruption_is_timed_out_all_the_same(thread):
    """TE-82, W10"""

    @task(timeout_seconds=LIMIT)
    def stubborn():
        try:
            spin()
        except BaseException:
            return "late"

    if thread == "main":
        error, _ = timed(stubborn)
    else:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            error, _ = pool.submit(timed, stubborn).result()
    assert type(error) is TaskRunTimeoutError


def test_an_error_after_the_deadline_is_a_timeout():
    """TE-82"""

    @task(timeout_seconds=LIMIT)
    def stubborn():
        try:
            spin()
        except BaseException:
            raise ValueError("late") from None

    assert type(timed(stubborn)[0]) is TaskRunTimeoutError


def test_an_error_before_the_deadline_is_that_error():
    """TE-82"""

    @task(timeout_seconds=LONG)
    def fails():
        raise ValueError("early")

    assert type(timed(fails)[0]) is ValueError


def test_the_inner_of_two_deadlines_ends_the_inner_run():
    """TE-79, W08"""

    @task(timeout_seconds=LIMIT)
    def inner():
        time.sleep(LONG)

    @task(timeout_seconds=LONG)
    def outer():
        with pytest.raises(TaskRunTimeoutError, match=f"timed out after {LIMIT} second"):
            inner()
        return "went on"

    result, seconds = timed(outer)
    assert result == "went on"
    assert seconds < LONG / 4


def test_the_outer_of_two_deadlines_ends_the_outer_run():
    """TE-80, W09"""
    futures = []

    @task(timeout_seconds=LONG)
    def inner():
        futures.append(current_run.get().future)
        time.sleep(LONG)

    @task(timeout_seconds=LIMIT)
    def outer():
        futures.append(current_run.get().future)
        inner()

    error, seconds = timed(outer)
    assert type(error) is TaskRunTimeoutError
    assert error.timeout_seconds == LIMIT
    assert seconds < LONG / 4
    assert [history(future)[-1] for future in futures] == ["TimedOut:FAILED", "Crashed"]


def test_a_flow_that_is_out_of_time_is_not_mistaken_for_its_task():
    """TE-79, TE-80, W08, W09"""

    @task(timeout_seconds=LONG)
    def inner():
        time.sleep(LONG)

    @flow(timeout_seconds=LIMIT)
    def outer():
        inner()
        pytest.fail("went on")

    error, seconds = timed(outer)
    assert type(error) is FlowRunTimeoutError
    assert seconds < LONG / 4


def test_a_signal_handler_of_the_program_is_put_back():
    """TE-76"""
    seen = []
    before = signal.signal(signal.SIGURG, lambda *_: seen.append("mine"))
    try:
        mine = signal.getsignal(signal.SIGURG)
        assert type(timed(task(spin, timeout_seconds=LIMIT))[0]) is TaskRunTimeoutError
        assert task(lambda: 1, timeout_seconds=LONG)() == 1
        assert signal.getsignal(signal.SIGURG) is mine
        task(lambda: signal.raise_signal(signal.SIGURG), timeout_seconds=LONG)()
        assert seen == ["mine"]
    finally:
        signal.signal(signal.SIGURG, before)


def test_many_deadlines_come_and_go():
    """TE-76: none rings late"""
    quick = task(lambda: 1, timeout_seconds=0.01)
    results = [timed(quick)[0] for _ in range(200)]
    assert {result if result == 1 else type(result) for result in results} <= {
        *(1, TaskRunTimeoutError),
    }
    spin(0.02)


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


# --- on event loops -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["await", "submit"])
def test_an_async_body_that_swallows_its_cancellation_is_timed_out(way):
    """TE-81"""

    async def stubborn():
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return "late"

    assert type(run_async(way, stubborn, timeout_seconds=LIMIT)[0]) is TaskRunTimeoutError


@pytest.mark.parametrize("way", ["await", "submit"])
def test_an_async_body_that_never_awaits_is_timed_out_when_it_returns(way):
    """TE-81"""

    async def busy():
        spin(LIMIT * 1.2)
        return "late"

    assert type(run_async(way, busy, timeout_seconds=LIMIT)[0]) is TaskRunTimeoutError


def test_a_cancellation_from_outside_is_no_timeout():
    """TE-83"""
    futures = []

    @task(timeout_seconds=LONG)
    async def body():
        futures.append(current_run.get().future)
        await asyncio.sleep(LONG)

    async def main():
        running = asyncio.ensure_future(body())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert history(futures[0]) == ["Pending", "Running", "Crashed"]


def test_the_outer_of_two_async_deadlines_ends_the_outer_run():
    """TE-80"""
    futures = []

    @task(timeout_seconds=LONG)
    async def inner():
        futures.append(current_run.get().future)
        await asyncio.sleep(LONG)

    @task(timeout_seconds=LIMIT)
    async def outer():
        futures.append(current_run.get().future)
        await inner()

    error, seconds = timed(lambda: asyncio.run(outer()))
    assert type(error) is TaskRunTimeoutError
    assert seconds < LONG / 4
    assert [history(future)[-1] for future in futures] == ["TimedOut:FAILED", "Crashed"]


def test_a_timed_out_async_run_leaves_the_loop_usable():
    """TE-81: nothing of the cancellation is left over"""

    @task(timeout_seconds=LIMIT)
    async def late():
        await asyncio.sleep(LONG)

    async def main():
        state = await late(return_state=True)
        await asyncio.sleep(0)
        if sys.version_info >= (3, 11):
            assert asyncio.current_task().cancelling() == 0
        return state.name

    assert asyncio.run(main()) == "TimedOut"


@pytest.mark.parametrize("way", CALLS)
def test_the_times_of_a_timed_out_run_are_kept(way):
    """TE-26, TE-27"""
    futures = []

    def body():
        futures.append(current_run.get().future)
        time.sleep(LONG)

    async def abody():
        futures.append(current_run.get().future)
        await asyncio.sleep(LONG)

    if way == "call":
        timed(task(body, timeout_seconds=LIMIT))
    else:
        timed(lambda: asyncio.run(task(abody, timeout_seconds=LIMIT)()))
    record = log_of(futures[0]).record
    assert record.end_time - record.start_time == record.total_run_time
    assert record.total_run_time.total_seconds() >= LIMIT
