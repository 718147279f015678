"""What transactions need of whoever manages their locks."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class LockManager(Protocol):
    """Locks on keys.

    All times are in seconds. ``None`` is no limit, and ``0`` is one attempt; what is negative or
    not a number raises `ValueError`.
    """

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock on a key; a holder that has it already gets it again, to no effect.

        Args:
            key: What is locked; any text.
            holder: Who locks it.
            acquire_timeout: How long to wait for another holder.
            hold_timeout: After how long another may take the lock.

        Returns:
            Whether ``holder`` has the lock.
        """
        ...

    async def aacquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Do what `acquire_lock` does, without blocking the event loop."""
        ...

    def release_lock(self, key: str, holder: str) -> None:
        """Release a lock.

        Raises:
            ValueError: If ``holder`` does not have it.
        """
        ...

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock on ``key``."""
        ...

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether ``holder`` has the lock on ``key``."""
        ...

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock on ``key``, and tell whether that is so."""
        ...

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Do what `wait_for_lock` does, without blocking the event loop."""
        ...
