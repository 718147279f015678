"""Everything oxtask raises.

Errors derive from `OxtaskException`. Signals, which ``except Exception`` in a task body must not
swallow, derive from `BaseException`. All of them survive pickling, because they cross process
boundaries.

An exception raised by a task or a flow is not wrapped: it reaches the caller as the same object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Self

    from oxtask.states import State


class OxtaskException(Exception):  # noqa: N818 - the name follows the API it stands in for
    """The base of all errors oxtask raises on its own behalf."""


# --- the outcome of a run ------------------------------------------------------------------------


class FailedRun(OxtaskException):
    """The result of a failed run was asked for, and the state holds no exception to raise."""


class CrashedRun(OxtaskException):
    """The result of a crashed run was asked for, and the state holds no exception to raise."""


class CancelledRun(OxtaskException):
    """The result of a cancelled run was asked for, and the state holds no exception to raise."""


class PausedRun(OxtaskException):
    """The result of a paused run was asked for.

    Attributes:
        state: The paused state, or ``None``.
    """

    def __init__(self, *args: Any, state: State[Any] | None = None) -> None:
        super().__init__(*args)
        self.state = state


class UnfinishedRun(OxtaskException):
    """The result of a run was asked for before the run ended."""


class MissingResult(OxtaskException):
    """A run completed, but its value was not kept and is no longer available."""


class UpstreamTaskError(OxtaskException):
    """A run could not start because a run it depends on did not complete."""


class _RunTimeoutError(TimeoutError):
    """A run took longer than it may.

    Attributes:
        timeout_seconds: How long it may take, or ``None`` if that is not known.
    """

    timeout_seconds: float | None = None

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Make the error of a run that may take ``seconds``."""
        error = cls(f"Scope timed out after {seconds} second(s).")
        error.timeout_seconds = seconds
        return error


class TaskRunTimeoutError(_RunTimeoutError):
    """A task ran longer than its ``timeout_seconds``."""


class FlowRunTimeoutError(_RunTimeoutError):
    """A flow ran longer than its ``timeout_seconds``."""


# --- defining and calling tasks and flows --------------------------------------------------------


class ReservedArgumentError(OxtaskException, TypeError):
    """A function has a parameter whose name the call interface needs for itself."""


class InvalidNameError(OxtaskException, ValueError):
    """A name contains characters that are not allowed in it."""


class ParameterTypeError(OxtaskException):
    """The parameters of a flow do not fit the types its function declares."""

    @classmethod
    def from_validation_error(cls, error: Any) -> Self:
        """Describe a ``pydantic.ValidationError``, one line per invalid parameter.

        Args:
            error: The validation error, or anything whose ``errors()`` yields dicts with the keys
                ``loc`` and ``msg``.
        """
        lines = [
            f" - {'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}"
            for entry in error.errors()
        ]
        return cls("\n".join(["Flow run received invalid parameters:", *lines]))


class ParameterBindError(TypeError, OxtaskException):
    """The arguments of a call do not fit the function's signature."""

    @classmethod
    def from_bind_failure(
        cls,
        fn: Callable[..., Any],
        error: TypeError,
        call_args: tuple[Any, ...],
        call_kwargs: Mapping[str, Any],
    ) -> Self:
        """Describe why ``fn`` cannot be called with the given arguments.

        Args:
            fn: The function; an object without a name is called by its type's.
            error: What ``inspect.Signature.bind`` raised.
            call_args: The positional arguments.
            call_kwargs: The keyword arguments; only their names are shown.
        """
        from inspect import signature  # noqa: PLC0415 - start-up time

        name = getattr(fn, "__name__", None) or type(fn).__name__
        try:
            expected = f"The function has signature '{str(signature(fn)).strip('()')}'"
        except (TypeError, ValueError):  # builtins need not have one
            expected = "The function has no readable signature"
        return cls(
            f"Error binding parameters for function '{name}': {error}.\n"
            f"{expected} and received args: {short_repr(call_args)} "
            f"and kwargs: {list(call_kwargs)}."
        )


class SignatureMismatchError(OxtaskException, TypeError):
    """A set of parameters names one that the function does not have."""

    @classmethod
    def from_bad_params(cls, expected: Iterable[str], provided: Iterable[str]) -> Self:
        """Describe the difference between ``expected`` and ``provided`` parameter names."""
        expected, provided = list(expected), list(provided)
        unknown = [name for name in provided if name not in expected]
        return cls(
            f"Function expects parameters {expected} but was provided with parameters {provided}. "
            f"Remove {unknown} or add a parameter of that name."
        )


class MappingLengthMismatch(OxtaskException):
    """The iterables given to ``map`` have different lengths."""


class MappingMissingIterable(OxtaskException):
    """``map`` was called with nothing to map over."""


class MissingContextError(OxtaskException, RuntimeError):
    """Something that needs a running task or flow was used outside one."""


# --- looking things up ---------------------------------------------------------------------------


class MissingFlowError(OxtaskException):
    """A script does not contain the flow that was asked for, or contains none."""


