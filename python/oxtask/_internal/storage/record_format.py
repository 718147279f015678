"""A stored result as bytes: the record of the core, signed with the key of this user.

Its form stands in ``rust/core/src/results/envelope.rs``. Nothing in a record can be changed, cut
off, appended or put under another key unnoticed, and nothing of it is decoded before that is
certain.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from oxtask._core import open_record, seal_record, seal_value
from oxtask._internal.storage import signing

if TYPE_CHECKING:
    from oxtask._core import Envelope

MAGIC = b"\x8foxrec"
SERIALIZER, PLAIN, PICKLE, RAW = range(4)
"""What reads a payload; see ``codec`` in the core."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def seal(
    key: str,
    metadata: bytes,
    payload: bytes,
    expiration: datetime | None = None,
    *,
    signed: bool = True,
    apart: bool = False,
) -> bytes:
    """Return the record of a value that a serializer has written.

    Args:
        key: The key under which it is stored.
        metadata: What names the serializer.
        payload: What the serializer has written.
        expiration: From when on the record no longer counts.
        signed: Whether this user signs it.
        apart: Whether the payload is stored elsewhere; the record holds its digest then.

    Raises:
        ConfigurationError: If the key that signs records cannot be used.
    """
    keys = signing.keys() if signed else None
    return seal_record(key, metadata, payload, keys, nanoseconds(expiration), apart=apart)


def seal_any(key: str, value: Any, expiration: datetime | None = None) -> bytes:
    """Return the record of any value, in the form that is the fastest to read.

    Raises:
        SerializationError: If the value cannot be pickled.
        ConfigurationError: If the key that signs records cannot be used.
    """
    return seal_value(key, value, signing.keys(), nanoseconds(expiration))


def unseal(blob: bytes, key: str | None) -> Envelope:
    """Verify a record.

    Args:
        blob: The record.
        key: The key under which it was found; ``None`` if it does not matter.

    Raises:
        CorruptRecordError: If it is damaged, or belongs to another key or user.
        NewerRecordError: If a newer version has written it.
        ConfigurationError: If the key that signs records cannot be used.
    """
    return open_record(blob, key, signing.keys())


def nanoseconds(time: datetime | None) -> int | None:
    """Return a time as a record has it: Unix time in nanoseconds."""
    if time is None:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return max(0, (time - _EPOCH) // timedelta(microseconds=1) * 1000)


def moment(expires: int | None) -> datetime | None:
    """Return the time of a record."""
    return None if expires is None else _EPOCH + timedelta(microseconds=expires // 1000)
