"""Runs of tasks whose results are kept, in each way a task is run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ways import CALLS, SUBMITS, WAYS

from oxtask import Task, flow

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CALLS", "SUBMITS", "WAYS", "files_in", "make", "names_of", "states_of"]

_ASYNC = {"await", "submit async", "map async"}


def make(way: str, body: Any, **options: Any) -> Task[Any, Any]:
    """Make a task whose function calls ``body(x)``, async if the way is.

    Args:
        way: One of `WAYS`.
        body: What the function calls.
        **options: Options of the task.
    """

    def sync_function(x=0):
        return body(x)

    async def async_function(x=0):
        await asyncio.sleep(0)
        return body(x)

    return Task(async_function if way in _ASYNC else sync_function, **options)


def states_of(way: str, task: Any, *inputs: Any, **flow_options: Any) -> list[Any]:
    """Run a task for each input, one after the other, in one flow run; return the final states."""
    states: list[Any] = []

    @flow(**flow_options)
    async def awaiting():
        for x in inputs:
            states.append(await task(x, return_state=True))

    @flow(**flow_options)
    def main():
        for x in inputs:
            if way == "call":
                states.append(task(x, return_state=True))
                continue
            future = task.map([x])[0] if way.startswith("map") else task.submit(x)
            future.wait()
            states.append(future.state)

    if way == "await":
        asyncio.run(awaiting())
    else:
        main()
    return states


def names_of(way: str, task: Any, *inputs: Any, **flow_options: Any) -> list[str]:
    """Do what `states_of` does, and return the names of the states."""
    return [state.name for state in states_of(way, task, *inputs, **flow_options)]


def files_in(folder: Path) -> list[str]:
    """Return the keys of the records in a folder."""
    if not folder.exists():
        return []
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
