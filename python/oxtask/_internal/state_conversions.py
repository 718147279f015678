"""How values and exceptions become states. `oxtask.states` is where users find these functions."""

from __future__ import annotations

import sys
from collections import Counter
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.interruptions import Interruption
from oxtask._internal.records import Record
from oxtask._internal.state import State, engine_state, is_state_iterable
from oxtask._internal.state_results import is_stored
from oxtask._internal.state_types import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    TERMINAL_STATES,
    StateDetails,
    StateType,
)
from oxtask._internal.text import MAX_MESSAGE, MAX_REPORT, short_repr, shortened
from oxtask.exceptions import TerminationSignal, WorkerDiedError
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from types import TracebackType
    from uuid import UUID


class StateGroup:
    """How many of some states are of which type.

    Attributes:
        states: The states, as given.
        type_counts: How many states there are of each type; zero for types that do not occur.
        total_count: How many states there are.
        cancelled_count: How many are cancelled.
        final_count: How many are final.
        not_final_count: How many are not final.
        paused_count: How many are paused.
        fail_count: How many failed or crashed.

    >>> StateGroup([State(type="COMPLETED"), State(type="RUNNING")]).counts_message()
    "total=2, not_final=1, 'COMPLETED'=1, 'RUNNING'=1"
    """

    def __init__(self, states: Collection[State[Any]]) -> None:
        self.states = states
        self.type_counts: Counter[StateType] = Counter(state.type for state in states)
        self.total_count: int = len(states)
        self.cancelled_count: int = self.type_counts[CANCELLED]
        self.final_count: int = sum(self.type_counts[type] for type in TERMINAL_STATES)
        self.not_final_count: int = self.total_count - self.final_count
        self.paused_count: int = self.type_counts[PAUSED]
        self.fail_count: int = self.type_counts[FAILED] + self.type_counts[CRASHED]

    def all_completed(self) -> bool:
        """Tell whether every state is completed."""
        return self.type_counts[COMPLETED] == self.total_count

    def any_cancelled(self) -> bool:
        """Tell whether a state is cancelled."""
        return self.cancelled_count > 0

    def any_failed(self) -> bool:
        """Tell whether a state is failed or crashed."""
        return self.fail_count > 0

    def any_paused(self) -> bool:
        """Tell whether a state is paused."""
        return self.paused_count > 0

    def all_final(self) -> bool:
        """Tell whether every state is final."""
        return self.final_count == self.total_count

    def counts_message(self) -> str:
        """Return the counts as text; a type that does not occur is left out."""
        parts = [f"total={self.total_count}"]
        if self.not_final_count:
            parts.append(f"not_final={self.not_final_count}")
        parts += [f"{type.value!r}={count}" for type, count in self.type_counts.items() if count]
        return ", ".join(parts)


def return_value_to_state(
    value: Any,
    *,
    result_store: Any = None,  # noqa: ARG001 - persistence comes in here
    key: str | None = None,  # noqa: ARG001
    expiration: datetime | None = None,  # noqa: ARG001
    write_result: bool = False,  # noqa: ARG001
) -> State[Any]:
    """Return the state of a run that returned ``value``.

    - A state that belongs to no run yet, because the user made it, becomes the state of the run.
      Whether it may end a run is not judged here; see `settled_return_state`.
    - A state of another run, or a list, set or tuple of nothing but states, is summed up: the run
      completed if all of them did.
    - A generator is read to its end, and the run's value is the list of what it yielded.
    - Anything else is the value of a completed run. So are empty and mixed containers, and dicts.

    Args:
        value: What the function returned.
        result_store: Accepted for compatibility, as are the arguments after it: values stay in
            memory.
        key: See ``result_store``.
        expiration: See ``result_store``.
        write_result: See ``result_store``.

    Raises:
        BaseException: Whatever a generator raises while it is read.

    >>> return_value_to_state(3).result(_sync=True)
    3
    >>> print(return_value_to_state([State(type="COMPLETED"), State(type="FAILED")]))
    Failed('1/2 states failed.')
    """
    if isinstance(value, State):
        details = value.state_details
        if details.flow_run_id is None and details.task_run_id is None:
            if not isinstance(value.data, ResultRecord):
                value.data = ResultRecord(value.data)
            return value
        return _aggregate_state((value,), value)
    if is_state_iterable(value):
        return _aggregate_state(value, value)
    if isinstance(value, ResultRecord):
        return engine_state(COMPLETED, data=value)
    if isinstance(value, GeneratorType):
        value = list(value)
    return engine_state(COMPLETED, data=ResultRecord(value))


