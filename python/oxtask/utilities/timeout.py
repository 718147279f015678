"""Deadlines for blocks of code, sync and async.

>>> import time
>>> with timeout(0.01):
...     time.sleep(1)
Traceback (most recent call last):
    ...
TimeoutError: Scope timed out after 0.01 second(s).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["timeout", "timeout_async"]


class _Block:
    """A block of code with a deadline.

    Args:
        seconds: How long the block may take; ``None`` for no limit.
        timeout_exc_type: What is raised when time is up.

    Raises:
        ValueError: If ``timeout_exc_type`` is no subclass of `TimeoutError`.
    """

    def __init__(
        self, seconds: float | None = None, timeout_exc_type: type[TimeoutError] = TimeoutError
    ) -> None:
        if not (isinstance(timeout_exc_type, type) and issubclass(timeout_exc_type, TimeoutError)):
            msg = (
                "'timeout_exc_type' must be a subclass of TimeoutError; "
                f"got {short_repr(timeout_exc_type)}"
            )
            raise ValueError(msg)  # noqa: TRY004 - what the reference raises
        self._seconds = seconds
        self._kind = timeout_exc_type

    def _timed_out(self) -> TimeoutError:
        return self._kind(f"Scope timed out after {self._seconds} second(s).")


class timeout(_Block):  # noqa: N801 - used like a function
    """Give a block of sync code a deadline.

    On the main thread calls that block in C are interrupted as well, on other threads Python code
    between two instructions. A block that ends late is out of time all the same. When a deadline
    around it has passed, the block is left for that one.

    Args:
        seconds: How long the block may take; ``None`` for no limit.
        timeout_exc_type: What is raised when time is up.

    Raises:
        ValueError: If ``timeout_exc_type`` is no subclass of `TimeoutError`.
    """

    _scope: Any = None

    def __enter__(self) -> Self:
        if self._seconds is not None:
            from oxtask._internal.deadlines import Scope  # noqa: PLC0415 - start-up time

            self._scope = Scope(self._seconds)
            self._scope.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None and scope.leave(error):
            raise self._timed_out() from None


class timeout_async(_Block):  # noqa: N801 - used like a function
    """Give a block of a coroutine a deadline: ``with timeout_async(1): await work()``.

    The block is cancelled at its next ``await``. A block that ends late is out of time all the
    same; one that somebody else cancels is cancelled.

    Args:
        seconds: How long the block may take; ``None`` for no limit.
        timeout_exc_type: What is raised when time is up.

    Raises:
        ValueError: If ``timeout_exc_type`` is no subclass of `TimeoutError`.
    """

    _timer: Any = None

    def __enter__(self) -> Self:
        if self._seconds is not None:
            import asyncio  # noqa: PLC0415 - start-up time

            from oxtask._internal.deadlines import Timer  # noqa: PLC0415

            self._timer = Timer(self._seconds, asyncio.current_task())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.leave(error):
            raise self._timed_out() from None
