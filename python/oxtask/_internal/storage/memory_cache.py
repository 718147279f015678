"""Results that were written or read lately, as bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from oxtask._internal.fork_locks import fork_lock

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_RECORDS = 1000
MAX_BYTES = 64 << 20


class MemoryCache:
    """The least recently used are dropped first. Values are bytes, so that nobody shares objects.

    Args:
        max_records: The most records.
        max_bytes: The most bytes of all of them; a larger record is not kept.
    """

    def __init__(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[Hashable, bytes]] = OrderedDict()
        self._lock = fork_lock()

    def get(self, location: str, version: Hashable) -> bytes | None:
        """Return what is stored at a place, if it is of that version."""
        with self._lock:
            entry = self._entries.get(location)
            if entry is None:
                return None
            if entry[0] != version:
                self._drop(location)
                return None
            self._entries.move_to_end(location)
            return entry[1]

    def put(self, location: str, version: Hashable, blob: bytes) -> None:
        """Keep what is stored at a place."""
        with self._lock:
            self._drop(location)
            if len(blob) > self._max_bytes:
                return
            self._entries[location] = (version, blob)
            self._bytes += len(blob)
            while len(self._entries) > self._max_records or self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def remove(self, location: str) -> None:
        """Forget what is stored at a place."""
        with self._lock:
            self._drop(location)

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, location: str) -> None:
        entry = self._entries.pop(location, None)
        if entry is not None:
            self._bytes -= len(entry[1])