def _aggregate_state(states: Collection[State[Any]], data: Any) -> State[Any]:
    group = StateGroup(states)
    if group.all_completed():
        type = COMPLETED
    elif group.any_cancelled():
        type = CANCELLED
    elif group.any_paused():
        type = PAUSED
    else:
        type = FAILED
    return engine_state(type, message=_aggregate_message(group), data=data)


def _aggregate_message(group: StateGroup) -> str:
    total = group.total_count
    if group.all_completed():
        return "All states completed."
    if group.any_cancelled():
        return f"{group.cancelled_count}/{total} states cancelled."
    if group.any_paused():
        return f"{group.paused_count}/{total} states paused."
    if group.any_failed():
        return f"{group.fail_count}/{total} states failed."
    if not group.all_final():
        return f"{group.not_final_count}/{total} states are not final."
    return f"Given states: {group.counts_message()}"


def settled_return_state(state: State[Any], run_kind: str = "Task run") -> State[Any]:
    """Return ``state`` if a run may end in it, else a failed state that says why it may not.

    A run that returned a running or scheduled state of the user's making would otherwise have no
    end. A paused state is fine; a flow run may also end in a cancelling state.

    Args:
        state: What `return_value_to_state` made of the value the function returned.
        run_kind: ``"Task run"`` or ``"Flow run"``; also the subject of the message.

    >>> print(settled_return_state(State(type="COMPLETED")))
    Completed()
    >>> settled_return_state(State(type="RUNNING")).type
    StateType.FAILED
    """
    if state.type in TERMINAL_STATES or state.type is PAUSED:
        return state
    if state.type is CANCELLING and run_kind == "Flow run":
        return state
    message = (
        f"{run_kind} returned {short_repr(state)}, and {state.type.value} is not a final type. "
        "Return a Completed, Failed, Cancelled, Crashed or Paused state, or a plain value."
    )
    return engine_state(FAILED, message=message)


def format_exception(exc: BaseException, tb: TracebackType | None = None) -> str:
    """Return an exception as text: type and message, or with a traceback if one is given.

    The type is written as in a traceback, with its module unless it is a builtin. Exceptions of
    oxtask itself are written without theirs.

    >>> format_exception(ValueError("no"))
    'ValueError: no'
    """
    kind = type(exc)
    module, name = kind.__module__, kind.__qualname__
    is_own = module == "oxtask" or module.startswith("oxtask.")
    if tb is not None:
        import traceback  # noqa: PLC0415 - start-up time

        whole = "".join(traceback.format_exception(kind, exc, tb)).rstrip("\n")
        text = shortened(whole, MAX_REPORT)
        return text.replace(f"{module}.{name}", name) if is_own else text
    full_name = name if is_own or module in ("builtins", "__main__") else f"{module}.{name}"
    try:
        text = shortened(str(exc), MAX_MESSAGE)
    except Exception as error:  # noqa: BLE001 - the failure of a run must not hide behind its text
        text = f"<its text is not available: __str__ raised {type(error).__name__}>"
    return f"{full_name}: {text}" if text else full_name


def exception_to_failed_state(
    exc: BaseException | None = None,
    message: str | None = None,
    *,
    name: str | None = None,
    timestamp: datetime | int | None = None,
    task_run_id: UUID | int | None = None,
    flow_run_id: UUID | int | None = None,
    details: Mapping[str, Any] | None = None,
    result_store: Any = None,  # noqa: ARG001 - persistence comes in here
    write_result: bool = False,  # noqa: ARG001
) -> State[Any]:
    """Return the failed state an exception leads to.

    Args:
        exc: The exception; defaults to the one being handled.
        message: What the message starts with, before the exception's type and text.
        name: The name of the state.
        timestamp: A datetime, or nanoseconds since the epoch; defaults to now.
        task_run_id: The task run that failed: a UUID, or its 128-bit integer.
        flow_run_id: The flow run that failed, or that the task run belongs to.
        details: Further fields of `StateDetails`; ``retriable`` is false unless it is given.
        result_store: Accepted for compatibility: the exception stays in memory.
        write_result: See ``result_store``.

    Raises:
        ValueError: No exception was given and none is being handled.

    >>> exception_to_failed_state(KeyError("a"), "Task run encountered an exception").message
    "Task run encountered an exception KeyError: 'a'"
    """
    exc = _given_or_active(exc)
    text = format_exception(exc)
    return engine_state(
        FAILED,
        name,
        timestamp,
        f"{message} {text}" if message else text,
        exc,
        task_run_id,
        flow_run_id,
        {"retriable": False, **(details or {})},
    )


