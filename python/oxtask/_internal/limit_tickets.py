"""Concurrency limits, and tickets for their slots; see `oxtask._internal.limits`.

Only the store changes these, under its lock.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from oxtask._internal.ids import new_id, to_uuid
from oxtask._internal.lock_waits import lock_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID


class Limit:
    """How many slots there are, who holds them, and who waits.

    Attributes:
        queue: The tickets of this process that wait, the oldest first.
        held: How many slots each ticket of this process holds that will give them back.
        elsewhere: How many slots other processes hold, as of the last look.
        level: How many slots are taken besides, as of ``level_at``: those that decay, and those
            that were declared taken. Below 0, slots were declared free while they were held.
        level_at: A time of `lock_clock`.
        is_level_new: Whether the others do not know the level yet.
        releases: How often slots were given back in this process.
        seconds_held: For how long they had been held, all together.
    """

    def __init__(
        self, name: str, limit: int, *, active: bool, slot_decay_per_second: float
    ) -> None:
        self.id: UUID = new_id()
        self.key = self.id.hex
        self.created = self.updated = time.time_ns()
        self.name = name
        self.limit = limit
        self.active = active
        self.slot_decay_per_second = slot_decay_per_second
        self.queue: OrderedDict[Ticket, None] = OrderedDict()
        self.held: dict[Ticket, int] = {}
        self.elsewhere = 0
        self.level, self.level_at = 0.0, lock_clock()
        self.is_level_new = False
        self.releases = 0
        self.seconds_held = 0.0

    @classmethod
    def defined(cls, definition: dict[str, Any]) -> Limit:
        """Return the limit that a definition is about."""
        limit = cls("", 0, active=True, slot_decay_per_second=0.0)
        limit.define(definition)
        return limit

    def define(self, definition: dict[str, Any]) -> None:
        """Be as a definition says."""
        self.id, self.key = to_uuid(definition["id"], "id"), definition["id"]
        self.created, self.updated = definition["created"], definition["updated"]
        self.name, self.limit = definition["name"], definition["limit"]
        self.active = definition["active"]
        self.slot_decay_per_second = definition["slot_decay_per_second"]

    def definition(self) -> dict[str, Any]:
        """Return what is kept of the limit."""
        names = ("created", "updated", "name", "limit", "active", "slot_decay_per_second")
        return {"id": self.key, **{name: getattr(self, name) for name in names}}

    def occupied(self) -> float:
        """Return how many slots are taken."""
        if self.slot_decay_per_second:
            # The clock begins anew when the machine does, and what had been taken is free again.
            passed = lock_clock() - self.level_at
            decayed = passed * self.slot_decay_per_second if passed >= 0 else self.level
            return max(0.0, self.level - decayed)
        return max(0.0, self.level + self.held_slots())

    def held_slots(self) -> int:
        """Return how many slots are held, here and elsewhere."""
        return sum(self.held.values()) + self.elsewhere

    def set_occupied(self, slots: float) -> None:
        """Let so many slots be taken, whoever holds them."""
        held = 0 if self.slot_decay_per_second else self.held_slots()
        self._set_level(slots - held)

    def _set_level(self, level: float) -> None:
        self.level, self.level_at = level, lock_clock()
        self.is_level_new = True

    def seconds_to_room(self, slots: int) -> float | None:
        """Return in how many seconds so many slots are free, 0 for now; ``None`` if not by time."""
        # A hair is granted: to come back for it would take longer than it takes to decay.
        missing = self.occupied() + slots - self.limit - 1e-9
        if missing <= 0:
            return 0.0
        return missing / self.slot_decay_per_second if self.slot_decay_per_second else None

    def take(self, ticket: Ticket) -> None:
        """Give slots to a ticket."""
        if self.slot_decay_per_second:
            self.set_occupied(self.occupied() + ticket.slots)
        if not ticket.is_rate:
            self.held[ticket] = ticket.slots

    def give_back(self, ticket: Ticket) -> None:
        """Take back the slots of a ticket, if it has any; what has decayed is free already."""
        slots = self.held.pop(ticket, None)
        if slots is not None:
            self.releases += 1
            self.seconds_held += time.monotonic() - ticket.granted_at
            if self.slot_decay_per_second:
                self.set_occupied(max(0.0, self.occupied() - slots))
            else:
                self.give_back_declared(slots)

    def give_back_declared(self, slots: int) -> None:
        """Take back slots that were declared free while they were held."""
        if self.level < 0 and not self.slot_decay_per_second:
            self._set_level(min(0.0, self.level + slots))


class Ticket:
    """A wish for slots of some limits.

    Attributes:
        since: When it was made, by `lock_clock`.
        names: The limits that are asked for.
        slots: How many of each.
        is_rate: Whether the slots decay, instead of being given back.
        limits: The limits that exist and are active.
        missing: The names of those that do not exist.
        is_granted: Whether it has its slots.
        is_over: Whether it was given up.
        due: When, on the monotonic clock, to ask again if nothing was heard until then.
        error: Why it cannot be granted any more.
        wake: Called when one of these changes; for who waits.
    """

    __slots__ = (
        "due",
        "error",
        "granted_at",
        "is_granted",
        "is_over",
        "is_rate",
        "limits",
        "missing",
        "names",
        "since",
        "slots",
        "wake",
    )

    def __init__(self, names: Iterable[str], slots: int, *, is_rate: bool) -> None:
        self.since = lock_clock()
        self.names = list(dict.fromkeys(names))
        self.slots = slots
        self.is_rate = is_rate
        self.limits: list[Limit] = []
        self.missing: list[str] = []
        self.is_granted = self.is_over = False
        self.granted_at = 0.0
        self.due: float | None = None
        self.error: Exception | None = None
        self.wake: Callable[[], object] | None = None

    def is_settled(self) -> bool:
        """Tell whether there is nothing to wait for any more."""
        return self.is_granted or self.is_over or self.error is not None

    def tell(self) -> None:
        """Wake who waits, once."""
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()
