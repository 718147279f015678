"""Crashes of flows; the lines are of engine.md, sections 4.9 and 20."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
import time
import types

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.exceptions import Abort, Pause, TerminationSignal
from oxtask.states import Paused
from oxtask.task_runners import ThreadPoolTaskRunner


class Torn(BaseException):
    pass


def raising(error):
    def body(attempt):
        raise error

    return body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), "Execution was aborted by an interrupt signal."),
        (SystemExit(3), "Execution was aborted by Python system exit call."),
        (TerminationSignal(signal.SIGTERM), "Execution was aborted by a termination signal."),
        (Torn("apart"), "Execution was interrupted by an unexpected exception: "),
        (GeneratorExit("x"), "Execution was interrupted by an unexpected exception: "),
    ],
)
def test_a_crash_is_recorded_and_raised_again(ran, lines, way, error, message):
    """FL-85, ST-51, LG-14"""
    result = ran(way, raising(error))
    assert result.error is error
    assert result.history == ["Pending", "Running", "Crashed"]
    assert result.state.message.startswith(message)
    assert f"Crash detected! {result.state.message}" in lines("ERROR")


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_is_raised_even_if_the_state_was_asked_for(ran, way):
    """FL-85"""
    error = SystemExit(3)
    result = ran(way, raising(error), {"return_state": True})
    assert result.error is error


@pytest.mark.parametrize("way", WAYS)
def test_the_flow_around_a_crash_crashes_too(logs, way):
    """FL-85"""
    child = made(way, raising(Torn("apart")), name="child")
    with pytest.raises(Torn):
        call(made(way, lambda attempt: child()))
    assert [shown(log)[-1] for log in logs] == ["Crashed", "Crashed"]


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_of_what_is_around_the_function_is_one_of_the_run(logs, way):
    """FL-85, W06: here, of the runner"""

    class Broken(ThreadPoolTaskRunner):
        def __enter__(self):
            raise self.error

    for error, name in ((Torn("apart"), "Crashed"), (ValueError("no luck"), "Failed")):
        Broken.error = error
        hooks = []
        main = made(
            way,
            lambda attempt: 1,
            task_runner=Broken,
            on_failure=[lambda *_, hooks=hooks: hooks.append("failure")],
            on_crashed=[lambda *_, hooks=hooks: hooks.append("crashed")],
        )
        with pytest.raises(type(error)) as caught:
            call(main)
        assert caught.value is error
        assert shown(logs[-1]) == ["Pending", name]
        assert hooks == [{"Crashed": "crashed", "Failed": "failure"}[name]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [Abort("stop"), Pause("wait", state=Paused())])
def test_signals_of_oxtask_leave_the_run_as_it_is(ran, way, error):
    """FL-87"""
    result = ran(way, raising(error))
    assert result.error is error
    assert result.history == ["Pending", "Running"]
    assert result.hooks == ["running"]


def test_a_flow_that_is_not_awaited_any_more_leaves_the_run_as_it_is(logs):
    """FL-87: a coroutine that is closed gets a GeneratorExit"""

    @flow
    async def main():
        await asyncio.sleep(30)

    async def around():
        coroutine = main()
        coroutine.send(None)
        coroutine.close()
        coroutine = main()
        contextvars.copy_context().run(coroutine.send, None)
        coroutine.close()

    asyncio.run(around())
    assert [shown(log) for log in logs] == [["Pending", "Running"]] * 2


@pytest.mark.parametrize("kind", ["task", "task in engine", "task generator", "flow generator"])
@pytest.mark.parametrize("way", WAYS)
def test_a_function_that_raises_what_closes_generators_has_crashed(way, kind, lines):
    """TE-31, FL-85, LG-14: a GeneratorExit of its own is like any other BaseException"""
    error, ended = GeneratorExit("x"), []

    def function():
        raise error

    async def async_function():
        await asyncio.sleep(0)
        raise error

    def generator():
        yield 1
        raise error

    async def async_generator():
        yield 1
        raise error

    async def consume(made):
        return [item async for item in made()]

    if "generator" in kind:
        body = async_generator if way == "async" else generator
    else:
        body = async_function if way == "async" else function
    if kind == "task":
        made = task(body)
    elif kind.startswith("task"):
        made = task(body, retries=1, on_running=[lambda *_: ended.append("running")])
    else:
        made = flow(body, on_crashed=[lambda *_: ended.append("crashed")])

    def run():
        if "generator" not in kind:
            return call(made)
        return asyncio.run(consume(made)) if way == "async" else list(made())

    with pytest.raises(GeneratorExit) as caught:
        run()
    assert caught.value is error
    crash, finished = lines("ERROR")
    assert "Crash detected! Execution was interrupted by an unexpected exception: " in crash
    assert "Finished in state Crashed" in finished
    assert ended == {"task": [], "flow generator": ["crashed"]}.get(kind, ["running"])


@pytest.mark.parametrize("way", WAYS)
def test_a_hook_that_raises_what_closes_generators_does_not_keep_a_flow_from_ending(ran, way):
    """FL-85, W06"""

    def hook(flow, flow_run, state):
        raise GeneratorExit("x")

    result = ran(way, lambda attempt: 1, {}, on_running=[hook])
    assert isinstance(result.error, GeneratorExit)
    assert result.history[-1] == "Crashed"


def test_an_async_flow_needs_no_event_loop_of_asyncio():
    """FL-21"""

    @types.coroutine
    def suspend():
        return (yield "suspended")

    @flow
    async def main():
        return await suspend()

    coroutine = main()
    assert coroutine.send(None) == "suspended"
    with pytest.raises(StopIteration) as ended:
        coroutine.send(3)
    assert ended.value.value == 3


def test_a_cancelled_flow_has_crashed(logs):
    """FL-85, FL-98"""

    @flow
    async def child():
        await asyncio.sleep(30)

    @flow
    async def main():
        await child()

    async def around():
        run = asyncio.ensure_future(main())
        await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(around())
    for log in logs:
        assert shown(log) == ["Pending", "Running", "Crashed"]
        assert log.record.state.message == "Execution was cancelled by the runtime environment."


@pytest.mark.parametrize("way", WAYS)
def test_after_a_crash_nobody_waits_for_tasks(way):
    """FL-88, 20.5: queued runs are dropped, those under way are told"""
    begun, told, futures = threading.Semaphore(0), threading.Event(), []

    @task
    def busy(number):
        begun.release()
        try:
            while True:
                time.sleep(0.001)
        except BaseException:
            told.set()
            raise

    def body(attempt):
        futures.extend(busy.map(range(50)))
        begun.acquire(timeout=10)
        begun.acquire(timeout=10)
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call(made(way, body, task_runner=ThreadPoolTaskRunner(max_workers=2)))
    assert time.monotonic() - started < 5
    assert told.wait(10)
    assert {future.state.name for future in futures} == {"Cancelled"}
