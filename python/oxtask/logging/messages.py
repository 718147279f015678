"""The wording of the engine's lines about runs, in one place, so that all engines say the same.

Names are shown whole; values that users made are the caller's to bound.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxtask.states import State


def flow_run_began(flow_run_name: str, flow_name: str, *, is_subflow: bool = False) -> str:
    """Return the INFO line of an attempt of a flow run that begins.

    Example:
        >>> flow_run_began("red-fox", "etl")
        "Beginning flow run 'red-fox' for flow 'etl'"
    """
    kind = "subflow run" if is_subflow else "flow run"
    return f"Beginning {kind} {flow_run_name!r} for flow {flow_name!r}"


def flow_executing(flow_run_name: str, flow_name: str) -> str:
    """Return the DEBUG line before a flow's function is called."""
    return f"Executing flow {flow_name!r} as flow run {flow_run_name!r}"


def task_run_created(task_run_name: str, task_name: str) -> str:
    """Return the DEBUG line of a new task run."""
    return f"Created task run {task_run_name!r} for task {task_name!r}"


def task_executing(task_run_name: str, task_name: str) -> str:
    """Return the DEBUG line before a task's function is called."""
    return f"Executing task {task_name!r} as task run {task_run_name!r}"


def finished(state: State[Any], *, debug_mode: bool = False) -> tuple[int, str]:
    """Return level and line of a run that ended in ``state``.

    Args:
        state: The final state.
        debug_mode: Show the state's ``repr`` in place of its ``str``.
    """
    level = logging.INFO if state.is_completed() else logging.ERROR
    return level, f"Finished in state {repr(state) if debug_mode else str(state)}"


def retrying(attempt: int, retries: int, delay_seconds: float) -> str:
    """Return the end of the INFO line of an attempt that failed and is followed by another.

    Args:
        attempt: Which retry comes, from 1.
        retries: How many there are at most.
        delay_seconds: When it comes.

    Example:
        >>> retrying(1, 3, 2.5)
        'Retry 1/3 will start 2.5 second(s) from now'
    """
    when = f"{delay_seconds:g} second(s) from now" if delay_seconds > 0 else "immediately"
    return f"Retry {attempt}/{retries} will start {when}"


def crashed(message: str) -> str:
    """Return the ERROR line of a run that crashed."""
    return f"Crash detected! {message}"
