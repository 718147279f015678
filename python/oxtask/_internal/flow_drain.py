"""What becomes of the runs that an attempt of a flow leaves behind.

After an attempt that ended well they are all carried out: leaving the runner waits for them. After
one that did not, those that have not started are cancelled, and those under way come to their end.
After a crash, and at the deadline, those under way are told to stop and nobody waits for them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from oxtask._internal import log_lines

if TYPE_CHECKING:
    from oxtask._internal.flow_runs import FlowRunning
    from oxtask.task_runners import TaskRunner

_SLICE_SECONDS = 0.05


def stop(running: FlowRunning, runner: TaskRunner[Any]) -> None:
    """Drop what is not to be carried out."""
    state, error = running.state, running.error
    if (
        running.is_out_of_time
        or running.is_interrupted
        or (error is not None and not isinstance(error, Exception))
    ):
        runner.cancel_all()
    elif not (state.is_completed() or state.is_paused()):
        _drop_queued(running, runner)


async def astop(running: FlowRunning, runner: TaskRunner[Any]) -> None:
    """Drop what is not to be carried out, and wait for the rest without blocking the event loop."""
    stop(running, runner)
    core = _core_of(runner)
    if core is None or core.drain(0):
        return
    import asyncio  # noqa: PLC0415 - start-up time
    from contextlib import suppress  # noqa: PLC0415
    from threading import Thread  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    drained = asyncio.Event()

    def wait() -> None:
        core.drain()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(drained.set)

    # Not a thread of the loop's executor: what is waited for may need all of those.
    Thread(target=wait, name="oxtask-drain", daemon=True).start()
    await drained.wait()


def _drop_queued(running: FlowRunning, runner: TaskRunner[Any]) -> None:
    core = _core_of(runner)
    count, first = (0, []) if core is None else core.cancel_all()
    if count:
        names = ", ".join(f"{future._task.name!r} ({future.task_run_id})" for future in first)
        more = f" and {count - len(first)} more" if count > len(first) else ""
        text = (
            f"The flow run is in state {running.state.name!r}: {count} task run(s) that had not "
            f"started were cancelled: {names}{more}. Please wait for all submitted tasks to "
            "complete before exiting your flow, by calling `.wait()` or `.result()` on their "
            "futures"
        )
        log_lines.write(running.log, running.flow, log_lines.WARNING, text)


def _core_of(runner: TaskRunner[Any]) -> Any:
    """Return the core's runner behind a task runner; ``None`` for one written in Python."""
    return getattr(runner, "_runner", None)


def pause(seconds: float) -> None:
    """Sleep up to the next attempt.

    On threads that no signal reaches this is done in slices, between which a deadline or a
    cancellation of what is around the flow is heard.
    """
    from threading import current_thread, main_thread  # noqa: PLC0415 - start-up time

    if current_thread() is main_thread():
        time.sleep(seconds)
        return
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE_SECONDS))
