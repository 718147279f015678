"""What the records of task runs and flow runs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import new_id, to_uuid
from oxtask._internal.records import Record
from oxtask._internal.slugs import random_slug
from oxtask._internal.state import State, engine_state
from oxtask._internal.state_types import StateDetails, StateType
from oxtask._internal.text import short_repr
from oxtask._internal.times import microsecond_after, no_duration, to_duration, to_utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

    from typing_extensions import Self


def _to_tags(value: Any, name: str) -> list[str]:
    if isinstance(value, str):
        raise TypeError(f"'{name}' must be a list of tags; got the text {short_repr(value)}.")
    return list(value)


def to_dict(value: Any, name: str) -> dict[str, Any]:  # noqa: ARG001
    return dict(value)


class RunRecord(Record):
    """What task runs and flow runs have in common."""

    __slots__ = (
        "_state",
        "created",
        "empirical_policy",
        "end_time",
        "estimated_run_time",
        "estimated_start_time_delta",
        "expected_start_time",
        "id",
        "labels",
        "name",
        "next_scheduled_start_time",
        "run_count",
        "start_time",
        "tags",
        "total_run_time",
        "updated",
    )
    _fields: ClassVar[tuple[str, ...]] = (
        "id",
        "name",
        "tags",
        "labels",
        "state",
        "run_count",
        "expected_start_time",
        "next_scheduled_start_time",
        "start_time",
        "end_time",
        "total_run_time",
        "estimated_run_time",
        "estimated_start_time_delta",
        "empirical_policy",
        "created",
        "updated",
    )
    _derived = ("state_id", "state_type", "state_name")
    _constants: ClassVar[Mapping[str, Any]] = {
        "_state": None,
        "run_count": 0,
        "expected_start_time": None,
        "next_scheduled_start_time": None,
        "start_time": None,
        "end_time": None,
        "created": None,
        "updated": None,
    }
    _factories: ClassVar[Mapping[str, Any]] = {
        "id": lambda _: new_id(),
        "name": lambda _: random_slug(),
        "tags": lambda _: [],
        "labels": lambda _: {},
        "total_run_time": lambda _: no_duration(),
        "estimated_run_time": lambda _: no_duration(),
        "estimated_start_time_delta": lambda _: no_duration(),
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "id": to_uuid,
        "tags": _to_tags,
        "labels": to_dict,
        "state": lambda value, _: State.model_validate(value),
        "expected_start_time": to_utc,
        "next_scheduled_start_time": to_utc,
        "start_time": to_utc,
        "end_time": to_utc,
        "total_run_time": to_duration,
        "estimated_run_time": to_duration,
        "estimated_start_time_delta": to_duration,
        "created": to_utc,
        "updated": to_utc,
    }

    id: UUID
    name: str
    tags: list[str]
    labels: dict[str, Any]
    run_count: int
    expected_start_time: datetime | None
    next_scheduled_start_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: timedelta
    estimated_run_time: timedelta
    estimated_start_time_delta: timedelta
    created: datetime | None
    updated: datetime | None
    _state: State[Any] | None

    def __init__(self, **fields: Any) -> None:
        if not fields.get("name"):
            fields.pop("name", None)
        super().__init__(**fields)

    @classmethod
    def new_pending(cls, *, timestamp: datetime | int | None = None, **fields: Any) -> Self:
        """Make a record together with its first state, which is pending.

        The run is expected to start when it became pending, unless ``fields`` says otherwise.

        Args:
            timestamp: A datetime, or nanoseconds since the epoch; defaults to now.
            **fields: Fields of the record.
        """
        run = cls(**fields)
        pending = engine_state(StateType.PENDING, timestamp=timestamp)
        run.set_state(pending)
        if run.expected_start_time is None:
            run.expected_start_time = pending.timestamp
        return run

    @property
    def state(self) -> State[Any] | None:
        """Where the run stands; ``None`` before it has a state."""
        return self._state

    @state.setter
    def state(self, state: State[Any] | None) -> None:
        if state is not None and not isinstance(state, State):
            raise TypeError(f"'state' must be a State or None; got {short_repr(state)}.")
        self._state = state

    @property
    def state_id(self) -> UUID | None:
        """The id of the state."""
        state = self._state
        return None if state is None else state.id

    @property
    def state_type(self) -> StateType | None:
        """The type of the state."""
        state = self._state
        return None if state is None else state.type

    @property
    def state_name(self) -> str | None:
        """The name of the state."""
        state = self._state
        return None if state is None else state.name

    def set_state(self, state: State[Any]) -> None:
        """Let the run enter a state.

        The state is made to belong to this run, and to be later than the one before: by a
        microsecond if the clock did not move on.
        """
        previous = self._state
        if state is previous:
            return
        self._own(state.state_details)
        if previous is not None and state.timestamp <= previous.timestamp:
            state.timestamp = microsecond_after(previous.timestamp)
        self.state = state

    def _own(self, details: StateDetails) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, name={self.name!r}, state={self._state!s})"
