"""The parts of a state that are not the state itself: its type and its details."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.records import Record
from oxtask._internal.text import short_repr
from oxtask._internal.times import to_utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


class StateType(str, Enum):
    """What a state means to the engine; the name of a state is only a label."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"

    # The same hash as Enum's, which is that of the name, without a Python call for each lookup.
    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return f"StateType.{self._value_}"


SCHEDULED = StateType.SCHEDULED
PENDING = StateType.PENDING
RUNNING = StateType.RUNNING
COMPLETED = StateType.COMPLETED
FAILED = StateType.FAILED
CANCELLED = StateType.CANCELLED
CRASHED = StateType.CRASHED
PAUSED = StateType.PAUSED
CANCELLING = StateType.CANCELLING

TERMINAL_STATES = frozenset({COMPLETED, CANCELLED, FAILED, CRASHED})
"""The types a run does not leave any more."""

DEFAULT_NAMES = {type: type.value.capitalize() for type in StateType}


def to_state_type(value: StateType | str, name: str = "type") -> StateType:
    """Return ``value`` as a `StateType`.

    Raises:
        ValueError: There is no such type.
    """
    try:
        return StateType(value)
    except ValueError:
        raise ValueError(
            f"'{name}' must be a state type; got {short_repr(value)}. "
            f"The types are: {', '.join(StateType.__members__)}."
        ) from None


class StateDetails(Record):
    """What a state knows beside its type, message and data. Every field is optional.

    Attributes:
        flow_run_id: The flow run the state, or the state's task run, belongs to.
        task_run_id: The task run the state belongs to.
        child_flow_run_id: The flow run that a task run stands for in its parent flow run.
        scheduled_time: When a scheduled run should start.
        cache_key: The key the result is cached by.
        cache_expiration: When the cached result stops being valid.
        deferred: Whether the run waits for a task worker.
        untrackable_result: Whether the result is an object whose use cannot be traced back to this
            run.
        pause_timeout: When a paused run fails unless it was resumed.
        pause_reschedule: Whether a paused run leaves its process.
        pause_key: Which pause of the run this is.
        run_input_keyset: The keys of the input a paused run waits for.
        refresh_cache: Whether a cached result was ignored.
        retriable: Whether a failed run may be tried again.
        transition_id: The change of state that led here.
        task_parameters_id: Where the parameters of a deferred run are stored.
        traceparent: The trace context of the run.
        deployment_concurrency_lease_id: The lease that lets the run occupy a slot.
    """

    __slots__ = _fields = (
        "flow_run_id",
        "task_run_id",
        "child_flow_run_id",
        "scheduled_time",
        "cache_key",
        "cache_expiration",
        "deferred",
        "untrackable_result",
        "pause_timeout",
        "pause_reschedule",
        "pause_key",
        "run_input_keyset",
        "refresh_cache",
        "retriable",
        "transition_id",
        "task_parameters_id",
        "traceparent",
        "deployment_concurrency_lease_id",
    )
    _constants: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(_fields),
        "untrackable_result": False,
        "pause_reschedule": False,
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "flow_run_id": to_uuid,
        "task_run_id": to_uuid,
        "child_flow_run_id": to_uuid,
        "scheduled_time": to_utc,
        "cache_expiration": to_utc,
        "pause_timeout": to_utc,
        "transition_id": to_uuid,
        "task_parameters_id": to_uuid,
        "deployment_concurrency_lease_id": to_uuid,
    }

    flow_run_id: UUID | None
    task_run_id: UUID | None
    child_flow_run_id: UUID | None
    scheduled_time: datetime | None
    cache_key: str | None
    cache_expiration: datetime | None
    deferred: bool | None
    untrackable_result: bool
    pause_timeout: datetime | None
    pause_reschedule: bool
    pause_key: str | None
    run_input_keyset: dict[str, str] | None
    refresh_cache: bool | None
    retriable: bool | None
    transition_id: UUID | None
    task_parameters_id: UUID | None
    traceparent: str | None
    deployment_concurrency_lease_id: UUID | None
