"""A record between being written and being seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxtask._internal.storage.backends import Staged
    from oxtask._internal.storage.store import ResultStore
    from oxtask.results import ResultRecord


class StagedRecord:
    """A record that is written and not visible yet."""

    def __init__(
        self, store: ResultStore, record: ResultRecord[Any], key: str, parts: list[Staged]
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
