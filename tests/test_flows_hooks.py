"""Hooks of flows; the lines are of engine.md, sections 4.8, 3.5 and 17."""

from __future__ import annotations

import asyncio
import functools
from contextvars import ContextVar

import pytest
from flow_ways import KINDS, WAYS, call, logs_fixture, made, ran_fixture  # noqa: F401

from oxtask import flow, get_run_logger, task
from oxtask.context import FlowRunContext, get_run_context
from oxtask.states import Cancelled, Cancelling, Crashed, Failed, Paused

pytestmark = pytest.mark.parametrize("way", WAYS)


def failing(attempt):
    raise ValueError("no luck")


def crashing(attempt):
    raise SystemExit(3)


OUTCOMES = {
    "completion": lambda attempt: 1,
    "failure": failing,
    "crashed": crashing,
    "cancellation": lambda attempt: Cancelling(),
}


def attempted(main):
    """Call a flow, whatever comes of it."""
    try:
        return call(main)
    except BaseException as error:
        return error


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_has_its_hook(ran, way, outcome):
    """FL-80"""
    assert ran(way, OUTCOMES[outcome]).hooks == ["running", outcome]


@pytest.mark.parametrize(
    ("state", "hooks"),
    [
        (Failed, ["failure"]),
        (Crashed, ["crashed"]),
        (Cancelling, ["cancellation"]),
        (Cancelled, []),
        (Paused, []),
    ],
)
def test_a_state_of_ones_own_calls_the_hook_of_its_type(ran, way, state, hooks):
    """FL-80"""
    assert ran(way, lambda attempt: state(name="Mine")).hooks == ["running", *hooks]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_hook_gets_flow_run_and_state_and_is_in_the_context_of_the_run(logs, way, outcome):
    """FL-80, FL-81, W18"""
    seen = []

    def hook(flow, flow_run, state):
        context = get_run_context()
        get_run_logger().info("in a hook")
        seen.append(
            (
                flow is main,
                flow_run is logs[0].record,
                flow_run.state is state,
                context.flow_run.state is state,
                context is FlowRunContext.get(),
            )
        )

    main = made(way, OUTCOMES[outcome], on_running=[hook], **{f"on_{outcome}": [hook]})
    attempted(main)
    assert seen == [(True,) * 5] * 2


def test_a_hook_may_submit_tasks(way):
    """FL-81"""
    seen = []

    @task
    def note(name):
        seen.append(name)

    def hook(flow, flow_run, state):
        note.submit(state.name)

    call(made(way, lambda attempt: 1, on_running=[hook], on_completion=[hook]))
    assert sorted(seen) == ["Completed", "Running"]


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_may_be_added_by_a_decorator(logs, way, kind):
    """FL-80"""
    main = made(way, OUTCOMES.get(kind, OUTCOMES["completion"]))
    seen = []

    @getattr(main, f"on_{kind}")
    def hook(flow, flow_run, state):
        seen.append(state.type.value)

    assert callable(hook)
    assert getattr(main, f"on_{kind}_hooks") == [hook]
    attempted(main)
    assert len(seen) == 1


def test_hooks_are_called_in_order_and_one_that_raises_does_not_keep_the_others(ran, way, lines):
    """FL-82, TE-50"""
    seen = []

    def first(flow, flow_run, state):
        seen.append("first")
        raise ValueError("in a hook")

    def second(flow, flow_run, state):
        seen.append("second")

    options = {"on_running": [first, second], "on_completion": [first, second]}
    result = ran(way, lambda attempt: 7, **options)
    assert result.value == 7
    assert seen == ["first", "second"] * 2
    assert "Running hook 'first' in response to entering state 'Running'" in lines("INFO")
    assert "Hook 'second' finished running successfully" in lines("INFO")
    assert "An error was encountered while running hook 'first'" in lines("ERROR")


def test_hooks_may_be_async(way):
    """FL-82"""
    seen = []

    async def hook(flow, flow_run, state):
        await asyncio.sleep(0)
        seen.append((state.name, FlowRunContext.get().flow_run is flow_run))

    main = made(way, lambda attempt: 1, on_running=[hook], on_completion=[hook])
    call(main)

    async def around():
        return main() if way == "sync" else await main()

    asyncio.run(around())
    assert seen == [("Running", True), ("Completed", True)] * 2


def test_hooks_may_be_callables_of_all_kinds(way, lines):
    """FL-82"""
    seen = []

    class Hook:
        def __call__(self, flow, flow_run, state):
            seen.append("object")

        def method(self, flow, flow_run, state):
            seen.append("method")

    def function(flow, flow_run, state, word):
        seen.append(word)

    partial = functools.partial(function, word="partial")
    call(made(way, lambda attempt: 1, on_completion=[Hook(), Hook().method, partial]))
    assert seen == ["object", "method", "partial"]
    named = [line.split("'")[1] for line in lines("INFO") if line.startswith("Running hook")]
    assert named == ["Hook", "method", "function"]


class Torn(BaseException):
    pass


@pytest.mark.parametrize("error", [Torn(), KeyboardInterrupt(), SystemExit()])
def test_what_a_hook_raises_after_the_end_of_the_run_changes_nothing(ran, way, error):
    """FL-82, FL-86"""

    def hook(flow, flow_run, state):
        raise error

    result = ran(way, lambda attempt: 7, on_completion=[hook])
    assert (result.value, result.history[-1]) == (7, "Completed")
    failed = ran(way, failing, on_failure=[hook])
    assert (str(failed.error), failed.history[-1]) == ("no luck", "Failed")


def test_what_a_hook_raises_before_the_run_has_ended_tears_it_down(ran, way):
    """FL-85"""

    def hook(flow, flow_run, state):
        raise Torn

    result = ran(way, lambda attempt: 7, on_running=[hook])
    assert isinstance(result.error, Torn)
    assert result.history == ["Pending", "Running", "Crashed"]
    assert result.hooks == ["crashed"]
    assert result.bodies == 0


def test_hooks_of_a_child_are_called_for_the_child_only(logs, way):
    """FL-83"""
    seen = []

    def hook(flow, flow_run, state):
        seen.append((flow.name, state.name))

    hooks = {"on_completion": [hook], "on_failure": [hook]}
    child = made(way, failing, name="child", **hooks)

    def plain():
        child(return_state=True)

    async def coroutine():
        await child(return_state=True)

    call(flow(coroutine if way == "async" else plain, name="parent", **hooks))
    assert seen == [("child", "Failed"), ("parent", "Completed")]


def test_hooks_see_the_context_variables_of_the_caller(way):
    """FL-81"""
    variable = ContextVar("variable", default="unset")
    seen = []

    def hook(flow, flow_run, state):
        seen.append(variable.get())

    main = made(way, lambda attempt: 1, on_running=[hook], on_completion=[hook])
    token = variable.set("set")
    try:
        call(main)
    finally:
        variable.reset(token)
    assert seen == ["set", "set"]


def test_an_async_hook_of_a_crash_comes_to_its_end_in_a_scope_that_is_cancelled(logs, way):
    """FL-91: a scope that cancels what runs in it again and again, as anyio's do"""
    if way == "sync":
        return
    seen = []

    async def hook(flow, flow_run, state):
        for _ in range(3):
            await asyncio.sleep(0.01)
        seen.append(state.name)

    @flow(on_crashed=[hook])
    async def main():
        await asyncio.sleep(30)

    async def around():
        run = asyncio.ensure_future(main())
        await asyncio.sleep(0.01)
        while not run.done():
            run.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            run.result()

    asyncio.run(around())
    assert seen == ["Crashed"]
    assert logs[0].record.state_name == "Crashed"
