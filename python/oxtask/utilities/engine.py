"""What the engine does with arguments, as functions: resolving them, tracing where they are from.

>>> from oxtask.states import Completed
>>> resolve_inputs_sync({"x": [Completed(data=3)], "y": 4})
{'x': [3], 'y': 4}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import inputs, run_history, run_sources
from oxtask._internal.result_links import UNTRACKABLE_TYPES, RunType, link_of, link_result
from oxtask.exceptions import OxtaskException
from oxtask.utilities.collections import visit_collection

if TYPE_CHECKING:
    from oxtask.client.schemas.objects import TaskRunInput
    from oxtask.states import State

__all__ = [
    "UNTRACKABLE_TYPES",
    "RunType",
    "collect_task_run_inputs",
    "collect_task_run_inputs_sync",
    "get_state_for_result",
    "link_state_to_flow_run_result",
    "link_state_to_result",
    "link_state_to_task_run_result",
    "resolve_inputs",
    "resolve_inputs_sync",
    "resolve_to_final_result",
]


# --- resolving ------------------------------------------------------------------------------------


def resolve_to_final_result(expr: Any, context: dict[str, Any]) -> Any:
    """Return the result of a future or a state, and anything else as it is.

    A visitor for `oxtask.utilities.collections.visit_collection`.

    Args:
        expr: What is visited.
        context: The context of the visit; it knows the annotations around ``expr``.

    Raises:
        UpstreamTaskError: If the run did not complete, and its failure is not allowed.
        StopVisiting: If ``expr`` is quoted.
    """
    return inputs.resolve_visit(expr, context)


def resolve_inputs_sync(
    parameters: dict[str, Any], return_data: bool = True, max_depth: int = -1
) -> dict[str, Any]:
    """Return parameters with results in place of futures and states, after waiting for them.

    Args:
        parameters: The parameters.
        return_data: If false, only wait, and return ``None`` for each parameter.
        max_depth: How many levels of collections are entered; negative for all. Annotations on a
            level that is not entered stay.

    Raises:
        UpstreamTaskError: If a run did not complete, and its failure is not allowed.
        OxtaskException: If a parameter cannot be walked; the cause is what was raised.
    """
    return {name: _resolve(name, parameters[name], return_data, max_depth) for name in parameters}


def _resolve(name: str, value: Any, return_data: bool, max_depth: int) -> Any:
    try:
        return visit_collection(
            value,
            resolve_to_final_result,
            return_data=return_data,
            max_depth=max_depth,
            context={"annotations": (), "parameter_name": name},
            remove_annotations=True,
        )
    except OxtaskException:
        raise
    except Exception as error:
        raise OxtaskException(inputs.failure_message(name)) from error


async def resolve_inputs(
    parameters: dict[str, Any], return_data: bool = True, max_depth: int = -1
) -> dict[str, Any]:
    """Do what `resolve_inputs_sync` does, without blocking the event loop.

    Args:
        parameters: The parameters.
        return_data: See `resolve_inputs_sync`.
        max_depth: See `resolve_inputs_sync`.
    """
    await inputs.await_futures(parameters)
    return resolve_inputs_sync(parameters, return_data, max_depth)


# --- tracing --------------------------------------------------------------------------------------


def collect_task_run_inputs_sync(
    expr: Any, future_cls: Any = None, max_depth: int = -1
) -> set[TaskRunInput]:
    """Return the runs that something in ``expr`` comes from.

    Futures and states tell their run; of other objects it is known if they were linked to one in
    the current flow run (`link_state_to_result`). What is quoted is not looked at.

    Args:
        expr: Any value, or collection of values.
        future_cls: Accepted for compatibility: futures of all kinds are known.
        max_depth: How many levels of collections are entered; negative for all.
    """
    del future_cls
    return run_sources.runs_in(expr, max_depth)


async def collect_task_run_inputs(expr: Any, max_depth: int = -1) -> set[TaskRunInput]:
    """Do what `collect_task_run_inputs_sync` does, from a coroutine.

    Args:
        expr: Any value, or collection of values.
        max_depth: How many levels of collections are entered; negative for all.
    """
    return run_sources.runs_in(expr, max_depth)


def get_state_for_result(obj: Any) -> tuple[State[Any], RunType] | None:
    """Return the state of the run that produced an object, and the kind of the run.

    Args:
        obj: Any object; it is known by identity, never by value.

    Returns:
        ``None`` outside of a flow run, and for an object that was not linked in it.
    """
    link = link_of(obj)
    return None if link is None else (run_history.state_of(link), link.run_type)


def link_state_to_result(state: State[Any], result: Any, run_type: RunType) -> None:
    """Note in the current flow run that a result, and what it holds, come from a run.

    Objects one layer inside of the result count. ``True``, ``None``, small integers and the like
    are the same objects everywhere and cannot be linked; ``state.state_details.untrackable_result``
    is then set.

    Args:
        state: The state of the run; its data is not kept.
        result: What the run produced.
        run_type: The kind of the run.
    """
    link_result(state, result, run_type)


def link_state_to_task_run_result(state: State[Any], result: Any) -> None:
    """Do what `link_state_to_result` does, for a task run.

    Args:
        state: The state of the run.
        result: What the run produced.
    """
    link_result(state, result, RunType.TASK_RUN)


def link_state_to_flow_run_result(state: State[Any], result: Any) -> None:
    """Do what `link_state_to_result` does, for a flow run.

    Args:
        state: The state of the run.
        result: What the run produced.
    """
    link_result(state, result, RunType.FLOW_RUN)
