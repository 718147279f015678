"""The ways in which a task is run, so that one test can hold for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from oxtask import Task, flow
from oxtask._core import current_run
from oxtask._internal.task_runs import log_of

CALLS = ("call", "await")
SUBMITS = ("submit", "submit async", "map", "map async")
WAYS = CALLS + SUBMITS


def shown(states):
    """Return the names of states; with the type where the name does not say it."""
    return [
        state.name if state.name.upper() == state.type.value else f"{state.name}:{state.type.value}"
        for state in states
    ]


def history(future):
    """Return the states that a run went through, as text."""
    return shown(log_of(future).history)


@dataclass
class Ran:
    """What came of a run."""

    hooks: list[str] = field(default_factory=list)
    bodies: int = 0
    future: Any = None
    value: Any = None
    error: BaseException | None = None

    @property
    def history(self):
        return history(self.future)

    @property
    def task_run(self):
        return log_of(self.future).record

    @property
    def state(self):
        return self.task_run.state


def run(way, body, *, hooks=True, **options):
    """Run a task whose function calls ``body(attempt)`` in some way.

    Args:
        way: One of `WAYS`.
        body: Called with the number of the attempt, from 1; also in async functions.
        hooks: Whether the task has hooks, which write down that they were called.
        **options: Options of the task.
    """
    ran = Ran()

    def sync_function(_=None):
        ran.future = ran.future or current_run.get().future
        ran.bodies += 1
        return body(ran.bodies)

    async def async_function(_=None):
        return sync_function()

    def noted(kind):
        return lambda task, task_run, state: ran.hooks.append(kind)

    if hooks:
        kinds = ("running", "completion", "failure")
        options = {f"on_{kind}": [noted(kind)] for kind in kinds} | options
    is_async = way in {"await", "submit async", "map async"}
    task = Task(async_function if is_async else sync_function, **options)
    _run(way, task, ran)
    return ran


def _run(way, task, ran):
    if way == "call":
        _finish(ran, task)
    elif way == "await":
        asyncio.run(_await(ran, task))
    else:

        @flow
        def main():
            ran.future = task.map([0])[0] if way.startswith("map") else task.submit()
            ran.future.wait()
            _finish(ran, ran.future.result)

        main()


def _finish(ran, call):
    try:
        ran.value = call()
    except BaseException as error:
        ran.error = error


async def _await(ran, task):
    try:
        ran.value = await task()
    except BaseException as error:
        ran.error = error
