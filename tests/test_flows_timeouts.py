"""Deadlines of flows; the lines are of engine.md, sections 4.7, 17 and 20."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.exceptions import FlowRunTimeoutError, TaskRunTimeoutError
from oxtask.futures import as_completed

SECONDS = 0.1


def sleep(way, seconds=30):
    return asyncio.sleep(seconds) if way == "async" else time.sleep(seconds)


@task
def sleeper(seconds=30):
    time.sleep(seconds)


@task
async def asleeper(seconds=30):
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("way", WAYS)
def test_the_function_is_interrupted_where_it_is(ran, way):
    """FL-76, FL-77"""
    after = []

    def sync_body(attempt):
        time.sleep(30)
        after.append("went on")

    async def async_body(attempt):
        await asyncio.sleep(30)
        after.append("went on")

    started = time.monotonic()
    result = ran(way, async_body if way == "async" else sync_body, timeout_seconds=SECONDS)
    assert isinstance(result.error, FlowRunTimeoutError)
    assert str(result.error) == "Scope timed out after 0.1 second(s)."
    assert time.monotonic() - started < 5
    assert after == []


@pytest.mark.parametrize("way", WAYS)
def test_a_run_in_time_is_not_disturbed(ran, way):
    """FL-75"""
    assert ran(way, lambda attempt: 3, timeout_seconds=30).value == 3
    assert ran(way, lambda attempt: 3, timeout_seconds=0).value == 3


@pytest.mark.parametrize("way", WAYS)
def test_each_attempt_has_all_of_the_time(ran, way):
    """FL-75"""

    def body(attempt):
        return sleep(way) if attempt == 1 else sleep(way, 0.06)

    result = ran(way, body, timeout_seconds=SECONDS, retries=1)
    assert result.error is None
    assert result.flow_run.run_count == 2


@pytest.mark.parametrize("way", WAYS)
def test_time_spent_waiting_for_upstream_runs_does_not_count(way):
    """FL-75"""
    child = made(way, lambda attempt: attempt, timeout_seconds=SECONDS)

    @flow
    def parent():
        return call(child, wait_for=[sleeper.submit(2 * SECONDS)])

    assert parent() == 1


@pytest.mark.parametrize("way", WAYS)
def test_code_that_returns_late_is_out_of_time_all_the_same(ran, way):
    """FL-76, W10"""

    def swallows(attempt):
        try:
            time.sleep(30)
        except BaseException:
            return "late"

    async def aswallows(attempt):
        try:
            await asyncio.sleep(30)
        except BaseException:
            return "late"

    body = aswallows if way == "async" else swallows
    result = ran(way, body, timeout_seconds=SECONDS)
    assert result.history == ["Pending", "Running", "TimedOut:FAILED"]


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_the_deadline_interrupts_has_crashed(logs, lines, way):
    """FL-78"""
    if way == "async":
        main = made(way, lambda attempt: asleeper(), timeout_seconds=SECONDS)
    else:
        main = made(way, lambda attempt: sleeper(), timeout_seconds=SECONDS)
    with pytest.raises(FlowRunTimeoutError):
        call(main)
    assert shown(logs[0])[-1] == "TimedOut:FAILED"
    assert any(line.startswith("Finished in state Crashed(") for line in lines("ERROR"))


def test_no_task_starts_after_the_deadline():
    """FL-76"""
    begun = []

    @task
    def note(place):
        begun.append(place)

    @flow(timeout_seconds=SECONDS)
    def main():
        note("before")
        note.submit("before").wait()
        time.sleep(30)
        note("after")
        note.submit("after")

    with pytest.raises(FlowRunTimeoutError):
        main()
    assert begun == ["before", "before"]


@pytest.mark.parametrize(
    "wait",
    [
        lambda: sleeper.submit().wait(),
        lambda: sleeper.submit().result(raise_on_failure=False),
        lambda: sleeper.map([30, 30]).wait(),
        lambda: sleeper.map([30, 30]).result(raise_on_failure=False),
        lambda: sleeper(return_state=True),
        lambda: sleeper.submit(return_state=True),
        lambda: list(as_completed([sleeper.submit()])),
    ],
)
def test_a_wait_for_a_run_is_interrupted_even_if_it_never_raises(wait):
    """FL-76"""
    after = []

    @flow(timeout_seconds=SECONDS)
    def main():
        wait()
        after.append("went on")

    started = time.monotonic()
    with pytest.raises(FlowRunTimeoutError):
        main()
    assert time.monotonic() - started < 5
    assert after == []


@pytest.mark.parametrize("way", WAYS)
def test_the_flow_around_goes_on(logs, way):
    """FL-77"""
    child = made(way, lambda attempt: sleep(way), timeout_seconds=SECONDS, name="child")

    def plain():
        state = child(return_state=True)
        return (state.name, "went on")

    async def coroutine():
        state = await child(return_state=True)
        await asyncio.sleep(0)
        return (state.name, "went on")

    main = flow(coroutine if way == "async" else plain)
    assert call(main) == ("TimedOut", "went on")
    assert shown(logs[0])[-1] == "Completed"


@pytest.mark.parametrize("way", WAYS)
def test_the_deadline_of_the_flow_around_is_not_that_of_the_child(logs, way):
    """W09: the child, in time itself, crashed; the parent is the one that is out of time"""
    child = made(way, lambda attempt: sleep(way), timeout_seconds=20, name="child", retries=2)
    parent = made(way, lambda attempt: child(), timeout_seconds=SECONDS)
    with pytest.raises(FlowRunTimeoutError) as caught:
        call(parent)
    assert caught.value.timeout_seconds == SECONDS
    assert shown(logs[0])[-1] == "TimedOut:FAILED"
    assert shown(logs[1]) == ["Pending", "Running", "Crashed"]


@pytest.mark.parametrize("way", WAYS)
def test_a_childs_deadline_that_is_raised_is_an_error_of_the_parent(logs, way):
    """W09"""
    begun, gate, finished = threading.Event(), threading.Event(), []

    @task
    def other():
        begun.set()
        gate.wait(10)
        finished.append("other")

    child = made(way, lambda attempt: sleep(way), timeout_seconds=SECONDS, name="child")

    def body(attempt):
        other.submit()
        begun.wait(10)
        threading.Timer(2 * SECONDS, gate.set).start()
        return child()

    with pytest.raises(FlowRunTimeoutError):
        call(made(way, body, timeout_seconds=20))
    assert logs[0].record.state.message.startswith("Flow run failed due to timeout")
    assert finished == ["other"], "runs under way come to their end"


def test_a_task_has_its_own_deadline_in_that_of_the_flow(logs):
    """W09"""

    @task(timeout_seconds=SECONDS)
    def short():
        time.sleep(30)

    @flow(timeout_seconds=20)
    def main():
        with pytest.raises(TaskRunTimeoutError):
            short()
        return "went on"

    assert main() == "went on"


def test_on_other_threads_python_code_is_interrupted(ran):
    """FL-76"""
    results = []

    def spin(attempt):
        while True:
            time.sleep(0.001)

    def on_thread():
        results.append(ran("sync", spin, timeout_seconds=SECONDS))

    thread = threading.Thread(target=on_thread)
    thread.start()
    thread.join(20)
    assert results[0].history == ["Pending", "Running", "TimedOut:FAILED"]


def overrun(main, on_thread):
    """Return how long after its deadline a flow returned, at best."""

    def once():
        started = time.monotonic()
        with ThreadPoolExecutor(1) as pool, pytest.raises(FlowRunTimeoutError):
            pool.submit(call, main).result() if on_thread else call(main)
        return time.monotonic() - started - SECONDS

    once()  # imports what logs failures
    return min(once() for _ in range(5))


@pytest.mark.parametrize("on_thread", [False, True])
def test_a_flow_that_waits_for_tasks_stuck_in_c_returns_at_its_deadline(on_thread):
    """20.6, FL-76"""
    begun = threading.Semaphore(0)

    @task
    def stuck():
        begun.release()
        time.sleep(3)

    def submitted():
        futures = [stuck.submit() for _ in range(3)]
        for _ in futures:
            begun.acquire(timeout=10)
        return futures

    @flow(timeout_seconds=SECONDS)
    def waits():
        submitted()[0].result()

    @flow(timeout_seconds=SECONDS)
    def sleeps():
        submitted()
        time.sleep(30)

    @flow(timeout_seconds=SECONDS)
    def returns():
        return submitted()

    @flow(timeout_seconds=SECONDS)
    async def awaits():
        for future in submitted():
            await future.aresult()

    for main in (waits, returns, awaits, *([] if on_thread else [sleeps])):
        assert overrun(main, on_thread) < 0.05, main.name


def test_tasks_that_a_deadline_left_behind_have_ended_for_their_futures():
    """20.6, W07"""
    futures = []

    @task
    def stuck():
        time.sleep(2)

    @flow(timeout_seconds=SECONDS)
    def main():
        futures.extend(stuck.submit() for _ in range(3))
        time.sleep(30)

    with pytest.raises(FlowRunTimeoutError):
        main()
    assert [future.state.name for future in futures] == ["Cancelled"] * 3


def test_a_deadline_does_not_stop_other_tasks_of_the_event_loop():
    """FL-77"""
    ticks = []

    @flow(timeout_seconds=SECONDS)
    async def slow():
        await asyncio.sleep(30)

    @flow
    async def steady():
        for _ in range(5):
            await asyncio.sleep(SECONDS / 2)
            ticks.append(1)
        return "done"

    async def main():
        return await asyncio.gather(slow(), steady(), return_exceptions=True)

    error, value = asyncio.run(main())
    assert isinstance(error, FlowRunTimeoutError)
    assert (value, len(ticks)) == ("done", 5)
