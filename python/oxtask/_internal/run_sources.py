"""Where the arguments of runs come from.

Futures and states say themselves which run they belong to: this is known of every run, and worked
out when somebody looks. What a run returned as a plain value is remembered only while every run is
recorded (see `oxtask._internal.run_history`), and not with ``tasks.track_inputs`` switched off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.result_links import Link, ResultLinks, RunType, is_trackable
from oxtask._internal.run_inputs import FlowRunResult, RunInput, Sources, TaskRunResult, distinct
from oxtask._internal.state import is_state
from oxtask.context import FlowRunContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oxtask._core import Run, TaskRunFuture
    from oxtask._internal.state import State
    from oxtask._internal.task_machinery import TaskMachinery

Given = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a run."""
MAX_ITEMS = 1_000
"""What is in containers of more items is not looked at when values are remembered and found."""


# --- results that are remembered ------------------------------------------------------------------


def link(links: ResultLinks, value: Any, state: State[Any], run_type: RunType) -> None:
    """Remember where an object comes from, and those directly in it.

    Args:
        links: What the flow run remembers.
        value: The object.
        state: The state of the run, with its ids; running if it may give away more.
        run_type: Whether that is a task run or a flow run.
    """
    for item in _with_children(value):
        if is_trackable(item):
            links.add(item, state, run_type)


def _with_children(value: Any) -> Iterable[Any]:
    if _is_long(value):
        return (value,)
    from oxtask.utilities.collections import visit_collection  # noqa: PLC0415 - start-up time

    found: list[Any] = []
    visit_collection(value, found.append, max_depth=1)
    return found


def _is_long(value: Any) -> bool:
    """Tell whether looking at everything in a value would take long."""
    return isinstance(value, (list, tuple, dict, set, frozenset)) and len(value) > MAX_ITEMS


# --- the sources of arguments ---------------------------------------------------------------------


