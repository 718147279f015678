"""Where the result of a run that has ended is stored, as the history keeps it: in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oxtask._internal.storage.metadata import ResultRecordMetadata

StoredLink = tuple[str, str | None, str]
"""The key, the folder or URL of the storage, and the metadata as JSON unless the key is all."""


def link_to(metadata: ResultRecordMetadata) -> StoredLink | None:
    """Return where a result is stored; ``None`` if the metadata do not say that."""
    key = metadata.storage_key
    if key is None:
        return None
    # Of the default serializer, and cheaper than to make another to compare it with.
    is_plain = metadata.expiration is None and metadata.serializer.type == "pickle"
    return key, metadata._storage, "" if is_plain else metadata.model_dump_json()


def metadata_of(link: StoredLink) -> ResultRecordMetadata:
    """Return the metadata that `link_to` was given."""
    from oxtask._internal.storage.metadata import ResultRecordMetadata  # noqa: PLC0415 - pydantic

    key, place, text = link
    metadata = (
        ResultRecordMetadata.model_validate_json(text)
        if text
        else ResultRecordMetadata(storage_key=key)
    )
    metadata._storage = place
    return metadata
