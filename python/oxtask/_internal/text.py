"""Bounded text for error messages: a value is shown, whatever it is and however large."""

from __future__ import annotations

from typing import Any

MAX_REPR = 200
MAX_MESSAGE = 10_000
"""How much of an exception's text is in the message of a state: states are kept by the thousand."""
MAX_REPORT = 1_000_000
"""How long a traceback may be as text."""


def shortened(text: str, limit: int) -> str:
    """Return a text cut to ``limit`` characters, with its length if it was longer."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} long)"


def short_repr(value: Any, limit: int = MAX_REPR) -> str:
    """Return ``repr(value)`` cut to ``limit`` characters; a ``repr`` that raises is replaced.

    Large built-in containers are not rendered whole only to be cut.
    """
    try:
        if isinstance(value, (str, bytes, bytearray)) and len(value) > limit:
            text = repr(value[:limit])
            return f"{text[:limit]}... ({len(value)} long)"
        if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > limit:
            return f"<{type(value).__name__} of {len(value)} items>"
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a hostile repr must not hide the real error
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}..."
