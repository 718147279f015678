"""The line that a plain run writes when it completes: all that it logs at INFO.

It is the line that `log_lines.finished` would write, made from the numbers of the run: a record and
states for every run that only a line is to name would cost many times as much as the line. The
line tells the id of the run, so the run can be read back from then on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import ref

from oxtask._internal import run_history
from oxtask._internal.log_lines import INFO, TASK_RUNS, logger, plain_end
from oxtask._internal.result_links import is_trackable
from oxtask._internal.run_sources import given_names, note_sources
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import COMPLETED, CompletedRun, origin_of
from oxtask.context import FlowRunContext, TagsContext
from oxtask.logging import messages
from oxtask.logging.formatters import UNKNOWN
from oxtask.logging.records import RecordMaker
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery

_TEXT = messages.finished(engine_state(StateType.COMPLETED))[1]
_flow_context, _tags_context = FlowRunContext.__var__.get, TagsContext.__var__.get
_new = tuple.__new__
"""Makes a named tuple as its class does, without a call of Python code."""


class _Place:
    """What is worked out once for the runs of a task that are made in one place.

    Attributes:
        flow_context: Returns the context of the flow run, as long as there is one.
        tags_context: Returns the context of the tags.
        tags: The tags of the task.
        origin: What the records of the runs have in common.
        given_names: The parameters of the task.
        task_name: The name of the task.
        run_name: The name of the runs, where they all have the same.
        flow_run_name: The name of the flow run.
        records: Makes the records of their lines.
    """

    __slots__ = (
        "flow_context",
        "flow_run_name",
        "given_names",
        "origin",
        "records",
        "run_name",
        "tags",
        "tags_context",
        "task_name",
    )

    def __init__(
        self,
        task: TaskMachinery,
        own: logging.Logger,
        flow_context: FlowRunContext | None,
        tags_context: TagsContext | None,
    ) -> None:
        fields = _fields(task, flow_context)
        self.flow_context = _weakly(flow_context)
        self.tags_context = _weakly(tags_context)
        self.tags = set(task.tags)
        self.origin = origin_of(task)
        self.given_names = given_names(task)
        self.task_name = task.name
        self.run_name = task.name if self.origin.flow_run_id is None else None
        self.flow_run_name = fields["flow_run_name"]
        # The line is found where it is made, which is `completing`.
        self.records = RecordMaker(own, INFO, _TEXT, (__file__, "completing"), fields)


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
        record = place.records.make(now)
        fields = record.__dict__
        fields["task_run_id"] = text
        fields["task_run_name"] = place.run_name or f"{place.task_name}-{digits}"
        own.handle(record)

    def _place_of(self, task: TaskMachinery) -> _Place:
        flow_context = _flow_context(None)
        tags_context = _tags_context(None)
        place = self._place
        if (
            place is None
            or place.flow_context() is not flow_context
            or place.tags_context() is not tags_context
            or place.tags != task.tags
            or (flow_context is not None and place.flow_run_name is not flow_context.flow_run.name)
        ):
            place = self._place = _Place(task, self._logger, flow_context, tags_context)
        return place


def _weakly(context: Any) -> Callable[[], Any]:
    return (lambda: None) if context is None else ref(context)


def _fields(task: TaskMachinery, context: FlowRunContext | None) -> dict[str, str | None]:
    if context is None:
        flow_run_id, flow_run_name, flow_name = None, UNKNOWN, UNKNOWN
    else:
        flow_run_id, flow_run_name = str(context.flow_run.id), context.flow_run.name
        flow_name = UNKNOWN if context.flow is None else context.flow.name
    return {
        "task_run_id": None,
        "task_run_name": None,
        "task_name": task.name,
        "flow_run_id": flow_run_id,
        "flow_run_name": flow_run_name,
        "flow_name": flow_name,
    }
