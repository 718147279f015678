"""Looking after stored results: which there are, what is known of them, what may go.

A storage is a pack, or a folder with a file for each key; both answer the same questions here.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from oxtask._internal.storage.keys import normal_key, stored_name
from oxtask._internal.storage.local_files import (
    PREFIX,
    SUFFIX,
    read_file,
    remove_leftovers,
)
from oxtask._internal.storage.record_format import MAGIC, moment, unseal
from oxtask.exceptions import CorruptRecordError, NewerRecordError
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from oxtask._core import Envelope, Pack

_CORRUPT = ".corrupt"
_DATABASE = "results.db"
_READERS = ("the serializer", "plain values", "pickle", "as it is")


class Entry(NamedTuple):
    """A stored result, as lists show it.

    Attributes:
        key: Its key.
        size: Its bytes.
        expires: From when on it no longer counts.
        used: When it was written or read last, as far as the storage knows.
    """

    key: str
    size: int
    expires: datetime | None
    used: datetime | None


class Place(Protocol):
    """A storage."""

    folder: str
    kind: str

    def ls(self, prefix: str = "") -> list[Entry]:
        """Return the results whose key begins with ``prefix``, ordered by key."""
        ...

    def stats(self) -> dict[str, int]:
        """Count what is there."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a result, and tell whether there was one."""
        ...

    def prune(self) -> dict[str, int]:
        """Remove what has expired and what is of no use, and count it."""
        ...

    def envelope(self, key: str) -> Envelope | None:
        """Return the verified record of a key, also an expired one.

        Raises:
            CorruptRecordError: If it is damaged.
            NewerRecordError: If a newer version has written it.
        """
        ...


def place(folder: str | None = None) -> Place:
    """Return a storage.

    Args:
        folder: Its folder; by default that of the settings.

    Raises:
        FileNotFoundError: If a folder was named that does not exist.
    """
    if folder is not None:
        path = os.path.abspath(os.path.expanduser(folder))  # noqa: PTH100, PTH111 - a string
        if not os.path.isdir(path):  # noqa: PTH112
            raise FileNotFoundError(f"There is no folder {path!r}.")
        is_pack = os.path.exists(f"{path}/{_DATABASE}")  # noqa: PTH110
        return PackPlace(path) if is_pack else FolderPlace(path)
    settings = get_current_settings()
    if settings.results.local_storage_path is not None:
        return FolderPlace(str(settings.results.local_storage_path))
    return PackPlace(str(settings.home / "storage"))


def details(envelope: Envelope) -> dict[str, Any]:
    """Return what is known of a result, without reading its value."""
    import json  # noqa: PLC0415 - start-up time

    found: dict[str, Any] = {
        "key": envelope.key,
        "written": moment(envelope.created),
        "expires": moment(envelope.expires),
        "read_by": _READERS[envelope.codec] if envelope.codec < len(_READERS) else None,
        "size": len(envelope.payload),
        "signed": envelope.is_signed,
        "apart": envelope.is_apart,
    }
    with contextlib.suppress(ValueError):
        metadata = json.loads(envelope.metadata) if envelope.metadata else {}
        if isinstance(metadata, dict):
            found.update({f"metadata.{name}": value for name, value in metadata.items()})
    return found


