"""Locks between machines that share a Redis server; needs ``pip install redis``.

Redis does not know when a process ends. A lock without ``hold_timeout`` is therefore a lease of
some seconds that a thread renews for as long as its process lives.
"""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

from oxtask._internal.lock_waits import PolledLocks, not_held
from oxtask.exceptions import ConfigurationError

LEASE_SECONDS = 10.0
"""How long a lock outlives a process that is killed."""

_RELEASE = """
local current = redis.call('get', KEYS[1])
if not current then return 1 end
if current ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
return 1
"""
_RENEW = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""


class RedisLockManager(PolledLocks):
    """Locks on keys for all processes that use a Redis server.

    The lock of ``key`` is the Redis key ``lock:{key}``, whose value is the holder.

    Args:
        host: The server's name.
        port: The server's port.
        db: The number of the database.
        username: For servers with access control.
        password: For servers with a password.
        ssl: Whether to connect with TLS.

    Raises:
        ConfigurationError: If the package ``redis`` is not installed.
    """

    def __init__(  # noqa: PLR0917 - the order users know
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        ssl: bool = False,
    ) -> None:
        self._settings: dict[str, Any] = {
            "host": host,
            "port": port,
            "db": db,
            "username": username,
            "password": password,
            "ssl": ssl,
        }
        self._connect()

    def _connect(self) -> None:
        try:
            redis: Any = import_module("redis")  # not everybody has it
        except ImportError as error:
            raise ConfigurationError(
                "RedisLockManager needs the package 'redis': run `pip install redis`, or use "
                "`oxtask.locking.filesystem.FileSystemLockManager` on one machine."
            ) from error
        self._client: Any = redis.Redis(**self._settings)
        self._tokens: dict[tuple[str, str], int] = {}
        self._leases: dict[str, str] = {}
        self._changed = threading.Condition()
        self._renewer: threading.Thread | None = None

    def release_lock(self, key: str, holder: str) -> None:
        """Release a lock; one that Redis no longer has is released already.

        Raises:
            ValueError: If another holder has it.
        """
        with self._changed:
            self._leases.pop(key, None)
            self._tokens.pop((key, holder), None)
        if not self._client.eval(_RELEASE, 1, _name(key), holder):
            raise not_held(key, holder)

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock on ``key``."""
        return bool(self._client.exists(_name(key)))

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether ``holder`` has the lock on ``key``."""
        current = self._client.get(_name(key))
        return (current.decode() if isinstance(current, bytes) else current) == holder

    def fencing_token(self, key: str, holder: str) -> int | None:
        """Return the number of the acquisition by which ``holder`` has the lock, if it has it."""
        return self._tokens.get((key, holder)) if self.is_lock_holder(key, holder) else None

    def __getstate__(self) -> dict[str, Any]:
        return self._settings

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._settings = state
        self._connect()

    def _try(self, key: str, holder: str, hold_seconds: float | None) -> bool:
        seconds = LEASE_SECONDS if hold_seconds is None else hold_seconds
        milliseconds = max(1, int(seconds * 1000))
        if not self._client.set(_name(key), holder, nx=True, px=milliseconds):
            return self.is_lock_holder(key, holder)
        token = int(self._client.incr(f"{_name(key)}:token"))
        with self._changed:
            self._tokens[key, holder] = token
            if hold_seconds is None:
                self._leases[key] = holder
                if self._renewer is None:
                    self._renewer = threading.Thread(
                        target=self._renew, name="oxtask-redis-leases", daemon=True
                    )
                    self._renewer.start()
        return True

    def _renew(self) -> None:
        """Renew leases until there are none."""
        while True:
            with self._changed:
                self._changed.wait(LEASE_SECONDS / 3)
                if not self._leases:
                    self._renewer = None
                    return
                leases = dict(self._leases)
            for key, holder in leases.items():
                try:
                    self._client.eval(_RENEW, 1, _name(key), holder, int(LEASE_SECONDS * 1000))
                except Exception:  # noqa: BLE001, S112 - the next turn tries again
                    continue


def _name(key: str) -> str:
    return f"lock:{key}"
