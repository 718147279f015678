"""The locks of a result store: those of its lock manager, on the places where keys are stored."""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr
from oxtask.exceptions import ConfigurationError

if TYPE_CHECKING:
    from oxtask.locking.protocol import LockManager


class StoreLocks:
    """What `ResultStore` does with locks."""

    lock_manager: LockManager | None

    def _location(self, key: str) -> str:
        raise NotImplementedError

    def acquire_lock(
        self, key: str, holder: str | None = None, timeout: float | None = None
    ) -> bool:
        """Acquire the lock on a key, within ``timeout`` seconds; see `LockManager`.

        Raises:
            ConfigurationError: If the store has no lock manager; so do all methods about locks.
        """
        holder = holder or self.generate_default_holder()
        return self._manager.acquire_lock(self._location(key), holder, acquire_timeout=timeout)

    async def aacquire_lock(
        self, key: str, holder: str | None = None, timeout: float | None = None
    ) -> bool:
        """Do what `acquire_lock` does, without blocking the event loop."""
        holder = holder or self.generate_default_holder()
        return await self._manager.aacquire_lock(
            self._location(key), holder, acquire_timeout=timeout
        )

    def release_lock(self, key: str, holder: str | None = None) -> None:
        """Release the lock on a key.

        Raises:
            ValueError: If ``holder`` does not have it.
        """
        holder = holder or self.generate_default_holder()
        self._manager.release_lock(self._location(key), holder)

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock on a key."""
        return self._manager.is_locked(self._location(key))

    def is_lock_holder(self, key: str, holder: str | None = None) -> bool:
        """Tell whether ``holder`` has the lock on a key."""
        holder = holder or self.generate_default_holder()
        return self._manager.is_lock_holder(self._location(key), holder)

    def fencing_token(self, key: str, holder: str | None = None) -> int | None:
        """Return the number of the acquisition by which ``holder`` has the lock, if it has."""
        token = getattr(self._manager, "fencing_token", None)
        holder = holder or self.generate_default_holder()
        return None if token is None else token(self._location(key), holder)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock on a key, and tell whether that is so."""
        return self._manager.wait_for_lock(self._location(key), timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Do what `wait_for_lock` does, without blocking the event loop."""
        return await self._manager.await_for_lock(self._location(key), timeout)

    def check_not_locked(self, key: str, holder: str | None = None) -> None:
        """Check that ``holder`` may write a key.

        Raises:
            RuntimeError: If another holder has it locked.
        """
        if self.lock_manager is None:
            return
        if not self.is_lock_holder(key, holder) and self.is_locked(key):
            raise RuntimeError(
                f"Cannot write to result record with key {short_repr(key)} because it is locked by "
                "another holder. Wait for it with `wait_for_lock`."
            )

    def supports_isolation_level(self, level: Any) -> bool:
        """Tell whether transactions with this store can have an isolation level.

        Raises:
            ValueError: If that is no `IsolationLevel`.
        """
        from oxtask.transactions import IsolationLevel  # noqa: PLC0415 - it uses stores

        if level == IsolationLevel.READ_COMMITTED:
            return True
        if level == IsolationLevel.SERIALIZABLE:
            return self.lock_manager is not None
        raise ValueError(f"'level' must be an IsolationLevel; got {short_repr(level)}")

    @staticmethod
    def generate_default_holder() -> str:
        """Return who calls: machine, process, thread and, in a coroutine, asyncio task."""
        thread = threading.current_thread()
        holder = f"{socket.gethostname()}:{os.getpid()}:{thread.ident}:{thread.name}"
        asyncio = sys.modules.get("asyncio")
        try:
            current = None if asyncio is None else asyncio.current_task()
        except RuntimeError:  # no event loop runs here
            current = None
        return holder if current is None else f"{holder}:{id(current)}"

    @property
    def _manager(self) -> LockManager:
        if self.lock_manager is None:
            raise ConfigurationError(
                "Result store is not configured with a lock manager. Pass one, such as "
                "`ResultStore(lock_manager=MemoryLockManager())`."
            )
        return self.lock_manager
