"""What is sent to a worker with a run, and what it sends back."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle  # type: ignore[import-untyped]

from oxtask._internal import context_transfer
from oxtask._internal.steps import from_user_code
from oxtask._internal.text import short_repr
from oxtask.exceptions import RemoteError, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.context import FlowRunContext

_PLAIN = frozenset({bool, bytes, complex, float, int, str, type(None)})
"""Types whose values `pickle` takes as well as `cloudpickle`, in a tenth of the time."""
_PROTOCOL = pickle.HIGHEST_PROTOCOL


class Order(NamedTuple):
    """An attempt to carry out the body of a run; all of it plain values.

    Attributes:
        key: Stands for the run.
        task_name: The name of its task.
        call: The task and the arguments, pickled; ``None`` if the worker has kept them.
        keep: Whether to keep them, for the next attempt.
        forget: Keys of runs whose calls need not be kept any longer.
        timeout_seconds: How long the body may take.
        record: The record of the run, packed.
        environment: The environment variables, if others than before.
        flow: The context of the flow run, pickled, if it is another than before; empty for none.
        settings: The settings that were set, as environment variables.
        tags: The tags in force.
        log_level: The level of the logger ``oxtask``.
    """

    key: int
    task_name: str
    call: bytes | None
    keep: bool
    forget: list[int]
    timeout_seconds: float | None
    record: tuple[Any, ...]
    environment: Mapping[Any, Any] | None
    flow: bytes | None
    settings: Mapping[str, str]
    tags: frozenset[str]
    log_level: int

    def pickled(self) -> bytes:
        """Return the order as it is sent."""
        return pickle.dumps(tuple(self), _PROTOCOL)


class Raised(NamedTuple):
    """An exception on its way to the program.

    Attributes:
        error: The exception, pickled; ``None`` if that cannot be done.
        type_name: The name of its class.
        message: Its text.
        traceback: The lines of its traceback.
        is_failure: Whether it is an `Exception`, and not something that tears the worker down.
    """

    error: bytes | None
    type_name: str
    message: str
    traceback: str
    is_failure: bool


class RemoteTracebackError(Exception):
    """The cause of an exception that was raised in a worker process: where that was."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\nIn the worker process:\n{self.text}"


def dumps(value: Any) -> bytes:
    """Pickle a value, with what it needs that cannot be imported."""
    if type(value) in _PLAIN:
        return pickle.dumps(value, _PROTOCOL)
    return cloudpickle.dumps(value, _PROTOCOL)  # type: ignore[no-any-return]


def pickled_setup(initializer: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> bytes:
    """Pickle what is called in a worker before its first run.

    Raises:
        TransferError: If that cannot be done.
    """
    try:
        return dumps((initializer, arguments))
    except Exception as error:
        msg = f"'initializer' or 'initargs' cannot be pickled: {describe(error)}"
        raise TransferError(msg) from error


def loads(content: bytes) -> Any:
    """Return what the other end of the line has pickled; nobody else has it."""
    return pickle.loads(content)  # noqa: S301


# --- calls ----------------------------------------------------------------------------------------


def pickled_call(task: TaskMachinery, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle a task and its arguments, together: what they share is still shared.

    Raises:
        TransferError: If that cannot be done; names what is in the way.
    """
    try:
        return dumps((task, args, kwargs))
    except Exception as error:
        check_call(task, args, kwargs)
        raise TransferError(_refusal("the call of", task, error)) from error


def check_call(task: TaskMachinery, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """See whether a task and its arguments can be pickled.

    Raises:
        TransferError: If one of them cannot; names it.
    """
    try:
        dumps(task)
    except Exception as error:
        raise TransferError(_refusal("the task", task, error)) from error
    for name, value in task._bind(args, kwargs).items():
        try:
            dumps(value)
        except Exception as error:
            what = f"argument {name!r}, {short_repr(value)}, of task"
            raise TransferError(_refusal(what, task, error)) from error


def _refusal(what: str, task: TaskMachinery, error: BaseException) -> str:
    return (
        f"{what} {task.name!r} cannot be sent to a worker process: {describe(error)}. Pass what "
        "can be pickled, and open files, connections and locks in the task"
    )


def describe(error: BaseException) -> str:
    """Return the class and the text of an exception, bounded; its text may be hostile."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a hostile text must not hide the error
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text[:_MAX_TEXT]}" if text else kind


_MAX_TEXT = 10_000


def pickled_flow(context: FlowRunContext | None) -> bytes:
    """Pickle the context of a flow run; without the parameters, if they cannot be."""
    if context is None:
        return b""
    fields = context_transfer.flow_fields(context)
    try:
        return dumps(fields)
    except Exception:  # noqa: BLE001 - whatever the values do
        fields["parameters"] = {}
    try:
        return dumps(fields)
    except Exception as error:
        msg = f"flow {context.flow.name!r} cannot be sent to a worker process: {describe(error)}"
        raise TransferError(msg) from error


# --- outcomes -------------------------------------------------------------------------------------


def pickled_error(error: BaseException) -> bytes:
    """Pickle an exception, and what is known of it if it cannot be unpickled."""
    try:
        content = dumps(error)
    except BaseException:  # noqa: BLE001 - told in words, then
        content = None
    raised = Raised(
        content,
        type(error).__name__,
        describe(error),
        traceback_text(error),
        isinstance(error, Exception),
    )
    return pickle.dumps(tuple(raised), _PROTOCOL)


def traceback_text(error: BaseException) -> str:
    """Return an exception with its traceback, from the user's code on, as text."""
    import traceback  # noqa: PLC0415 - only for runs that fail

    try:
        trace = from_user_code(error.__traceback__)
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception:  # noqa: BLE001 - a hostile exception
        return describe(error)


def error_from(content: bytes, task_name: str) -> tuple[BaseException, bool]:
    """Return an exception that a worker has sent, and whether it is a failure and not a crash."""
    raised = Raised(*loads(content))
    error: Any = None
    reason = "it cannot be pickled"
    if raised.error is not None:
        try:
            error = loads(raised.error)
        except Exception as failure:  # noqa: BLE001 - told in words, then
            reason = f"it cannot be unpickled ({describe(failure)})"
    if not isinstance(error, BaseException):
        error = RemoteError(
            f"task {task_name!r} raised {raised.message}. The exception itself stayed in the "
            f"worker process, since {reason}",
            raised.type_name,
            raised.traceback,
        )
    if isinstance(error, RemoteError) or error.__cause__ is None:
        error.__cause__ = RemoteTracebackError(raised.traceback)
    return error, raised.is_failure


def value_from(content: bytes, task_name: str) -> Any:
    """Return a value that a worker has sent.

    Raises:
        TransferError: If it cannot be unpickled.
    """
    try:
        return loads(content)
    except BaseException as error:
        msg = f"the result of task {task_name!r} cannot be unpickled: {describe(error)}"
        raise TransferError(msg) from error
