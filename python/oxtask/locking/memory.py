"""Locks within a process."""

from __future__ import annotations

import os
import threading
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.lock_waits import arepeat, check_seconds, lock_clock, not_held

if TYPE_CHECKING:
    from typing_extensions import Self


class _Hold:
    __slots__ = ("ends", "holder", "token")

    def __init__(self, holder: str, ends: float | None, token: int) -> None:
        self.holder = holder
        self.ends = ends
        self.token = token


class MemoryLockManager:
    """Locks on keys within this process; there is one object of the class.

    A forked process starts without locks, and so does one that gets the manager in a pickle.

    >>> manager = MemoryLockManager()
    >>> manager.acquire_lock("key", "a"), manager.acquire_lock("key", "b", acquire_timeout=0)
    (True, False)
    >>> manager.release_lock("key", "a")
    """

    _instance: ClassVar[Any] = None
    _changed: threading.Condition
    _holds: dict[str, _Hold]
    _last_token: int

    def __new__(cls) -> Self:
        """Return the one object."""
        if cls._instance is None:
            made = super().__new__(cls)
            made._reset()
            cls._instance = made
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=made._reset)
        instance: Self = cls._instance
        return instance

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._holds = {}
        self._last_token = 0

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock on a key; see `LockManager.acquire_lock`."""
        timeout = check_seconds(acquire_timeout, "acquire_timeout")
        hold_seconds = check_seconds(hold_timeout, "hold_timeout")
        deadline = None if timeout is None else lock_clock() + timeout
        with self._changed:
            while not self._try(key, holder, hold_seconds):
                if not self._wait(key, deadline):
                    return self._try(key, holder, hold_seconds)
        return True

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

        def attempt() -> bool:
            with self._changed:
                return self._try(key, holder, hold_seconds)

        return await arepeat(attempt, timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Release a lock; see `LockManager.release_lock`."""
        with self._changed:
            hold = self._live(key)
            if hold is None or hold.holder != holder:
                raise not_held(key, holder)
            del self._holds[key]
            self._changed.notify_all()

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock on ``key``."""
        with self._changed:
            return self._live(key) is not None

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether ``holder`` has the lock on ``key``."""
        return self.fencing_token(key, holder) is not None

    def fencing_token(self, key: str, holder: str) -> int | None:
        """Return the number of the acquisition by which ``holder`` has the lock, if it has it."""
        with self._changed:
            hold = self._live(key)
            return hold.token if hold is not None and hold.holder == holder else None

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock on ``key``; see `LockManager.wait_for_lock`."""
        timeout = check_seconds(timeout, "timeout")
        deadline = None if timeout is None else lock_clock() + timeout
        with self._changed:
            while self._live(key) is not None:
                if not self._wait(key, deadline):
                    return self._live(key) is None
        return True

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock on ``key``; see `LockManager.await_for_lock`."""
        return await arepeat(lambda: not self.is_locked(key), check_seconds(timeout, "timeout"))

    def __reduce__(self) -> tuple[Any, ...]:
        with self._changed:
            is_held = any(self._live(key) is not None for key in list(self._holds))
        if is_held:
            warnings.warn(
                "A MemoryLockManager was pickled while locks are held: lock information will not "
                "be available after deserialization in another process.",
                stacklevel=2,
            )
        return (type(self), ())

    # --- with the lock on the table held ----------------------------------------------------------

    def _live(self, key: str) -> _Hold | None:
        hold = self._holds.get(key)
        if hold is not None and hold.ends is not None and lock_clock() >= hold.ends:
            del self._holds[key]
            return None
        return hold

    def _try(self, key: str, holder: str, hold_seconds: float | None) -> bool:
        hold = self._live(key)
        if hold is None:
            self._last_token += 1
            ends = None if hold_seconds is None else lock_clock() + hold_seconds
            self._holds[key] = _Hold(holder, ends, self._last_token)
            return True
        return hold.holder == holder

    def _wait(self, key: str, deadline: float | None) -> bool:
        """Wait for a change or the end of the hold, and tell whether there was time left."""
        ends = [end for end in (deadline, self._holds[key].ends) if end is not None]
        left = min(ends) - lock_clock() if ends else None
        if deadline is not None and deadline <= lock_clock():
            return False
        self._changed.wait(None if left is None else max(left, 0.0))
        return True