class UnspecifiedFlowError(OxtaskException):
    """A script contains several flows and none was asked for by name."""


class ScriptError(OxtaskException):
    """A script raised while it was loaded.

    Args:
        user_exc: What the script raised.
        path: Where the script is.
    """

    def __init__(self, user_exc: Exception, path: str) -> None:
        super().__init__(f"Script at {path!r} encountered an exception: {short_repr(user_exc)}")
        self.user_exc = user_exc
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with the finished message.
        return (type(self), (self.user_exc, self.path))


class ObjectNotFound(OxtaskException):
    """A run, artifact, variable or other stored object does not exist."""


class ObjectAlreadyExists(OxtaskException):
    """A stored object of that name or key exists already."""


class MissingProfileError(OxtaskException, ValueError):
    """A settings profile of that name does not exist."""


class ConfigurationError(OxtaskException):
    """Options or settings contradict each other, or ask for something that is not there."""


# --- pausing and waiting -------------------------------------------------------------------------


class NotPausedError(OxtaskException):
    """A run that is not paused was asked to resume."""


class FlowPauseTimeout(OxtaskException):
    """A paused flow run was not resumed in time."""


class FlowRunWaitTimeout(OxtaskException):
    """A flow run did not end within the time given to wait for it."""


# --- values --------------------------------------------------------------------------------------


class SerializationError(OxtaskException):
    """A value could not be written in, or read from, the chosen format."""


class CorruptRecordError(OxtaskException, ValueError):
    """A stored result is damaged, belongs to another key, or is none that oxtask has written."""


class NewerRecordError(OxtaskException, ValueError):
    """A stored result was written by a newer version of oxtask; it is left alone."""


class ResultStoreError(OxtaskException, OSError):
    """A result could not be written to its storage, or read from it.

    Attributes:
        errno: The operating system's number of the error, or ``None``.
        filename: Where the result is kept.
    """


class ResultPersistenceError(OxtaskException):
    """A task run had its result, and it could not be stored; the cause says why."""


class LockTimeoutError(OxtaskException, TimeoutError):
    """A transaction did not get the lock on its key in time: another holder has it."""


class TransactionCommitError(OxtaskException):
    """A transaction could not be committed, and was rolled back; the cause says why."""


class HashError(OxtaskException):
    """A value could not be hashed, so no cache key can be made from it.

    Attributes:
        path: The part that is to blame, such as ``"cfg.client._lock"``.
        is_read_once: Whether that part is an iterator, which hashing would use up.
    """

    path: str = ""
    is_read_once: bool = False


# --- the machinery -------------------------------------------------------------------------------


class DeadlockError(OxtaskException, RuntimeError, ValueError):
    """Waiting would never end: the run waited for depends on the run that waits."""


class ForkedProcessError(OxtaskException, RuntimeError):
    """A task runner or future that belongs to the parent process was used after ``fork``."""


class TooManyStuckTasksError(OxtaskException, RuntimeError):
    """Too many timed-out tasks still occupy their threads for another one to be replaced."""


# --- worker processes ----------------------------------------------------------------------------


class WorkerDiedError(CrashedRun):
    """The worker process that carried out a run ended before the run did.

    Attributes:
        pid: The number of the process.
        exit_code: Its exit code, or less than 0: the signal that killed it; ``None`` if unknown.
    """

    def __init__(self, message: str, pid: int | None = None, exit_code: int | None = None) -> None:
        super().__init__(message, pid, exit_code)
        self.pid = pid
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


class TransferError(OxtaskException, TypeError):
    """An argument or a result cannot be pickled, and so not be sent to or from a worker process."""


class RemoteError(OxtaskException):
    """Stands for an exception that was raised in a worker process and cannot be brought here.

    Attributes:
        type_name: The name of its class.
        traceback_text: Its traceback.
    """

    def __init__(self, message: str, type_name: str = "", traceback_text: str = "") -> None:
        super().__init__(message, type_name, traceback_text)
        self.type_name = type_name
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        return str(self.args[0])


# --- signals -------------------------------------------------------------------------------------


class OxtaskSignal(BaseException):
    """The base of what oxtask raises to steer a run; not an error, so not an `Exception`."""


class Abort(OxtaskSignal):
    """Stop the run without recording an outcome."""


class Pause(OxtaskSignal):
    """Leave the run because it is paused.

    Attributes:
        state: The paused state, or ``None``.
    """

    def __init__(self, *args: Any, state: State[Any] | None = None) -> None:
        super().__init__(*args)
        self.state = state


class ExternalSignal(BaseException):
    """The base of what the operating system asks of a run."""


class TerminationSignal(ExternalSignal):
    """The process was asked to terminate.

    Args:
        signal: The number of the operating system signal, such as ``signal.SIGTERM``.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal

    def __str__(self) -> str:
        from signal import Signals  # noqa: PLC0415 - start-up time

        try:
            return f"received signal {Signals(self.signal).name}"
        except ValueError:
            return f"received signal {self.signal}"
