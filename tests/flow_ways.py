"""The ways in which a flow is run, so that one test can hold for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from oxtask import Flow
from oxtask._internal import flow_runs
from oxtask._internal.task_runs import RunLog
from oxtask.context import FlowRunContext

WAYS = ("sync", "async")
KINDS = ("running", "completion", "failure", "cancellation", "crashed")


@pytest.fixture(name="logs")
def logs_fixture(monkeypatch):
    """Return the logs of the flow runs that the test makes, in their order."""
    made = []

    class Recorded(RunLog):
        __slots__ = ()

        def __init__(self, record):
            super().__init__(record)
            made.append(self)

    monkeypatch.setattr(flow_runs, "RunLog", Recorded)
    return made


def shown(log):
    """Return the names of the states of a run; with the type where the name does not say it."""
    return [
        state.name if state.name.upper() == state.type.value else f"{state.name}:{state.type.value}"
        for state in log.history
    ]


def made(way, function, **options):
    """Make a flow of a function without parameters that calls ``function(attempt)``.

    An async one awaits what that returns, if it can be awaited.
    """
    attempts = []

    def body():
        attempts.append(len(attempts) + 1)
        return function(attempts[-1])

    async def async_body():
        value = body()
        return await value if hasattr(value, "__await__") else value

    return Flow(async_body if way == "async" else body, **{"name": "main"} | options)


def call(flow, *args, **kwargs):
    """Call a flow, and run it to its end if it is async."""
    result = flow(*args, **kwargs)
    return asyncio.run(_awaited(result)) if asyncio.iscoroutine(result) else result


async def _awaited(awaitable):
    return await awaitable


@dataclass
class Ran:
    """What came of a flow run."""

    log: Any
    hooks: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    bodies: int = 0
    value: Any = None
    error: BaseException | None = None

    @property
    def history(self):
        return shown(self.log)

    @property
    def flow_run(self):
        return self.log.record

    @property
    def state(self):
        return self.log.record.state


@pytest.fixture(name="ran")
def ran_fixture(logs):
    """Return a function that runs ``function(attempt)`` as a flow, and says what came of it.

    Args:
        way: One of `WAYS`.
        function: What the flow calls.
        call: Keyword arguments of the call.
        **options: Options of the flow, which has hooks that write down that they were called.
    """

    def run(way, function, arguments=None, **options):
        result = Ran(None)

        def noted(kind):
            def hook(flow, flow_run, state):
                result.hooks.append(kind)
                result.contexts.append(FlowRunContext.get())

            return hook

        def counted(attempt):
            result.bodies = attempt
            return function(attempt)

        hooks = {f"on_{kind}": [noted(kind)] for kind in KINDS}
        count = len(logs)
        try:
            result.value = call(made(way, counted, **hooks | options), **arguments or {})
        except BaseException as error:
            result.error = error
        result.log = logs[count]
        return result

    return run
