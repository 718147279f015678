"""From a failed state to the exception it stands for. Imported once a run has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from oxtask._internal.state import State, is_state_iterable, unwrap
from oxtask._internal.state_results import is_stored, read
from oxtask._internal.state_types import CANCELLED, CRASHED, FAILED, StateType
from oxtask._internal.text import short_repr
from oxtask.exceptions import CancelledRun, CrashedRun, FailedRun, UnfinishedRun

if TYPE_CHECKING:
    from collections.abc import Collection

_FAILURES: dict[StateType, tuple[type[FailedRun | CrashedRun | CancelledRun], str]] = {
    FAILED: (FailedRun, "Run failed."),
    CRASHED: (CrashedRun, "Run crashed."),
    CANCELLED: (CancelledRun, "Run cancelled."),
}


def state_exception(state: State[Any]) -> BaseException:
    """Do what `oxtask.states.get_state_exception` says."""
    if state.type not in _FAILURES:
        raise ValueError(
            f"Expected failed or crashed state got {short_repr(state)}. "
            "Only failed, crashed and cancelled states have an exception."
        )
    wrapper, default_message = _FAILURES[state.type]
    if is_stored(state):
        state = read(state)
    data = unwrap(state.data)
    if data is None:
        return wrapper(state.message or default_message)
    if isinstance(data, BaseException):
        return data
    if isinstance(data, str):
        return wrapper(data)
    if isinstance(data, State):
        return state_exception(data)
    if is_state_iterable(data):
        for item in data:
            if item.type in _FAILURES:
                return state_exception(item)
        raise ValueError(
            f"{state.name} state holds an iterable of states but none were failed: "
            f"{short_repr(data)}."
        )
    raise TypeError(
        f"The data of {state.name} state is {short_repr(data)}: {type(data)} cannot be resolved "
        "into an exception. Give the state an exception, a text, or no data."
    )


def raise_failure(state: State[Any]) -> NoReturn:
    """Raise the exception of a failed state, with the traceback it had when it came."""
    unfinished = _unfinished_cause(unwrap(state.data))
    if unfinished is not None:
        raise UnfinishedRun(
            f"{state.message or state.name} "
            f"The run waited for is in state {short_repr(unfinished)}; its result is not available."
        )
    error = state_exception(state)
    raised = state._raised
    if raised is None or raised[0] is not error:
        raised = (error, error.__traceback__)
        is_fresh = error.__traceback__ is None and isinstance(
            error, (FailedRun, CrashedRun, CancelledRun)
        )
        if not is_fresh:  # one made for this call must not be kept alive
            state._raised = raised
    try:
        # From the traceback it came with: else each call would add its frames to the last call's.
        raise error.with_traceback(raised[1])
    finally:
        del state, error, raised


def _unfinished_cause(data: Any) -> State[Any] | None:
    """Return the state that kept the run from completing if none of those it returned failed."""
    states: Collection[State[Any]]
    if isinstance(data, State):
        states = (data,)
    elif is_state_iterable(data):
        states = data
    else:
        return None
    if any(state.type in _FAILURES for state in states):
        return None
    return next((state for state in states if not state.is_final()), None)
