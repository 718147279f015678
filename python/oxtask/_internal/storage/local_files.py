"""Files that are there as a whole or not at all.

A file is written under another name in the same folder, synced and renamed, and the folder is
synced. While it is written it is locked, so that what a process leaves that was killed can be told
from what another process is writing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING

from oxtask._internal.os_locks import try_lock
from oxtask.exceptions import ResultStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = ".oxtask-"
SUFFIX = ".tmp"

_cleaned: set[str] = set()
"""Folders in which this process has removed what others left."""


class StagedFile:
    """New content of a file, on disk under another name.

    Args:
        path: The file; missing folders above it are made.
        parts: The content.

    Raises:
        ResultStoreError: If it cannot be written.
    """

    def __init__(self, path: str, parts: Iterable[bytes]) -> None:
        self.path = path
        self._folder = os.path.dirname(path)  # noqa: PTH120 - a string
        self._previous: str | None = None
        self._descriptor: int | None = None
        try:
            _make_folders(self._folder)
            _clean(self._folder)
            self._temporary, self._descriptor = _create(self._folder)
            try:
                for part in parts:
                    _write_all(self._descriptor, part)
                os.fsync(self._descriptor)
            except BaseException:
                self.discard()
                raise
        except OSError as error:
            raise store_error(error, path) from error

    def publish(self, keep_previous: bool = False) -> None:
        """Make the new content that of the file.

        Args:
            keep_previous: Keep the present content until `finish`, so that `undo` can restore it.

        Raises:
            ResultStoreError: If that cannot be done, or it is not certain that it survives a power
                cut. With ``keep_previous`` the file is as it was.
        """
        try:
            if keep_previous:
                backup = os.path.join(  # noqa: PTH118 - a string
                    self._folder, f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
                )
                with contextlib.suppress(FileNotFoundError):
                    os.link(self.path, backup)
                    self._previous = backup
            os.replace(self._temporary, self.path)  # noqa: PTH105
            try:
                self._close()
                sync_folder(self._folder)
            except OSError:
                if keep_previous:
                    with contextlib.suppress(OSError):
                        self.undo()
                raise
        except OSError as error:
            self.discard()
            raise store_error(error, self.path) from error

    def undo(self) -> None:
        """Give the file back the content it had before `publish`."""
        if self._previous is None:
            os.unlink(self.path)  # noqa: PTH108
        else:
            os.replace(self._previous, self.path)  # noqa: PTH105
            self._previous = None
        sync_folder(self._folder)

    def finish(self) -> None:
        """Drop the content that `publish` kept."""
        if self._previous is not None:
            os.unlink(self._previous)  # noqa: PTH108
            self._previous = None

    def discard(self) -> None:
        """Drop the new content, if it has not been published."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)  # noqa: PTH108
            with contextlib.suppress(OSError):
                self._close()
        with contextlib.suppress(OSError):
            self.finish()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:  # closed now, also if that is an error
            os.close(descriptor)


def read_file(path: str, size: int = -1) -> bytes:
    """Return the content of a regular file, or its first ``size`` bytes.

    Raises:
        FileNotFoundError: If there is no file.
        OSError: If it is not a regular file, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        return file.read(size)


def put_aside(path: str) -> None:
    """Rename a file that cannot be used to ``*.corrupt``, where nobody looks for results."""
    with contextlib.suppress(OSError):
        os.replace(path, f"{path}.corrupt")  # noqa: PTH105


def store_error(error: OSError, path: str) -> ResultStoreError:
    """Return the error of a storage that failed."""
    return ResultStoreError(
        error.errno, f"A result cannot be stored: {error.strerror or error}", path
    )


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power cut."""
    if os.name != "posix":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: str) -> None:
    if os.path.isdir(folder):  # noqa: PTH112
        return
    above = os.path.dirname(folder)  # noqa: PTH120
    if above != folder:
        _make_folders(above)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)  # noqa: PTH102
    sync_folder(above)


def _create(folder: str) -> tuple[str, int]:
    while True:
        path = os.path.join(folder, f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")  # noqa: PTH118
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
                return path, descriptor
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody who cleans the folder was faster


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _clean(folder: str) -> None:
    """Remove what killed processes have left in a folder, once for each process."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    remove_leftovers(folder)


def remove_leftovers(folder: str) -> int:
    """Remove what killed processes have left in a folder, and count it."""
    count = 0
    with os.scandir(folder) as entries:
        left = [
            entry.path
            for entry in entries
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX)
        ]
    for path in left:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                if try_lock(descriptor):
                    os.unlink(path)  # noqa: PTH108
                    count += 1
            finally:
                os.close(descriptor)
    return count


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_cleaned.clear)
