"""What a result store does with a storage, in one form for all kinds of storages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from oxtask._internal.coroutines import settle
from oxtask._internal.storage.keys import normal_key, stored_name
from oxtask._internal.storage.local_files import (
    StagedFile,
    put_aside,
    read_file,
    store_error,
)
from oxtask._internal.storage.packed import PackedBackend
from oxtask._internal.storage.record_format import MAGIC, unseal
from oxtask._internal.text import short_repr
from oxtask.exceptions import CorruptRecordError, NewerRecordError, ResultStoreError
from oxtask.filesystems import LocalFileSystem, PackedFileSystem, RemoteFileSystem

if TYPE_CHECKING:
    from collections.abc import Hashable

_BEGINNING = 64
"""Bytes of a record that tell which version has written it."""


class Staged(Protocol):
    """New content that is written, or ready to be, and not yet visible."""

    def publish(self, keep_previous: bool = False) -> None:
        """Make it visible; with ``keep_previous``, so that `undo` can take it back."""

    def undo(self) -> None:
        """Take back what was published."""

    def finish(self) -> None:
        """Give up the possibility to `undo`."""

    def discard(self) -> None:
        """Drop it, if it has not been published."""


class Backend(Protocol):
    """A storage, as a result store uses it; keys are normal."""

    def normal(self, key: str) -> str:
        """Return the normal form of a key, which may be a full path of this storage."""
        ...

    def location(self, key: str) -> str:
        """Return where a key is stored: unique among all storages."""
        ...

    def version(self, location: str) -> Hashable:
        """Return what changes when the content does; ``None`` if that cannot be told."""

    def read(self, key: str) -> bytes:
        """Return the content; raises the storage's own error if there is none."""
        ...

    def stage(self, key: str, parts: list[bytes]) -> Staged:
        """Prepare new content."""
        ...

    def put_aside(self, key: str) -> None:
        """Move what cannot be used out of the way, if the storage can do that."""


def backend_of(storage: Any) -> Backend:
    """Return how a result store uses ``storage``."""
    if isinstance(storage, PackedFileSystem):
        return PackedBackend(storage.folder)
    return LocalBackend(storage) if isinstance(storage, LocalFileSystem) else RemoteBackend(storage)


class LocalBackend:
    """A folder."""

    def __init__(self, storage: LocalFileSystem) -> None:
        self._storage = storage

    def normal(self, key: str) -> str:
        if isinstance(key, str) and os.path.isabs(key):  # noqa: PTH117 - a string
            base = self._storage._resolve_path()
            return self._storage._resolve_path(key).relative_to(base).as_posix()
        return normal_key(key)

    def location(self, key: str) -> str:
        # Half of what reading a small value costs would be `pathlib`.
        base = os.path.realpath(os.path.expanduser(self._storage.basepath or "."))  # noqa: PTH111
        path = os.path.realpath(os.path.join(base, stored_name(key)))  # noqa: PTH118
        if not path.startswith(base.rstrip(os.sep) + os.sep):
            raise ValueError(
                f"The key {short_repr(key)} is outside of the base path {base!r}: a link leads "
                "out of it."
            )
        return path

    def version(self, location: str) -> Hashable:
        try:
            found = os.stat(location)  # noqa: PTH116 - a string
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self, key: str) -> bytes:
        path = self.location(key)
        try:
            return read_file(path)
        except FileNotFoundError:
            raise ValueError(f"Path {path!r} does not exist.") from None

    def stage(self, key: str, parts: list[bytes]) -> StagedFile:
        path = self.location(key)
        self._make_way(path)
        return StagedFile(path, parts)

    def put_aside(self, key: str) -> None:
        put_aside(self.location(key))

    def _make_way(self, path: str) -> None:
        """Leave alone what a newer version has written, and put aside what is no result."""
        try:
            blob = read_file(path, _BEGINNING)
            if not blob.startswith(MAGIC):
                put_aside(path)
                return
            unseal(blob, None)
        except FileNotFoundError:
            return
        except NewerRecordError as error:
            raise ResultStoreError(None, f"A result cannot be replaced: {error}", path) from error
        except CorruptRecordError:
            return
        except OSError as error:
            raise store_error(error, path) from error


class RemoteBackend:
    """Anything with ``read_path`` and ``write_path``."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def normal(self, key: str) -> str:
        base = getattr(self._storage, "basepath", None)
        if isinstance(base, str) and isinstance(key, str) and "://" in key:
            key = self._storage._resolve_path(key)[len(base.rstrip("/")) + 1 :]
        return normal_key(key)

    def location(self, key: str) -> str:
        name = stored_name(key)
        if isinstance(self._storage, RemoteFileSystem):
            return self._storage._resolve_path(name)
        resolve = getattr(self._storage, "_resolve_path", None)
        return str(resolve(name)) if callable(resolve) else f"{id(self._storage)}:{name}"

    def version(self, location: str) -> Hashable:  # noqa: ARG002 - there is no cheap way to ask
        return "unknown"

    def read(self, key: str) -> bytes:
        if isinstance(self._storage, RemoteFileSystem):
            return self._storage._read(stored_name(key))
        blob = settle(self._storage.read_path(stored_name(key)))
        if not isinstance(blob, (bytes, bytearray)):
            raise ValueError(f"Path {key!r} does not exist.")  # noqa: TRY004 - a storage without it
        return bytes(blob)

    def stage(self, key: str, parts: list[bytes]) -> _StagedObject:
        return _StagedObject(self, key, b"".join(parts))

    def put_aside(self, key: str) -> None:
        """Leave it: it will be overwritten."""

    def write(self, key: str, content: bytes) -> None:
        if isinstance(self._storage, RemoteFileSystem):
            self._storage._write(stored_name(key), content)
        else:
            settle(self._storage.write_path(stored_name(key), content))


class _StagedObject:
    def __init__(self, backend: RemoteBackend, key: str, content: bytes) -> None:
        self._backend = backend
        self._key = key
        self._content = content
        self._previous: bytes | None = None

    def publish(self, keep_previous: bool = False) -> None:
        if keep_previous:
            try:
                self._previous = self._backend.read(self._key)
            except Exception:  # noqa: BLE001 - storages have their own errors for what is missing
                self._previous = None
        self._backend.write(self._key, self._content)

    def undo(self) -> None:
        # Nothing is no result: a storage need not be able to remove something.
        self._backend.write(self._key, b"" if self._previous is None else self._previous)

    def finish(self) -> None:
        self._previous = None

    def discard(self) -> None:
        pass