def exception_to_crashed_state(
    exc: BaseException | None = None,
    *,
    timestamp: datetime | int | None = None,
    task_run_id: UUID | int | None = None,
    flow_run_id: UUID | int | None = None,
    result_store: Any = None,  # noqa: ARG001 - persistence comes in here
) -> State[Any]:
    """Return the crashed state an exception leads to; its message tells what tore the run down.

    Args:
        exc: The exception; defaults to the one being handled.
        timestamp: A datetime, or nanoseconds since the epoch; defaults to now.
        task_run_id: The task run that crashed: a UUID, or its 128-bit integer.
        flow_run_id: The flow run that crashed, or that the task run belongs to.
        result_store: Accepted for compatibility: the exception stays in memory.

    Raises:
        ValueError: No exception was given and none is being handled.

    >>> exception_to_crashed_state(KeyboardInterrupt()).message
    'Execution was aborted by an interrupt signal.'
    """
    exc = _given_or_active(exc)
    if _is_cancellation(exc):
        message = "Execution was cancelled by the runtime environment."
    elif isinstance(exc, KeyboardInterrupt):
        message = "Execution was aborted by an interrupt signal."
    elif isinstance(exc, TerminationSignal):
        message = "Execution was aborted by a termination signal."
    elif isinstance(exc, SystemExit):
        message = "Execution was aborted by Python system exit call."
    elif isinstance(exc, WorkerDiedError):
        message = f"Execution was cut short: {exc}."
    elif isinstance(exc, Interruption):
        message = f"Execution was interrupted: {exc.reason}."
    else:
        message = f"Execution was interrupted by an unexpected exception: {format_exception(exc)}"
    return engine_state(CRASHED, None, timestamp, message, exc, task_run_id, flow_run_id)


def _given_or_active(exc: BaseException | None) -> BaseException:
    exc = sys.exc_info()[1] if exc is None else exc
    if exc is None:
        raise ValueError(
            "'exc' was not given and there is no active exception to take its place. "
            "Pass the exception, or call this inside an except block."
        )
    return exc


def _is_cancellation(exc: BaseException) -> bool:
    # A module that was not imported cannot have raised its exception.
    modules = map(sys.modules.get, ("asyncio", "concurrent.futures"))
    kinds = (getattr(module, "CancelledError", None) for module in modules)
    return isinstance(exc, tuple(kind for kind in kinds if kind is not None))


class StateCreate(Record):
    """A state as it is stored: without the value, which stays in the process that made it.

    Attributes:
        type: What the state means.
        name: Its label.
        message: An explanation for people.
        data: How the value is stored, or ``None``.
        state_details: The details of the state.
    """

    __slots__ = _fields = ("type", "name", "message", "data", "state_details")
    _constants: ClassVar[Mapping[str, Any]] = {"name": None, "message": None, "data": None}
    _factories: ClassVar[Mapping[str, Any]] = {"state_details": lambda _: StateDetails()}

    type: StateType
    name: str | None
    message: str | None
    data: Any
    state_details: StateDetails


def to_state_create(state: State[Any]) -> StateCreate:
    """Return what is stored of a state: of its data, only the description of the stored value.

    A value that is not stored, where results are not kept, has none.
    """
    from oxtask._internal import keeping  # noqa: PLC0415 - start-up time

    data: Any = None
    if isinstance(state.data, ResultRecord):
        if state.data.is_persisted or keeping.current().persists:
            data = state.data.metadata
    elif is_stored(state):
        data = state.data
    return StateCreate(
        type=state.type,
        name=state.name,
        message=state.message,
        data=data,
        state_details=state.state_details.model_copy(),
    )
