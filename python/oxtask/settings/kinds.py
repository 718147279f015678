"""What a setting accepts.

A `Kind` turns a value given by the user, either the text of an environment variable or a Python
object, into the stored form: immutable and hashable. What users read may be another form (a list,
a ``Path``); then `Kind.present` makes it on each access, so that nobody can change a setting.
"""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Number = int | float

_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))

MAX_DELAYS = 50  # as many as a task accepts; see `Task.retry_delay_seconds`


class Kind:
    """A set of accepted values.

    Args:
        accepts: What to write, in words; the end of "expected ...".
        coerce: From text or a Python object to the stored form. Raises ``ValueError`` or
            ``TypeError`` on anything else; its message is not shown.
        present: From the stored form to what users read; ``None`` if they are the same.
        to_text: From the stored form to text that ``coerce`` reads back.
    """

    __slots__ = ("accepts", "coerce", "present", "to_text")

    def __init__(
        self,
        accepts: str,
        coerce: Callable[[Any], Any],
        *,
        present: Callable[[Any], Any] | None = None,
        to_text: Callable[[Any], str] = str,
    ) -> None:
        self.accepts: str = accepts
        self.coerce: Callable[[Any], Any] = coerce
        self.present: Callable[[Any], Any] | None = present
        self.to_text: Callable[[Any], str] = to_text


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    elif isinstance(value, int) and value in (0, 1):  # a bool is one
        return bool(value)
    raise ValueError(value)


def _integer(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool):
        raise TypeError(value)
    return operator.index(value)


def _at_least(minimum: int) -> Callable[[Any], int]:
    def coerce(value: Any) -> int:
        number = _integer(value)
        if number < minimum:
            raise ValueError(value)
        return number

    return coerce


def _or_none(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def coerce_or_none(value: Any) -> Any:
        if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
            return None
        return coerce(value)

    return coerce_or_none


def _seconds(value: Any) -> Number:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    if not 0 <= float(value) < float("inf"):  # nan fails both
        raise ValueError(value)
    return value


def _delays(items: Iterable[Any]) -> tuple[float, ...]:
    delays = tuple(float(_seconds(item)) for item in items)
    if not 0 < len(delays) <= MAX_DELAYS:
        raise ValueError(items)
    return delays


def _retry_delay(value: Any) -> Number | tuple[float, ...]:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            import json  # noqa: PLC0415 - start-up time

            return _delays(json.loads(text))
        return _delays(text.split(",")) if "," in text else _seconds(text)
    return _delays(value) if isinstance(value, (list, tuple)) else _seconds(value)


def _present_retry_delay(stored: Number | tuple[float, ...]) -> Number | list[float]:
    return list(stored) if isinstance(stored, tuple) else stored


def _directory(value: Any) -> str:
    text = os.fspath(value)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(value)
    expanded = os.path.expanduser(text)  # noqa: PTH111 - pathlib costs start-up time
    if expanded.startswith("~"):
        raise ValueError(value)
    # Absolute now: a program that changes its directory must not change its store.
    return os.path.abspath(expanded)  # noqa: PTH100


def _present_directory(stored: str) -> Path:
    from pathlib import Path  # noqa: PLC0415 - start-up time

    return Path(stored).expanduser()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(value)
    return value.strip()


def one_of(*words: str) -> Kind:
    """Return the kind of a setting that takes one of ``words``, in any case of letters."""
    by_lower_case = {word.lower(): word for word in words}

    def coerce(value: Any) -> str:
        if not isinstance(value, str) or value.strip().lower() not in by_lower_case:
            raise ValueError(value)
        return by_lower_case[value.strip().lower()]

    return Kind(f"one of {', '.join(words)}", coerce)


BOOLEAN = Kind(
    "true or false (also 1/0, yes/no, on/off)",
    _boolean,
    to_text=lambda stored: "true" if stored else "false",
)
BOOLEAN_OR_NONE = Kind(
    "true, false or 'none'",
    _or_none(_boolean),
    to_text=lambda stored: "none" if stored is None else "true" if stored else "false",
)
COUNT = Kind("a whole number, 0 or more", _at_least(0))
POSITIVE_COUNT_OR_NONE = Kind(
    "a whole number, 1 or more, or 'none'",
    _or_none(_at_least(1)),
    to_text=lambda stored: "none" if stored is None else str(stored),
)
RETRY_DELAY = Kind(
    "a number of seconds, 0 or more, or a list of 1 to 50 of them such as [1, 2.5, 10]",
    _retry_delay,
    present=_present_retry_delay,
    to_text=lambda stored: str(list(stored)) if isinstance(stored, tuple) else str(stored),
)
DIRECTORY = Kind(
    "the path of a directory; a leading ~ must name a known user",
    _directory,
    present=_present_directory,
)
DIRECTORY_OR_NONE = Kind(
    "the path of a directory, or 'none'",
    _or_none(_directory),
    present=lambda stored: None if stored is None else _present_directory(stored),
    to_text=lambda stored: "none" if stored is None else str(stored),
)
TEXT = Kind("a text that is not empty", _text)
