"""A record between being written and being seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.storage.packed import StagedInPack, publish_together

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oxtask._internal.storage.backends import Staged
    from oxtask._internal.storage.store import ResultStore
    from oxtask.results import ResultRecord


class StagedRecord:
    """A record that is written and not visible yet."""

    def __init__(
        self, store: ResultStore, record: ResultRecord[Any], key: str, parts: Sequence[Staged]
    ) -> None:
        self._store = store
        self._record = record
        self._key = key
        self._parts = parts

    def publish(self, keep_previous: bool = False) -> None:
        """Make the record visible; with ``keep_previous``, so that `undo` can take it back."""
        for done, part in enumerate(self._parts):
            try:
                part.publish(keep_previous)
            except BaseException:
                for earlier in self._parts[:done]:
                    if keep_previous:
                        earlier.undo()
                raise
        self._published()

    def _published(self) -> None:
        self._record.mark_persisted()
        self._store._forget(self._key)

    def undo(self) -> None:
        """Give the storage back the record it had before `publish`."""
        self._store._forget(self._key)
        for part in reversed(self._parts):
            part.undo()

    def finish(self) -> None:
        """Give up the possibility to `undo`."""
        for part in self._parts:
            part.finish()

    def discard(self) -> None:
        """Drop the record, if it has not been published."""
        for part in self._parts:
            part.discard()


def published_together(records: Iterable[StagedRecord]) -> list[list[StagedRecord]]:
    """Return records in groups, each of which appears as a whole.

    Records of one pack are one group. They come last: what can only be undone should be tried
    before what cannot fail half way.
    """
    alone: list[list[StagedRecord]] = []
    packs: dict[Any, list[StagedRecord]] = {}
    for record in records:
        if len(record._parts) == 1 and isinstance(record._parts[0], StagedInPack):
            packs.setdefault(record._parts[0].pack, []).append(record)
        else:
            alone.append([record])
    return [*alone, *packs.values()]


def publish(group: list[StagedRecord], keep_previous: bool = False) -> None:
    """Make a group of `published_together` visible."""
    if len(group) == 1:
        group[0].publish(keep_previous)
        return
    parts = [part for record in group for part in record._parts if isinstance(part, StagedInPack)]
    publish_together(parts, keep_previous)
    for record in group:
        record._published()
