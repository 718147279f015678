"""Locks between processes that share a folder.

Each locked key has a file, which the holder keeps open and locked by the operating system
(``flock``, or ``msvcrt.locking`` on Windows): the end of the holder's process, however it ends, is
the end of the lock. The file says who holds it and until when. Its name is a digest of the key, so
any text is a key and no two keys share a lock.

A lock whose time has run out is taken by replacing the file. Its former holder has the old file
locked, which nobody finds any more, and so is no holder.

Whatever looks at the files of a key or changes them does so while it holds the guard of the key, a
file for all keys whose digests begin alike. It is held for some system calls, never for a wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
import time
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxtask._internal.lock_waits import PolledLocks, lock_clock, not_held
from oxtask._internal.os_locks import try_lock, unlock
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Generator

_GUARD_SECONDS = 5.0
"""How long to wait for a guard: somebody who has it that long does not run."""

# Added up: a file that is another's must not be opened by a link, nor waited for as a pipe.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_held: dict[str, _Hold] = {}
"""The locks of this process, by the path of their file."""
_table = threading.Lock()


class _Hold:
    __slots__ = ("descriptor", "ends", "holder", "token")

    def __init__(self, descriptor: int, holder: str, ends: float | None, token: int) -> None:
        self.descriptor = descriptor
        self.holder = holder
        self.ends = ends
        self.token = token


class FileSystemLockManager(PolledLocks):
    """Locks on keys for all processes that use a folder, on one machine.

    A lock dies with the process that acquired it. To acquire it again, and to release it, is up to
    that process: the same holder in another process is another.

    Args:
        lock_files_directory: The folder; it is made when the first lock is acquired.

    Raises:
        TypeError: If that is no path.
    """

    def __init__(self, lock_files_directory: str | os.PathLike[str]) -> None:
        if not isinstance(lock_files_directory, (str, os.PathLike)):
            raise TypeError(
                f"'lock_files_directory' must be a path; got {short_repr(lock_files_directory)}"
            )
        self.lock_files_directory: Path = Path(lock_files_directory).expanduser().resolve()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileSystemLockManager):
            return NotImplemented
        return self.lock_files_directory == other.lock_files_directory

    def __hash__(self) -> int:
        return hash(self.lock_files_directory)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.lock_files_directory)!r})"

    def release_lock(self, key: str, holder: str) -> None:
        """Release a lock; see `LockManager.release_lock`."""
        path = self._path(key)
        if not self.lock_files_directory.is_dir():
            raise not_held(key, holder)
        with self._guard(path):
            hold = _own_hold(path)
            if hold is None or hold.holder != holder:
                raise not_held(key, holder)
            _forget(path, hold)

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock on ``key``, in any process."""
        return self._current(key) is not None

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether ``holder`` has the lock on ``key``, in any process."""
        current = self._current(key)
        return current is not None and current.get("holder") == holder

    def fencing_token(self, key: str, holder: str) -> int | None:
        """Return the number of the acquisition by which ``holder`` has the lock, if it has it."""
        current = self._current(key)
        if current is None or current.get("holder") != holder:
            return None
        return int(current.get("token", 0))

    # --- files ------------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        if not isinstance(key, str):
            raise TypeError(f"'key' must be a string; got {short_repr(key)}")
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        return str(self.lock_files_directory / f"{digest}.lock")

    @contextlib.contextmanager
    def _guard(self, path: str) -> Generator[int, None, None]:
        """Hold the guard of a lock file, which also counts the fencing tokens."""
        name = os.path.basename(path)[:2]  # noqa: PTH119 - a string
        guard = _open(str(self.lock_files_directory / f"{name}.guard"), os.O_CREAT)
        try:
            ends = time.monotonic() + _GUARD_SECONDS
            while not try_lock(guard):
                if time.monotonic() > ends:
                    raise TimeoutError(
                        f"The locks in {str(self.lock_files_directory)!r} cannot be used: for "
                        f"{_GUARD_SECONDS:g} s a process is in the middle of a change. Is it "
                        "stopped?"
                    )
                time.sleep(0.0002)
            try:
                yield guard
            finally:
                unlock(guard)  # or a process forked meanwhile would keep it locked
        finally:
            os.close(guard)

    def _try(self, key: str, holder: str, hold_seconds: float | None) -> bool:
        path = self._path(key)
        self.lock_files_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._guard(path) as guard:
            hold = _own_hold(path)
            if hold is not None and not _has_run_out(hold.ends):
                return hold.holder == holder
            if hold is not None:
                _forget(path, hold)
            descriptor = _open(path, os.O_CREAT)
            if not try_lock(descriptor):
                content = _read(descriptor)
                os.close(descriptor)
                if not _has_run_out(content.get("ends")):
                    return False
                os.unlink(path)  # noqa: PTH108 - a string
                descriptor = _open(path, os.O_CREAT)
                if not try_lock(descriptor):  # pragma: no cover - only who has the guard locks it
                    os.close(descriptor)
                    return False
            token = int(_read(guard).get("token", 0)) + 1
            _write(guard, {"token": token})
            ends = None if hold_seconds is None else lock_clock() + hold_seconds
            _write(descriptor, {"holder": holder, "ends": ends, "token": token, "pid": os.getpid()})
            with _table:
                _held[path] = _Hold(descriptor, holder, ends, token)
            return True

    def _current(self, key: str) -> dict[str, Any] | None:
        """Return what the lock file of a key says, if somebody has the lock."""
        path = self._path(key)
        if not os.path.lexists(path):
            return None
        with self._guard(path):
            hold = _own_hold(path)
            if hold is not None:
                if _has_run_out(hold.ends):
                    return None
                return {"holder": hold.holder, "token": hold.token}
            try:
                descriptor = _open(path)
            except FileNotFoundError:
                return None
            try:
                if try_lock(descriptor):
                    return None  # who wrote it has ended
                content = _read(descriptor)
                return None if _has_run_out(content.get("ends")) else content
            finally:
                os.close(descriptor)


def _has_run_out(ends: float | None) -> bool:
    return ends is not None and lock_clock() >= ends


def _own_hold(path: str) -> _Hold | None:
    """Return the lock this process has; one that another has taken meanwhile is given up."""
    with _table:
        hold = _held.get(path)
        if hold is None:
            return None
        try:
            if os.path.samestat(os.fstat(hold.descriptor), os.lstat(path)):
                return hold
        except FileNotFoundError:
            pass
        del _held[path]
        os.close(hold.descriptor)
        return None


def _forget(path: str, hold: _Hold) -> None:
    """Remove the file of a lock this process has, and the lock with it."""
    with _table:
        _held.pop(path, None)
        # Windows does not remove a file that is open; there the unlocked file stays.
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - a string
        unlock(hold.descriptor)
        os.close(hold.descriptor)


def _open(path: str, more: int = 0) -> int:
    descriptor = os.open(path, _FLAGS | more, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path!r} is in the folder of the locks, and not a regular file: remove it.")
    return descriptor


def _read(descriptor: int) -> dict[str, Any]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        content = json.loads(os.read(descriptor, 65536))
    except ValueError:  # a new file is empty; a full disk can cut one
        return {}
    return content if isinstance(content, dict) else {}


def _write(descriptor: int, content: dict[str, Any]) -> None:
    blob = json.dumps(content).encode()
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, blob)
    os.ftruncate(descriptor, len(blob))


def _leave_to_parent() -> None:
    """Close what a forked process has inherited: its being open would keep the locks alive."""
    global _table  # noqa: PLW0603 - another thread may have had it at the time of the fork
    _table = threading.Lock()
    for hold in _held.values():
        os.close(hold.descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
