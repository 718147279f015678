"""Small files in the home that the processes of a user share.

They lie in folders that are this user's alone, are replaced as a whole, say what they are and in
which version of their form, and are changed by one process at a time: by who holds their `Guard`.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Any

from oxtask._internal.os_locks import try_lock, unlock
from oxtask._internal.text import short_repr
from oxtask.exceptions import ConfigurationError, ResultStoreError
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Callable

_GUARD_SECONDS = 5.0
"""How long to wait for a guard: who holds it that long does not run."""

# Added up: a file of another must not be opened by a link, nor waited for as a pipe.
FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def home() -> str:
    """Return the folder of oxtask's files."""
    # As it is stored: reading the setting would import pathlib.
    path: str = get_current_settings().__dict__["home"]
    return path


def make_private(folder: str) -> None:
    """Make a folder that is this user's alone, with those above it, or see that it is.

    Raises:
        ConfigurationError: If it is somebody else's, or others may write into it.
        OSError: If it cannot be made.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - a string
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        problem = "is no folder; remove it"
    elif hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        problem = "belongs to another user; set OXTASK_HOME to a folder of yours"
    elif os.name == "posix" and found.st_mode & 0o022:
        problem = f"may be changed by others; `chmod 700 {folder}`"
    else:
        return
    raise ConfigurationError(f"The folder {folder!r} {problem}.")


def open_private(path: str, more: int = 0) -> int:
    """Open a regular file for reading and writing.

    Args:
        path: The file.
        more: Further flags, such as ``os.O_CREAT``; a new file is this user's alone.

    Raises:
        OSError: If that cannot be done, or it is something else than a file.
    """
    descriptor = os.open(path, FLAGS | more, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path!r} is not a regular file: remove it.")
    return descriptor


class Guard:
    """A file that is locked while files beside it are changed. Not for two threads at a time.

    The lock is the operating system's: it ends with its process. Whoever has it is in the middle of
    some system calls, so that nobody waits for long.

    Args:
        path: The file. It is made, with its folder, when the guard is first held.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor: int | None = None
        self.identity: tuple[int, int] | None = None

    def open(self, *, make: bool) -> bool:
        """Open the file; false if there is none and none is to be made.

        Nothing is done if it is open, and still the one under its name: ``identity`` tells which.

        Raises:
            ConfigurationError: If its folder is not this user's alone.
            OSError: If it cannot be opened.
        """
        try:
            found = os.stat(self.path, follow_symlinks=False)  # noqa: PTH116 - a string
        except FileNotFoundError:
            if not make:
                self.close()
                return False
        else:
            if self.identity == (found.st_dev, found.st_ino):
                return True
        self.close()
        make_private(os.path.dirname(self.path))  # noqa: PTH120 - a string
        self.descriptor = open_private(self.path, os.O_CREAT)
        opened = os.fstat(self.descriptor)
        self.identity = (opened.st_dev, opened.st_ino)
        return True

    def __enter__(self) -> int:
        try:
            if self.descriptor is None:
                self.open(make=True)
            descriptor = self.descriptor
            assert descriptor is not None
            ends = time.monotonic() + _GUARD_SECONDS
            while not try_lock(descriptor):
                _check_patience(ends, self.path)
                time.sleep(0.0002)
        except BaseException:
            self.__exit__()
            raise
        return descriptor

    def __exit__(self, *error: object) -> None:
        # Not closed only: a process forked meanwhile would keep it locked.
        if self.descriptor is not None:
            unlock(self.descriptor)

    def close(self) -> None:
        """Close the file, also one that is inherited from a parent process."""
        descriptor, self.descriptor = self.descriptor, None
        self.identity = None
        if descriptor is not None:
            os.close(descriptor)


def _check_patience(ends: float, path: str) -> None:
    if time.monotonic() > ends:
        raise TimeoutError(
            f"for {_GUARD_SECONDS:g} s a process has been in the middle of a change, with "
            f"{path!r} locked. Is it stopped?"
        )


class Document:
    """A JSON file that is read and replaced as a whole.

    Args:
        path: The file.
        version: Of the form of its content. A file of a newer one is not read.
    """

    def __init__(self, path: str, version: int = 1) -> None:
        self.path = path
        self._version = version

    def read(self) -> dict[str, Any] | None:
        """Return the content; ``None`` if there is no file.

        Raises:
            ConfigurationError: If the file is damaged, or from a newer version of oxtask.
            OSError: If it cannot be read.
        """
        import json  # noqa: PLC0415 - start-up time

        from oxtask._internal.storage.local_files import read_file  # noqa: PLC0415 - the same

        try:
            blob = read_file(self.path)
        except FileNotFoundError:
            return None
        try:
            content = json.loads(blob)
            version = content["version"]
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"The file {self.path!r} is damaged ({short_repr(error)}); repair or remove it."
            ) from error
        if version != self._version:
            raise ConfigurationError(
                f"The file {self.path!r} has a form of another version of oxtask "
                f"({short_repr(version)}; this one knows {self._version}): update oxtask."
            )
        found: dict[str, Any] = content
        return found

    def write(self, content: dict[str, Any]) -> None:
        """Replace the content; it survives a power cut.

        Raises:
            OSError: If it cannot be written; the old content stays.
            ValueError: If the content has no form in JSON.
        """
        import json  # noqa: PLC0415 - start-up time

        from oxtask._internal.storage.local_files import StagedFile  # noqa: PLC0415 - the same

        marked = {"version": self._version, **content}
        blob = json.dumps(marked, ensure_ascii=False, allow_nan=False).encode()
        make_private(os.path.dirname(self.path))  # noqa: PTH120 - a string
        try:
            StagedFile(self.path, [blob]).publish()
        except ResultStoreError as error:
            raise OSError(
                error.errno, f"{self.path!r} cannot be written: {os.strerror(error.errno or 0)}"
            ) from error

    def change(self, change: Callable[[dict[str, Any]], Any]) -> Any:
        """Replace the content by what ``change`` makes of it, and return what that returns.

        Other processes, and other threads, wait meanwhile.

        Raises:
            ConfigurationError: See `read`.
            OSError: If the file cannot be read or written.
        """
        guard = Guard(f"{self.path}.guard")
        try:
            with guard:
                content = self.read() or {}
                answer = change(content)
                self.write(content)
                return answer
        finally:
            guard.close()
