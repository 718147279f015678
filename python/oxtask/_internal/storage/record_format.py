"""A stored result as bytes.

Two lines of text and the bytes of the serializer::

    oxtask result 1 <checksum> <key id>:<signature>
    {"key": ..., "length": ..., "payload": <checksum>, "metadata": {...}}
    <payload>

The checksum in the first line covers the words before it and the second line, which holds the
checksum of the payload and the key under which the result is stored. So nothing can be changed, cut
off, appended or put under another key unnoticed, and the two lines alone say whether a result is
there. The signature is made of the same bytes with a key of this user (`signing`).

Later versions keep the form of the first line and that there is a second, so that a newer record
can be told from a damaged one.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

from oxtask._internal.storage import signing
from oxtask._internal.text import short_repr
from oxtask.exceptions import CorruptRecordError, NewerRecordError

VERSION = 1
MAGIC = b"oxtask result "
MAX_HEAD = 1 << 20
"""The most bytes the two lines can have."""


class Head:
    """The two lines, verified.

    Attributes:
        metadata: What is known of the result, as plain data.
        is_signed: Whether a key of this user has signed it.
        size: The bytes of the two lines.
        length: The bytes of the payload.
    """

    __slots__ = ("_payload", "is_signed", "length", "metadata", "size")

    def __init__(self, header: dict[str, Any], is_signed: bool, size: int) -> None:
        self.metadata: dict[str, Any] = header["metadata"]
        self.length: int = header["length"]
        self._payload: str = header["payload"]
        self.is_signed = is_signed
        self.size = size

    def check(self, payload: bytes) -> None:
        """Check that the payload is the one that was written.

        Raises:
            CorruptRecordError: If it is not.
        """
        if len(payload) != self.length or _checksum(payload) != self._payload:
            raise CorruptRecordError("its content is not what was written")


def pack(key: str, metadata: dict[str, Any], payload: bytes) -> bytes:
    """Return the two lines for a payload.

    Raises:
        ConfigurationError: If the signing key cannot be used.
    """
    header = json.dumps(
        {"key": key, "length": len(payload), "payload": _checksum(payload), "metadata": metadata},
        separators=(",", ":"),
    ).encode()
    covered = b"%s%d\n%s" % (MAGIC, VERSION, header)
    signature = signing.sign(covered)
    return b"%s%d %s %s\n%s\n" % (
        MAGIC,
        VERSION,
        _checksum(covered).encode(),
        signature.encode(),
        header,
    )


def unpack(blob: bytes, key: str | None) -> Head:
    """Verify the two lines at the start of ``blob``.

    Args:
        blob: The lines and what follows them.
        key: The key under which they were found; ``None`` if it does not matter.

    Raises:
        CorruptRecordError: If they are damaged, or belong to another key.
        NewerRecordError: If a newer version has written them.
    """
    if not blob.startswith(MAGIC):
        raise CorruptRecordError("it was not written by oxtask")
    first_end = blob.find(b"\n", 0, 1024)
    second_end = blob.find(b"\n", first_end + 1, MAX_HEAD)
    if first_end < 0 or second_end < 0:
        raise CorruptRecordError("its beginning is cut off")
    header = blob[first_end + 1 : second_end]
    words = blob[len(MAGIC) : first_end].split(b" ")
    covered = b"%s%s\n%s" % (MAGIC, words[0], header)
    if len(words) < 2 or not compare_digest(_checksum(covered).encode(), words[1]):
        raise CorruptRecordError("its beginning is damaged")
    if words[0] != b"%d" % VERSION:
        raise NewerRecordError(
            f"it has the newer format {short_repr(words[0].decode('ascii', 'replace'))}, and this "
            f"version of oxtask reads up to {VERSION}: upgrade oxtask, or use another storage"
        )
    fields = json.loads(header)
    if key is not None and fields["key"] != key:
        raise CorruptRecordError(f"it belongs to the key {short_repr(fields['key'])}")
    is_signed = len(words) == 3 and signing.is_signed(covered, words[2].decode("ascii", "replace"))
    return Head(fields, is_signed, second_end + 1)


def _checksum(data: bytes) -> str:
    return blake2b(data, digest_size=20).hexdigest()
