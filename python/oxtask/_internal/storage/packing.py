"""What the core asks Python about stored values, and warnings about those that are not used."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle  # type: ignore[import-untyped,unused-ignore]

_MAX_WARNED = 10_000
_warned: set[str] = set()
"""Places about which there was a warning already."""


def dumps(value: Any) -> bytes:
    """Return a value as a pickle that every process can read.

    The pickler of the standard library is several times as fast as cloudpickle, but refers to what
    is defined in the main program by its name, which another program does not have, and knows
    nothing of modules that cloudpickle was told to pickle by value.

    Raises:
        SerializationError: If the value cannot be pickled.
    """
    if not cloudpickle.list_registry_pickle_by_value():
        try:
            pickled = pickle.dumps(value, protocol=5)
        except Exception:  # noqa: BLE001, S110 - cloudpickle has the last word
            pass
        else:
            if b"__main__" not in pickled and b"__mp_main__" not in pickled:
                return pickled
    try:
        result: bytes = cloudpickle.dumps(value)
    except Exception as error:
        from oxtask._internal.storage.metadata import (  # noqa: PLC0415 - it imports pydantic
            unwritable,
        )

        raise unwritable(value, "pickle", error) from error
    return result


loads = pickle.loads


def loads_with(metadata: bytes, payload: bytes, is_signed: bool) -> Any:
    """Return the value that the serializer reads which is described by ``metadata``.

    Raises:
        CorruptRecordError: If there is none, or it may not, or cannot.
    """
    from oxtask._internal.storage.metadata import (  # noqa: PLC0415 - it imports pydantic
        load_value,
        metadata_from,
    )

    return load_value(metadata_from(metadata, is_signed), payload)


def warn_of(place: str, why: str) -> None:
    """Warn that what is stored at a place is not used; once about each."""
    warn_once(place, f"The stored result {place!r} is not used: {why.rstrip('.')}.")


def warn_once(place: str, text: str) -> None:
    """Log a warning, unless there was one about the place."""
    if place in _warned:
        return
    if len(_warned) >= _MAX_WARNED:
        _warned.clear()
    _warned.add(place)
    from oxtask.logging import get_logger  # noqa: PLC0415 - nobody needs it otherwise

    get_logger("results").warning(text)
