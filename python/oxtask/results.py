"""What a run produced, and where it is kept.

A `ResultStore` writes results under keys and reads them back. What it writes is checksummed and
bound to its key; what it did not write, or what was changed since, it does not read. Only
`ResultRecord` is there at once; the rest is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

    from oxtask._internal.storage.defaults import (
        get_default_persist_setting,
        get_default_persist_setting_for_tasks,
        get_default_result_serializer,
        get_default_result_storage,
        get_result_store,
        resolve_result_storage,
        should_persist_result,
    )
    from oxtask._internal.storage.metadata import ResultRecordMetadata
    from oxtask._internal.storage.store import ResultStore
    from oxtask.serializers import Serializer, resolve_serializer

__all__ = [
    "ResultRecord",
    "ResultRecordMetadata",
    "ResultStore",
    "get_default_persist_setting",
    "get_default_persist_setting_for_tasks",
    "get_default_result_serializer",
    "get_default_result_storage",
    "get_result_store",
    "resolve_result_storage",
    "resolve_serializer",
    "should_persist_result",
]

R_co = TypeVar("R_co", covariant=True)

_HOMES = {
    "ResultRecordMetadata": "oxtask._internal.storage.metadata",
    "ResultStore": "oxtask._internal.storage.store",
    "get_default_persist_setting": "oxtask._internal.storage.defaults",
    "get_default_persist_setting_for_tasks": "oxtask._internal.storage.defaults",
    "get_default_result_serializer": "oxtask._internal.storage.defaults",
    "get_default_result_storage": "oxtask._internal.storage.defaults",
    "get_result_store": "oxtask._internal.storage.defaults",
    "resolve_result_storage": "oxtask._internal.storage.defaults",
    "resolve_serializer": "oxtask.serializers",
    "should_persist_result": "oxtask._internal.storage.defaults",
}


class ResultRecord(Generic[R_co]):  # noqa: PLW1641 - mutable and equal by content
    """The value of a run, as the engine puts it into ``State.data``.

    A state whose data is a record has a value even when that value is ``None``; a completed state
    whose data is ``None`` itself has none. Holding a value in memory is all a record does: writing
    it to a store and reading it back is a separate concern, described by ``metadata``.

    Args:
        result: The value.
        metadata: How the value is or will be stored; ``None`` for a value that lives in memory
            only.

    >>> ResultRecord(3).result
    3
    """

    __slots__ = ("__weakref__", "_is_persisted", "metadata", "result")

    result: R_co
    metadata: Any

    def __init__(self, result: R_co, metadata: Any = None) -> None:
        self.result = result
        self.metadata = metadata

    @property
    def expiration(self) -> datetime | None:
        """From when on the record no longer counts; ``None`` is never."""
        expiration: datetime | None = getattr(self.metadata, "expiration", None)
        return expiration

    @property
    def serializer(self) -> Serializer[Any]:
        """What writes and reads the value."""
        return self._metadata().serializer

    @property
    def is_persisted(self) -> bool:
        """Whether the record has been written to its storage, or read from it."""
        return getattr(self, "_is_persisted", False)

    def mark_persisted(self) -> None:
        """Note that the record is in its storage."""
        self._is_persisted = True

    def serialize_result(self) -> bytes:
        """Return the value as bytes.

        Raises:
            SerializationError: If its serializer cannot write it.
        """
        from oxtask._internal.storage.metadata import dump_value  # noqa: PLC0415 - start-up time

        return dump_value(self.serializer, self.result)

    def serialize_metadata(self) -> bytes:
        """Return the metadata as bytes."""
        return self._metadata().dump_bytes()

    def serialize(self) -> bytes:
        """Return the record as a result store writes it.

        Raises:
            SerializationError: If the value cannot be written.
            ConfigurationError: If the key that signs records cannot be used.
        """
        from oxtask._internal.storage.metadata import pack_record  # noqa: PLC0415 - start-up time

        return pack_record(self, self._metadata().storage_key or "")

    @classmethod
    def deserialize(cls, data: bytes, backup_serializer: Serializer[Any] | None = None) -> Self:
        """Return the record that `serialize` wrote.

        Args:
            data: What it wrote.
            backup_serializer: What reads ``data`` if that is no record.

        Raises:
            CorruptRecordError: If ``data`` is no record, or a damaged one, or needs a serializer
                that runs what it reads and was not signed by this user.
            NewerRecordError: If a newer version has written it.
        """
        from oxtask._internal.storage.metadata import (  # noqa: PLC0415 - start-up time
            ResultRecordMetadata,
            unpack_record,
        )
        from oxtask._internal.storage.record_format import MAGIC  # noqa: PLC0415

        if backup_serializer is not None and not data.startswith(MAGIC):
            metadata = ResultRecordMetadata(serializer=backup_serializer)
            return cls(backup_serializer.loads(data), metadata)
        result, metadata = unpack_record(data, None)
        return cls(result, metadata)

    def _metadata(self) -> ResultRecordMetadata:
        if self.metadata is None:
            from oxtask._internal.storage.metadata import (  # noqa: PLC0415 - start-up time
                ResultRecordMetadata,
            )

            self.metadata = ResultRecordMetadata()
        metadata: ResultRecordMetadata = self.metadata
        return metadata

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self.result == other.result and self.metadata == other.metadata)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(result={short_repr(self.result)})"


if not TYPE_CHECKING:  # else every name would be there for type checkers

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from importlib import import_module  # noqa: PLC0415 - names are loaded on first use

        value = getattr(import_module(home), name)
        globals()[name] = value
        return value
