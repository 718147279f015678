"""Deadlines of code that runs on the caller's own thread or event loop.

A scope is a deadline for what is called within it. Scopes nest; when time is up, the outermost scope
that is out of time is the one that ends, and whatever is inside sees `ScopeExpired`, a
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType


class ScopeExpired(BaseException):
    """Raised in code that is out of time, wherever it is."""


class BodyTimedOut(BaseException):
    """Raised by `within` and `awithin`: the function had ``seconds`` and took longer."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[Scope] = []


_scopes = _Scopes()


class Scope:
    """A deadline for what runs inside the ``with`` block."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self._previous_handler: Any = None

    def __enter__(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        self._signals = is_main and hasattr(_signal(), "SIGURG")
        if self._signals:
            self._previous_handler = _signal().signal(_signal().SIGURG, _on_signal)
        _scopes.stack.append(self)
        self._alarm = _core.Alarm(self.seconds, None if self._signals else ScopeExpired)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._alarm.cancel()
        outermost = _outermost_expired()
        _scopes.stack.remove(self)
        if self._signals:
            _signal().signal(_signal().SIGURG, self._previous_handler)
        if outermost is self:
            raise BodyTimedOut(self.seconds) from None


def _signal() -> Any:
    import signal  # noqa: PLC0415 - start-up time

    return signal


def _outermost_expired() -> Scope | None:
    now = time.monotonic()
    return next((scope for scope in _scopes.stack if scope.deadline <= now), None)


def _on_signal(signum: int, frame: Any) -> None:
    if _outermost_expired() is not None:
        raise ScopeExpired
    previous = _scopes.stack[0]._previous_handler if _scopes.stack else None
    if callable(previous):
        previous(signum, frame)


def within(seconds: float | None, function: Callable[[], Any]) -> Any:
    """Call a function on this thread, with ``seconds`` to return.

    Raises:
        BodyTimedOut: If it took longer; the way out of the function was opened by `ScopeExpired`.
    """
    if seconds is None:
        return function()
    with Scope(seconds):
        return function()


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

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    deadline = loop.time() + seconds
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        if task is not None:
            task.cancel()

    def is_cancelled_by_others() -> bool:
        if not expired or task is None or sys.version_info < (3, 11):
            return not expired
        return task.uncancel() > 0

    timer = loop.call_later(seconds, expire)
    try:
        value = await function(*args, **kwargs)
    except asyncio.CancelledError:
        if is_cancelled_by_others():
            raise
        raise BodyTimedOut(seconds) from None
    except Exception:
        if expired and not is_cancelled_by_others():
            raise BodyTimedOut(seconds) from None
        raise
    finally:
        timer.cancel()
    if expired:
        is_cancelled_by_others()
    if expired or loop.time() >= deadline:
        raise BodyTimedOut(seconds)
    return value
