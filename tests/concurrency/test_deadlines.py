"""Deadlines on worker threads: the future ends on time, whatever the thread does."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import threading
import time

import pytest

from oxtask import task
from oxtask.exceptions import TaskRunTimeoutError, TooManyStuckTasksError
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10
TIMEOUT_SECONDS = 0.2
SLACK_SECONDS = 0.25


def until(condition):
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def sleep():
    time.sleep(1)


def compute():
    while True:
        pass


def sleep_in_c():
    ctypes.CDLL(None).usleep(1_000_000)


def lock():
    threading.Lock().acquire() and threading.Event().wait(1)


def swallow():
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                pass
        except BaseException:
            continue


@pytest.mark.parametrize("body", [sleep, compute, sleep_in_c, lock, swallow])
@pytest.mark.parametrize("workers", [1, None])
def test_the_future_ends_at_the_deadline(body, workers):
    """B7 a, c, d; TE-77, TE-78, TE-82, W07, W10"""
    limited = task(body, timeout_seconds=TIMEOUT_SECONDS)

    @task
    def other():
        return "served"

    with ThreadPoolTaskRunner(workers):
        began = time.monotonic()
        future = limited.submit()
        with pytest.raises(TaskRunTimeoutError, match=r"timed out after 0.2 second"):
            future.result()
        took = time.monotonic() - began
        assert TIMEOUT_SECONDS <= took < TIMEOUT_SECONDS + SLACK_SECONDS
        assert other.submit().result(timeout=SLACK_SECONDS) == "served"
        assert future.state.name == "TimedOut"
        assert future.state.message == "Task run exceeded timeout of 0.2 second(s)"


def test_code_that_keeps_the_interpreter_cannot_move_the_deadline():
    """B7 b: the deadline is stamped by the clock, the waiter goes on as soon as Python can run"""
    hog = ctypes.PyDLL(None).usleep

    @task(timeout_seconds=TIMEOUT_SECONDS)
    def keep():
        entered.append(time.monotonic())
        hog(700_000)

    entered = []
    with ThreadPoolTaskRunner(1):
        future = keep.submit()
        future.wait()
        assert time.monotonic() < entered[0] + 0.7 + SLACK_SECONDS
        assert future.state.name == "TimedOut"


def test_a_pattern_that_never_ends_does_not_either():
    """B7 b"""

    @task(timeout_seconds=TIMEOUT_SECONDS)
    def match():
        re.match(r"(a+)+$", "a" * 24 + "b")

    with ThreadPoolTaskRunner(1):
        future = match.submit()
        future.wait()
        assert future.state.name == "TimedOut"


def test_a_late_result_is_dropped():
    """B8"""
    gate, log = threading.Event(), []

    @task(
        timeout_seconds=0.05,
        on_completion=[lambda *_: log.append("completion hook")],
        on_failure=[lambda *_: log.append("failure hook")],
    )
    def late():
        try:
            assert gate.wait(PATIENCE)
        finally:
            log.append("body")
        return "late"

    with ThreadPoolTaskRunner(1) as runner:
        future = late.submit()
        future.add_done_callback(lambda ended: log.append(ended.state.name))
        with pytest.raises(TaskRunTimeoutError):
            future.result()
        state = future.state
        until(lambda: len(log) == 2)
        assert runner._runner.threads[1] == 1
        gate.set()
        until(lambda: runner._runner.threads[1] == 0)
        assert log == ["failure hook", "TimedOut", "body"]
        assert (future.state.name, future.state.timestamp) == ("TimedOut", state.timestamp)
        assert isinstance(future.result(raise_on_failure=False), TaskRunTimeoutError)


def test_a_stuck_thread_is_replaced_and_comes_back_to_work():
    """B7, TE-78"""
    gate, threads = threading.Event(), set()

    @task(timeout_seconds=0.05)
    def stick():
        threads.add(threading.get_ident())
        assert gate.wait(PATIENCE)

    @task
    def where():
        return threading.get_ident()

    with ThreadPoolTaskRunner(1) as runner:
        future = stick.submit()
        until(future.done)
        other = where.submit()
        until(other.done)
        assert other.result() not in threads
        gate.set()
        until(lambda: runner._runner.threads[1] == 0)
        seen = set()
        for _ in range(20):
            future = where.submit()
            until(future.done)
            seen.add(future.result())
        assert seen


def test_too_many_stuck_threads_are_refused_and_then_not_any_more():
    """B7"""
    gate = threading.Event()

    @task(timeout_seconds=0.05)
    def stick():
        assert gate.wait(PATIENCE)

    @task
    def other(x=1):
        return x

    with ThreadPoolTaskRunner() as runner:
        futures = [stick.submit() for _ in range(33)]
        for future in futures:
            future.wait()
        assert runner._runner.threads[1] == 33
        for refused in (other.submit, lambda: other.map([1]), stick.submit):
            with pytest.raises(TooManyStuckTasksError, match="33 threads are stuck"):
                refused()
        gate.set()
        until(lambda: runner._runner.threads[1] == 0)
        assert other.submit().result() == 1


def test_the_log_says_where_the_thread_is_stuck(caplog):
    """The issue: the log says where the thread is stuck"""
    gate = threading.Event()
    caplog.set_level(logging.WARNING, logger="oxtask")

    def in_a_function_with_a_name():
        assert gate.wait(PATIENCE)

    @task(timeout_seconds=0.05)
    def stick():
        in_a_function_with_a_name()

    with ThreadPoolTaskRunner():
        stick.submit().wait()
        gate.set()
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "in_a_function_with_a_name" in text
    assert "running in a worker thread" in text


def test_the_clock_restarts_for_each_attempt_and_attempts_do_not_overlap_in_state():
    """TE-42"""
    attempts = []

    @task(timeout_seconds=0.1, retries=2)
    def slow():
        attempts.append(time.monotonic())
        if len(attempts) < 3:
            time.sleep(0.3)
        return len(attempts)

    with ThreadPoolTaskRunner():
        began = time.monotonic()
        assert slow.submit().result() == 3
        assert time.monotonic() - began < 0.2 + SLACK_SECONDS
        assert len(attempts) == 3


def test_the_inner_deadline_is_charged_to_the_inner_run_and_the_outer_to_the_outer():
    """TE-80, W08, W09"""

    def nest(outer, inner):
        @task(timeout_seconds=inner)
        def child():
            time.sleep(0.6)

        @task(timeout_seconds=outer)
        def parent():
            below.append(child.submit())
            try:
                below[0].result()
            except TaskRunTimeoutError:
                return "child was late"

        below = []
        future = parent.submit()
        future.wait()
        return future, below[0]

    with ThreadPoolTaskRunner():
        parent, child = nest(outer=5, inner=0.1)
        assert parent.result() == "child was late"
        assert child.state.name == "TimedOut"
        parent, child = nest(outer=0.1, inner=5)
        assert parent.state.name == "TimedOut"
        assert "0.1 second" in parent.state.message
        child.wait()
        assert child.state.is_completed()


def test_a_deadline_does_not_count_the_time_before_the_body():
    """TE-75"""
    gate = threading.Event()

    @task
    def hold():
        assert gate.wait(PATIENCE)

    @task(timeout_seconds=0.2)
    def quick(_):
        return "quick"

    with ThreadPoolTaskRunner(1):
        held = hold.submit()
        future = quick.submit(held)
        queued = quick.submit(None)
        time.sleep(0.3)  # longer than they have
        gate.set()
        assert future.result() == "quick"
        assert queued.result() == "quick"


@pytest.mark.parametrize("workers", [2, None])
def test_many_runs_that_end_about_at_their_deadlines(workers):
    """B8, B9: each ends exactly once, and the workers are well"""

    @task(timeout_seconds=0.02)
    def close(x):
        end = time.monotonic() + 0.0185 + (x % 7) * 0.0005
        while time.monotonic() < end:
            pass
        return x

    @task
    def fine(x):
        return x

    ended = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolTaskRunner(workers) as runner:
            futures = close.map(range(60))
            for future in futures:
                future.add_done_callback(ended.append)
            futures.wait()
            until(lambda: len(ended) == 60)
            until(lambda: runner._runner.threads[1] == 0)
            assert fine.map(range(100)).result() == list(range(100))
    finally:
        sys.setswitchinterval(before)
    assert len(set(ended)) == 60
    for number, future in enumerate(futures):
        assert future.state.name in {"Completed", "TimedOut"}
        if future.state.is_completed():
            assert future.result() == number
