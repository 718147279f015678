"""Task runners: who runs what is submitted and mapped in a flow.

The default is `ThreadPoolTaskRunner`, on the core's scheduler. `ProcessPoolTaskRunner` calls the
functions of tasks in processes of their own. A runner of one's own is a subclass of `TaskRunner`
with `submit` and `duplicate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from oxtask import _core
from oxtask._internal.text import short_repr
from oxtask.futures import Future, FutureList

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from oxtask._internal.processes.runner import ProcessPoolTaskRunner
    from oxtask.tasks import Task

__all__ = [
    "ConcurrentTaskRunner",
    "ProcessPoolTaskRunner",
    "TaskRunner",
    "ThreadPoolTaskRunner",
]

F = TypeVar("F", bound="Future[Any]")


def __getattr__(name: str) -> Any:
    if name == "ProcessPoolTaskRunner":  # start-up time: most programs have no use for it
        from oxtask._internal.processes.runner import ProcessPoolTaskRunner  # noqa: PLC0415

        return ProcessPoolTaskRunner
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


class TaskRunner(ABC, Generic[F]):
    """The base of task runners.

    A runner is started by entering it with ``with``; leaving it waits for what is under way.
    """

    def __init__(self) -> None:
        self._started = False
        self._token: Any = None

    @property
    def name(self) -> str:
        """The class name in lower case, without "taskrunner"."""
        return type(self).__name__.lower().replace("taskrunner", "")

    @property
    def logger(self) -> logging.Logger:
        """The logger ``oxtask.task_runner.<name>``."""
        from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

        return get_logger(f"task_runner.{self.name}")

    @abstractmethod
    def duplicate(self) -> Self:
        """Return a new runner with the same options, not started."""

    @abstractmethod
    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Any = None,
        dependencies: dict[str, Any] | None = None,
    ) -> F:
        """Start a run of ``task`` and return its future at once.

        Args:
            task: The task.
            parameters: Its bound parameters, which may hold futures.
            wait_for: Runs that must complete before this one starts.
            dependencies: The runs that the parameters come from, by parameter.
        """

    def map(
        self, task: Task[..., Any], parameters: dict[str, Any], wait_for: Any = None
    ) -> FutureList[Any]:
        """Start a run of ``task`` for each item of the iterable parameters.

        Raises:
            RuntimeError: If the runner was not started.
            MappingMissingIterable: If no parameter is iterable.
            MappingLengthMismatch: If iterable parameters differ in length.
        """
        if not self._started:
            msg = "The task runner must be started before submitting work."
            raise RuntimeError(msg)
        from oxtask._internal import inputs  # noqa: PLC0415 - start-up time
        from oxtask.utilities._mapping import map_parameters  # noqa: PLC0415

        known = {name: inputs.map_source(value) for name, value in parameters.items()}
        mapped = map_parameters(task._signature_plan(), known)
        return FutureList(
            self.submit(task, mapped.child(index), wait_for) for index in range(mapped.length)
        )

    def cancel_all(self) -> None:
        """Cancel what has not started; runners that can also tell running work to stop do so."""

    def _submit_call(
        self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> Any:
        return self.submit(task, task._bind(args, kwargs), wait_for)

    def __enter__(self) -> Self:
        if self._started:
            msg = "This task runner is already started"
            raise RuntimeError(msg)
        self._started = True
        self._token = _core.current_runner.set(self._core_runner())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._started = False
        token, self._token = self._token, None
        _core.current_runner.reset(token)

    def _core_runner(self) -> Any:
        """Return what `Task.submit` finds in the context: this, or the core's runner behind it."""
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ThreadPoolTaskRunner(TaskRunner[Any]):
    """Runs tasks on threads of this process, async tasks on event loops in threads.

    A run whose inputs have not ended takes no thread, nor does one that waits for its next attempt;
    a task that waits for another run gives its place to others.

    Args:
        max_workers: How many runs may be under way at a time; ``None`` for the setting
            ``OXTASK_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS``, and no limit without it.

    Raises:
        TypeError: If ``max_workers`` is not an int.
        ValueError: If ``max_workers`` is less than 1.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__()
        if max_workers is None:
            from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

            max_workers = get_current_settings().tasks.runner.thread_pool_max_workers
        else:
            check_count("max_workers", max_workers, "no limit")
        self._max_workers = max_workers
        self._runner: _core.Runner | None = None

    @property
    def _executor(self) -> Any:
        """What programs look at that ask a started pool for its size; ``None`` if not started."""
        if self._runner is None:
            return None
        from types import SimpleNamespace  # noqa: PLC0415 - start-up time

        return SimpleNamespace(_max_workers=self._max_workers)

    def duplicate(self) -> Self:
        """Return a new runner with the same options, not started."""
        return type(self)(max_workers=self._max_workers)

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Any = None,
        dependencies: dict[str, Any] | None = None,  # noqa: ARG002 - tracked by the core
    ) -> Any:
        """Start a run of ``task``: see `TaskRunner.submit`.

        Raises:
            RuntimeError: If the runner was not started.
        """
        args, kwargs = task._signature_plan().arguments(parameters)
        return self._submit_call(task, args, kwargs, wait_for)

    def map(
        self, task: Task[..., Any], parameters: dict[str, Any], wait_for: Any = None
    ) -> FutureList[Any]:
        """Start a run for each item: see `TaskRunner.map`."""
        if self._runner is None:
            msg = "The task runner must be started before submitting work."
            raise RuntimeError(msg)
        from oxtask._internal.mapping import columns  # noqa: PLC0415 - start-up time

        args, kwargs, length = columns(task, parameters)
        futures: FutureList[Any] = FutureList(
            self._runner.map(task, args, kwargs, length, wait_for)
        )
        if futures:
            first: Any = futures[0]
            first._note_list(futures)
        return futures

    def cancel_all(self) -> None:
        """Cancel what has not started and tell what is under way to stop."""
        if self._runner is not None:
            self._runner.cancel_all(running=True)

    def _submit_call(
        self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> Any:
        if self._runner is None:
            msg = "Task runner is not started"
            raise RuntimeError(msg)
        return self._runner.submit(task, args, kwargs, wait_for)

    def _core_runner(self) -> Any:
        self._runner = _core.Runner(self._max_workers)
        return self._runner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        runner = self._runner
        try:
            if runner is not None:
                shut_down(runner, kind, self.cancel_all)
        finally:
            self._runner = None
            super().__exit__(kind, error, traceback)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._max_workers == other._max_workers)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __reduce__(self) -> Any:
        return type(self), (self._max_workers,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self._max_workers})"


def check_count(name: str, value: Any, otherwise: str) -> None:
    """Check an argument that is a count of at least 1, or ``None`` for ``otherwise``.

    Raises:
        TypeError: If it is no int.
        ValueError: If it is less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name!r} must be an int or None; got {short_repr(value)}"
        raise TypeError(msg)
    if value < 1:
        msg = f"{name!r} must be 1 or more, or None for {otherwise}; got {value}"
        raise ValueError(msg)


