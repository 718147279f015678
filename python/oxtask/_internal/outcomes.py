"""What a future says of its run: state, result, error. Called by the core's futures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.interruptions import FlowInterrupted
from oxtask._internal.run_history import observe
from oxtask._internal.task_runs import (
    CACHED,
    CANCELLED,
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    DELAYED,
    NOT_READY,
    RUNNING,
    log_of,
    run_id,
)
from oxtask.exceptions import CancelledRun, DeadlockError, UnfinishedRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from oxtask.states import State


def task_run_id(future: Any) -> UUID:
    """Return the id of the run, by which it can be read from now on."""
    observe(future)
    return run_id(future._id)


def state_of(future: Any) -> State[Any]:
    """Return the state of the run as it is now."""
    log = log_of(future)
    observe(future, log)
    state = log.record.state
    assert state is not None  # a log begins with a state
    return state


def outcome_of(future: Any, raise_on_failure: bool) -> Any:
    """Return or raise what the run came to; for runs that did not simply complete.

    Raises:
        UnfinishedRun: If an input of the run did not complete, whatever ``raise_on_failure`` says.
    """
    code, output = future._peek()
    try:
        if code in {COMPLETED, CACHED}:
            return output
        if code in {CHOSEN, CHOSEN_FAILED}:
            return output._value(raise_on_failure)
        if code == NOT_READY:
            msg = "Run is in NotReady state, its result is not available."
            raise UnfinishedRun(msg) from output
        if code == CANCELLED:
            if isinstance(output, FlowInterrupted) and _is_flow_cancelled():
                raise output
            output = CancelledRun("Run cancelled.")
        if raise_on_failure:
            raise output
        return output
    finally:
        # This frame is in the traceback: it must not keep the run, and with it the exception.
        del future, output


def _is_flow_cancelled() -> bool:
    """Tell whether the flow run is to stop that has run the task on its own thread, in a wait."""
    from oxtask._internal import flow_cancel, live_runs  # noqa: PLC0415 - start-up time
    from oxtask.context import FlowRunContext  # noqa: PLC0415

    context = FlowRunContext.get()
    return context is not None and flow_cancel.is_due(live_runs.of(context.flow_run))


def timed_out(future: Any, seconds: float) -> TimeoutError:
    """Make the error of a wait that took too long."""
    return TimeoutError(
        f"Task run {future.task_run_id} did not complete within {seconds:g} seconds"
    )


def deadlock(futures: list[Any]) -> DeadlockError:
    """Make the error of a run that waits for itself, directly or through the others."""
    names = [_name(future) for future in futures]
    if len(names) == 1:
        return DeadlockError(
            f"deadlock: {names[0]} waits for itself. A task cannot wait for its own result"
        )
    around = " -> ".join([*names, names[0]])
    return DeadlockError(
        f"deadlock: these task runs wait for each other: {around}. Break the cycle by passing the "
        "future as an argument, or by not waiting inside the task"
    )


def _name(future: Any) -> str:
    return f"{future._task.name!r} ({future.task_run_id})"


def describe(future: Any) -> str:
    """Return the ``repr`` of a future."""
    code = future._peek()[0]
    words = {COMPLETED: "completed", CACHED: "cached", CANCELLED: "cancelled"}
    words |= {NOT_READY: "not ready", RUNNING: "running", DELAYED: "awaiting retry"}
    word = words.get(code, "pending" if code > CHOSEN_FAILED else "failed")
    return (
        f"<TaskRunFuture of {future._task.name!r}, {word}, task_run_id={str(future.task_run_id)!r}>"
    )


async def aresult(future: Any, *, raise_on_failure: bool = True) -> Any:
    """Return the result of the run without blocking the event loop."""
    await ended(future)
    return outcome_of(future, raise_on_failure)


async def ended(future: Any) -> None:
    """Wait for the end of a run without blocking the event loop."""
    if not future.done():
        with future._blocking():
            await told(future.add_done_callback)


async def told(
    listen: Callable[[Callable[..., None]], object], timeout: float | None = None
) -> bool:
    """Wait for a call, from any thread, without blocking the event loop.

    An async run that waits here gives its slot to others, and goes on when it has one again.

    Args:
        listen: Takes the function that is to be called.
        timeout: How long to wait, in seconds.

    Returns:
        Whether it was called in time.
    """
    import asyncio  # noqa: PLC0415 - start-up time

    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def tell(_: Any = None) -> None:
        # A loop that was closed meanwhile has nobody who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set, waiter)

    current: Any = asyncio.current_task()
    holds_slot = isinstance(current, _core.RunTask)
    if holds_slot:
        current._give_slot()
    try:
        listen(tell)
        if timeout is None:
            await waiter
        else:
            await asyncio.wait([waiter], timeout=timeout)
    finally:
        if holds_slot:
            await slot_again(current, loop)
    return waiter.done()


def _set(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def slot_again(current: Any, loop: Any) -> None:
    """Wait until an async run that gave its slot to others has one again."""
    granted = loop.create_future()

    def grant() -> None:
        # Whoever was cancelled meanwhile has taken a slot out of turn: this one goes back.
        if granted.cancelled():
            current._give_slot()
        else:
            _set(granted)

    if current._take_slot(lambda: loop.call_soon_threadsafe(grant)):
        return
    try:
        await granted
    except BaseException:
        current._force_slot()
        raise


def callback_failed(error: BaseException) -> None:
    """Log the error of a done callback."""
    from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

    get_logger("futures").error("A callback of a future raised", exc_info=error)


def breathe() -> None:
    """Do nothing: an exception that was injected into the thread is raised here."""
