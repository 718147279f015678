"""Deadlines of code that runs on the caller's own thread or event loop.

A scope is a deadline for what is called within it. Scopes nest; when time is up, the outermost
scope that is out of time is the one that ends, and whatever is inside sees `ScopeExpired`, a
`BaseException` of somebody else. On the main thread a signal interrupts even calls that block in C;
on other threads Python code is interrupted between two instructions. Code that returns late, or
swallows the exception, is out of time all the same.

Runs on worker threads have no scope: the core takes them away from their thread.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.interruptions import ScopeExpired

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable


class BodyTimedOut(BaseException):
    """Raised by `within` and `awithin`: the function had ``seconds`` and took longer."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


_PUT_OFF_SECONDS, _MAX_TIMES_PUT_OFF = 0.0005, 11
"""How long an interruption waits, twice as long each time, and how often: a second in all.

A C function that blocks may be called right from code that must not be interrupted, so it does not
wait for ever; on a busy machine the thread may get nowhere for many milliseconds, so it waits that
long.
"""


_AGAIN_SECONDS = 1.0


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[Scope] = []


_scopes = _Scopes()


class Scope:
    """A deadline on this thread, from `begin` to `end`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self._alarm: _core.Alarm | None = None
        self._has_handler = False
        self._times_put_off = 0
        self._previous_handler: Any = None

    def begin(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        _scopes.stack.append(self)
        if is_main and hasattr(_signal(), "SIGURG"):
            self._previous_handler = _signal().signal(_signal().SIGURG, _on_signal)
            self._has_handler = True
        self._alarm = _core.Alarm(self.seconds, None if self._has_handler else ScopeExpired)

    def is_put_off(self) -> bool:
        """Ring again in a moment; false if that has been done often enough."""
        if self._times_put_off == _MAX_TIMES_PUT_OFF:
            return False
        seconds = _PUT_OFF_SECONDS * 2**self._times_put_off
        self._times_put_off += 1
        self._alarm = _core.Alarm(seconds, None)
        return True

    def ring_again(self) -> None:
        """Ring once more, should this be the time that nobody hears.

        What is raised in a finalizer, or in a callback of the garbage collector, goes nowhere.
        """
        self._alarm = _core.Alarm(_AGAIN_SECONDS, None)

    def end(self) -> None:
        """Leave the scope, and those inside it that were left in a hurry."""
        stack = _scopes.stack
        while self in stack:
            scope = stack[-1]
            if scope._alarm is not None:
                scope._alarm.cancel()
            if scope._has_handler:
                _signal().signal(_signal().SIGURG, scope._previous_handler)
            stack.remove(scope)

    def leave(self, error: BaseException | None) -> bool:
        """End the scope of code that has ended, or raised ``error``; tell whether it was too late.

        Raises:
            ScopeExpired: If a scope around this one is out of time, and the code does not say so.
        """
        outermost = None
        try:
            outermost = _outermost_expired()
            self.end()
        except ScopeExpired:
            # It may come after the code has ended, and keep the scope from being left.
            outermost = outermost or _outermost_expired()
            self.end()
        if isinstance(error, ScopeExpired):
            return outermost is self
        if error is not None and not isinstance(error, Exception):
            return False
        if outermost is not None and outermost is not self and error is None:
            raise ScopeExpired
        return outermost is self


def _signal() -> Any:
    import signal  # noqa: PLC0415 - start-up time

    return signal


def _outermost_expired() -> Scope | None:
    now = time.monotonic()
    return next((scope for scope in _scopes.stack if scope.deadline <= now), None)


def _on_signal(signum: int, frame: Any) -> None:
    expired = _outermost_expired()
    if expired is not None:
        if _is_delicate(frame) and expired.is_put_off():
            return
        expired.ring_again()
        if not _is_on_its_way_out():
            raise ScopeExpired
        return
    previous = _scopes.stack[0]._previous_handler if _scopes.stack else None
    if callable(previous):
        previous(signum, frame)


def _is_on_its_way_out() -> bool:
    """Tell whether this thread is cleaning up after an interruption."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, ScopeExpired):
        error = error.__context__
    return error is not None


