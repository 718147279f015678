"""Where results can be kept: a local folder, or what fsspec reaches.

Any object with ``read_path(path)`` and ``write_path(path, content)``, sync or async, can be the
storage of results; the classes here are ready ones. Their methods return a coroutine to code that
runs on an event loop, unless called with ``_sync=True``.
"""

from __future__ import annotations

import abc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from oxtask._internal.dispatch import in_async_context
from oxtask._internal.storage.local_files import StagedFile, read_file
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from oxtask._internal.storage.packed import PackedBackend

__all__ = [
    "LocalFileSystem",
    "NullFileSystem",
    "PackedFileSystem",
    "ReadableFileSystem",
    "RemoteFileSystem",
    "WritableFileSystem",
]


class ReadableFileSystem(abc.ABC):
    """A storage that can be read."""

    @abc.abstractmethod
    def read_path(self, path: str) -> Any:
        """Return the bytes stored under ``path``, or a coroutine that does."""


class WritableFileSystem(ReadableFileSystem):
    """A storage that can be read and written."""

    @abc.abstractmethod
    def write_path(self, path: str, content: bytes) -> Any:
        """Store ``content`` under ``path``, or return a coroutine that does."""


class _DualFileSystem(WritableFileSystem):
    """Sync and async methods made from `_read` and `_write`."""

    @abc.abstractmethod
    def _read(self, path: str) -> bytes: ...

    @abc.abstractmethod
    def _write(self, path: str, content: bytes) -> str: ...

    def read_path(self, path: str, *, _sync: bool | None = None) -> Any:
        """Return the bytes stored under ``path``; see the class for errors."""
        if _sync is not True and (_sync is False or in_async_context()):
            return self.aread_path(path)
        return self._read(path)

    def write_path(self, path: str, content: bytes, *, _sync: bool | None = None) -> Any:
        """Store ``content`` under ``path``, and return where; see the class for errors."""
        if _sync is not True and (_sync is False or in_async_context()):
            return self.awrite_path(path, content)
        return self._write(path, content)

    async def aread_path(self, path: str) -> bytes:
        """Do what `read_path` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(self._read, path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """Do what `write_path` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(self._write, path, content)


class LocalFileSystem(_DualFileSystem):
    """A folder on this machine.

    Reading raises `ValueError` if there is no file, or no regular one. Writing is atomic and makes
    missing folders. Paths that lead out of the folder raise `ValueError`.

    Args:
        basepath: The folder; ``None`` is the current one at the time of a call. A leading ``~`` and
            symbolic links are followed then.
    """

    def __init__(self, basepath: str | os.PathLike[str] | None = None) -> None:
        self.basepath: str | None = None if basepath is None else os.fspath(basepath)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LocalFileSystem):
            return NotImplemented
        return self.basepath == other.basepath

    def __hash__(self) -> int:
        return hash(self.basepath)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(basepath={self.basepath!r})"

    def _resolve_path(self, path: str | os.PathLike[str] | None = None) -> Path:
        base = Path(self.basepath or ".").expanduser().resolve()
        if path is None:
            return base
        # An absolute path takes the place of the base.
        resolved = (base / Path(path).expanduser()).resolve()
        if resolved != base and base not in resolved.parents:
            raise ValueError(
                f"The path {short_repr(os.fspath(path))} is outside of the base path "
                f"{str(base)!r}: give a path below it."
            )
        return resolved

    def _read(self, path: str) -> bytes:
        resolved = self._resolve_path(path)
        if not resolved.exists():
            raise ValueError(f"Path {str(resolved)!r} does not exist.")
        if not resolved.is_file():
            raise ValueError(f"Path {str(resolved)!r} is not a file.")
        return read_file(str(resolved))

    def _write(self, path: str, content: bytes) -> str:
        resolved = self._resolve_path(path)
        if resolved.exists() and not resolved.is_file():
            raise ValueError(f"Path {str(resolved)!r} already exists and is not a file.")
        StagedFile(str(resolved), [content]).publish()
        return str(resolved)


