"""Cancelling flow runs of this process.

A run that is cancelled is told to stop wherever it is: `FlowInterrupted` is raised in its code, or
the asyncio task it runs in is cancelled. That passes through the runs inside of it, which are
cancelled with it, and ends at the run itself, whose caller gets `CancelledRun`.

On the main thread it is raised by the handler of SIGTERM that flow runs put there, which interrupts
calls that block in C as well; on other threads between two instructions of Python code.
"""

from __future__ import annotations

import sys
from threading import get_ident, main_thread
from typing import TYPE_CHECKING, Any, cast

from oxtask._internal import flow_signals, live_runs
from oxtask._internal.fork_locks import fork_rlock
from oxtask._internal.interruptions import FlowInterrupted

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask._internal.flow_runs import FlowRunning

_lock = fork_rlock()
"""Held while a run is interrupted, and while one ends: no thread is interrupted for a run it has
left."""


def begin(running: FlowRunning) -> None:
    """Take note of a run, and of the thread that carries it out."""
    running.thread_id = get_ident()
    live_runs.add(running)


def begin_async(running: FlowRunning) -> None:
    """Take note of the task and the event loop that carry out a run."""
    import asyncio  # noqa: PLC0415 - start-up time

    try:
        running.loop = asyncio.get_running_loop()
        running.task = asyncio.current_task()
    except RuntimeError:  # another kind of event loop
        return


def end(running: FlowRunning) -> None:
    """Forget a run; what was raised for it and has not arrived does not come any more."""
    with _lock:
        live_runs.remove(running)
        if running.is_thread_interrupted and running.thread_id == get_ident():
            _raise_in(running.thread_id, None)


def cancel(run_id: UUID) -> bool:
    """Cancel a run: see `oxtask.flow_runs.cancel`."""
    with _lock:
        running = live_runs.find(run_id)
        if running is None or running.state.is_final():
            return False
        running.is_to_be_cancelled = True
        _interrupt(running)
    return True


def _interrupt(running: FlowRunning) -> None:
    is_on_main = running.thread_id == main_thread().ident
    if is_on_main and flow_signals.interrupt(running):
        return
    if running.loop is not None:
        running.loop.call_soon_threadsafe(cancel_task, running)
    elif not running.is_between_items:
        running.is_thread_interrupted = True
        _raise_in(running.thread_id, FlowInterrupted)
        # The thread hears of it when a wait for a task ends.
        runner = running.runner
        if runner is not None:
            runner.cancel_all()


def _raise_in(thread_id: int, exception: type[BaseException] | None) -> None:
    import ctypes  # noqa: PLC0415 - start-up time

    raised = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), raised)


def cancel_task(running: FlowRunning) -> None:
    """Cancel the asyncio task of a run that has not ended; called on its event loop."""
    if not live_runs.has(running) or running.state.is_final() or running.is_between_items:
        return
    if running.task is not None:
        running.is_task_cancelled = True
        running.task.cancel()


def meant(running: FlowRunning, error: BaseException) -> BaseException:
    """Return the interruption that a cancellation stands for, and any other exception as it is."""
    caught, asyncio = error, cast("Any", sys.modules.get("asyncio"))
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return error
    around: FlowRunning | None = running
    while around is not None and not around.is_task_cancelled:
        around = live_runs.of(around.parent)
    if around is None:
        return caught
    task: Any = around.task
    around.is_task_cancelled = False
    if hasattr(task, "uncancel"):  # from Python 3.11 on
        task.uncancel()
    interruption = FlowInterrupted()
    interruption.__traceback__ = error.__traceback__
    return interruption


def is_due(running: FlowRunning | None) -> bool:
    """Tell whether a run, or one around it, is to be cancelled."""
    while running is not None and not running.is_to_be_cancelled:
        running = live_runs.of(running.parent)
    return running is not None
