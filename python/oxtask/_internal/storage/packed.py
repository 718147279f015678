"""A pack, as a result store uses it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from oxtask._core import seal_record
from oxtask._internal.storage import signing
from oxtask._internal.storage.keys import normal_key
from oxtask._internal.storage.packs import pack_in
from oxtask._internal.storage.record_format import MAGIC, RAW

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from oxtask._core import Envelope, Pack, StagedResult


class PackedBackend:
    """Many records in few files; see ``rust/core/src/results``.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @property
    def pack(self) -> Pack:
        """The pack, which is opened when it is used."""
        return pack_in(self.folder)

    def normal(self, key: str) -> str:
        """Return the normal form of a key, which may be what `location` gave."""
        if isinstance(key, str) and os.path.isabs(key):  # noqa: PTH117 - a string
            inside = key[len(self.folder) :] if key.startswith(self.folder) else ""
            if not inside.startswith(os.sep):
                return normal_key(key)
            key = inside.lstrip(os.sep)
        return normal_key(key)

    def location(self, key: str) -> str:
        """Return what tells the key from those of all other storages."""
        return os.path.join(self.folder, key)  # noqa: PTH118 - a string

    def version(self, location: str) -> Hashable:  # noqa: ARG002 - the pack has a memory of its own
        """Return ``None``: what is read is not to be cached."""
        return None

    def envelope(self, key: str) -> Envelope:
        """Return the verified record of a key, even if it has expired.

        Raises:
            ValueError: If there is none.
            CorruptRecordError: If it is damaged; it has been put aside.
            NewerRecordError: If a newer version has written it.
            ResultStoreError: If the storage fails.
        """
        found = self.pack.read(key)
        if found is None:
            raise ValueError(f"Path {self.location(key)!r} does not exist.")
        return found

    def read(self, key: str) -> bytes:
        """Return what was stored under a key: a record, or anything else; see `envelope`."""
        found = self.envelope(key)
        return found.payload if found.codec == RAW else self.pack.raw(key) or b""

    def stage(self, key: str, parts: list[bytes]) -> StagedInPack:
        """Prepare new content: a record, or anything else."""
        content = b"".join(parts)
        if not content.startswith(MAGIC):
            content = seal_record(key, b"", content, signing.keys(), raw=True)
        return StagedInPack(self.pack, key, content)

    def put_aside(self, key: str) -> None:
        """Do nothing: the pack has put aside what is damaged."""


class StagedInPack:
    """New content that is written and not yet visible."""

    def __init__(self, pack: Pack, key: str, content: bytes) -> None:
        self.pack = pack
        self._key = key
        self._staged: StagedResult = pack.stage(key, content)
        self._previous: bytes | None = None

    def publish(self, keep_previous: bool = False) -> None:
        """Make it visible; with ``keep_previous``, so that `undo` can take it back."""
        publish_together([self], keep_previous)

    def undo(self) -> None:
        """Take back what was published."""
        if self._previous is None:
            self.pack.delete(self._key)
        else:
            self.pack.put(self._key, self._previous)

    def finish(self) -> None:
        """Give up the possibility to `undo`."""
        self._previous = None

    def discard(self) -> None:
        """Drop it, if it has not been published."""
        self._staged.discard()


def publish_together(staged: Sequence[StagedInPack], keep_previous: bool = False) -> None:
    """Make the content of several keys of one pack visible, all of it at once or none."""
    if keep_previous:
        for each in staged:
            each._previous = each.pack.raw(each._key)
    staged[0].pack.publish([each._staged for each in staged])