class PackedFileSystem(_DualFileSystem):
    """A folder on this machine in which many results share few files: fast, and limited in size.

    It is the storage of results that do not say. Small results are rows of a database, large ones
    are files that have no readable names. The folder must be on a local disk. Settings that begin
    with ``results.max_`` limit its size. Reading raises `ValueError` if there is nothing.

    Args:
        basepath: The folder; a leading ``~`` is the home of the user.
    """

    def __init__(self, basepath: str | os.PathLike[str]) -> None:
        self.basepath: str = os.fspath(basepath)

    @property
    def folder(self) -> str:
        """The folder as an absolute path."""
        return os.path.abspath(os.path.expanduser(self.basepath))  # noqa: PTH100, PTH111

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedFileSystem):
            return NotImplemented
        return self.basepath == other.basepath

    def __hash__(self) -> int:
        return hash(self.basepath)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(basepath={self.basepath!r})"

    def _read(self, path: str) -> bytes:
        backend = self._backend()
        return backend.read(backend.normal(path))

    def _write(self, path: str, content: bytes) -> str:
        backend = self._backend()
        key = backend.normal(path)
        backend.stage(key, [content]).publish()
        return backend.location(key)

    def _backend(self) -> PackedBackend:
        from oxtask._internal.storage.packed import PackedBackend  # noqa: PLC0415 - start-up time

        return PackedBackend(self.folder)


class RemoteFileSystem(_DualFileSystem):
    """What fsspec reaches: object stores, FTP, memory, and others.

    Reading raises `FileNotFoundError` if there is nothing. Paths that lead out of ``basepath``
    raise `ValueError`.

    Args:
        basepath: A URL such as ``"s3://bucket/folder"`` or ``"memory://results"``.
        settings: Arguments of the fsspec file system.

    Raises:
        ValueError: If ``basepath`` is no such URL.
    """

    def __init__(self, basepath: str, settings: dict[str, Any] | None = None) -> None:
        parts = urlsplit(basepath) if isinstance(basepath, str) else None
        if parts is None or not parts.scheme:
            raise ValueError(
                f"Base path must start with a scheme such as 's3://'; got {short_repr(basepath)}"
            )
        if parts.scheme == "file":
            raise ValueError("Base path scheme cannot be 'file'. Use `LocalFileSystem` instead.")
        if not parts.netloc:
            raise ValueError(
                f"Base path must include a location after the scheme; got {short_repr(basepath)}"
            )
        self.basepath: str = basepath
        self.settings: dict[str, Any] = dict(settings or {})
        self._filesystem: Any = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteFileSystem):
            return NotImplemented
        return (self.basepath, self.settings) == (other.basepath, other.settings)

    def __hash__(self) -> int:
        return hash(self.basepath)

    def __repr__(self) -> str:  # settings can hold passwords
        return f"{type(self).__name__}(basepath={self.basepath!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_filesystem": None}

    @property
    def filesystem(self) -> Any:
        """The fsspec file system, made on first use.

        Raises:
            RuntimeError: If a package is missing.
        """
        if self._filesystem is None:
            try:
                import fsspec  # type: ignore[import-untyped,import-not-found,unused-ignore] # noqa: PLC0415

                self._filesystem = fsspec.filesystem(
                    urlsplit(self.basepath).scheme, **self.settings
                )
            except ImportError as error:
                raise RuntimeError(
                    f"File system {self.basepath!r} is missing a Python module: {error}. Install "
                    "it, or `pip install fsspec` if it is that."
                ) from error
        return self._filesystem

    def _resolve_path(self, path: str) -> str:
        base = urlsplit(self.basepath)
        inside = path
        if "://" in path:
            given = urlsplit(path)
            inside = path.split("://", 1)[1][len(given.netloc) :].lstrip("/")
            above = [part for part in base.path.split("/") if part]
            parts = inside.split("/")
            if (
                given.scheme.lower() != base.scheme.lower()
                or given.netloc != base.netloc
                or parts[: len(above)] != above
            ):
                raise ValueError(
                    f"The path {short_repr(path)} is outside of the base path {self.basepath!r}"
                )
            inside = "/".join(parts[len(above) :])
        decoded = unquote(inside).replace("\\", "/")
        if ".." in decoded.split("/"):
            raise ValueError(
                f"The path {short_repr(path)} is outside of the base path {self.basepath!r}: it "
                "must not contain '..'"
            )
        return f"{self.basepath.rstrip('/')}/{inside.lstrip('/')}"

    def _read(self, path: str) -> bytes:
        with self.filesystem.open(self._resolve_path(path), "rb") as file:
            content: bytes = file.read()
            return content

    def _write(self, path: str, content: bytes) -> str:
        resolved = self._resolve_path(path)
        self.filesystem.makedirs(resolved.rpartition("/")[0], exist_ok=True)
        with self.filesystem.open(resolved, "wb") as file:
            file.write(content)
        return resolved


class NullFileSystem:
    """A storage that keeps nothing."""

    async def read_path(self, path: str) -> None:
        """Return ``None``."""

    async def write_path(self, path: str, content: bytes) -> None:
        """Do nothing."""
