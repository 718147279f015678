"""What clients ask of the store of limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from oxtask._internal.limit_records import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitResponse,
    GlobalConcurrencyLimitUpdate,
)
from oxtask._internal.limit_tickets import Limit
from oxtask._internal.limits import store
from oxtask._internal.text import short_repr
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound

if TYPE_CHECKING:
    from uuid import UUID


def create(wanted: GlobalConcurrencyLimitCreate) -> UUID:
    """Make a limit, and return its id."""
    limit = Limit(
        wanted.name,
        wanted.limit,
        active=wanted.active,
        slot_decay_per_second=wanted.slot_decay_per_second,
    )
    store().create(limit, active_slots=wanted.active_slots)
    return limit.id


def read(name: str) -> GlobalConcurrencyLimitResponse:
    """Return a limit as it is now."""
    return store().read(name, _response)


def read_all(limit: int, offset: int) -> list[GlobalConcurrencyLimitResponse]:
    """Return limits as they are now, ordered by name."""
    for name, value in (("limit", limit), ("offset", offset)):
        if not isinstance(value, int) or value < 0:
            msg = f"`{name}` must be a whole number, 0 or more; got {short_repr(value)}"
            raise ValueError(msg)
    return store().read_all(_response)[offset : offset + limit]


def update(name: str, changes: GlobalConcurrencyLimitUpdate) -> None:
    """Change a limit."""
    values = {field: getattr(changes, field) for field in changes._fields}
    store().update(name, {field: value for field, value in values.items() if value is not None})


def delete(name: str) -> None:
    """Remove a limit."""
    store().delete(name)


def upsert(name: str, limit: int, slot_decay_per_second: float | None) -> None:
    """Make a limit, or change it if there is one of that name."""
    decay = (
        {} if slot_decay_per_second is None else {"slot_decay_per_second": slot_decay_per_second}
    )
    changes = GlobalConcurrencyLimitUpdate(limit=limit, **decay)
    while True:  # another thread may remove it, or make it, between the two
        try:
            return update(name, changes)
        except ObjectNotFound:
            pass
        try:
            create(GlobalConcurrencyLimitCreate(name=name, limit=limit, **decay))
        except ObjectAlreadyExists:
            continue
        return None


def _response(
    limit: Limit, denied_slots: int, used: tuple[int, float]
) -> GlobalConcurrencyLimitResponse:
    releases, seconds_held = used
    return GlobalConcurrencyLimitResponse(
        id=limit.id,
        created=limit.created,
        updated=limit.updated,
        name=limit.name,
        limit=limit.limit,
        active=limit.active,
        active_slots=math.ceil(limit.occupied() - 1e-9),
        slot_decay_per_second=limit.slot_decay_per_second,
        denied_slots=denied_slots,
        avg_slot_occupancy_seconds=seconds_held / releases if releases else 0.0,
    )