class PackPlace:
    """Many results in few files.

    Args:
        folder: Where they are.
    """

    kind = "pack"

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def _pack(self) -> Pack | None:
        if not os.path.exists(f"{self.folder}/{_DATABASE}"):  # noqa: PTH110 - a string
            return None  # to look must not make one
        from oxtask._internal.storage.packs import pack_in  # noqa: PLC0415 - start-up time

        return pack_in(self.folder)

    def ls(self, prefix: str = "") -> list[Entry]:
        """Return the results whose key begins with ``prefix``, ordered by key."""
        pack = self._pack()
        found = [] if pack is None else pack.ls(prefix)
        entries = (
            Entry(each["key"], each["size"], moment(each["expires"]), moment(each["used"]))
            for each in found
        )
        return sorted(entries, key=lambda entry: entry.key)

    def stats(self) -> dict[str, int]:
        """Count records, bytes, files and what was put aside as damaged."""
        pack = self._pack()
        found = {} if pack is None else pack.stats()
        return {name: found.get(name, 0) for name in ("records", "bytes", "files", "damaged")}

    def delete(self, key: str) -> bool:
        """Remove a result, and tell whether there was one."""
        pack = self._pack()
        return pack is not None and pack.delete(normal_key(key))

    def prune(self) -> dict[str, int]:
        """Remove what has expired, is over a limit, or belongs to nobody."""
        pack = self._pack()
        return {"records": 0, "files": 0} if pack is None else pack.prune()

    def envelope(self, key: str) -> Envelope | None:
        """Return the verified record of a key, also an expired one."""
        pack = self._pack()
        return None if pack is None else pack.read(normal_key(key))


class FolderPlace:
    """A file for each key.

    Args:
        folder: Where they are.
    """

    kind = "folder"

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def _files(self) -> Iterator[os.DirEntry[str]]:
        open_folders = [self.folder]
        while open_folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(open_folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry

    def _records(self) -> Iterator[tuple[os.DirEntry[str], Envelope]]:
        for entry in self._files():
            if entry.name.endswith(_CORRUPT) or entry.name.startswith(PREFIX):
                continue
            try:
                blob = read_file(entry.path)
                if blob.startswith(MAGIC):
                    yield entry, unseal(blob, None)
            except (OSError, CorruptRecordError, NewerRecordError):
                continue  # removed meanwhile, or not to be read

    def ls(self, prefix: str = "") -> list[Entry]:
        """Return the results whose key begins with ``prefix``, ordered by key."""
        entries = [
            Entry(
                envelope.key,
                entry.stat().st_size,
                moment(envelope.expires),
                moment(entry.stat().st_mtime_ns),
            )
            for entry, envelope in self._records()
            if envelope.key.startswith(prefix)
        ]
        return sorted(entries, key=lambda entry: entry.key)

    def stats(self) -> dict[str, int]:
        """Count records, bytes, files and what was put aside as damaged."""
        counts = {"records": 0, "bytes": 0, "files": 0, "damaged": 0}
        for entry in self._files():
            counts["files"] += 1
            counts["bytes"] += entry.stat().st_size
            counts["damaged"] += entry.name.endswith(_CORRUPT)
        counts["records"] = sum(1 for _ in self._records())
        return counts

    def delete(self, key: str) -> bool:
        """Remove a result, and tell whether there was one."""
        try:
            os.unlink(self._path(key))  # noqa: PTH108 - a string
        except FileNotFoundError:
            return False
        return True

    def prune(self) -> dict[str, int]:
        """Remove what has expired, what was put aside, and what killed processes have left."""
        counts = {"records": 0, "files": 0}
        now = moment(time.time_ns())
        assert now is not None
        for entry, envelope in list(self._records()):
            expires = moment(envelope.expires)
            if expires is not None and expires <= now:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)  # noqa: PTH108
                    counts["records"] += 1
        folders = set()
        for entry in list(self._files()):
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                folders.add(os.path.dirname(entry.path))  # noqa: PTH120
            elif entry.name.endswith(_CORRUPT):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)  # noqa: PTH108
                    counts["files"] += 1
        for folder in folders:
            counts["files"] += remove_leftovers(folder)
        return counts

    def envelope(self, key: str) -> Envelope | None:
        """Return the verified record of a key, also an expired one."""
        try:
            blob = read_file(self._path(key))
        except (FileNotFoundError, IsADirectoryError):
            return None
        return unseal(blob, normal_key(key))

    def _path(self, key: str) -> str:
        return f"{self.folder}/{stored_name(normal_key(key))}"
