"""Retries of flows; the lines are of engine.md, sections 4.6 and 17."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.context import FlowRunContext
from oxtask.exceptions import FailedRun
from oxtask.settings import temporary_settings
from oxtask.states import Completed, Failed

pytestmark = pytest.mark.parametrize("way", WAYS)

RETRIED_ONCE = ["Pending", "Running", "AwaitingRetry:SCHEDULED", "Retrying:RUNNING"]


def failing(attempt):
    raise ValueError(f"attempt {attempt}")


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_there_is_one_attempt_more_than_there_are_retries(ran, way, retries):
    """FL-65, FL-71"""
    result = ran(way, failing, retries=retries)
    assert result.bodies == result.flow_run.run_count == retries + 1
    assert str(result.error) == f"attempt {retries + 1}"
    assert result.hooks == ["running"] * (retries + 1) + ["failure"]
    assert result.history[-1] == "Failed"


def test_retries_come_from_the_settings_at_the_time_of_the_definition(ran, way):
    """FL-70"""
    settings = {"flows.default_retries": 2, "flows.default_retry_delay_seconds": 0.01}
    with temporary_settings(settings):
        assert ran(way, failing).bodies == 3


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Failed(message="not yet"),
        lambda: broken.submit(),
        lambda: broken(return_state=True),
    ],
)
def test_a_failed_state_that_is_returned_is_tried_again(ran, way, bad):
    """FL-65b, W35"""
    result = ran(way, lambda attempt: bad() if attempt == 1 else 3, retries=1)
    assert result.history == [*RETRIED_ONCE, "Completed"]
    assert result.value == 3
    last = ran(way, lambda attempt: bad(), retries=1)
    assert last.history == [*RETRIED_ONCE, "Failed"]
    assert last.hooks == ["running", "running", "failure"]
    assert isinstance(last.error, (FailedRun, ValueError))


def test_a_list_with_a_failed_state_is_tried_again(ran, way):
    """FL-65b, W35, D2"""
    result = ran(way, lambda attempt: [one.submit(), broken.submit()], retries=1)
    assert result.history == [*RETRIED_ONCE, "Failed"]
    assert [state.name for state in result.value] == ["Completed", "Failed"]


@task
def broken():
    raise ValueError("no luck")


@task
def one():
    return 1


def test_each_attempt_makes_its_runs_anew(ran, way):
    """FL-66, CX-05"""
    seen = []

    @task(retries=1)
    def fails_once(attempt):
        seen.append(("task", attempt))
        if len(seen) % 2 == 1:
            raise ValueError("once")
        return attempt

    contexts = []

    def body(attempt):
        contexts.append(FlowRunContext.get())
        fails_once(attempt)
        if attempt == 1:
            raise ValueError("flow")
        return attempt

    assert ran(way, body, retries=1).value == 2
    assert seen == [("task", 1), ("task", 1), ("task", 2), ("task", 2)]
    first, second = contexts
    assert first is not second
    assert first.flow_run is second.flow_run
    assert first.task_runner is not second.task_runner
    assert first.start_time < second.start_time


def test_runs_of_a_failed_attempt_have_ended_when_the_next_begins(ran, way):
    """FL-66, FL-105"""
    gate = threading.Event()
    started = threading.Event()
    order = []

    @task
    def slow():
        started.set()
        gate.wait(10)
        order.append("task")

    def body(attempt):
        order.append(f"attempt {attempt}")
        if attempt == 1:
            slow.submit()
            started.wait(10)
            threading.Timer(0.05, gate.set).start()
            raise ValueError

    ran(way, body, retries=1)
    assert order == ["attempt 1", "task", "attempt 2"]


def test_an_async_flow_awaits_its_next_attempt(way):
    """PW-02"""
    if way == "sync":
        return
    main = made(
        way,
        lambda attempt: failing(attempt) if attempt == 1 else 3,
        retries=1,
        retry_delay_seconds=0.2,
    )

    async def both():
        run = asyncio.create_task(_await(main()))
        ticks = 0
        while not run.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks, await run

    ticks, value = asyncio.run(both())
    assert ticks > 3
    assert value == 3


async def _await(coroutine):
    return await coroutine


def test_a_wait_for_the_next_attempt_ends_with_the_flow_around_it(logs, way):
    """PW-02"""
    child = made(way, failing, retries=1, retry_delay_seconds=30, name="child")

    @flow(timeout_seconds=0.2)
    def sync_parent():
        child()

    @flow(timeout_seconds=0.2)
    async def async_parent():
        await child()

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        call(async_parent if way == "async" else sync_parent)
    assert time.monotonic() - started < 5
    assert shown(logs[1])[-2:] == ["AwaitingRetry:SCHEDULED", "Crashed"]


def test_a_wait_on_another_thread_ends_with_the_flow_around_it(logs, way):
    """PW-02"""
    if way == "async":
        return
    child = made("sync", failing, retries=1, retry_delay_seconds=30)

    @flow(timeout_seconds=0.2)
    def parent():
        child()

    errors = []

    def on_thread():
        try:
            parent()
        except TimeoutError as error:
            errors.append(error)

    thread = threading.Thread(target=on_thread)
    thread.start()
    thread.join(10)
    assert len(errors) == 1


def test_a_state_made_once_can_be_returned_by_each_attempt(ran, way):
    """FL-65b"""
    failed = Failed(message="on purpose")
    result = ran(way, lambda attempt: failed, retries=2)
    assert result.flow_run.run_count == 3
    assert result.state is failed
    assert str(result.error) == "on purpose"
    assert ran(way, lambda attempt: Completed(data=attempt), retries=2).value == 1
