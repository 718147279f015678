"""Cancelling runs."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from ways import history

from oxtask import flow, task
from oxtask._internal.task_runs import log_of
from oxtask.exceptions import CancelledRun, UnfinishedRun
from oxtask.task_runners import ThreadPoolTaskRunner


def hooks_into(seen):
    kinds = ("running", "completion", "failure")
    return {f"on_{kind}": [lambda *_, kind=kind: seen.append(kind)] for kind in kinds}


def test_a_run_that_has_not_started_never_does():
    """TE-45, FL-107"""
    gate, seen = threading.Event(), []

    @task
    def blocks():
        gate.wait(10)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        first = blocks.submit()
        second = task(lambda: seen.append("ran"), **hooks_into(seen)).submit()
        assert second.cancel()
        assert not second.cancel()
        assert second.done()
        assert history(second) == ["Pending", "Cancelled"]
        assert log_of(second).record.run_count == 0
        with pytest.raises(CancelledRun):
            second.result()
        assert isinstance(second.result(raise_on_failure=False), CancelledRun)
        gate.set()
        first.wait()

    main()
    assert seen == []


@pytest.mark.parametrize("hooks", [False, True])
def test_a_run_under_way_is_told_to_stop_and_its_result_dropped(hooks, lines):
    """TE-45; what it logs is no failure"""
    started, stopped, seen = threading.Event(), threading.Event(), []

    def spin():
        until = time.monotonic() + 10
        while time.monotonic() < until:
            pass

    def body():
        started.set()
        try:
            spin()  # Python 3.13 does not see that the jump of a loop is within `try`
        finally:
            stopped.set()

    @flow
    def main():
        options = hooks_into(seen) if hooks else {}
        future = task(body, retries=3, **options).submit()
        started.wait(10)
        assert future.cancel()
        assert history(future) == ["Pending", "Running", "Cancelled"]
        assert stopped.wait(5)
        with pytest.raises(CancelledRun):
            future.result()
        futures.append(future)

    futures = []
    main()
    assert history(futures[0]) == ["Pending", "Running", "Cancelled"]
    assert seen == (["running"] if hooks else [])
    assert [line for line in lines() if "RunInterrupted" in line or "Crash" in line] == []


def test_an_async_run_under_way_is_cancelled():
    """TE-45"""
    started, stopped = threading.Event(), threading.Event()

    @task
    async def body():
        started.set()
        try:
            await asyncio.sleep(10)
        finally:
            stopped.set()

    @flow
    def main():
        future = body.submit()
        started.wait(10)
        assert future.cancel()
        return history(future)

    assert main() == ["Pending", "Running", "Cancelled"]
    assert stopped.wait(5)


@pytest.mark.parametrize("hooks", [False, True])
def test_a_run_that_awaits_its_retry_is_cancelled_at_once(hooks):
    """TE-45, W11"""
    failed, seen = threading.Event(), []

    def body():
        failed.set()
        raise ValueError

    @flow
    def main():
        options = hooks_into(seen) if hooks else {}
        future = task(body, retries=1, retry_delay_seconds=30, **options).submit()
        failed.wait(10)
        while history(future)[-1] != "AwaitingRetry:SCHEDULED":
            time.sleep(0)
        assert future.cancel()
        return history(future)

    began = time.monotonic()
    assert main() == ["Pending", "Running", "AwaitingRetry:SCHEDULED", "Cancelled"]
    assert time.monotonic() - began < 5
    assert seen == (["running"] if hooks else [])


def test_a_run_that_has_ended_is_not_cancelled():
    """FL-107"""

    @flow
    def main():
        future = task(lambda: 3).submit()
        future.wait()
        assert not future.cancel()
        return future.result()

    assert main() == 3


def test_what_waits_for_a_cancelled_run_never_starts():
    """23.1"""
    gate = threading.Event()

    @flow
    def main():
        first = task(lambda: gate.wait(10)).submit()
        second = task(lambda x: x).submit(first)
        third = task(lambda x: x).submit(second)
        assert second.cancel()
        third.wait()
        gate.set()
        with pytest.raises(UnfinishedRun):
            third.result()
        return third.state.name

    assert main() == "NotReady"


def test_a_cancelled_run_times_are_kept():
    """TE-26: the end is that of the final state, if the run had started"""
    started = threading.Event()

    @task
    def body():
        started.set()
        time.sleep(0.05)

    @flow
    def main():
        future = body.submit()
        started.wait(10)
        future.cancel()
        record = log_of(future).record
        return record.start_time is not None, record.end_time >= record.start_time

    assert main() == (True, True)
