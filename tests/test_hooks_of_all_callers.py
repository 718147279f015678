"""Hooks that raise, take their time or are async, in tasks and flows that are sync or async."""

from __future__ import annotations

import asyncio
import threading

import pytest

from oxtask import Flow, Task, flow
from oxtask.context import get_run_context

KINDS = ("sync task", "async task", "sync flow", "async flow")

every_kind = pytest.mark.parametrize("kind", KINDS)


def run(kind, body, **options):
    """Run a task or a flow whose function calls ``body``; return its state."""

    def function():
        return body()

    async def async_function():
        return body()

    is_async = kind.startswith("async")
    made = (Task if kind.endswith("task") else Flow)(
        async_function if is_async else function, **options
    )

    async def whole():
        return await made(return_state=True)

    return asyncio.run(whole()) if is_async else made(return_state=True)


def fail():
    raise ValueError("no")


@every_kind
@pytest.mark.parametrize(("body", "ending"), [(lambda: 1, "completion"), (fail, "failure")])
def test_a_hook_that_raises_keeps_neither_the_others_nor_the_run(kind, body, ending, lines):
    """20.10, TE-54, FL-82"""
    called = []

    def raises(*args):
        called.append("raises")
        raise LookupError("of the hook")

    async def araises(*args):
        called.append("araises")
        raise LookupError("of the hook")

    def works(*args):
        called.append("works")

    hooks = [raises, araises, works]
    state = run(kind, body, on_running=hooks, **{f"on_{ending}": hooks})
    assert called == ["raises", "araises", "works"] * 2
    assert state.name == ("Completed" if ending == "completion" else "Failed")
    assert sum("while running hook" in line for line in lines("ERROR")) == 4


@every_kind
def test_an_async_hook_comes_to_its_end_before_the_caller_goes_on(kind):
    """20.10, TE-57, FL-82: with the context of the run"""
    seen = []

    async def hook(owner, record, state):
        await asyncio.sleep(0.01)
        context = get_run_context()
        own = context.task_run if hasattr(context, "task_run") else context.flow_run
        seen.append((state.name, own is record))

    run(kind, lambda: seen.append("body"), on_running=[hook], on_completion=[hook])
    assert seen == [("Running", True), "body", ("Completed", True)]


@every_kind
def test_a_hook_takes_the_time_it_takes(kind):
    """20.10: no deadline of the run bounds it"""
    waited = []

    def slow(owner, record, state):
        threading.Event().wait(0.15)
        waited.append(state.name)

    state = run(*(kind, lambda: 1), timeout_seconds=0.1, on_running=[slow], on_completion=[slow])
    assert waited == ["Running", "Completed"]
    assert state.is_completed()


@pytest.mark.parametrize("is_async", [False, True])
def test_hooks_of_submitted_runs_do_the_same(is_async):
    """20.10, TE-52"""
    called = []

    def raises(*args):
        raise LookupError

    async def later(owner, record, state):
        await asyncio.sleep(0)
        called.append(state.name)

    async def afunction():
        return 1

    made = Task(afunction if is_async else lambda: 1, on_completion=[raises, later, raises])

    @flow
    def main():
        futures = [made.submit() for _ in range(10)]
        return [future.result() for future in futures], len(called)

    assert main() == ([1] * 10, 10)
