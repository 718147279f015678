"""What is said about concurrency limits: to make one, to change one, and how one is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.lazy_fields import Identity, Moment
from oxtask._internal.records import Record
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


def _to_slots(value: Any, name: str) -> int:
    if not isinstance(value, int) or value < 0:
        msg = f"`{name}` must be a whole number, 0 or more; got {short_repr(value)}"
        raise ValueError(msg)
    return int(value)


def _to_rate(value: Any, name: str) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        msg = f"`{name}` must be a number of slots per second, 0 or more; got {short_repr(value)}"
        raise ValueError(msg)
    return float(value)


def _to_name(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value or set(value) & set("/%&><"):
        msg = f"`{name}` must be text without any of / % & > <; got {short_repr(value)}"
        raise ValueError(msg)
    return value


def _to_flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        msg = f"`{name}` must be true or false; got {short_repr(value)}"
        raise ValueError(msg)  # noqa: TRY004 - like all values that do not fit
    return value


class _LimitFields(Record):
    __slots__ = _fields = ("active", "active_slots", "limit", "name", "slot_decay_per_second")
    _conversions: ClassVar[Mapping[str, Any]] = {
        "active": _to_flag,
        "active_slots": _to_slots,
        "limit": _to_slots,
        "name": _to_name,
        "slot_decay_per_second": _to_rate,
    }


class GlobalConcurrencyLimitCreate(_LimitFields):
    """A limit that is to be made.

    Attributes:
        name: Its name; ``"tag:db"`` is the limit of task runs with the tag ``db``.
        limit: How many slots there are.
        active: Whether it holds.
        active_slots: How many are taken to begin with; nobody gives these back.
        slot_decay_per_second: How many slots come free again by themselves; 0 for none.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = ()
    _constants: ClassVar[Mapping[str, Any]] = {
        "active": True,
        "active_slots": 0,
        "slot_decay_per_second": 0.0,
    }

    name: str
    limit: int
    active: bool
    active_slots: int
    slot_decay_per_second: float

    def __init__(self, *, name: str, limit: int, **fields: Any) -> None:
        super().__init__(name=name, limit=limit, **fields)


class GlobalConcurrencyLimitUpdate(_LimitFields):
    """What is to change about a limit; the rest stays as it is.

    Attributes:
        name: Its new name.
        limit: How many slots there are.
        active: Whether it holds.
        active_slots: How many are taken; 0 to begin anew.
        slot_decay_per_second: How many slots come free again by themselves.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = ()
    _constants: ClassVar[Mapping[str, Any]] = dict.fromkeys(_LimitFields._fields)

    name: str | None
    limit: int | None
    active: bool | None
    active_slots: int | None
    slot_decay_per_second: float | None


class GlobalConcurrencyLimitResponse(Record):
    """A limit as it was when it was read.

    Attributes:
        id: Its id.
        created: When it was made.
        updated: When it was changed last.
        name: Its name.
        limit: How many slots there are.
        active: Whether it holds.
        active_slots: How many slots are taken; parts of one count as one.
        slot_decay_per_second: How many slots come free again by themselves.
        denied_slots: How many slots are waited for.
        avg_slot_occupancy_seconds: For how long slots were held that were given back; 0 for none.
    """

    __slots__ = (
        "_created",
        "_id",
        "_updated",
        "active",
        "active_slots",
        "avg_slot_occupancy_seconds",
        "denied_slots",
        "limit",
        "name",
        "slot_decay_per_second",
    )
    _fields = (
        "id",
        "created",
        "updated",
        "name",
        "limit",
        "active",
        "active_slots",
        "slot_decay_per_second",
        "denied_slots",
        "avg_slot_occupancy_seconds",
    )

    if TYPE_CHECKING:
        id: UUID
        created: datetime
        updated: datetime
    else:
        id, created, updated = Identity(), Moment(), Moment()

    name: str
    limit: int
    active: bool
    active_slots: int
    slot_decay_per_second: float
    denied_slots: int
    avg_slot_occupancy_seconds: float
