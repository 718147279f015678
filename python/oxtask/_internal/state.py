"""The state of a run. `oxtask.states` is where users find it.

The engine makes states only when somebody looks at them, from the plain numbers it keeps
(`engine_state`). A state in turn makes its id, its time stamp and its details only when they are
read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeGuard, TypeVar, overload

from oxtask import _core
from oxtask._internal.dispatch import in_async_context
from oxtask._internal.ids import new_id, to_uuid
from oxtask._internal.lazy_fields import Identity, Moment
from oxtask._internal.records import Record
from oxtask._internal.state_results import is_stored, read
from oxtask._internal.state_types import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    DEFAULT_NAMES,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TERMINAL_STATES,
    StateDetails,
    StateType,
    to_state_type,
)
from oxtask._internal.times import datetime_from_nanoseconds, microsecond_after, to_utc, utc_now
from oxtask.exceptions import MissingResult, PausedRun, UnfinishedRun
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from typing_extensions import Self

R_co = TypeVar("R_co", covariant=True)


def _to_details(value: Any, name: str) -> StateDetails:  # noqa: ARG001 - the form conversions have
    return StateDetails.model_validate(value)


class State(Record, Generic[R_co]):
    """Where a run stands, and what came of it.

    Two states are equal if all their fields are, apart from ``id``, ``created`` and ``updated``.

    Args:
        type: What the state means; all decisions are made by it.
        name: A label; defaults to the type's name.
        timestamp: When the run entered the state; defaults to now. A naive time is taken to be UTC.
        message: An explanation for people.
        state_details: `StateDetails`, or a dict of their fields; copied. A scheduled state without
            a scheduled time gets its own time stamp.
        data: The result, or the exception, of the run.
        id: Defaults to a new UUID version 7.
        created: When the state was stored.
        updated: When the stored state was last changed.

    Raises:
        ValueError: A value does not fit its field.

    >>> state = State(type="COMPLETED", data=3)
    >>> state.name, state.is_final(), state.result(_sync=True)
    ('Completed', True, 3)
    """

    __slots__ = (
        "_id",
        "_raised",
        "_state_details",
        "_timestamp",
        "created",
        "data",
        "message",
        "name",
        "type",
        "updated",
    )
    _fields = (
        "id",
        "type",
        "name",
        "timestamp",
        "message",
        "state_details",
        "data",
        "created",
        "updated",
    )
    _constants: ClassVar[Mapping[str, Any]] = {
        "message": None,
        "data": None,
        "created": None,
        "updated": None,
        "_raised": None,
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "id": to_uuid,
        "type": to_state_type,
        "timestamp": to_utc,
        "state_details": _to_details,
        "created": to_utc,
        "updated": to_utc,
    }
    _not_compared = ("id", "created", "updated")

    if TYPE_CHECKING:
        id: UUID
        timestamp: datetime
    else:
        id = Identity()
        timestamp = Moment()
    type: StateType
    name: str
    message: str | None
    data: Any
    created: datetime | None
    updated: datetime | None
    _id: UUID | int | None
    _timestamp: datetime | int
    # The details, or what they are made from when they are read first: (task run id, flow run id,
    # further fields), or None if there is nothing to say.
    _state_details: StateDetails | tuple[Any, Any, Mapping[str, Any] | None] | None
    # The exception `result` raised, with the traceback it had before.
    _raised: tuple[BaseException, Any] | None

    def __init__(
        self,
        *,
        type: StateType | str,
        name: str | None = None,
        timestamp: datetime | str | None = None,
        message: str | None = None,
        state_details: StateDetails | Mapping[str, Any] | None = None,
        data: Any = None,
        id: UUID | str | None = None,
        created: datetime | str | None = None,
        updated: datetime | str | None = None,
    ) -> None:
        self.type = to_state_type(type)
        self.name = name or DEFAULT_NAMES[self.type]
        self.message = message
        self.data = data
        self._timestamp = time.time_ns()
        self._state_details = None
        self._id = None
        optional = {"timestamp": timestamp, "id": id, "created": created, "updated": updated}
        self._fill(optional, skip_none=True)
        if state_details is not None:
            details = StateDetails.model_validate(state_details)
            self.state_details = details.model_copy() if details is state_details else details
            self._schedule(self.state_details)

    @property
    def state_details(self) -> StateDetails:
        """What the state knows beside its type, message and data."""
        kept = self._state_details
        if isinstance(kept, StateDetails):
            return kept
        task_run_id, flow_run_id, further = kept or (None, None, None)
        further = dict(further or ())
        scheduled_time = further.get("scheduled_time")
        if isinstance(scheduled_time, int):
            further["scheduled_time"] = datetime_from_nanoseconds(scheduled_time)
        details = StateDetails(task_run_id=task_run_id, flow_run_id=flow_run_id, **further)
        self._schedule(details)
        settled: StateDetails = self._settle("_state_details", details, unset=kept)
        return settled

    @state_details.setter
    def state_details(self, details: StateDetails) -> None:
        self._state_details = details

    def _schedule(self, details: StateDetails) -> None:
        if self.type is SCHEDULED and details.scheduled_time is None:
            details.scheduled_time = self.timestamp

    def _join(self, task_run_id: UUID | int | None, flow_run_id: UUID | int | None) -> None:
        """Make the state belong to these runs."""
        kept = self._state_details
        if isinstance(kept, StateDetails):
            kept.task_run_id = None if task_run_id is None else to_uuid(task_run_id, "task_run_id")
            kept.flow_run_id = None if flow_run_id is None else to_uuid(flow_run_id, "flow_run_id")
        else:
            self._state_details = (task_run_id, flow_run_id, None if kept is None else kept[2])

    def _follow(self, previous: State[Any]) -> None:
        """Make the state later than another, by a microsecond if it is not."""
        own, before = self._timestamp, previous._timestamp
        if isinstance(own, int) and isinstance(before, int):
            if own // 1000 <= before // 1000:
                self._timestamp = (before // 1000 + 1) * 1000
        elif self.timestamp <= previous.timestamp:
            self._timestamp = microsecond_after(previous.timestamp)

    def is_scheduled(self) -> bool:
        """Tell whether the run waits for a point in time."""
        return self.type is SCHEDULED

    def is_pending(self) -> bool:
        """Tell whether the run is about to start, or cannot start."""
        return self.type is PENDING

    def is_running(self) -> bool:
        """Tell whether the run is under way."""
        return self.type is RUNNING

    def is_completed(self) -> bool:
        """Tell whether the run ended well."""
        return self.type is COMPLETED

    def is_failed(self) -> bool:
        """Tell whether the run ended with an error."""
        return self.type is FAILED

    def is_crashed(self) -> bool:
        """Tell whether the run was torn down by something other than its own code."""
        return self.type is CRASHED

    def is_cancelled(self) -> bool:
        """Tell whether the run was cancelled."""
        return self.type is CANCELLED

    def is_cancelling(self) -> bool:
        """Tell whether the run is being cancelled."""
        return self.type is CANCELLING

    def is_paused(self) -> bool:
        """Tell whether the run waits to be resumed."""
        return self.type is PAUSED

    def is_final(self) -> bool:
        """Tell whether the run does not leave this state any more."""
        return self.type in TERMINAL_STATES

    @overload
    def result(
        self,
        raise_on_failure: Literal[True] = True,
        retry_result_failure: bool = True,
        *,
        _sync: bool | None = None,
    ) -> R_co: ...

    @overload
    def result(
        self,
        raise_on_failure: bool = True,
        retry_result_failure: bool = True,
        *,
        _sync: bool | None = None,
    ) -> R_co | BaseException: ...

    def result(
        self,
        raise_on_failure: bool = True,
        retry_result_failure: bool = True,
        *,
        _sync: bool | None = None,
    ) -> Any:
        """Return what came of the run, or raise what it failed with.

        In an async run, and without a run on a running event loop, this returns an awaitable.

        Args:
            raise_on_failure: Raise the exception of a failed, crashed or cancelled run. If false,
                return the state's data, and an exception if it has none.
            retry_result_failure: Whether a result that a storage elsewhere does not show yet is
                asked for again. A folder is asked once.
            _sync: True to get the value, false to get an awaitable, whatever the context.

        Raises:
            PausedRun: The run is paused.
            UnfinishedRun: The run, or one whose state it returned, has not ended.
            MissingResult: The run completed and its value was not kept.
            BaseException: What the run failed with; `FailedRun`, `CrashedRun` or `CancelledRun`
                with the state's message if it is not known.
        """
        if _sync is False or (_sync is None and in_async_context()):
            return self.aresult(raise_on_failure, retry_result_failure)
        try:
            if is_stored(self) and self.is_final():
                return read(self, retries=retry_result_failure)._value(raise_on_failure)
            return self._value(raise_on_failure)
        finally:
            # A traceback keeps this frame, a state its exception: do not close the circle.
            del self

    @overload
    async def aresult(
        self, raise_on_failure: Literal[True] = True, retry_result_failure: bool = True
    ) -> R_co: ...

    @overload
    async def aresult(
        self, raise_on_failure: bool = True, retry_result_failure: bool = True
    ) -> R_co | BaseException: ...

    async def aresult(
        self,
        raise_on_failure: bool = True,
        retry_result_failure: bool = True,
    ) -> Any:
        """Return what came of the run, as `result` does, from a coroutine."""
        try:
            if is_stored(self) and self.is_final():
                import asyncio  # noqa: PLC0415 - start-up time

                state = await asyncio.to_thread(read, self, retries=retry_result_failure)
                return state._value(raise_on_failure)
            return self._value(raise_on_failure)
        finally:
            del self

    def _value(self, raise_on_failure: bool) -> Any:
        data = unwrap(self.data)
        if self.type is COMPLETED:
            if self.data is None:
                raise MissingResult("The result was not kept and is no longer available.")
            return data
        if self.type is PAUSED:
            raise PausedRun("Run is paused, its result is not available.", state=self)
        if self.type not in TERMINAL_STATES:
            raise UnfinishedRun(f"Run is in {self.type.value} state, its result is not available.")
        if data is not None and not raise_on_failure:
            return data
        # Start-up time: most programs that import this never see a failure.
        from oxtask._internal.state_failures import raise_failure, state_exception  # noqa: PLC0415

        if not raise_on_failure:
            return state_exception(self)
        try:
            raise_failure(self)
        finally:
            del self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the same id, entered now unless ``update`` says when.

        Args:
            update: Fields that get another value in the copy.
            deep: Copy the data, too, instead of sharing it. The details are never shared.

        Raises:
            TypeError: ``update`` names a field that does not exist.
        """
        own = {"timestamp": utc_now(), "state_details": self.state_details.model_copy()}
        if deep:
            del own["state_details"]
        return super().model_copy(update={**own, **(update or {})}, deep=deep)

    def fresh_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy that is a state of its own: new id, entered, created and updated now."""
        now = utc_now()
        own = {"id": new_id(), "created": now, "updated": now, "timestamp": now}
        return self.model_copy(update={**own, **(update or {})}, deep=deep)

    def __hash__(self) -> int:
        details = self.state_details
        return hash((details.flow_run_id, details.task_run_id, self.timestamp, self.type))

    def __str__(self) -> str:
        parts = []
        if self.message:
            parts.append(repr(self.message))
        if self.name.lower() != self.type.value.lower():
            parts.append(f"type={self.type.value}")
        return f"{self.name}({', '.join(parts)})"

    def __repr__(self) -> str:
        return (
            f"{self.name}(message={self.message!r}, type={self.type.value}, result={self.data!r})"
        )


def engine_state(  # noqa: PLR0917 - names cost time where the engine calls it
    type: StateType,
    name: str | None = None,
    timestamp: datetime | int | None = None,
    message: str | None = None,
    data: Any = None,
    task_run_id: UUID | int | None = None,
    flow_run_id: UUID | int | None = None,
    details: Mapping[str, Any] | None = None,
) -> State[Any]:
    """Make a state from what the engine keeps: nothing is checked or converted before it is read.

    Args:
        type: The type itself, not its text.
        name: Defaults to the type's name.
        timestamp: A datetime, or nanoseconds since the epoch; defaults to now.
        message: An explanation for people.
        data: The result, wrapped in a `ResultRecord`, or the exception.
        task_run_id: A UUID, or its 128-bit integer.
        flow_run_id: A UUID, or its 128-bit integer.
        details: Further fields of `StateDetails`; the scheduled time may be nanoseconds since the
            epoch.

    >>> engine_state(StateType.RUNNING, "Retrying", timestamp=0).timestamp.year
    1970
    """
    state: State[Any] = object.__new__(State)
    state.type = type
    state.name = name or DEFAULT_NAMES[type]
    state.message = message
    state.data = data
    # The fast way in: none of these is looked at before somebody reads it.
    state._timestamp = time.time_ns() if timestamp is None else timestamp
    state._state_details = (task_run_id, flow_run_id, details)
    state._id = None
    return state


def is_state(value: Any) -> TypeGuard[State[Any]]:
    """Tell whether a value is a state."""
    return isinstance(value, State)


def is_state_iterable(value: Any) -> TypeGuard[Collection[State[Any]]]:
    """Tell whether a value is a list, set or tuple of states, and not empty."""
    if not isinstance(value, (list, set, tuple)):
        return False
    try:
        return len(value) > 0 and all(isinstance(item, State) for item in value)
    except Exception:  # noqa: BLE001 - a collection of one's own that cannot be read is a value
        return False


def unwrap(data: Any) -> Any:
    """Return the value of a result record, and anything else as it is."""
    return data.result if isinstance(data, ResultRecord) else data


# The core asks of every returned value whether it is one.
_core.register_state_class(State)
