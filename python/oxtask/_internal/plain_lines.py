"""The line that a plain run writes when it completes: all that it logs at INFO.

It is the line that `log_lines.finished` would write, made from the numbers of the run: a record and
states for every run that only a line is to name would cost many times as much as the line. The
line tells the id of the run, so the run can be read back from then on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import ref

from oxtask._internal import run_history
from oxtask._internal.log_lines import INFO, TASK_RUNS, logger, plain_end
from oxtask._internal.result_links import is_trackable
from oxtask._internal.run_sources import given_names, note_sources
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import COMPLETED, CompletedRun, Origin, origin_of
from oxtask.context import FlowRunContext, TagsContext
from oxtask.logging import messages
from oxtask.logging.formatters import UNKNOWN
from oxtask.logging.records import RecordMaker
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery

_TEXT = messages.finished(engine_state(StateType.COMPLETED))[1]
_new = tuple.__new__
"""Makes a named tuple as its class does, without a call of Python code."""


class _Place(NamedTuple):
    """What is worked out once for the runs of a task that are made in one place.

    Attributes:
        flow_context: Returns the context of the flow run, as long as there is one.
        tags_context: Returns the context of the tags.
        tags: The tags of the task.
        origin: What the records of the runs have in common.
        given_names: The parameters of the task.
        flow_run_name: The name of the flow run.
        run_name: The name of the runs, where they all have the same.
        records: Makes the records of their lines.
    """

    flow_context: Callable[[], FlowRunContext | None]
    tags_context: Callable[[], TagsContext | None]
    tags: set[str]
    origin: Origin
    given_names: tuple[str, ...]
    flow_run_name: str
    run_name: str | None
    records: RecordMaker


class PlainLines:
    """Writes the lines of the runs of one task, which does not change."""

    __slots__ = ("_logger", "_place")

    def __init__(self) -> None:
        self._logger = logger(TASK_RUNS)
        self._place: _Place | None = None

    def completing(self, run: Run, value: Any) -> None:
        """Write that a plain run completes; called by the core, in the context of the run.

        Args:
            run: The run.
            value: What it came to.
        """
        own = self._logger
        if not own.isEnabledFor(INFO):
            return
        if get_current_settings().debug_mode:
            plain_end(run, COMPLETED, value)
            return
        place = self._place_of(run.task)
        is_plain, number, text, digits, created, started = run.told()
        now = time.time_ns()
        if is_plain:
            names, is_known = place.given_names, is_trackable(value)
            facts = place.origin, number, created, started, now, names, is_known
            run_history.completed(_new(CompletedRun, facts))
        else:
            note_sources(run)
            run_history.observe(run.future)
        name = place.run_name if place.run_name else f"{place.origin.task_name}-{digits}"
        own.handle(place.records.make(now, {"task_run_id": text, "task_run_name": name}))

    def _place_of(self, task: TaskMachinery) -> _Place:
        flow_context = FlowRunContext.__var__.get(None)
        tags_context = TagsContext.__var__.get(None)
        place = self._place
        if (
            place is None
            or place.flow_context() is not flow_context
            or place.tags_context() is not tags_context
            or place.tags != task.tags
            or (
                flow_context is not None
                and place.flow_run_name is not flow_context.flow_run.name
            )
        ):
            origin, fields = origin_of(task), _fields(task, flow_context)
            place = self._place = _Place(
                _weakly(flow_context),
                _weakly(tags_context),
                set(task.tags),
                origin,
                given_names(task),
                cast("str", fields["flow_run_name"]),
                origin.task_name if origin.flow_run_id is None else None,
                # The line is found where it is made, which is `completing`.
                RecordMaker(self._logger, INFO, _TEXT, (__file__, "completing"), fields),
            )
        return place


def _weakly(context: Any) -> Any:
    return (lambda: None) if context is None else ref(context)


def _fields(task: TaskMachinery, context: FlowRunContext | None) -> dict[str, str | None]:
    if context is None:
        flow_run_id, flow_run_name, flow_name = None, UNKNOWN, UNKNOWN
    else:
        flow_run_id, flow_run_name = str(context.flow_run.id), context.flow_run.name
        flow_name = UNKNOWN if context.flow is None else context.flow.name
    return {
        "task_name": task.name,
        "flow_run_id": flow_run_id,
        "flow_run_name": flow_run_name,
        "flow_name": flow_name,
    }