def _is_delicate(frame: Any) -> bool:
    """Tell whether code must not be interrupted where it is.

    `logging` takes its lock before the ``try`` that gives it back, or without one: interrupted
    there, or in what it calls, it would keep all other threads from logging for ever. And a run
    whose state is being set, or that is being recorded, would be left in between.
    """
    if frame is not None and frame.f_globals.get("__name__") in _CALLING_BODIES:
        return True
    for _ in range(_DEPTH):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") in _DELICATE:
            return True
        frame = frame.f_back
    return False


_CALLING_BODIES = {"oxtask.utilities.timeout"} | {
    f"oxtask._internal.{name}" for name in ("calls", "deadlines", "engine", "steps")
}
"""Delicate themselves, but not in what they call."""
_DELICATE = {"logging", "oxtask.logging.history"} | {
    f"oxtask._internal.{name}"
    for name in (
        *("limit_tickets", "limits", "log_lines", "state", "subflow_tracking", "task_runs"),
        "times",
        *(f"run_{name}" for name in ("history", "inputs", "packing", "record", "sources", "store")),
    )
}
_DEPTH = 6
"""How many frames away they may be."""


def within(seconds: float | None, function: Callable[[], Any]) -> Any:
    """Call a function on this thread, with ``seconds`` to return.

    Raises:
        BodyTimedOut: If it took longer; the way out of the function was opened by `ScopeExpired`.
        ScopeExpired: If a scope around this one is out of time.
    """
    if seconds is None:
        return function()
    scope = Scope(seconds)
    outermost = value = None
    try:
        try:
            scope.begin()
            value = function()
        finally:
            outermost = _outermost_expired()
            scope.end()
    except ScopeExpired:
        # It may come after the function has returned, and keep the scope from being left.
        outermost = outermost or _outermost_expired()
        scope.end()
        if outermost is not scope:
            raise
    except Exception:
        if outermost is not scope:
            raise
    if outermost is scope:
        raise BodyTimedOut(seconds) from None
    if outermost is not None:
        raise ScopeExpired
    return value


async def awithin(
    seconds: float | None,
    function: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call and await a coroutine function, which is cancelled after ``seconds``.

    Raises:
        BodyTimedOut: If it took longer, even if it did not let itself be cancelled.
        asyncio.CancelledError: If it was cancelled by somebody else.
    """
    if seconds is None:
        return await function(*args, **kwargs)
    import asyncio  # noqa: PLC0415 - start-up time

    timer = Timer(seconds, asyncio.current_task())
    try:
        value = await function(*args, **kwargs)
    except (Exception, asyncio.CancelledError):
        if timer.end_is_ours():
            raise BodyTimedOut(seconds) from None
        raise
    finally:
        timer.handle.cancel()
    if timer.end_is_ours() or timer.is_late():
        raise BodyTimedOut(seconds)
    return value


class Timer:
    """Cancels an asyncio task when time is up, and tells that cancellation from others."""

    def __init__(self, seconds: float, task: asyncio.Task[Any] | None) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        self._loop = asyncio.get_running_loop()
        self._task = task
        self._deadline = self._loop.time() + seconds
        self._has_rung = False
        self.handle = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._has_rung = True
        if self._task is not None:
            self._task.cancel()

    def end_is_ours(self) -> bool:
        """Tell whether the timer ended the code, and nobody else did as well; called once."""
        if not self._has_rung or self._task is None or sys.version_info < (3, 11):
            return self._has_rung
        return self._task.uncancel() == 0

    def leave(self, error: BaseException | None) -> bool:
        """Stop the timer of code that has ended, or raised ``error``; tell whether it was late."""
        import asyncio  # noqa: PLC0415 - start-up time

        self.handle.cancel()
        if error is None:
            return self.end_is_ours() or self.is_late()
        return isinstance(error, (Exception, asyncio.CancelledError)) and self.end_is_ours()

    def is_late(self) -> bool:
        """Tell whether the deadline has passed, heard or not."""
        return self._loop.time() >= self._deadline
