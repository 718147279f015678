"""Deadlines for blocks of code."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import threading
import time

import pytest

from oxtask import flow, task
from oxtask._internal import deadlines
from oxtask.exceptions import TaskRunTimeoutError
from oxtask.utilities.timeout import timeout, timeout_async

MESSAGE = r"^Scope timed out after 0.05 second\(s\)\.$"


class OwnError(TimeoutError):
    pass


def spin(seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def on_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def timed_out(block, seconds=0.05, kind=TimeoutError):
    """Tell whether a block is out of time, and within how many seconds."""
    began = time.monotonic()
    with pytest.raises(kind, match=MESSAGE) as raised:
        with timeout(seconds, kind):
            block()
    assert type(raised.value) is kind
    return time.monotonic() - began < 5


@pytest.mark.parametrize("block", [lambda: time.sleep(20), spin])
@pytest.mark.parametrize("kind", [TimeoutError, OwnError])
def test_a_block_that_takes_too_long_is_interrupted(block, kind):
    """TO-01"""
    assert timed_out(block, kind=kind)


@pytest.mark.parametrize("kind", [TimeoutError, OwnError])
def test_an_async_block_that_takes_too_long_is_cancelled(kind):
    """TO-01"""

    async def main():
        with pytest.raises(kind, match=MESSAGE) as raised:
            with timeout_async(seconds=0.05, timeout_exc_type=kind):
                await asyncio.sleep(20)
        assert type(raised.value) is kind
        await asyncio.sleep(0)

    asyncio.run(main())


def test_without_seconds_nothing_happens():
    """TO-01"""
    with timeout(), timeout(None):
        time.sleep(0.01)

    async def main():
        with timeout_async():
            await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("block", [timeout, timeout_async])
@pytest.mark.parametrize("kind", [ValueError, "TimeoutError", None])
def test_the_error_must_be_a_timeout_error(block, kind):
    """TO-01"""
    with pytest.raises(ValueError, match="'timeout_exc_type' must be a subclass of TimeoutError"):
        block(1, kind)


def test_a_block_that_ends_in_time_goes_on():
    """TO-01: and what it raises is raised"""
    with timeout(20):
        pass
    with pytest.raises(LookupError), timeout(20):
        raise LookupError

    async def main():
        with timeout_async(20):
            await asyncio.sleep(0)
        with pytest.raises(LookupError), timeout_async(20):
            raise LookupError
        with timeout_async(20):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_an_except_in_the_block_does_not_swallow_it():
    """TO-02"""

    def swallow():
        try:
            time.sleep(20)
        except Exception:
            pytest.fail("swallowed")

    assert timed_out(swallow)

    async def main():
        with pytest.raises(TimeoutError), timeout_async(0.05):
            try:
                await asyncio.sleep(20)
            except Exception:
                pytest.fail("swallowed")

    asyncio.run(main())


def test_blocks_nest():
    """TO-01, W09: the one whose time is up is the one that ends"""
    with pytest.raises(OwnError):
        with timeout(0.05, OwnError):
            with timeout(20):
                time.sleep(20)
    with timeout(20, OwnError):
        assert timed_out(lambda: time.sleep(20))


def test_a_task_has_its_deadline_in_a_block_and_a_block_in_a_task():
    """W08"""

    @task(timeout_seconds=0.05)
    def outer():
        with timeout(20, OwnError):
            time.sleep(20)

    @task(timeout_seconds=20)
    def inner():
        return timed_out(lambda: time.sleep(20))

    with timeout(20), pytest.raises(TaskRunTimeoutError):
        outer()
    assert inner()


# Hypothesis has a callback of the collector: what is raised in there is told and forgotten.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seconds", [0.001, 0.003, 0.01])
def test_the_engine_is_not_torn_apart(seconds, monkeypatch):
    """TO-03: every run that was begun ends, and its history is whole"""
    from oxtask._internal import task_runs

    logs = []

    class Recorded(task_runs.RunLog):
        __slots__ = ()

        def __init__(self, record):
            super().__init__(record)
            logs.append(self)

    monkeypatch.setattr(task_runs, "RunLog", Recorded)
    body = task(lambda: None, on_running=[lambda *args: None], retries=1, timeout_seconds=20)

    @flow
    def main():
        while True:
            body()

    for _ in range(20):
        state = main.with_options(timeout_seconds=seconds)(return_state=True)
        assert state.name == "TimedOut"
    for log in logs:
        assert log.record.state.is_final()
        assert log.history[-1] is log.record.state
        assert [state.name for state in log.history[:2]] in (
            ["Pending", "Running"],
            ["Pending", "Crashed"],
        )


def test_signals_and_alarms_of_the_program_are_left_alone():
    """TO-04"""
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *args: heard.append("alarm"))
    urgent = signal.signal(signal.SIGURG, lambda *args: heard.append("urgent"))
    mine = signal.getsignal(signal.SIGURG)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert timed_out(lambda: time.sleep(20))
        assert heard == ["alarm"]
        with timeout(20):
            signal.raise_signal(signal.SIGURG)
        assert heard == ["alarm", "urgent"]
        signal.setitimer(signal.ITIMER_REAL, 20)
        with timeout(20):
            pass
        assert 0 < signal.setitimer(signal.ITIMER_REAL, 0)[0] <= 20
        assert signal.getsignal(signal.SIGURG) is mine
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGURG, urgent)


def test_a_deadline_is_reported_where_nothing_can_be_interrupted(monkeypatch):
    """TO-05: without the signal, a call that blocks comes back late"""

    class NoSignals:
        pass

    monkeypatch.setattr(deadlines, "_signal", NoSignals)
    assert timed_out(lambda: time.sleep(0.1))
    assert timed_out(spin)


def test_on_threads_python_code_is_interrupted():
    """TO-01, W07"""
    assert on_thread(lambda: timed_out(spin))
    assert on_thread(lambda: timed_out(lambda: time.sleep(0.1)))


def test_a_deadline_leaves_no_lock_of_logging_behind():
    """TO-03: other threads can go on logging"""
    logger = logging.getLogger("oxtask.task_runs")

    def spin_in_logging():
        while True:
            logger._cache.clear()  # so that each question takes the lock
            logger.isEnabledFor(logging.INFO)
            sum(range(2_000))

    for number in range(150):
        with pytest.raises(TimeoutError), timeout(0.001 + number * 1e-5):
            spin_in_logging()
    asked = threading.Thread(target=logger.isEnabledFor, args=[logging.DEBUG], daemon=True)
    asked.start()
    asked.join(10)
    assert not asked.is_alive()


def test_what_blocks_in_the_engines_own_frame_is_interrupted_all_the_same():
    """TO-03: a C function that is the body of a task"""
    acquire = threading.Event().wait
    body = task(functools.partial(acquire, 20), timeout_seconds=0.05)
    began = time.monotonic()
    with pytest.raises(TaskRunTimeoutError):
        body()
    assert time.monotonic() - began < 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_deadline_that_strikes_where_nobody_hears_it_strikes_again():
    """TO-03: what a finalizer raises goes nowhere"""
    struck = []

    class Last:
        def __del__(self):
            if not struck:
                try:
                    spin()
                finally:
                    struck.append(1)

    def main():
        while True:
            Last()

    assert timed_out(main, seconds=0.05)
    assert struck == [1]


def test_code_that_cleans_up_after_its_deadline_is_not_struck_again(monkeypatch):
    """TO-03"""
    monkeypatch.setattr(deadlines, "_AGAIN_SECONDS", 0.001)
    ended = []

    def main():
        try:
            spin()
        finally:
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                pass
            ended.append(1)

    assert timed_out(main)
    assert ended == [1]
