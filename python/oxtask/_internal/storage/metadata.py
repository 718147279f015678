"""What is stored beside a value, and records as bytes."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003 - pydantic reads it

from pydantic import BaseModel, Field, SerializeAsAny, field_validator

from oxtask import __version__
from oxtask._internal.storage.record_format import SERIALIZER, moment, seal, unseal
from oxtask._internal.text import short_repr
from oxtask.exceptions import CorruptRecordError, SerializationError
from oxtask.serializers import (
    JSONSerializer,
    PickleSerializer,
    Serializer,
    serializer_from_record,
)

if TYPE_CHECKING:
    from oxtask._core import Envelope
    from oxtask.results import ResultRecord


class ResultRecordMetadata(BaseModel):
    """What a result store knows of a result.

    Args:
        storage_key: The key under which it is stored.
        expiration: From when on it no longer counts; a naive time is UTC.
        serializer: What writes and reads it.
        oxtask_version: The version that wrote it.
        storage_block_id: Which stored block it is in, if it is in one.
    """

    storage_key: str | None = None
    expiration: datetime | None = None
    serializer: SerializeAsAny[Serializer[Any]] = Field(default_factory=PickleSerializer)
    oxtask_version: str = __version__
    storage_block_id: UUID | None = None
    # The folder or URL of the storage. Records do not tell, so that they can be moved.
    _storage: str | None = None

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    @field_validator("serializer", mode="before")
    @classmethod
    def _find_serializer(cls, value: Any) -> Any:
        return serializer_from_record(value) if isinstance(value, dict) else value

    @field_validator("expiration")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=timezone.utc)

    def dump_bytes(self) -> bytes:
        """Return the metadata as JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def load_bytes(cls, data: bytes) -> ResultRecordMetadata:
        """Return the metadata that `dump_bytes` wrote.

        Only for data that is trusted: a serializer it names is made.

        Raises:
            pydantic.ValidationError: If ``data`` is something else.
        """
        return cls.model_validate_json(data)


def dump_value(serializer: Serializer[Any], value: Any) -> bytes:
    """Return a value as bytes.

    Raises:
        SerializationError: If the serializer cannot write it.
    """
    try:
        return serializer.dumps(value)
    except Exception as error:
        raise unwritable(value, serializer.type, error) from error


def unwritable(value: Any, serializer: str, error: Exception) -> SerializationError:
    """Return the error of a value that a serializer cannot write."""
    return SerializationError(
        f"A value of type {type(value).__name__} cannot be written by the serializer "
        f"{serializer!r}: {short_repr(error)}. Choose another with "
        "`result_serializer=...` ('json', 'pickle'), or do not store it with "
        "`persist_result=False`."
    )


def load_value(metadata: ResultRecordMetadata, payload: bytes) -> Any:
    """Return the value that a serializer has written.

    Raises:
        CorruptRecordError: If it cannot read it.
    """
    try:
        return metadata.serializer.loads(payload)
    except Exception as error:
        raise CorruptRecordError(
            f"the serializer {metadata.serializer.type!r} cannot read it: {short_repr(error)}"
        ) from error


def is_plain(record: ResultRecord[Any]) -> bool:
    """Tell whether a record says nothing that those who read it would not assume."""
    return record.serializer == PickleSerializer() and record.metadata.storage_block_id is None


def pack_record(
    record: ResultRecord[Any], key: str, payload: bytes | None = None, *, is_shared: bool = True
) -> bytes:
    """Return a record as bytes.

    Args:
        record: The record.
        key: The key under which it is stored.
        payload: The serialized value, if it is stored apart.
        is_shared: Whether others may want to read or write such records: JSON is not signed then.

    Raises:
        SerializationError: If the value cannot be written.
        ConfigurationError: If the key that signs records cannot be used.
    """
    is_apart = payload is not None
    return seal(
        key,
        record.serialize_metadata(),
        record.serialize_result() if payload is None else payload,
        record.expiration,
        signed=not is_shared or record.serializer != JSONSerializer(),
        apart=is_apart,
    )


def unpack_record(
    blob: bytes, key: str | None, payload: bytes | None = None, *, trusts_json: bool = True
) -> tuple[Any, ResultRecordMetadata]:
    """Return the value and the metadata of a stored record.

    Args:
        blob: The record.
        key: The key under which it was found.
        payload: The value, if it is stored apart.
        trusts_json: Whether JSON is read that this user has not signed.

    Raises:
        CorruptRecordError: If it is damaged or belongs to another key, cannot be decoded, or would
            have to be signed and is not.
        NewerRecordError: If a newer version has written it.
    """
    return unpack_envelope(unseal(blob, key), payload, trusts_json=trusts_json)


def unpack_envelope(
    envelope: Envelope, payload: bytes | None = None, *, trusts_json: bool = True
) -> tuple[Any, ResultRecordMetadata]:
    """Do what `unpack_record` does, with a record that was verified."""
    metadata = metadata_of(envelope, trusts_json=trusts_json)
    if envelope.codec != SERIALIZER:
        try:
            return envelope.value(), metadata
        except CorruptRecordError:
            raise
        except Exception as error:
            raise CorruptRecordError(f"it cannot be read: {short_repr(error)}") from error
    if envelope.is_apart != (payload is not None):
        raise CorruptRecordError("its value is not stored where it says")
    if payload is None:
        payload = envelope.payload
    elif not envelope.describes(payload):
        raise CorruptRecordError("its content is not what was written")
    return load_value(metadata, payload), metadata


def metadata_of(envelope: Envelope, *, trusts_json: bool = True) -> ResultRecordMetadata:
    """Return the metadata of a record that may be read.

    Raises:
        CorruptRecordError: If the record may not be read, or its metadata is not valid.
    """
    if envelope.codec == SERIALIZER:
        return metadata_from(envelope.metadata, envelope.is_signed, trusts_json=trusts_json)
    return ResultRecordMetadata(storage_key=envelope.key, expiration=moment(envelope.expires))


def metadata_from(
    metadata: bytes, is_signed: bool, *, trusts_json: bool = False
) -> ResultRecordMetadata:
    """Return the metadata that a record holds, if the record may be read.

    Making a serializer imports modules, and many run what they read: what this user has not signed
    is read as plain JSON only, and that only by who asked for JSON.

    Raises:
        CorruptRecordError: If the record may not be read, or its metadata is not valid.
    """
    try:
        fields = json.loads(metadata)
        serializer: Any = fields.get("serializer")
    except (ValueError, AttributeError) as error:
        raise CorruptRecordError(f"its metadata is not valid: {short_repr(error)}") from error
    if not is_signed and not (trusts_json and serializer == JSONSerializer().model_dump()):
        kind = serializer.get("type") if isinstance(serializer, dict) else serializer
        raise CorruptRecordError(
            f"it needs the serializer {short_repr(kind)}, and was not signed with the key of this "
            "user: only JSON is read without, by a store whose serializer is JSON"
        )
    try:
        return ResultRecordMetadata.model_validate(fields)
    except ValueError as error:
        raise CorruptRecordError(f"its metadata is not valid: {short_repr(error)}") from error
