"""Records of task runs and flow runs, artifacts and variables.

A record takes its fields by name. One that is not given, or is ``None``, has its default, which is
made when it is read first. Durations are ``timedelta``, times are in UTC.

>>> run = TaskRun.new_pending(name="add-1", task_key="add")
>>> run.state_name, run.run_count, run.expected_start_time == run.state.timestamp
('Pending', 0, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.run_inputs import (
    Constant,
    FlowRunResult,
    Inputs,
    Parameter,
    RunInput,
    Sources,
    TaskRunResult,
    to_run_input,
)
from oxtask._internal.run_policies import FlowRunPolicy, TaskRunPolicy
from oxtask._internal.run_record import RunRecord, to_dict
from oxtask._internal.state import State
from oxtask._internal.state_types import TERMINAL_STATES, StateDetails, StateType
from oxtask._internal.stored_records import Artifact, Variable
from oxtask._internal.times import to_utc
from oxtask.client.schemas.logs import Log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

__all__ = [
    "TERMINAL_STATES",
    "Artifact",
    "Constant",
    "FlowRun",
    "FlowRunPolicy",
    "FlowRunResult",
    "Log",
    "Parameter",
    "RunInput",
    "State",
    "StateDetails",
    "StateType",
    "TaskRun",
    "TaskRunInput",
    "TaskRunPolicy",
    "TaskRunResult",
    "Variable",
]

TaskRunInput = RunInput


def _to_inputs(value: Any, name: str) -> dict[str, list[RunInput]] | Sources:  # noqa: ARG001
    if type(value) is Sources:
        return value
    return {key: [to_run_input(item) for item in inputs] for key, inputs in value.items()}


class TaskRun(RunRecord):
    """One run of a task.

    Attributes:
        id: A UUID version 7.
        name: Defaults to two random words.
        flow_run_id: The flow run the task was called in, or ``None``.
        task_key: Which task it is.
        dynamic_key: What tells this run of the task from the others.
        cache_key: The key the result is cached by.
        cache_expiration: When the cached result stops being valid.
        task_version: The version of the task.
        empirical_policy: When the run is tried again.
        tags: The tags of the task and of the place it was called at.
        labels: Labels.
        state: Where the run stands; ``state_id``, ``state_type`` and ``state_name`` follow it.
        task_inputs: For each parameter, the runs its argument came from.
        run_count: How many attempts have started.
        flow_run_run_count: How many attempts of the flow run had started when this run began.
        expected_start_time: When the run became pending, unless it is scheduled for later.
        next_scheduled_start_time: When the next attempt starts.
        start_time: When the first attempt started.
        end_time: When the run entered its final state.
        total_run_time: The time all attempts took together.
        estimated_run_time: The same for a run that is under way; left at zero here.
        estimated_start_time_delta: How late the run started; left at zero here.
        created: When the record was stored.
        updated: When the stored record was last changed.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "flow_run_id",
        "task_key",
        "dynamic_key",
        "cache_key",
        "cache_expiration",
        "task_version",
        "task_inputs",
        "flow_run_run_count",
    )
    __slots__ = (
        "_task_inputs",
        "cache_expiration",
        "cache_key",
        "dynamic_key",
        "flow_run_id",
        "flow_run_run_count",
        "task_key",
        "task_version",
    )
    _constants: ClassVar[Mapping[str, Any]] = {
        "task_key": "",
        "dynamic_key": "",
        "cache_key": None,
        "cache_expiration": None,
        "task_version": None,
        "flow_run_run_count": 0,
    }
    _factories: ClassVar[Mapping[str, Any]] = {
        "_task_inputs": lambda _: {},
        "empirical_policy": lambda _: TaskRunPolicy(),
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "flow_run_id": to_uuid,
        "cache_expiration": to_utc,
        "task_inputs": _to_inputs,
        "empirical_policy": lambda value, _: TaskRunPolicy.model_validate(value),
    }

    flow_run_id: UUID | None
    task_key: str
    dynamic_key: str
    cache_key: str | None
    cache_expiration: datetime | None
    task_version: str | None
    empirical_policy: TaskRunPolicy
    _task_inputs: dict[str, list[RunInput]] | Sources
    if TYPE_CHECKING:
        task_inputs: dict[str, list[RunInput]]
    else:
        task_inputs = Inputs()
    flow_run_run_count: int

    def __init__(self, **fields: Any) -> None:
        self.flow_run_id = None
        self.cache_key = None
        self.cache_expiration = None
        super().__init__(**fields)

    def _run_ids(self) -> tuple[UUID | int | None, UUID | int | None]:
        return self._id if self._id is not None else self.id, self.flow_run_id

    def _finish(self, moment: datetime | int) -> None:
        # A run that never started never ended either; a later final state changes nothing.
        if self._start_time is not None and self._end_time is None:
            self._end_time = moment


