"""Concurrency limits, and tickets for their slots; see `oxtask._internal.limits`.

Only the store changes these, under its lock.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from oxtask._internal.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID


class Limit:
    """How many slots there are, who holds them, and who waits.

    Attributes:
        queue: The tickets that wait, the oldest first.
        held: How many slots each ticket holds that will give them back.
        releases: How often slots were given back.
        seconds_held: For how long they had been held, all together.
    """

    def __init__(
        self, name: str, limit: int, *, active: bool, slot_decay_per_second: float
    ) -> None:
        self.id: UUID = new_id()
        self.created = self.updated = time.time_ns()
        self.name = name
        self.limit = limit
        self.active = active
        self.slot_decay_per_second = slot_decay_per_second
        self.queue: OrderedDict[Ticket, None] = OrderedDict()
        self.held: dict[Ticket, int] = {}
        self.releases = 0
        self.seconds_held = 0.0
        self._level, self._level_at = 0.0, time.monotonic()

    def occupied(self) -> float:
        """Return how many slots are taken."""
        if self.slot_decay_per_second:
            passed = time.monotonic() - self._level_at
            return max(0.0, self._level - passed * self.slot_decay_per_second)
        return max(0.0, self._level + sum(self.held.values()))

    def set_occupied(self, slots: float) -> None:
        """Let so many slots be taken, whoever holds them."""
        own = 0 if self.slot_decay_per_second else sum(self.held.values())
        self._level, self._level_at = slots - own, time.monotonic()

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
            elif self._level < 0:  # these were declared free while they were held
                self._level = min(0.0, self._level + slots)


class Ticket:
    """A wish for slots of some limits.

    Attributes:
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
        "slots",
        "wake",
    )

    def __init__(self, names: Iterable[str], slots: int, *, is_rate: bool) -> None:
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
