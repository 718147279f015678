"""Time-ordered identifiers (UUID version 7), made only when somebody asks for one."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from uuid import UUID

_NANOSECONDS_PER_MILLISECOND = 1_000_000


@cache
def _uuid_class() -> type[UUID]:
    # Cached: an import statement in a function costs as much as the rest of the function.
    from uuid import UUID  # noqa: PLC0415 - start-up time

    return UUID


def new_id() -> UUID:
    """Return a fresh UUID version 7 (RFC 9562).

    The 12 bits after the millisecond hold the fraction of it (method 3 of section 6.2), so that ids
    of one process sort by creation time down to about 250 ns. The 62 random bits come from the
    operating system, which keeps a forked child from repeating its parent's ids.
    """
    milliseconds, rest = divmod(time.time_ns(), _NANOSECONDS_PER_MILLISECOND)
    fraction = (rest << 12) // _NANOSECONDS_PER_MILLISECOND
    random_bits = int.from_bytes(os.urandom(8), "big") >> 2
    return _uuid_class()(
        int=(milliseconds & (1 << 48) - 1) << 80
        | 7 << 76
        | fraction << 64
        | 0b10 << 62
        | random_bits
    )


def to_uuid(value: UUID | str | int, name: str) -> UUID:
    """Return ``value`` as a UUID; the engine hands out ids as 128-bit integers.

    Args:
        value: A UUID, its text form, or its 128-bit integer.
        name: What the value is called in the error message.

    Raises:
        ValueError: The text or the integer is not a UUID.
        TypeError: The value is of another type.
    """
    uuid_class = _uuid_class()
    if isinstance(value, uuid_class):
        return value
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            return uuid_class(value) if isinstance(value, str) else uuid_class(int=value)
        except ValueError:
            raise ValueError(
                f"'{name}' must be a UUID; got {short_repr(value)}. "
                "Pass uuid.UUID(...) or its text form."
            ) from None
    raise TypeError(
        f"'{name}' must be a UUID; got {short_repr(value)} of type {type(value).__name__}. "
        "Pass uuid.UUID(...) or its text form."
    )