def shut_down(
    runner: _core.Runner, error: type[BaseException] | None, cancel_all: Callable[[], None]
) -> None:
    """Wait for what was submitted; after an error, drop what has not started.

    At Ctrl-C and the like, what is under way is told to stop, and nobody waits for it.
    """
    if error is not None:
        runner.cancel_all()
        if not issubclass(error, (Exception, GeneratorExit)):
            cancel_all()
    try:
        runner.drain()
    except BaseException:
        cancel_all()
        raise
    finally:
        runner.close()


ConcurrentTaskRunner = ThreadPoolTaskRunner


def current_runner(purpose: str, task_name: str) -> TaskRunner[Any]:
    """Return the runner of the flow this code is in.

    Raises:
        RuntimeError: If there is none.
    """
    from oxtask.context import FlowRunContext  # noqa: PLC0415 - a cycle else

    current = _core.current_runner.get(None)
    if isinstance(current, TaskRunner):
        return current
    flow_context = FlowRunContext.get()
    if flow_context is not None and flow_context.task_runner is not None:
        return flow_context.task_runner
    if isinstance(current, _core.Runner):
        return _Borrowed(current)
    hint = ", or use `.map(..., deferred=True)` to hand the work to a task worker"
    msg = (
        f"Unable to determine task runner to use for {purpose}. If you are submitting task "
        f"{task_name!r} outside of a flow, call it inside a function decorated with `@flow`, or "
        f"enter a `ThreadPoolTaskRunner` with `with`{hint if purpose == 'mapping' else ''}."
    )
    raise RuntimeError(msg)


class _Borrowed(ThreadPoolTaskRunner):
    """A runner that was entered without a flow, as code inside of it sees it."""

    def __init__(self, runner: _core.Runner) -> None:
        super().__init__()
        self._runner = runner
        self._started = True
