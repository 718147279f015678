"""The states a task run goes through, as in table 3.2 of engine.md, however it is run."""

from __future__ import annotations

import asyncio

import pytest
from ways import WAYS, run, shown

from oxtask.exceptions import CancelledRun, FailedRun
from oxtask.states import Cancelled, Completed, Crashed, Failed, Paused, Pending, Running, Scheduled

pytestmark = pytest.mark.parametrize("way", WAYS)

DELAY = 0.01


def fails_until(attempt):
    def body(count):
        if count < attempt:
            raise ValueError(count)
        return "value"

    return body


def raises(error):
    def body(count):
        raise error

    return body


def returns(make):
    return lambda count: make()


def test_a_run_that_returns_is_pending_running_completed(way):
    """3.2 success"""
    ran = run(way, lambda count: "value")
    assert ran.history == ["Pending", "Running", "Completed"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running", "completion"]
    assert ran.value == "value"


def test_a_run_without_hooks_goes_through_the_same_states(way):
    """3.2 success, where nothing but the function is called"""
    ran = run(way, lambda count: "value", hooks=False)
    assert ran.history == ["Pending", "Running", "Completed"]
    assert ran.task_run.run_count == 1
    assert ran.value == "value"


def test_a_run_that_raises_fails_and_its_caller_sees_the_same_exception(way):
    """3.2 exception"""
    error = ValueError("no")
    ran = run(way, raises(error))
    assert ran.history == ["Pending", "Running", "Failed"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running", "failure"]
    assert ran.error is error


def test_a_run_without_hooks_that_raises_goes_through_the_same_states(way):
    """3.2 exception, where nothing but the function is called"""
    error = ValueError("no")
    ran = run(way, raises(error), hooks=False)
    assert ran.history == ["Pending", "Running", "Failed"]
    assert ran.task_run.run_count == 1
    assert ran.error is error


def test_a_retry_without_delay_goes_through_retrying(way):
    """3.2 retry, no delay"""
    ran = run(way, fails_until(3), retries=2)
    assert ran.history == [
        "Pending",
        "Running",
        "Retrying:RUNNING",
        "Retrying:RUNNING",
        "Completed",
    ]
    assert ran.task_run.run_count == 3
    assert ran.hooks == ["running", "running", "running", "completion"]
    assert ran.value == "value"


def test_a_retry_with_delay_goes_through_awaiting_retry(way):
    """3.2 retry with delay"""
    ran = run(way, fails_until(3), retries=2, retry_delay_seconds=DELAY)
    assert ran.history == [
        "Pending",
        "Running",
        "AwaitingRetry:SCHEDULED",
        "Retrying:RUNNING",
        "AwaitingRetry:SCHEDULED",
        "Retrying:RUNNING",
        "Completed",
    ]
    assert ran.task_run.run_count == 3
    assert ran.hooks == ["running", "running", "running", "completion"]
    assert ran.value == "value"


def test_a_run_out_of_retries_fails_with_the_last_exception(way):
    """3.2 retries exhausted"""
    ran = run(way, fails_until(9), retries=1, retry_delay_seconds=DELAY)
    assert ran.history == [
        "Pending",
        "Running",
        "AwaitingRetry:SCHEDULED",
        "Retrying:RUNNING",
        "Failed",
    ]
    assert ran.task_run.run_count == 2
    assert ran.hooks == ["running", "running", "failure"]
    assert isinstance(ran.error, ValueError)
    assert ran.error.args == (2,)


def test_a_timeout_error_of_the_body_is_timed_out_and_raised_as_it_is(way):
    """3.2 user raises TimeoutError; 28.8"""
    error = TimeoutError("mine")
    ran = run(way, raises(error))
    assert ran.history == ["Pending", "Running", "TimedOut:FAILED"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running", "failure"]
    assert ran.error is error
    assert ran.state.message == "Task run failed due to timeout: TimeoutError('mine')"


class Stop(BaseException):
    """An exception that is no `Exception`."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Stop])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_base_exception_crashes_the_run_once_and_for_all(way, kind, retries):
    """3.2 KeyboardInterrupt / SystemExit / other BaseException, retries or not; 11.5, 12.8, W01"""
    error = kind("stop")
    ran = run(way, raises(error), retries=retries)
    assert ran.history == ["Pending", "Running", "Crashed"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running"]
    assert ran.error is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Stop])
def test_a_base_exception_crashes_a_run_without_hooks(way, kind):
    """3.2 KeyboardInterrupt / SystemExit, where nothing but the function is called"""
    error = kind("stop")
    ran = run(way, raises(error), hooks=False)
    assert ran.history == ["Pending", "Running", "Crashed"]
    assert ran.error is error


def test_a_cancelled_error_crashes_the_run(way):
    """3.2 asyncio.CancelledError; ST-51, ST-52"""
    ran = run(way, raises(asyncio.CancelledError("stop")))
    assert ran.history == ["Pending", "Running", "Crashed"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running"]
    assert isinstance(ran.error, asyncio.CancelledError)
    assert ran.state.message == "Execution was cancelled by the runtime environment."


def test_a_base_exception_before_running_crashes_the_run(way):
    """3.2 BaseException before Running"""
    error = KeyboardInterrupt("early")

    def name():
        raise error

    ran = run(way, lambda count: None, task_run_name=Naming(name))
    ran.future = ran.future or Naming.future
    assert ran.history == ["Pending", "Crashed"]
    assert ran.task_run.run_count == 0
    assert ran.task_run.start_time is None
    assert ran.task_run.end_time is None
    assert ran.hooks == []
    assert ran.bodies == 0
    assert ran.error is error


class Naming:
    """A function for the names of runs, which takes note of the run."""

    future = None

    def __init__(self, function):
        self.function = function

    def __call__(self):
        from oxtask._core import current_run

        Naming.future = current_run.get().future
        return self.function()


def test_an_error_before_running_fails_the_run_and_calls_its_hooks(way):
    """TE-70, W06, W21: never left pending"""
    error = LookupError("no name")

    def name():
        raise error

    ran = run(way, lambda count: None, task_run_name=Naming(name), retries=2)
    ran.future = ran.future or Naming.future
    assert ran.history == ["Pending", "Failed"]
    assert ran.task_run.run_count == 0
    assert ran.hooks == ["failure"]
    assert ran.bodies == 0
    assert ran.error is error


def test_a_returned_failed_state_fails_the_run_and_keeps_its_message(way):
    """3.2 returns Failed(...), no retries"""
    ran = run(way, returns(lambda: Failed(message="mine")))
    assert ran.history == ["Pending", "Running", "Failed"]
    assert ran.task_run.run_count == 1
    assert ran.state.message == "mine"
    assert ran.hooks == ["running", "failure"]


def test_a_returned_failed_state_is_retried(way):
    """3.2 returns Failed(...) with retries=1; 28.3"""
    ran = run(way, returns(lambda: Failed(message="mine")), retries=1)
    assert ran.history == ["Pending", "Running", "Retrying:RUNNING", "Failed"]
    assert ran.task_run.run_count == 2
    assert ran.hooks == ["running", "running", "failure"]


def test_a_returned_cancelled_state_ends_the_run_without_hooks(way):
    """3.2 returns Cancelled(); 11.5"""
    ran = run(way, returns(Cancelled), retries=2)
    assert ran.history == ["Pending", "Running", "Cancelled"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running"]


def test_a_returned_completed_state_completes_the_run(way):
    """3.2 returns Completed(data=3)"""
    ran = run(way, returns(lambda: Completed(data=3)))
    assert ran.history == ["Pending", "Running", "Completed"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running", "completion"]
    assert ran.state.result(_sync=True) == 3


def test_a_returned_crashed_state_is_kept(way):
    """TE-31: only failed states are tried again"""
    ran = run(way, returns(Crashed), retries=2)
    assert ran.history == ["Pending", "Running", "Crashed"]
    assert ran.hooks == ["running"]


def test_a_returned_paused_state_ends_the_run_paused(way):
    """TE-20: paused is the only state that is not final a run may end in"""
    ran = run(way, returns(Paused), retries=2)
    assert ran.history == ["Pending", "Running", "Paused"]
    assert ran.task_run.run_count == 1
    assert ran.hooks == ["running"]


@pytest.mark.parametrize("make", [Running, Scheduled, Pending])
def test_a_returned_state_that_is_not_final_fails_the_run(way, make):
    """TE-20, W24"""
    ran = run(way, returns(make))
    assert ran.history == ["Pending", "Running", "Failed"]
    assert ran.bodies == 1
    assert ran.hooks == ["running", "failure"]
    assert "is not a final type" in ran.state.message


def test_every_state_belongs_to_the_run_and_is_later_than_the_one_before(way):
    """RR-09, RR-10"""
    ran = run(way, fails_until(2), retries=1, retry_delay_seconds=DELAY)
    from oxtask._internal.task_runs import log_of

    states = log_of(ran.future).history
    assert {state.state_details.task_run_id for state in states} == {ran.future.task_run_id}
    times = [state.timestamp for state in states]
    assert times == sorted(set(times))
    assert len(shown(states)) == 5


def test_the_exception_of_a_failed_run_is_in_its_state(way):
    """TE-21"""
    ran = run(way, raises(ValueError("no")))
    assert ran.state.message == "Task run encountered an exception ValueError: no"
    assert ran.state.data is ran.error


def test_what_a_submitted_run_that_chose_its_state_returns_is_that_states_result(way):
    """ST-22: a future asks the state for its result"""
    failed = run(way, returns(lambda: Failed(message="mine")), hooks=False)
    cancelled = run(way, returns(lambda: Cancelled(message="mine")), hooks=False)
    completed = run(way, returns(lambda: Completed(data=3)), hooks=False)
    if way in {"call", "await"}:
        assert failed.value.is_failed()
        assert cancelled.value.is_cancelled()
        assert completed.value.result(_sync=True) == 3
    else:
        assert isinstance(failed.error, FailedRun)
        assert isinstance(cancelled.error, CancelledRun)
        assert completed.value == 3