class FlowRun(RunRecord):
    """One run of a flow. Two are equal if all their fields are, apart from the two estimates.

    Attributes:
        id: A UUID version 7.
        name: Defaults to two random words.
        flow_id: Which flow it is.
        flow_version: The version of the flow.
        deployment_id: ``None`` for a run in the caller's process, as are the next three.
        work_queue_id: See ``deployment_id``.
        work_queue_name: See ``deployment_id``.
        work_pool_name: See ``deployment_id``.
        parameters: The arguments the flow was called with.
        idempotency_key: Of two runs with the same key only one is made.
        context: Further information about the run.
        empirical_policy: When the run is tried again.
        parent_task_run_id: The task run that stands for this run in the flow run that called it.
        job_variables: Settings of the place the run takes place at.
        auto_scheduled: Whether a schedule made the run.
        infrastructure_pid: What identifies the process of the run.
        tags: The tags of the flow and of the place it was called at.
        labels: Labels.
        state: Where the run stands; ``state_id``, ``state_type`` and ``state_name`` follow it.
        run_count: How many attempts have started.
        expected_start_time: When the run became pending, unless it is scheduled for later.
        next_scheduled_start_time: When the next attempt starts.
        start_time: When the first attempt started.
        end_time: When the run entered its final state.
        total_run_time: The time all attempts took together.
        estimated_run_time: The same for a run that is under way; left at zero here.
        estimated_start_time_delta: How late the run started; left at zero here.
        created: When the record was stored.
        updated: When the stored record was last changed.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "flow_id",
        "flow_version",
        "deployment_id",
        "work_queue_id",
        "work_queue_name",
        "work_pool_name",
        "parameters",
        "idempotency_key",
        "context",
        "parent_task_run_id",
        "job_variables",
        "auto_scheduled",
        "infrastructure_pid",
    )
    __slots__ = _fields
    _not_compared = ("estimated_run_time", "estimated_start_time_delta")
    _constants: ClassVar[Mapping[str, Any]] = {
        "flow_id": None,
        "flow_version": None,
        "deployment_id": None,
        "work_queue_id": None,
        "work_queue_name": None,
        "work_pool_name": None,
        "idempotency_key": None,
        "parent_task_run_id": None,
        "job_variables": None,
        "auto_scheduled": False,
        "infrastructure_pid": None,
    }
    _factories: ClassVar[Mapping[str, Any]] = {
        "parameters": lambda _: {},
        "context": lambda _: {},
        "empirical_policy": lambda _: FlowRunPolicy(),
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "flow_id": to_uuid,
        "deployment_id": to_uuid,
        "work_queue_id": to_uuid,
        "parameters": to_dict,
        "context": to_dict,
        "parent_task_run_id": to_uuid,
        "job_variables": to_dict,
        "empirical_policy": lambda value, _: FlowRunPolicy.model_validate(value),
    }

    flow_id: UUID | None
    flow_version: str | None
    deployment_id: UUID | None
    work_queue_id: UUID | None
    work_queue_name: str | None
    work_pool_name: str | None
    parameters: dict[str, Any]
    idempotency_key: str | None
    context: dict[str, Any]
    empirical_policy: FlowRunPolicy
    parent_task_run_id: UUID | None
    job_variables: dict[str, Any] | None
    auto_scheduled: bool
    infrastructure_pid: str | None

    def __init__(self, **fields: Any) -> None:
        # An unset slot costs an exception to read, and all are read when a run is kept.
        self.flow_version = self.idempotency_key = self.job_variables = None
        self.deployment_id = self.work_queue_id = self.parent_task_run_id = None
        self.work_queue_name = self.work_pool_name = self.infrastructure_pid = None
        self.auto_scheduled = False
        super().__init__(**fields)

    def _kept_parameters(self) -> dict[str, Any]:
        """Return what is kept of the parameters when the run has ended."""
        return self.parameters

    def _run_ids(self) -> tuple[UUID | int | None, UUID | int | None]:
        return self.parent_task_run_id, self._id if self._id is not None else self.id

    def enter_state(self, state: State[Any]) -> None:
        """Let the run enter a state; one that leaves a final state has no end any more."""
        if state.type not in TERMINAL_STATES:
            self._end_time = None
        super().enter_state(state)

    def _finish(self, moment: datetime | int) -> None:
        if self._start_time is None:
            self._start_time = moment
        self._end_time = moment
