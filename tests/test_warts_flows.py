"""What is different from the reference on purpose, of flows: engine.md 17 and 18, a test each."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.context import FlowRunContext
from oxtask.exceptions import (
    CancelledRun,
    FailedRun,
    FlowRunTimeoutError,
    UnfinishedRun,
    UpstreamTaskError,
)
from oxtask.states import Cancelled, Completed, Failed, Running
from oxtask.task_runners import ThreadPoolTaskRunner

every_way = pytest.mark.parametrize("way", WAYS)


@task
def failing():
    raise ValueError("no")


@task
def identity(x):
    return x


def submitted(made, *args):
    """Return the future of a run that has ended."""
    future = made.submit(*args)
    future.wait()
    return future


@every_way
def test_a_subflow_with_a_failed_upstream_raises(way, ran):
    """W04, D7"""
    inner = flow(lambda x: x, name="inner")

    def body(attempt):
        future = submitted(failing)
        with pytest.raises(UpstreamTaskError):
            inner(future)
        return inner(future, return_state=True).name

    assert ran(way, body).value == "NotReady"


@every_way
def test_a_flow_that_returns_the_future_of_a_run_that_never_started_says_so(way, ran):
    """W04, FL-56"""
    result = ran(way, lambda attempt: submitted(identity, submitted(failing)))
    assert isinstance(result.error, UnfinishedRun)
    assert result.history[-1] == "Failed"


@every_way
def test_what_an_earlier_attempt_raised_is_forgotten(way, ran):
    """W14"""

    def body(attempt):
        if attempt == 1:
            raise ValueError
        return Completed(data=7)

    result = ran(way, body, retries=1)
    assert (result.error, result.value) == (None, 7)
    assert result.history[-1] == "Completed"


@every_way
def test_the_delay_before_a_retry_is_exact(way, ran):
    """W15"""

    def body(attempt):
        if attempt == 1:
            raise ValueError

    result = ran(way, body, retries=1, retry_delay_seconds=0.25)
    waiting = next(state for state in result.log.history if state.name == "AwaitingRetry")
    delay = waiting.state_details.scheduled_time - waiting.timestamp
    assert abs(delay.total_seconds() - 0.25) < 0.01
    again = result.log.history[-2].timestamp - waiting.timestamp
    assert 0.24 < again.total_seconds() < 0.9


@every_way
def test_the_hook_of_an_attempt_sees_its_number(way, ran):
    """W16"""
    counts = []

    def body(attempt):
        if attempt == 1:
            raise ValueError

    hook = [lambda flow, flow_run, state: counts.append(flow_run.run_count)]
    ran(way, body, retries=1, on_running=hook)
    assert counts == [1, 2]


@every_way
def test_an_empty_flow_takes_no_time(way):
    """W17, PF-02"""
    empty = made(way, lambda attempt: None)
    call(empty)
    began = time.monotonic()
    for _ in range(20):
        call(empty)
    assert time.monotonic() - began < 1


@every_way
@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (lambda attempt: None, ["running", "completion"]),
        (lambda attempt: exec("raise ValueError"), ["running", "failure"]),
        (lambda attempt: exec("raise SystemExit"), ["running", "crashed"]),
    ],
)
def test_hooks_run_in_the_context_of_the_run(way, ran, function, kinds):
    """W18"""
    result = ran(way, function)
    assert result.hooks == kinds
    assert [context.flow_run for context in result.contexts] == [result.flow_run] * 2


def test_hooks_of_wrong_parameters_run_in_the_context_of_the_run():
    """W18"""
    seen = []

    def hook(flow, flow_run, state):
        seen.append(FlowRunContext.get().flow_run is flow_run)

    @flow(on_failure=[hook])
    def main(x: int):
        pass

    with contextlib.suppress(Exception):
        main("no number")
    assert seen == [True]


@every_way
def test_a_generator_that_is_returned_comes_as_a_list(way, ran):
    """W20"""
    assert ran(way, lambda attempt: (x for x in range(3))).value == [0, 1, 2]


def test_a_coroutine_that_a_sync_flow_returns_is_run_inside_of_it(ran):
    """W21"""
    seen = []

    @flow
    async def inner():
        seen.append(FlowRunContext.get().flow.name)
        return 3

    def body(attempt):
        value = inner()
        seen.append("returned")
        return value

    result = ran("sync", body)
    assert result.value == 3
    assert seen == ["returned", "inner"]


@every_way
def test_a_returned_state_that_is_not_final_fails_the_run(way, ran):
    """W24"""
    result = ran(way, lambda attempt: Running())
    assert result.bodies == 1
    assert result.history == ["Pending", "Running", "Failed"]


@every_way
@pytest.mark.parametrize("state", [Failed, Cancelled])
def test_a_flow_that_did_not_complete_is_an_error_in_the_log(way, state, lines):
    """W32"""
    with pytest.raises((FailedRun, CancelledRun)):
        call(made(way, lambda attempt: state(message="on purpose")))
    assert lines("ERROR")[-1] == f"Finished in state {state(message='on purpose')}"


@every_way
def test_a_flow_that_returns_a_failure_is_tried_again(way, ran):
    """W35"""
    result = ran(way, lambda attempt: Failed(message=f"attempt {attempt}"), retries=2)
    assert result.bodies == 3
    assert result.state.message == "attempt 3"
    assert isinstance(result.error, FailedRun)
    assert ran(way, lambda attempt: Failed() if attempt == 1 else 1, retries=1).value == 1


@every_way
def test_an_attempt_after_the_first_is_called_retrying(way, ran):
    """D1"""
    result = ran(way, lambda attempt: 1 if attempt == 2 else exec("raise ValueError"), retries=1)
    assert "Retrying:RUNNING" in result.history


@every_way
def test_a_list_with_failed_states_is_returned_and_the_run_failed(way, ran):
    """D2"""
    result = ran(way, lambda attempt: [submitted(identity, 1), submitted(failing)])
    assert [state.name for state in result.value] == ["Completed", "Failed"]
    assert result.state.message == "1/2 states failed."


@every_way
def test_what_a_flow_has_submitted_is_carried_out_when_it_completes(way, ran):
    """D3"""
    done = []

    def body(attempt):
        for number in range(5):
            task(lambda number=number: done.append(number)).submit()

    ran(way, body, task_runner=ThreadPoolTaskRunner(max_workers=1))
    assert sorted(done) == [0, 1, 2, 3, 4]


@every_way
def test_what_a_flow_has_submitted_is_dropped_when_it_fails(way, ran, lines):
    """D3: with a warning"""
    started, release = threading.Event(), threading.Event()
    done = []

    def hold():
        started.set()
        release.wait(20)

    def body(attempt):
        task(hold).submit()
        assert started.wait(20)
        for number in range(5):
            task(lambda number=number: done.append(number)).submit()
        threading.Timer(0.05, release.set).start()
        raise ValueError

    ran(way, body, task_runner=ThreadPoolTaskRunner(max_workers=1))
    assert done == []
    (line,) = lines("WARNING")
    assert "wait for all submitted tasks" in line
    assert "5 task run(s)" in line
    assert line.count("'<lambda>' (") == 5  # FL-109: they are named


def test_futures_are_not_awaited_themselves():
    """D4"""

    @flow
    async def main():
        future = identity.submit(1)
        with pytest.raises(TypeError):
            await future
        return await future.aresult()

    assert asyncio.run(main()) == 1


def test_a_wait_for_the_next_attempt_can_be_interrupted(ran):
    """D5, PW-02, PW-03: and of a task that the flow calls"""
    slow = failing.with_options(retries=1, retry_delay_seconds=60)
    began = time.monotonic()
    result = ran("sync", lambda attempt: slow(), timeout_seconds=0.1)
    assert isinstance(result.error, FlowRunTimeoutError)
    assert time.monotonic() - began < 20
    assert shown(result.log)[-1] == "TimedOut:FAILED"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_crash_is_raised_by_the_result_and_not_by_the_wait(error):
    """D8, W19"""

    @task
    def crash():
        raise error

    @flow
    def main():
        future = crash.submit()
        future.wait()
        with pytest.raises(error):
            future.result()
        return future.state.name

    assert main() == "Crashed"
