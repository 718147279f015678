"""Deadlines of code on the calling thread, and on the calling event loop, and how they nest."""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import sys
import time

import pytest
from ways import CALLS, history

from oxtask import flow, task
from oxtask._core import current_run
from oxtask._internal.task_runs import log_of
from oxtask.exceptions import FlowRunTimeoutError, TaskRunTimeoutError

LIMIT = 0.05
LONG = 20.0


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


def run_async(way, body, **options):
    """Run an async task whose function awaits ``body()``."""
    made = task(body, **options)
    if way == "await":
        return timed(lambda: asyncio.run(made()))
    return timed(flow(lambda: made.submit().result()))


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


@pytest.mark.parametrize("gathered", [False, True])
def test_a_deadline_in_a_submitted_async_run_ends_the_inner_run_only(gathered):
    """TE-79, TE-81"""

    @task(timeout_seconds=LIMIT)
    async def inner():
        await asyncio.sleep(LONG)

    @task(timeout_seconds=LONG)
    async def outer():
        if gathered:
            results = await asyncio.gather(inner(), inner(), return_exceptions=True)
            return [type(result) for result in results]
        with pytest.raises(TaskRunTimeoutError):
            await inner()
        await asyncio.sleep(0)
        return [TaskRunTimeoutError] * 2

    result, seconds = timed(flow(lambda: outer.submit().result()))
    assert result == [TaskRunTimeoutError] * 2
    assert seconds < LONG / 4
