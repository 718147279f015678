"""How lock managers wait: clocks, limits, and attempts repeated until one succeeds."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST_PAUSE = 0.001
LONGEST_PAUSE = 0.05
"""Seconds between attempts: they double, so that a short wait ends soon and a long one is cheap."""


def lock_clock() -> float:
    """Return seconds that all processes of the machine count alike, also while it sleeps.

    Holding times are measured by it, so that a wall clock that is set cannot end or prolong them.
    """
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


def check_seconds(value: Any, name: str) -> float | None:
    """Return a limit in seconds.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative or not a number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"'{name}' must be seconds or None; got {short_repr(value)}")
    if math.isnan(value) or value < 0:
        raise ValueError(
            f"'{name}' must not be negative; got {value!r}. Give 0 for one attempt, None for no "
            "limit."
        )
    return None if math.isinf(value) else float(value)


class Pauses:
    """The pauses between attempts, until there is no time left.

    Example:
        >>> list(Pauses(0))
        []
    """

    def __init__(self, timeout: float | None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._pause = SHORTEST_PAUSE / 2

    def __iter__(self) -> Pauses:
        return self

    def __next__(self) -> float:
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if self._deadline is None:
            return self._pause
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise StopIteration
        return min(self._pause, left)


def repeat(attempt: Callable[[], bool], timeout: float | None) -> bool:
    """Attempt at once, and again until it succeeds or ``timeout`` seconds have passed."""
    if attempt():
        return True
    for pause in Pauses(timeout):
        time.sleep(pause)
        if attempt():
            return True
    return False


async def arepeat(attempt: Callable[[], bool], timeout: float | None) -> bool:
    """Do what `repeat` does; ``attempt`` is called on the event loop, so it must not block."""
    import asyncio  # noqa: PLC0415 - start-up time

    if attempt():
        return True
    for pause in Pauses(timeout):
        await asyncio.sleep(pause)
        if attempt():
            return True
    return False


def not_held(key: str, holder: str) -> ValueError:
    """Return the error of who releases a lock it does not have."""
    return ValueError(
        f"No lock held by {short_repr(holder)} for transaction with key {short_repr(key)}. "
        "It was released already, or has run out and was taken by another."
    )


class PolledLocks(ABC):
    """Locks of which nobody says when they come free: they are tried again and again."""

    @abstractmethod
    def _try(self, key: str, holder: str, hold_seconds: float | None) -> bool:
        """Acquire the lock if nobody else has it."""

    @abstractmethod
    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock on ``key``."""

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock on a key; see `LockManager.acquire_lock`.

        Raises:
            OSError: If what keeps the locks cannot be reached.
        """
        timeout = check_seconds(acquire_timeout, "acquire_timeout")
        hold_seconds = check_seconds(hold_timeout, "hold_timeout")
        return repeat(lambda: self._try(key, holder, hold_seconds), timeout)

    async def aacquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock on a key; see `LockManager.aacquire_lock`."""
        timeout = check_seconds(acquire_timeout, "acquire_timeout")
        hold_seconds = check_seconds(hold_timeout, "hold_timeout")
        return await arepeat(lambda: self._try(key, holder, hold_seconds), timeout)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock on ``key``; see `LockManager.wait_for_lock`."""
        return repeat(lambda: not self.is_locked(key), check_seconds(timeout, "timeout"))

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock on ``key``; see `LockManager.await_for_lock`."""
        return await arepeat(lambda: not self.is_locked(key), check_seconds(timeout, "timeout"))
