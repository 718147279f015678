"""Where the arguments of task runs come from: the ``task_inputs`` of their records.

Runs are looked for in the arguments as they were given, before results take the place of futures.
Arguments of submitted runs are wrapped to that end (`traced`): it is Python's walk that resolves
them, and it looks first (`note`). All of it only with the setting ``tasks.track_inputs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.result_links import RunType, link_of, link_result
from oxtask._internal.run_inputs import FlowRunResult, RunInput, TaskRunResult
from oxtask._internal.state import is_state
from oxtask._internal.task_runs import RunLog, new_log, run_id, tracks_inputs
from oxtask.context import FlowRunContext
from oxtask.futures import Future
from oxtask.utilities.annotations import quote, unmapped
from oxtask.utilities.collections import StopVisiting, visit_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.client.schemas.objects import TaskRun
    from oxtask.states import State

PARENTS = "__parents__"


class _Sources:
    """What a walk through arguments finds.

    Attributes:
        inputs: The runs that something in them comes from.
        producers: Those of them that are under way: generators that have yielded it.
    """

    def __init__(self) -> None:
        self.inputs: dict[RunInput, None] = {}
        self.producers: dict[RunInput, None] = {}

    def visit(self, item: Any) -> None:
        """Note where an object comes from."""
        if isinstance(item, quote):
            raise StopVisiting
        if isinstance(item, _Traced):
            self.inputs.update(dict.fromkeys(item.sources))
        elif isinstance(item, Future):
            self.inputs[TaskRunResult(id=item.task_run_id)] = None
        elif is_state(item):
            self._add_task_run(item.state_details.task_run_id)
        else:
            link = link_of(item)
            if link is not None:
                self._add_link(link.state, link.run_type)

    def _add_task_run(self, identifier: UUID | None) -> None:
        if identifier is not None:
            self.inputs[TaskRunResult(id=identifier)] = None

    def _add_link(self, state: State[Any], run_type: RunType) -> None:
        details = state.state_details
        if run_type is RunType.FLOW_RUN:
            if details.flow_run_id is not None:
                self.inputs[FlowRunResult(id=details.flow_run_id)] = None
            return
        self._add_task_run(details.task_run_id)
        if state.is_running() and details.task_run_id is not None:
            self.producers[TaskRunResult(id=details.task_run_id)] = None


def sources_of(value: Any, max_depth: int = -1) -> list[RunInput]:
    """Return the runs that something in ``value`` comes from."""
    return list(_walked(value, max_depth).inputs)


def _walked(value: Any, max_depth: int = -1) -> _Sources:
    sources = _Sources()
    visit_collection(value, sources.visit, max_depth=max_depth)
    return sources


# --- task runs ------------------------------------------------------------------------------------


def note(run: Run, wait_for: Any = None) -> RunLog[TaskRun]:
    """Make the record of a run that is about to resolve its arguments, unless it has one."""
    log: RunLog[TaskRun] | None = run.record
    if log is None:
        log = new_log(run.future)
        log.record._task_inputs = _inputs_of(run, run.wait_for if wait_for is None else wait_for)
        run.set_record(log)
    return log


def note_current() -> None:
    """The same for the run this code is in, before it is anywhere else looked at."""
    run = _core.current_run.get(None)
    if isinstance(run, _core.Run) and tracks_inputs():
        note(run)


def _inputs_of(run: Run, wait_for: Any) -> dict[str, list[RunInput]]:
    args, kwargs = run.arguments
    given = run.task._bind(args, kwargs)
    if wait_for:
        given["wait_for"] = wait_for
    found: dict[str, list[RunInput]] = {}
    parents = dict.fromkeys(_enclosing(run))
    for name, value in given.items():
        try:
            sources = _walked(value)
        except Exception:  # noqa: BLE001 - a walk that fails is told when the input is resolved
            sources = _Sources()
        found[name] = list(sources.inputs)
        parents.update(sources.producers)
    if parents:
        found[PARENTS] = list(parents)
    return found


def _enclosing(run: Run) -> Iterable[RunInput]:
    """Yield the run in which a run was called, if it belongs to the same flow run or to none."""
    if run.context is None:
        return
    outer = run.context.get(_core.current_run)
    if isinstance(outer, _core.Run):
        around = None if outer.context is None else _flow_run_id(outer.context)
        if around == _flow_run_id(run.context):
            yield TaskRunResult(id=outer.record.record.id if outer.record else run_id(outer.id))


def _flow_run_id(context: Any) -> UUID | None:
    flow_context = context.get(FlowRunContext.__var__)
    return None if flow_context is None else flow_context.flow_run.id


def link(log: RunLog[Any], result: Any) -> None:
    """Note that a result comes from a task run, in the state it is in."""
    state = log.record.state
    if state is not None:
        link_result(state, result, RunType.TASK_RUN)


# --- arguments of submitted runs ------------------------------------------------------------------


def prepare(task: TaskMachinery) -> None:
    """Let the runs of a task keep records, though it may have been used before that was wanted."""
    known = task._known_plans.get(task._receiver is not None)
    if known is not None and not known[1]["rich"]:
        task.__dict__["_known_plans"] = {}
        task._forget_plan()


class _Traced(unmapped[Any]):
    """Stands around an argument that Python's walk is to resolve.

    Attributes:
        sources: Runs that the argument comes from and that cannot be seen in it any more.
    """

    sources: tuple[RunInput, ...] = ()


def traced(value: Any, sources: Iterable[RunInput] = ()) -> Any:
    """Return an argument of which is known where it comes from."""
    new = _Traced(value)
    new.sources = tuple(sources)
    return new


def traced_call(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with `traced` around each."""
    return tuple(map(traced, args)), {name: traced(value) for name, value in kwargs.items()}


def traced_column(given: Any) -> Callable[[bool, Any], tuple[bool, Any]]:
    """Return what makes a column of a map traceable, by the argument that it was made of.

    A future that was resolved to get its items is an input of every run.
    """
    sources = sources_of(given, max_depth=0)
    if not sources and isinstance(given, tuple) and hasattr(given, "unwrap"):
        sources = sources_of(given, max_depth=1)

    def column(is_mapped: bool, value: Any) -> tuple[bool, Any]:
        if is_mapped:
            return True, [traced(item, sources) for item in value]
        return False, traced(value, sources)

    return column
