"""Signals while flows run: at SIGTERM the runs crash in good order, then the process gets it.

The outermost flow run on the main thread puts a handler in place. In a sync flow it raises
`TerminationSignal`, wherever the thread is. An async flow may not be what the thread is at when the
signal comes: its task is cancelled then, and the run takes that for the signal it was. When the run
has ended, the handler that was there before is put back and gets the signal.

Ctrl-C raises `KeyboardInterrupt` by itself, except where asyncio has a handler (`asyncio.run` from
Python 3.11 on): that cancels the main task, which nobody hears while sync code blocks the event
loop. While an async flow runs, Ctrl-C is raised in code of the flow that the thread is at, and left
to asyncio when the loop is idle or at something else.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

from oxtask._internal import live_runs
from oxtask._internal.interruptions import FlowInterrupted
from oxtask.context import FlowRunContext
from oxtask.exceptions import TerminationSignal

if TYPE_CHECKING:
    from collections.abc import Generator

    from oxtask._internal.flow_runs import FlowRunning


class _Watch:
    """What is known while outermost flow runs of the main thread are under way.

    Attributes:
        sync_count: How many of them are sync; more than one if a signal handler runs a flow.
        tasks: The tasks and event loops of the async ones.
        received: The signal that has come.
    """

    def __init__(self) -> None:
        self.sync_count = 0
        self.tasks: list[tuple[Any, Any]] = []
        self.received: int | None = None
        self.to_cancel: list[FlowRunning] = []
        self._previous: Any = None
        self._asyncio_handler: Any = None

    def begin(self) -> None:
        """Put the handler in place if no other run has."""
        if self.sync_count or self.tasks:
            return
        from signal import SIGTERM, signal  # noqa: PLC0415 - start-up time

        self.received = None
        try:
            self._previous = signal(SIGTERM, self.handle)
        except ValueError:  # Python is a guest in another program, which keeps signals to itself
            self._previous = None

    def take_interrupts(self) -> None:
        """Take the place of asyncio's handler for Ctrl-C, if there is one."""
        from signal import SIGINT, getsignal, signal  # noqa: PLC0415 - start-up time

        handler: Any = getsignal(SIGINT)
        # A partial of a method of `asyncio.Runner`, which has no public name.
        if getattr(getattr(handler, "func", None), "__name__", None) == "_on_sigint":
            self._asyncio_handler = handler
            signal(SIGINT, self.interrupt)

    def interrupt(self, signum: int, frame: Any) -> None:
        """Raise in code of a flow that the thread is at; else do as asyncio does."""
        import asyncio  # noqa: PLC0415 - start-up time

        loop = self.tasks[-1][1]
        if asyncio.current_task(loop) is not None and FlowRunContext.get() is not None:
            raise KeyboardInterrupt
        self._asyncio_handler(signum, frame)

    def end(self) -> None:
        """Put back what was there, after the last run, and hand on the signal."""
        if self.sync_count or self.tasks:
            return
        from signal import SIGINT, SIGTERM, getsignal, signal  # noqa: PLC0415 - start-up time

        if self._asyncio_handler is not None:
            if getsignal(SIGINT) == self.interrupt:
                signal(SIGINT, self._asyncio_handler)
            self._asyncio_handler = None
        # None stands for a handler that was not put there by Python, which cannot put it back.
        if getsignal(SIGTERM) == self.handle and self._previous is not None:
            signal(SIGTERM, self._previous)
        received, self.received, self._previous = self.received, None, None
        if received is not None:
            os.kill(os.getpid(), received)

    def handle(self, signum: int, frame: Any) -> None:  # noqa: ARG002 - as handlers are called
        """End the runs: by an exception in what the thread is at, or by cancelling their tasks.

        A signal that `interrupt` has sent is for a run that is to be cancelled.
        """
        if self.to_cancel:
            self._cancel(self.to_cancel.pop())
            return
        self.received = signum
        if self.sync_count or not self.tasks:
            raise TerminationSignal(signum)
        import asyncio  # noqa: PLC0415 - start-up time

        current = asyncio.current_task(self.tasks[-1][1])
        if any(task is current for task, _ in self.tasks):
            raise TerminationSignal(signum)
        for task, loop in self.tasks:
            loop.call_soon_threadsafe(task.cancel)

    def _cancel(self, running: FlowRunning) -> None:
        if not live_runs.has(running) or running.state.is_final() or running.is_between_items:
            return
        if running.task is not None:
            import asyncio  # noqa: PLC0415 - start-up time

            if asyncio.current_task(running.loop) is not running.task:
                from oxtask._internal import flow_cancel  # noqa: PLC0415 - a cycle else

                running.loop.call_soon_threadsafe(flow_cancel.cancel_task, running)
                return
        raise FlowInterrupted


_watch = _Watch()


def interrupt(running: FlowRunning) -> bool:
    """Interrupt a run on the main thread; false if the handler is not in place."""
    from signal import SIGTERM, getsignal, pthread_kill  # noqa: PLC0415 - start-up time

    if getsignal(SIGTERM) != _watch.handle:
        return False
    _watch.to_cancel.append(running)
    pthread_kill(running.thread_id, SIGTERM)
    return True


@contextmanager
def watched() -> Generator[None, None, None]:
    """Look after SIGTERM while a sync flow runs."""
    if not _is_outermost():
        yield
        return
    _watch.begin()
    _watch.sync_count += 1
    try:
        yield
    finally:
        _watch.sync_count -= 1
        _watch.end()


@contextmanager
def awatched() -> Generator[None, None, None]:
    """Look after SIGTERM while an async flow runs in the current task."""
    if not _is_outermost():
        yield
        return
    import asyncio  # noqa: PLC0415 - start-up time

    try:
        entry: tuple[Any, Any] = (asyncio.current_task(), asyncio.get_running_loop())
    except RuntimeError:  # another kind of event loop
        entry = (None, None)
    if entry[0] is None:
        yield
        return
    _watch.begin()
    _watch.tasks.append(entry)
    _watch.take_interrupts()
    try:
        yield
    finally:
        _watch.tasks.remove(entry)
        _watch.end()


def meant(error: BaseException) -> BaseException:
    """Return the signal that a cancellation stands for, and any other exception as it is."""
    if _watch.received is None or not _watch.tasks or isinstance(error, Exception):
        return error
    import asyncio  # noqa: PLC0415 - start-up time

    if not isinstance(error, asyncio.CancelledError) or not _is_main_thread():
        return error
    task: Any = asyncio.current_task()
    if hasattr(task, "uncancel"):  # from Python 3.11 on
        task.uncancel()
    return TerminationSignal(_watch.received).with_traceback(error.__traceback__)


def _is_main_thread() -> bool:
    return current_thread() is main_thread()


def _is_outermost() -> bool:
    return FlowRunContext.get() is None and _is_main_thread()
