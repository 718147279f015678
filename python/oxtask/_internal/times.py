"""Time stamps: nanoseconds since the epoch inside, UTC datetimes for whoever looks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@cache
def _classes() -> tuple[type[datetime], type[timedelta], datetime]:
    """Return ``datetime``, ``timedelta`` and the epoch."""
    # Cached: an import statement in a function costs as much as the rest of the function.
    from datetime import datetime, timedelta, timezone  # noqa: PLC0415 - start-up time

    return datetime, timedelta, datetime(1970, 1, 1, tzinfo=timezone.utc)


def utc_now() -> datetime:
    """Return the current time as a UTC datetime."""
    datetime_class, _, epoch = _classes()
    return datetime_class.now(epoch.tzinfo)


def microsecond_after(value: datetime) -> datetime:
    """Return the next point in time a datetime can tell from ``value``."""
    return value + _classes()[1](microseconds=1)


def datetime_from_nanoseconds(nanoseconds: int) -> datetime:
    """Return the UTC datetime ``nanoseconds`` after the epoch, cut to whole microseconds.

    Integer arithmetic throughout: the way over a float is wrong by up to half a microsecond.
    """
    _, timedelta_class, epoch = _classes()
    return epoch + timedelta_class(microseconds=nanoseconds // 1000)


def duration_from_nanoseconds(nanoseconds: int) -> timedelta:
    """Return a duration of ``nanoseconds``, cut to whole microseconds."""
    return _classes()[1](microseconds=nanoseconds // 1000)


def nanoseconds_from(value: datetime | timedelta) -> int:
    """Return a time as nanoseconds since the epoch, or a duration as nanoseconds."""
    datetime_class, timedelta_class, epoch = _classes()
    duration = value - epoch if isinstance(value, datetime_class) else value
    return duration // timedelta_class(microseconds=1) * 1000  # type: ignore[operator]


def to_utc(value: datetime | str, name: str) -> datetime:
    """Return ``value`` as a UTC datetime; a naive one is taken to be UTC already.

    Args:
        value: A datetime, or its ISO 8601 text.
        name: What the value is called in the error message.

    Raises:
        ValueError: The text is not a date and time.
        TypeError: The value is of another type; a bare number has no unit.
    """
    datetime_class, _, epoch = _classes()
    if isinstance(value, str):
        try:
            # Python 3.10 does not read the "Z" suffix.
            value = datetime_class.fromisoformat(
                value[:-1] + "+00:00" if value.endswith("Z") else value
            )
        except ValueError:
            raise ValueError(
                f"'{name}' must be a date and time; got {short_repr(value)}. "
                "Pass a datetime or ISO 8601 text such as '2030-01-31T12:00:00+00:00'."
            ) from None
    if not isinstance(value, datetime_class):
        raise TypeError(
            f"'{name}' must be a datetime; got {short_repr(value)} of type {type(value).__name__}. "
            "Pass for example datetime.now(timezone.utc)."
        )
    if value.tzinfo is None:
        return value.replace(tzinfo=epoch.tzinfo)
    return value if value.tzinfo is epoch.tzinfo else value.astimezone(epoch.tzinfo)


def to_duration(value: timedelta | float, name: str) -> timedelta:
    """Return ``value`` as a timedelta.

    Args:
        value: A timedelta, or a number of seconds.
        name: What the value is called in the error message.

    Raises:
        TypeError: The value is of another type.
    """
    timedelta_class = _classes()[1]
    if isinstance(value, timedelta_class):
        return value
    if isinstance(value, (int, float)):
        return timedelta_class(seconds=value)
    raise TypeError(
        f"'{name}' must be a timedelta or a number of seconds; got {short_repr(value)} "
        f"of type {type(value).__name__}."
    )
