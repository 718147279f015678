"""`ProcessPoolTaskRunner`; users find it in `oxtask.task_runners`."""

from __future__ import annotations

import os
import warnings
from contextvars import copy_context
from multiprocessing import current_process
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from oxtask import _core
from oxtask._internal.processes import orders
from oxtask._internal.processes.carrier import Carrier, Shipment, shipment
from oxtask._internal.processes.pool import WorkerPool
from oxtask._internal.processes.program_logs import Messages
from oxtask._internal.text import short_repr
from oxtask._internal.transactions.current import current_transaction, step_out
from oxtask.settings import get_current_settings
from oxtask.task_runners import TaskRunner, check_count, shut_down

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from typing_extensions import Self

    from oxtask._internal.processes.program_logs import MessageProcessorFactory
    from oxtask.tasks import Task

StartMethod = Literal["spawn", "forkserver"]
_START_METHODS = ("spawn", "forkserver")


class ProcessPoolTaskRunner(TaskRunner[Any]):
    """Runs the functions of tasks in processes of their own: for work that computes in Python.

    States, attempts, hooks and futures are in this process, as with threads; a worker process calls
    the function. Tasks, arguments and results travel by `cloudpickle`. A worker that dies takes
    only its own run with it, which ends as ``Crashed`` or is tried again if it has retries left;
    another worker takes its place.

    A program that uses it starts its flows under ``if __name__ == "__main__":``, since workers
    import its script.

    Args:
        max_workers: How many processes there may be; ``None`` for the setting
            ``OXTASK_TASKS_RUNNER_PROCESS_POOL_MAX_WORKERS``, and one for each processor without it.
        subprocess_message_processor_factories: Make functions that see each log record of a worker
            on its way to the handlers of this process: ``processor("log", fields)`` returns such a
            pair, or ``None`` to drop the record.
        initializer: Called in each worker before its first run.
        initargs: Its arguments.
        max_tasks_per_worker: After how many runs a worker is replaced; ``None`` for never.
        start_method: How `multiprocessing` starts workers.

    Raises:
        TypeError: If a count is not an int, or ``initializer`` cannot be called.
        ValueError: If a count is less than 1, or there is no such start method.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        subprocess_message_processor_factories: Iterable[MessageProcessorFactory] | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_worker: int | None = None,
        start_method: StartMethod = "spawn",
    ) -> None:
        super().__init__()
        if max_workers is None:
            max_workers = get_current_settings().tasks.runner.process_pool_max_workers
        else:
            check_count("max_workers", max_workers, "one for each processor")
        if max_tasks_per_worker is not None:
            check_count("max_tasks_per_worker", max_tasks_per_worker, "never")
        if initializer is not None and not callable(initializer):
            msg = f"'initializer' must be callable or None; got {short_repr(initializer)}"
            raise TypeError(msg)
        if start_method not in _START_METHODS:
            msg = f"'start_method' must be 'spawn' or 'forkserver'; got {short_repr(start_method)}"
            raise ValueError(msg)
        self._max_workers: int = max_workers or os.cpu_count() or 1
        self._factories = tuple(subprocess_message_processor_factories or ())
        self._initializer = initializer
        self._initargs = tuple(initargs)
        self._max_tasks_per_worker = max_tasks_per_worker
        self._start_method: StartMethod = start_method
        self._runner: _core.Runner | None = None
        self._pool: WorkerPool | None = None
        self._carrier: Carrier | None = None
        self._opening = Lock()

    def duplicate(self) -> Self:
        """Return a new runner with the same options, not started."""
        # Subclasses may take fewer arguments.
        new = type(self)(max_workers=self._max_workers)
        for name in ("_factories", "_initializer", "_initargs", *_OWN_OPTIONS):
            setattr(new, name, getattr(self, name))
        return new

    # --- messages ---------------------------------------------------------------------------------

    @property
    def subprocess_message_processor_factories(self) -> tuple[MessageProcessorFactory, ...]:
        """What makes the functions that see each log record of a worker.

        Raises:
            RuntimeError: If it is set while the runner is started.
        """
        return self._factories

    @subprocess_message_processor_factories.setter
    def subprocess_message_processor_factories(
        self, factories: Iterable[MessageProcessorFactory] | None
    ) -> None:
        if self._started:
            msg = (
                "Cannot configure subprocess message processor factories while task runner is "
                "started. Set them before the flow is called"
            )
            raise RuntimeError(msg)
        self._factories = tuple(factories or ())

    def set_subprocess_message_processor_factories(
        self,
        subprocess_message_processor_factories: Iterable[MessageProcessorFactory] | None = None,
    ) -> None:
        """Set `subprocess_message_processor_factories`."""
        self.subprocess_message_processor_factories = subprocess_message_processor_factories

    # --- work -------------------------------------------------------------------------------------

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
            TransferError: If the task, an argument or the initializer cannot be pickled.
        """
        args, kwargs = task._signature_plan().arguments(parameters)
        return self._submit_call(task, args, kwargs, wait_for)

    def cancel_all(self) -> None:
        """Cancel what has not started and stop what is under way.

        A body gets half a second to clean up; then its process is killed.
        """
        if self._runner is not None:
            self._runner.cancel_all()
        if self._carrier is not None:
            self._carrier.cancel_all()

    def _submit_call(
        self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> Any:
        if self._runner is None:
            msg = "Task runner is not started"
            raise RuntimeError(msg)
        if getattr(current_process(), "_inheriting", False):
            msg = (
                "A worker process has imported the script of the program, and that has started a "
                "flow. Start it under `if __name__ == '__main__':`"
            )
            raise RuntimeError(msg)
        if current_transaction() is not None:
            warnings.warn(
                f"Task {task.name!r} is submitted to worker processes in a transaction, and takes "
                "no part in it: what it does is not rolled back with it. Call the task, or use a "
                "`ThreadPoolTaskRunner`",
                stacklevel=4,
            )
        if _core.needs_resolving((args, kwargs)):
            call = None
            orders.check_call(task, *_without_futures(args, kwargs))
        else:
            call = orders.pickled_call(task, args, kwargs)
        return copy_context().run(self._hand_over, task, args, kwargs, wait_for, Shipment(call))

    def _hand_over(
        self,
        task: Task[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        ship: Shipment,
    ) -> Any:
        assert self._runner is not None
        carrier = self._carrier or self._open()
        shipment.set(ship)
        step_out()
        return self._runner.submit(task, args, kwargs, wait_for, plan=carrier.plan)

    # --- life -------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        super().__enter__()
        self._runner = _core.Runner(self._max_workers)
        return self

    def _open(self) -> Carrier:
        """Get ready for the first run; workers are started when there is work for them."""
        setup = orders.pickled_setup(self._initializer, self._initargs)
        with self._opening:
            if self._carrier is None:
                self._pool = WorkerPool(
                    self._max_workers, self._start_method, setup, self._max_tasks_per_worker
                )
                self._carrier = Carrier(self._pool, Messages(self._factories, self.logger))
            return self._carrier

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        runner, pool = self._runner, self._pool
        try:
            if runner is not None:
                shut_down(runner, kind, self.cancel_all)
        finally:
            self._runner = self._pool = self._carrier = None
            try:
                if pool is not None:
                    pool.close()
            finally:
                super().__exit__(kind, error, traceback)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProcessPoolTaskRunner):
            return NotImplemented
        return self._max_workers == other._max_workers

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __reduce__(self) -> Any:
        options = {name: getattr(self, name) for name in ("_factories", *_OWN_OPTIONS)}
        options |= {"_initializer": self._initializer, "_initargs": self._initargs}
        return type(self), (self._max_workers,), options

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self._max_workers})"


_OWN_OPTIONS = ("_max_tasks_per_worker", "_start_method")
ProcessPoolTaskRunner.__module__ = "oxtask.task_runners"


def _without_futures(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments with ``None`` in place of those that are only known when the run begins."""
    return (
        tuple(None if _core.needs_resolving(value) else value for value in args),
        {name: None if _core.needs_resolving(value) else value for name, value in kwargs.items()},
    )
