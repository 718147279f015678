"""Locks on open files, which the operating system releases when their process ends."""

from __future__ import annotations

import sys

if sys.platform == "win32":  # pragma: no cover - the tests run on POSIX
    import msvcrt
    import os

    _OFFSET = 1 << 30  # beyond any content: the locked byte itself cannot be read by others

    def try_lock(descriptor: int) -> bool:
        """Lock an open file, and tell whether that was possible at once."""
        os.lseek(descriptor, _OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Unlock an open file, also for processes that have inherited it."""
        os.lseek(descriptor, _OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file, and tell whether that was possible at once."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Unlock an open file, also for processes that have inherited it."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
