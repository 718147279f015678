"""States: how to make them, and what follows from them.

>>> state = Completed(message="done", data=42)
>>> print(state)
Completed('done')
>>> state.result(_sync=True)
42
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.state import State, engine_state, is_state, is_state_iterable
from oxtask._internal.state_conversions import (
    StateCreate,
    StateGroup,
    exception_to_crashed_state,
    exception_to_failed_state,
    format_exception,
    return_value_to_state,
    settled_return_state,
    to_state_create,
)
from oxtask._internal.state_types import TERMINAL_STATES, StateDetails, StateType
from oxtask._internal.text import short_repr
from oxtask._internal.times import to_duration, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import TypeVar

    # Nothing says what a state made here results in: without a default, each needs an annotation.
    R = TypeVar("R", default=Any)

__all__ = [
    "RESULT_READ_MAXIMUM_ATTEMPTS",
    "RESULT_READ_RETRY_DELAY",
    "TERMINAL_STATES",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "InfrastructurePending",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateCreate",
    "StateDetails",
    "StateGroup",
    "StateType",
    "Submitting",
    "Suspended",
    "aget_state_exception",
    "araise_state_exception",
    "engine_state",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "format_exception",
    "get_state_exception",
    "is_state",
    "is_state_iterable",
    "raise_state_exception",
    "return_value_to_state",
    "settled_return_state",
    "to_state_create",
]


RESULT_READ_MAXIMUM_ATTEMPTS = 10
"""How often a storage elsewhere is asked for a result that it does not show."""
RESULT_READ_RETRY_DELAY = 0.25
"""Seconds from one of these times to the next."""

# As a default, the bare class would leave the result of the state unknown to type checkers.
_State: type[State[Any]] = State


def _make(
    cls: type[State[R]], type: StateType, name: str | None, fields: dict[str, Any]
) -> State[R]:
    if not callable(cls):
        raise TypeError(
            f"The first argument of a state function is the class to make; got {short_repr(cls)}. "
            "Give the fields by name: message=..., data=..., name=..."
        )
    if name is not None:
        fields.setdefault("name", name)
    return cls(type=type, **fields)


def _make_scheduled(
    cls: type[State[R]],
    name: str | None,
    scheduled_time: datetime | None,
    fields: dict[str, Any],
) -> State[R]:
    if scheduled_time is not None:
        details = _own_details(fields)
        if details.scheduled_time is not None:
            raise ValueError(
                "The scheduled time was given twice, as 'scheduled_time' and in 'state_details'. "
                "Leave one of them out."
            )
        fields["state_details"] = details.model_copy(update={"scheduled_time": scheduled_time})
    return _make(cls, StateType.SCHEDULED, name, fields)


def _own_details(fields: dict[str, Any]) -> StateDetails:
    given = fields.get("state_details")
    return StateDetails() if given is None else StateDetails.model_validate(given)


def Scheduled(  # noqa: N802 - these functions are named after the states they make
    cls: type[State[R]] = _State, scheduled_time: datetime | None = None, **kwargs: Any
) -> State[R]:
    """Make a state of a run that waits for a point in time.

    Args:
        cls: The class to make.
        scheduled_time: When the run should start; defaults to now.
        **kwargs: Further fields of `State`.

    Raises:
        ValueError: The scheduled time was given here and in ``state_details``.
    """
    return _make_scheduled(cls, None, scheduled_time, kwargs)


def Late(  # noqa: N802
    cls: type[State[R]] = _State, scheduled_time: datetime | None = None, **kwargs: Any
) -> State[R]:
    """Make a state of a run that should have started already; arguments as for `Scheduled`."""
    return _make_scheduled(cls, "Late", scheduled_time, kwargs)


def AwaitingRetry(  # noqa: N802
    cls: type[State[R]] = _State, scheduled_time: datetime | None = None, **kwargs: Any
) -> State[R]:
    """Make a state of a run that failed and will be tried again; arguments as for `Scheduled`."""
    return _make_scheduled(cls, "AwaitingRetry", scheduled_time, kwargs)


def AwaitingConcurrencySlot(  # noqa: N802
    cls: type[State[R]] = _State, scheduled_time: datetime | None = None, **kwargs: Any
) -> State[R]:
    """Make a state of a run that waits for a free slot; arguments as for `Scheduled`."""
    return _make_scheduled(cls, "AwaitingConcurrencySlot", scheduled_time, kwargs)


def Pending(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that is about to start; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.PENDING, None, kwargs)


def Submitting(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run on its way to where it runs; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.PENDING, "Submitting", kwargs)


def InfrastructurePending(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that waits for its process; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.PENDING, "InfrastructurePending", kwargs)


def Running(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that is under way; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.RUNNING, None, kwargs)


def Retrying(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run in its second or a later attempt; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.RUNNING, "Retrying", kwargs)


def Completed(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that ended well; ``kwargs`` are fields of `State`.

    >>> Completed(data=3).result(_sync=True)
    3
    """
    return _make(cls, StateType.COMPLETED, None, kwargs)


