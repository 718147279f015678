"""What the records of task runs and flow runs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.lazy_fields import Duration, Identity, Moment
from oxtask._internal.records import Record
from oxtask._internal.slugs import random_slug
from oxtask._internal.state import State, engine_state
from oxtask._internal.state_types import TERMINAL_STATES, StateType
from oxtask._internal.text import short_repr
from oxtask._internal.times import to_duration, to_utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

    from typing_extensions import Self


def _to_id(value: Any, name: str) -> UUID | int:
    # The engine's numbers stay numbers until they are read.
    if type(value) is int and 0 <= value < 1 << 128:
        return value
    return to_uuid(value, name)


def _to_tags(value: Any, name: str) -> list[str]:
    if isinstance(value, str):
        raise TypeError(f"'{name}' must be a list of tags; got the text {short_repr(value)}.")
    return list(value)


def to_dict(value: Any, name: str) -> dict[str, Any]:  # noqa: ARG001
    return dict(value)


class RunRecord(Record):
    """What task runs and flow runs have in common."""

    __slots__ = (
        "_end_time",
        "_estimated_run_time",
        "_estimated_start_time_delta",
        "_expected_start_time",
        "_id",
        "_next_scheduled_start_time",
        "_start_time",
        "_state",
        "_total_run_time",
        "created",
        "empirical_policy",
        "labels",
        "name",
        "run_count",
        "tags",
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
    _factories: ClassVar[Mapping[str, Any]] = {
        "name": lambda _: random_slug(),
        "tags": lambda _: [],
        "labels": lambda _: {},
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "id": _to_id,
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

    if TYPE_CHECKING:
        id: UUID
        expected_start_time: datetime | None
        next_scheduled_start_time: datetime | None
        start_time: datetime | None
        end_time: datetime | None
        total_run_time: timedelta
        estimated_run_time: timedelta
        estimated_start_time_delta: timedelta
    else:
        id = Identity()
        expected_start_time = Moment()
        next_scheduled_start_time = Moment()
        start_time = Moment()
        end_time = Moment()
        total_run_time = Duration()
        estimated_run_time = Duration()
        estimated_start_time_delta = Duration()
    name: str
    tags: list[str]
    labels: dict[str, Any]
    run_count: int
    created: datetime | None
    updated: datetime | None
    _id: UUID | int | None
    _expected_start_time: datetime | int | None
    _start_time: datetime | int | None
    _end_time: datetime | int | None
    _total_run_time: timedelta | int
    _estimated_run_time: timedelta | int
    _estimated_start_time_delta: timedelta | int
    _next_scheduled_start_time: datetime | int | None
    _state: State[Any] | None

    def __init__(self, **fields: Any) -> None:
        # What every run touches is set here: an unset slot costs an exception to read.
        self._id = None
        self._state = None
        self._expected_start_time = None
        self._start_time = None
        self._end_time = None
        self._total_run_time = 0
        self._estimated_run_time = 0
        self._estimated_start_time_delta = 0
        self._next_scheduled_start_time = None
        self.created = None
        self.updated = None
        self.run_count = 0
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
        pending = engine_state(StateType.PENDING, None, timestamp)
        run.set_state(pending)
        if run._expected_start_time is None:
            run._expected_start_time = pending._timestamp
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
        state._join(*self._run_ids())
        if previous is not None:
            state._follow(previous)
        self.state = state

    def enter_state(self, state: State[Any]) -> None:
        """Let the run enter a state as `set_state` does, and keep its times and counts.

        The first running state starts the run and each one counts as an attempt. The time spent in
        running states adds up.
        """
        previous = self._state
        if state is previous:
            return
        self.set_state(state)
        if previous is not None and previous.type is StateType.RUNNING:
            self._add_run_time(previous, state)
        if state.type is StateType.RUNNING:
            self.run_count += 1
            if self._start_time is None:
                self._start_time = state._timestamp
        elif state.type in TERMINAL_STATES:
            self._finish(state._timestamp)

    def _add_run_time(self, since: State[Any], until: State[Any]) -> None:
        start, end, total = since._timestamp, until._timestamp, self._total_run_time
        if isinstance(start, int) and isinstance(end, int) and isinstance(total, int):
            # In whole microseconds, as the time stamps are read: the sum must fit them.
            self._total_run_time = total + (end // 1000 - start // 1000) * 1000
        else:
            self._total_run_time = self.total_run_time + (until.timestamp - since.timestamp)

    def _finish(self, moment: datetime | int) -> None:
        """Take note of the time at which the run entered a final state."""
        raise NotImplementedError

    def _run_ids(self) -> tuple[UUID | int | None, UUID | int | None]:
        """Return the task run and the flow run that the states of this run belong to."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, name={self.name!r}, state={self._state!s})"
