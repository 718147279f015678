"""The states a flow run goes through; the lines are of engine.md, sections 4.4 and 17."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.exceptions import (
    CancelledRun,
    FailedRun,
    FlowRunTimeoutError,
    ParameterTypeError,
    PausedRun,
    UnfinishedRun,
    UpstreamTaskError,
)
from oxtask.states import Cancelled, Cancelling, Crashed, Paused, Running, Scheduled

pytestmark = pytest.mark.parametrize("way", WAYS)


def failing(error):
    def body(attempt):
        raise error

    return body


def sleeping(way):
    return lambda attempt: asyncio.sleep(30) if way == "async" else time.sleep(30)


def test_a_run_that_returns(ran, way):
    """4.4 success"""
    result = ran(way, lambda attempt: 7)
    assert result.history == ["Pending", "Running", "Completed"]
    assert result.hooks == ["running", "completion"]
    assert (result.flow_run.run_count, result.value) == (1, 7)


def test_a_run_that_raises(ran, way):
    """4.4 exception, FL-42, FL-50"""
    error = ValueError("no luck")
    result = ran(way, failing(error))
    assert result.history == ["Pending", "Running", "Failed"]
    assert result.hooks == ["running", "failure"]
    assert result.flow_run.run_count == 1
    assert result.error is error
    assert result.state.message == "Flow run encountered an exception: ValueError: no luck"
    assert result.state.data is error


@pytest.mark.parametrize("delay", [0, 0.01])
def test_a_run_that_succeeds_when_tried_again(ran, way, delay):
    """4.4 retry, FL-40, D1, FL-41"""

    def body(attempt):
        if attempt == 1:
            raise ValueError("not yet")
        return attempt

    result = ran(way, body, retries=3, retry_delay_seconds=delay)
    assert shown(result.log) == [
        "Pending",
        "Running",
        "AwaitingRetry:SCHEDULED",
        "Retrying:RUNNING",
        "Completed",
    ]
    assert result.hooks == ["running", "running", "completion"]
    assert (result.flow_run.run_count, result.value) == (2, 2)


@pytest.mark.parametrize("delay", [0, 0.25])
def test_the_state_before_a_retry_tells_when_and_why(ran, way, delay):
    """FL-41, W15"""

    def body(attempt):
        if attempt == 1:
            raise ValueError("not yet")

    before = time.time()
    result = ran(way, body, retries=1, retry_delay_seconds=delay)
    waiting = result.log.history[2]
    assert waiting.message == "Flow run encountered an exception: ValueError: not yet"
    assert isinstance(waiting.data, ValueError)
    scheduled = waiting.state_details.scheduled_time
    assert abs(scheduled - waiting.timestamp - timedelta(seconds=delay)) < timedelta(seconds=0.02)
    assert result.log.history[3].timestamp >= scheduled - timedelta(milliseconds=1)
    assert time.time() - before < delay + 0.9, "delays are not rounded to whole seconds"
    assert result.flow_run.empirical_policy.retry_delay == delay


def test_a_run_that_is_out_of_time(ran, way):
    """4.4 timeout, FL-42"""
    result = ran(way, sleeping(way), timeout_seconds=0.05)
    assert result.history == ["Pending", "Running", "TimedOut:FAILED"]
    assert result.hooks == ["running", "failure"]
    assert result.flow_run.run_count == 1
    assert isinstance(result.error, FlowRunTimeoutError)
    assert isinstance(result.error, TimeoutError)
    assert result.state.message == "Flow run exceeded timeout of 0.05 second(s)"


def test_a_run_that_is_out_of_time_twice(ran, way):
    """4.4 timeout and retry, FL-75"""
    result = ran(way, sleeping(way), timeout_seconds=0.05, retries=1)
    assert result.history == [
        "Pending",
        "Running",
        "AwaitingRetry:SCHEDULED",
        "Retrying:RUNNING",
        "TimedOut:FAILED",
    ]
    assert result.hooks == ["running", "running", "failure"]
    assert result.flow_run.run_count == 2
    assert isinstance(result.error, FlowRunTimeoutError)


def test_a_run_whose_function_says_it_is_out_of_time(ran, way):
    """4.4 user TimeoutError"""
    error = TimeoutError("the server")
    result = ran(way, failing(error))
    assert result.history == ["Pending", "Running", "TimedOut:FAILED"]
    assert result.hooks == ["running", "failure"]
    assert result.error is error
    assert result.state.message == "Flow run failed due to timeout: TimeoutError('the server')"


def test_a_run_with_parameters_that_do_not_fit(logs, way):
    """4.4 bad parameters"""
    hooks = []
    options = {
        f"on_{kind}": [lambda *_, kind=kind: hooks.append(kind)] for kind in ("running", "failure")
    }

    def plain(x: int):
        raise AssertionError(x)

    async def coroutine(x: int):
        raise AssertionError(x)

    main = flow(coroutine if way == "async" else plain, retries=3, **options)
    with pytest.raises(ParameterTypeError):
        call(main, "many")
    assert shown(logs[0]) == ["Pending", "Failed"]
    assert logs[0].record.run_count == 0
    assert hooks == ["failure"]


class Torn(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), Torn("apart"), asyncio.CancelledError()]
)
def test_a_run_that_is_torn_down(ran, way, error):
    """4.4 crash, FL-65 (crashes are not tried again), FL-85"""
    result = ran(way, failing(error), retries=3)
    assert result.history == ["Pending", "Running", "Crashed"]
    assert result.hooks == ["running", "crashed"]
    assert result.flow_run.run_count == 1
    if not isinstance(error, asyncio.CancelledError):  # which asyncio makes anew
        assert result.error is error
    assert type(result.error) is type(error)


def test_a_run_that_returns_that_it_was_cancelled(ran, way):
    """4.4 returns Cancelled"""
    result = ran(way, lambda attempt: Cancelled(message="by the user"))
    assert result.history == ["Pending", "Running", "Cancelled"]
    assert result.hooks == ["running"]
    assert isinstance(result.error, CancelledRun)


def test_a_run_that_returns_that_it_is_being_cancelled(ran, way):
    """4.4 returns CANCELLING"""
    result = ran(way, lambda attempt: Cancelling())
    assert result.history == ["Pending", "Running", "Cancelling"]
    assert result.hooks == ["running", "cancellation"]
    assert result.flow_run.end_time is None
    assert isinstance(result.error, UnfinishedRun)


def test_a_run_that_returns_that_it_is_paused(ran, way):
    """4.4 returns Paused"""
    result = ran(way, lambda attempt: Paused())
    assert result.history == ["Pending", "Running", "Paused"]
    assert result.hooks == ["running"]
    assert isinstance(result.error, PausedRun)
    assert result.error.state is result.state


def test_a_run_that_returns_that_it_crashed(ran, way):
    """FL-80"""
    result = ran(way, lambda attempt: Crashed(message="apart"))
    assert result.history == ["Pending", "Running", "Crashed"]
    assert result.hooks == ["running", "crashed"]


@pytest.mark.parametrize("state", [Running, Scheduled])
def test_a_run_cannot_end_in_a_state_that_has_no_end(ran, way, state):
    """W24"""
    result = ran(way, lambda attempt: state())
    assert result.history == ["Pending", "Running", "Failed"]
    assert result.bodies == 1
    assert isinstance(result.error, FailedRun)
    assert "is not a final type" in str(result.error)


def test_a_subflow_with_a_failed_upstream(logs, way):
    """4.4 failed upstream, W04, D7, tasks.md 24.7"""
    hooks = []

    @task
    def broken():
        raise ValueError("upstream")

    child = made(
        way, lambda attempt: hooks.append("body"), on_running=[lambda *_: hooks.append("hook")]
    )

    @flow
    def parent():
        future = broken.submit()
        state = call(child, wait_for=[future], return_state=True)
        assert (state.name, state.type.value) == ("NotReady", "PENDING")
        with pytest.raises(UpstreamTaskError, match="did not reach a 'COMPLETED' state"):
            call(child, wait_for=[future])

    parent()
    assert hooks == []
    for log in logs[1:]:
        assert shown(log) == ["Pending", "NotReady:PENDING"]
        assert log.record.run_count == 0
        assert log.record.start_time is None


def test_a_run_is_timed_from_its_first_attempt_to_its_last_state(ran, way):
    """FL-43, W16"""

    def body(attempt):
        if attempt == 1:
            raise ValueError("not yet")

    result = ran(way, body, retries=1, retry_delay_seconds=0.02)
    pending, running, waiting, retrying, completed = (s.timestamp for s in result.log.history)
    run = result.flow_run
    assert run.expected_start_time == pending
    assert (run.start_time, run.end_time) == (running, completed)
    assert run.total_run_time == (waiting - running) + (completed - retrying)
    assert run.state_name == "Completed"


def test_each_state_is_later_than_the_one_before_and_belongs_to_the_run(ran, way):
    """FL-43, RR-09"""
    result = ran(way, failing(ValueError()), retries=2)
    times = [state.timestamp for state in result.log.history]
    assert times == sorted(set(times))
    assert {state.state_details.flow_run_id for state in result.log.history} == {result.flow_run.id}


def test_the_run_count_is_that_of_the_attempt_when_hooks_and_body_see_it(logs, way):
    """FL-44, W16"""
    seen = []

    def body(attempt):
        seen.append(("body", logs[0].record.run_count))
        if attempt < 3:
            raise ValueError

    hook = lambda flow, flow_run, state: seen.append((state.name, flow_run.run_count))  # noqa: E731
    call(made(way, body, retries=2, on_running=[hook]))
    assert seen == [
        ("Running", 1),
        ("body", 1),
        ("Retrying", 2),
        ("body", 2),
        ("Retrying", 3),
        ("body", 3),
    ]


def test_the_state_of_the_caller_is_the_last_one_of_the_run(ran, way):
    """FL-50, FL-20"""
    for body in (lambda attempt: 7, failing(ValueError())):
        result = ran(way, body, {"return_state": True})
        assert result.error is None
        assert result.value is result.log.history[-1]


def test_an_empty_run_takes_no_time_to_speak_of(way):
    """FL-45, W17: the least of many runs, so that a busy machine does not count"""
    main = made(way, lambda attempt: None)

    async def timed_async():
        started = time.perf_counter()
        await main()
        return time.perf_counter() - started

    def timed():
        if way == "async":
            return asyncio.run(timed_async())
        started = time.perf_counter()
        main()
        return time.perf_counter() - started

    assert min(timed() for _ in range(30)) < 0.001
