"""What the modules about keys have in common."""

from __future__ import annotations

from typing import Any

HOOK = "__oxtask_key__"
"""The method by which objects say what to hash in their place."""

Parts = tuple[Any, ...]
"""A label, a dict of attributes or None, and whatever else decides what an object is."""


class UnhashableError(TypeError):
    """A value cannot be hashed, for a reason that the message gives."""


def name_of(cls: type) -> str:
    """Return what tells a class from others in each process."""
    return f"{cls.__module__}.{cls.__qualname__}"
