"""The key with which this user signs results: reading a pickle runs it, so only own ones are read.

The key is in ``OXTASK_HOME/keys/results.key``, in hexadecimal digits, readable by its owner only.
To replace it, put a line with a new key before the old one: the first signs, all are accepted. To
share pickled results between machines, share the file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

from oxtask.exceptions import ConfigurationError
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from pathlib import Path

_known: dict[str, tuple[tuple[int, ...], list[bytes]]] = {}
"""Keys by the path of their file, and by what tells whether the file has changed."""


def keys(home: Path | None = None) -> list[bytes]:
    """Return the keys: the first signs, all are accepted.

    Args:
        home: The folder in which they are kept, if it is not the one of the settings.

    Raises:
        ConfigurationError: If the file of the key is not safe, or cannot be read or made.
    """
    path = (home or get_current_settings().home) / "keys" / "results.key"
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"The key that signs results, {str(path)!r}, cannot be used: {error}. It has to be a "
            "file that is yours alone (mode 600); remove it to get a new one, with which results "
            "stored so far will not be read."
        ) from error


def _read(path: Path) -> list[bytes]:
    name = str(path)
    found = os.lstat(name)
    version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
    known = _known.get(name)
    if known is not None and known[0] == version:
        return known[1]
    descriptor = os.open(
        name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    )
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a regular file")
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            raise OSError("it belongs to another user")
        if os.name == "posix" and status.st_mode & 0o077:
            raise OSError(f"others may read it (mode {stat.S_IMODE(status.st_mode):o})")
        content = file.read(65536)
    try:
        keys = [bytes.fromhex(line.decode("ascii")) for line in content.split()]
    except ValueError as error:
        raise OSError("it holds something else than hexadecimal digits") from error
    if not keys or any(not 16 <= len(key) <= 64 for key in keys):
        raise OSError("it holds no key of 16 to 64 bytes")
    _known[name] = (version, keys)
    return keys


def _make(path: Path) -> None:
    """Make a key; when several processes do, all get the same."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.parent / f".results.key.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{secrets.token_hex(32)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