def sources_of(
    task: TaskMachinery, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Sources:
    """Return where the arguments of a run come from.

    Args:
        task: The task.
        args: Its arguments, not resolved.
        kwargs: Its keyword arguments, not resolved.
        wait_for: What the run waits for.
    """
    return sources_in(given_names(task), task._bind(args, kwargs), wait_for)


def sources_in(names: Iterable[str], parameters: Mapping[str, Any], wait_for: Any) -> Sources:
    """The same for parameters by name."""
    context = FlowRunContext.get()
    links = ResultLinks() if context is None else context.run_results
    found: dict[str, list[int | RunInput]] = {}
    under_way: list[int | RunInput] = []
    names = tuple(names)
    for name in names:
        runs = _runs_in(parameters.get(name), links, under_way)
        if runs:
            found[name] = runs
    if wait_for is not None and not _is_empty(wait_for):
        found["wait_for"] = _runs_in(wait_for, links, under_way)
    return Sources(names, found, under_way)


def runs_in(value: Any, max_depth: int) -> set[RunInput]:
    """Return the runs that something in a value comes from.

    Args:
        value: Any value.
        max_depth: How many levels of collections are entered; negative for all.
    """
    context = FlowRunContext.get()
    links = ResultLinks() if context is None else context.run_results
    return set(distinct(_runs_by_walk(value, links, [], max_depth)))


def _is_empty(value: Any) -> bool:
    return isinstance(value, (list, tuple, dict, set, frozenset)) and not value


def given_names(task: TaskMachinery) -> tuple[str, ...]:
    """Return the parameters of a task; a method's without what it is bound to."""
    names = tuple(task._signature_plan().names)
    return names if task._receiver is None else names[1:]


def _runs_in(
    value: Any, links: ResultLinks, under_way: list[int | RunInput]
) -> list[int | RunInput]:
    """Return the runs that a value comes from."""
    try:
        if not links:
            futures = _core.futures_in(value)
            if futures is not None:
                return [_known(future) for future in futures]
        return _runs_by_walk(value, links, under_way)
    except Exception:  # noqa: BLE001 - a run never fails because of its record
        return []


def _runs_by_walk(
    value: Any, links: ResultLinks, under_way: list[int | RunInput], max_depth: int = -1
) -> list[int | RunInput]:
    from oxtask.futures import Future  # noqa: PLC0415 - start-up time
    from oxtask.utilities.annotations import (  # noqa: PLC0415
        BaseAnnotation,
        opaque,
        quote,
    )
    from oxtask.utilities.collections import (  # noqa: PLC0415
        StopVisiting,
        visit_collection,
    )

    runs: list[int | RunInput] = []

    def visit(item: Any, context: dict[str, Any]) -> None:
        annotations = context["annotations"]
        if any(isinstance(held, quote) for held in annotations):
            raise StopVisiting
        if any(isinstance(held, opaque) for held in annotations):
            while isinstance(item, BaseAnnotation) and not isinstance(item, quote):
                item = item.unwrap()
        if isinstance(item, _core.TaskRunFuture):
            runs.append(_known(item))
        elif isinstance(item, Future):
            runs.append(item._source())
        elif is_state(item):
            details = item.state_details
            if details.task_run_id is not None:
                runs.append(TaskRunResult(id=details.task_run_id))
            elif details.flow_run_id is not None:
                runs.append(FlowRunResult(id=details.flow_run_id))
        else:
            linked = links.find(item) if links else None
            if linked is not None:
                source, is_under_way = _origin(linked)
                runs.append(source)
                if is_under_way:
                    under_way.append(source)
            if links and _is_long(item) and not _core.needs_resolving(item):
                raise StopVisiting

    visit_collection(value, visit, context={"annotations": ()}, max_depth=max_depth)
    return runs


def _origin(linked: Link) -> tuple[RunInput, bool]:
    """Return the run that an object comes from, and whether it is under way."""
    details = linked.state.state_details
    if linked.run_type is RunType.FLOW_RUN:
        return FlowRunResult(id=details.flow_run_id), False
    from oxtask._internal.run_history import is_task_run_under_way  # noqa: PLC0415 - circular

    source = TaskRunResult(id=details.task_run_id)
    return source, linked.state.is_running() and is_task_run_under_way(source.id.int)


def _known(future: TaskRunFuture) -> int:
    """Return the id of a run, which can be read by it from now on."""
    from oxtask._internal.run_history import observe  # noqa: PLC0415 - circular

    observe(future)
    return future._id


def note_sources(run: Run) -> None:
    """Note where the arguments of a run came from, if there were futures among them."""
    given = run.given
    if given is None:
        return
    future = run.future
    if future._sources is None:
        context = future._context
        sources = (
            sources_of(run.task, *given, run.wait_for)
            if context is None
            else context.copy().run(sources_of, run.task, *given, run.wait_for)
        )
        future._set_sources(sources)


def parent_of(future: TaskRunFuture) -> int | RunInput | None:
    """Return the task run that a run was made in, if both belong to the same flow run or none."""
    context = future._context
    outer = None if context is None else context.get(_core.current_run)
    if context is None or outer is None:
        return None
    return enclosing_run(outer, context.get(FlowRunContext.__var__))


def enclosing_run(outer: Any, flow_context: FlowRunContext | None) -> int | RunInput | None:
    """Return the task run around some code, unless the code is in a flow that the task called.

    Args:
        outer: What `_core.current_run` holds there.
        flow_context: The context of the flow run there.
    """
    if isinstance(outer, _core.Run):
        around = None if outer.context is None else outer.context.get(FlowRunContext.__var__)
        if flow_context is None or (
            around is not None and around.flow_run is flow_context.flow_run
        ):
            return _known(outer.future)
        return None
    # A `TaskRunContext` that was entered by hand.
    task_run = None if outer is None else outer.task_run
    if task_run is None or (
        flow_context is not None and task_run.flow_run_id != flow_context.flow_run.id
    ):
        return None
    return TaskRunResult(id=task_run.id)