def Failed(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that ended with an error; ``kwargs`` are fields of `State`.

    >>> print(Failed(message="no luck", name="Unlucky"))
    Unlucky('no luck', type=FAILED)
    """
    return _make(cls, StateType.FAILED, None, kwargs)


def Crashed(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that was torn down from outside; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.CRASHED, None, kwargs)


def Cancelling(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that is being cancelled; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.CANCELLING, None, kwargs)


def Cancelled(cls: type[State[R]] = _State, **kwargs: Any) -> State[R]:  # noqa: N802
    """Make a state of a run that was cancelled; ``kwargs`` are fields of `State`."""
    return _make(cls, StateType.CANCELLED, None, kwargs)


def Paused(  # noqa: N802
    cls: type[State[R]] = _State,
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    reschedule: bool = False,
    pause_key: str | None = None,
    **kwargs: Any,
) -> State[R]:
    """Make a state of a run that waits to be resumed.

    Args:
        cls: The class to make.
        timeout_seconds: How long to wait, in seconds from now; by default there is no limit.
        pause_expiration_time: The same as a point in time.
        reschedule: Whether the run leaves its process.
        pause_key: Which pause of the run this is.
        **kwargs: Further fields of `State`.

    Raises:
        ValueError: The end of the pause was given more than once.
    """
    details = _own_details(kwargs)
    if timeout_seconds is not None and pause_expiration_time is not None:
        raise ValueError(
            "The end of the pause was given twice, as 'timeout_seconds' and as "
            "'pause_expiration_time'. Leave one of them out."
        )
    if details.pause_timeout is not None:
        raise ValueError(
            "The end of the pause was given in 'state_details'. "
            "Give it as 'timeout_seconds' or 'pause_expiration_time' instead."
        )
    if timeout_seconds is not None:
        pause_expiration_time = utc_now() + to_duration(timeout_seconds, "timeout_seconds")
    update = {
        "pause_timeout": pause_expiration_time,
        "pause_reschedule": reschedule,
        "pause_key": pause_key,
    }
    kwargs["state_details"] = details.model_copy(update=update)
    return _make(cls, StateType.PAUSED, None, kwargs)


def Suspended(  # noqa: N802
    cls: type[State[R]] = _State,
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    pause_key: str | None = None,
    **kwargs: Any,
) -> State[R]:
    """Make a state of a paused run that stays in its process; arguments as for `Paused`."""
    kwargs.setdefault("name", "Suspended")
    return Paused(cls, timeout_seconds, pause_expiration_time, False, pause_key, **kwargs)


def get_state_exception(state: State[Any]) -> BaseException:
    """Return the exception a failed, crashed or cancelled state stands for.

    A state that holds an exception stands for that very object. One that holds text, or nothing but
    a message, stands for a `FailedRun`, `CrashedRun` or `CancelledRun` with that text. One that
    holds the states of other runs stands for the exception of the first of them that did not end
    well.

    Raises:
        ValueError: The state did not fail, or none of the states it holds did.
        TypeError: The state holds something that cannot be made into an exception.

    >>> get_state_exception(Failed(message="no luck"))
    FailedRun('no luck')
    """
    from oxtask._internal.state_failures import state_exception  # noqa: PLC0415 - start-up time

    return state_exception(state)


async def aget_state_exception(state: State[Any]) -> BaseException:
    """Return the exception a state stands for, as `get_state_exception` does, from a coroutine."""
    return get_state_exception(state)


def raise_state_exception(state: State[Any]) -> None:
    """Raise what `get_state_exception` returns if the state failed, crashed or was cancelled."""
    if state.type not in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED):
        return
    from oxtask._internal.state_failures import raise_failure  # noqa: PLC0415 - start-up time

    try:
        raise_failure(state)
    finally:
        # A traceback keeps this frame, and a state keeps its exception: do not close the circle.
        del state


async def araise_state_exception(state: State[Any]) -> None:
    """Raise the exception a state stands for, as `raise_state_exception` does, from a coroutine."""
    try:
        raise_state_exception(state)
    finally:
        del state
