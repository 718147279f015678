"""Limits of what happens at a time, and who holds their slots: the store, in this process.

Whoever wants slots files a `Ticket` with all limits it needs. It stands in the queue of each, and
is granted when it is first in all of them and all have room: all slots at once, in the order of
requests. So nobody is overtaken by who wants less, and those who wait for different limits do not
wait for each other. Slots that come back are handed on by who brings them.

A limit with a decay is a bucket that runs out steadily: when there will be room follows from the
level, so the first in its queue is told a time (`Ticket.due`) and asks again then.

A change takes the lock and calls nothing of the user. A ticket that is given up goes through
`_returned`, also when the collector finds a forgotten one in the middle of another change on the
same thread: whoever holds the lock works that list off. What a change does can be done twice
without harm, since an exception may be injected into its thread.
"""

from __future__ import annotations

import os
import time
from _thread import RLock
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from oxtask._internal import plan_watch
from oxtask._internal.text import short_repr
from oxtask.concurrency.errors import ConcurrencySlotAcquisitionError
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oxtask._internal.limit_tickets import Limit, Ticket

T = TypeVar("T")

TAG_PREFIX = "tag:"
"""Limits of this kind of name hold for task runs with the tag that follows."""


class Store:
    """The limits of a process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_busy = False
        self._limits: dict[str, Limit] = {}
        self._returned: deque[Ticket] = deque()

    def _change(self, change: Callable[[], T]) -> T:
        with self._lock:
            was_busy, self._is_busy = self._is_busy, True
            try:
                return change()
            finally:
                try:
                    while not was_busy and self._returned:
                        self._take_back(self._returned[0])
                        self._returned.popleft()
                finally:
                    self._is_busy = was_busy
                if not was_busy and self._returned:
                    self._change(_nothing)

    # --- slots ------------------------------------------------------------------------------------

    def request(self, ticket: Ticket) -> None:
        """Grant a ticket, or put it into the queues.

        Raises:
            ConcurrencySlotAcquisitionError: If it can never be granted.
        """

        def file() -> None:
            ticket.missing = [name for name in ticket.names if name not in self._limits]
            found = [self._limits[name] for name in ticket.names if name in self._limits]
            ticket.limits = [limit for limit in found if limit.active]
            for limit in ticket.limits:
                error = _impossible(limit, ticket)
                if error is not None:
                    ticket.limits = []
                    raise error
            for limit in ticket.limits:
                limit.queue[ticket] = None
            self._grant(ticket)

        self._change(file)

    def listen(self, ticket: Ticket, wake: Callable[[], object]) -> bool:
        """Have ``wake`` called once when there is news; true if the ticket is settled already."""

        def look() -> bool:
            if not ticket.is_settled() and self._grant(ticket):
                self._advance(ticket.limits)
            ticket.wake = None if ticket.is_settled() else wake
            return ticket.is_settled()

        return self._change(look)

    def give_up(self, ticket: Ticket) -> None:
        """Give back the slots of a ticket, or its place in the queues; done twice is done once."""
        if ticket.is_over:
            return
        self._returned.append(ticket)
        with self._lock:
            if not self._is_busy:
                self._change(_nothing)

    def _take_back(self, ticket: Ticket) -> None:
        ticket.is_over = True
        for limit in ticket.limits:
            limit.queue.pop(ticket, None)
            limit.give_back(ticket)
        self._advance(ticket.limits)
        ticket.tell()

    def _grant(self, ticket: Ticket) -> bool:
        """Grant a ticket if it is its turn; else note when it may be."""
        due: float | None = 0.0
        for limit in ticket.limits:
            if next(iter(limit.queue), None) is not ticket:
                return False
            seconds = limit.seconds_to_room(ticket.slots)
            due = None if due is None or seconds is None else max(due, seconds)
        if due != 0.0:
            before = ticket.due
            ticket.due = None if due is None else time.monotonic() + due
            if ticket.due is not None and (before is None or ticket.due < before):
                ticket.tell()
            return False
        ticket.granted_at = time.monotonic()
        for limit in ticket.limits:
            if ticket not in limit.held:
                limit.take(ticket)
        ticket.is_granted = True
        for limit in ticket.limits:
            limit.queue.pop(ticket, None)
        ticket.tell()
        return True

    def _advance(self, limits: Iterable[Limit]) -> None:
        """Grant what can be granted now that there is room, or a new first in the queue."""
        open_limits = list(limits)
        while open_limits:
            first = next(iter(open_limits.pop().queue), None)
            if first is not None and self._grant(first):
                open_limits.extend(first.limits)

    # --- limits -----------------------------------------------------------------------------------

    def create(self, limit: Limit, *, active_slots: int = 0) -> None:
        """Add a limit.

        Raises:
            ObjectAlreadyExists: If there is one of that name.
        """

        def add() -> None:
            if limit.name in self._limits:
                msg = (
                    f"there is a concurrency limit {short_repr(limit.name)} already; "
                    "update it, or choose another name"
                )
                raise ObjectAlreadyExists(msg)
            limit.set_occupied(active_slots)
            self._limits[limit.name] = limit
            self._note_tags()

        self._change(add)

    def read(self, name: str, look: Callable[[Limit], T]) -> T:
        """Return what ``look`` makes of a limit.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        return self._change(lambda: look(self._find(name)))

    def read_all(self, look: Callable[[Limit], T]) -> list[T]:
        """Return what ``look`` makes of the limits, ordered by name."""
        return self._change(lambda: [look(self._limits[name]) for name in sorted(self._limits)])

    def update(self, name: str, changes: dict[str, Any]) -> None:
        """Change a limit; those who wait for it are granted what they can have now.

        Args:
            name: The limit.
            changes: New values of attributes of `Limit`, and of ``active_slots``.

        Raises:
            ObjectNotFound: If there is none of that name.
            ObjectAlreadyExists: If it is to get a name that another one has.
        """

        def change() -> None:
            limit = self._find(name)
            new_name = changes.get("name", name)
            if new_name != name and new_name in self._limits:
                msg = f"there is a concurrency limit {short_repr(new_name)} already"
                raise ObjectAlreadyExists(msg)
            occupied = changes.get("active_slots", limit.occupied())
            for key in changes.keys() - {"active_slots"}:
                setattr(limit, key, changes[key])
            limit.set_occupied(occupied)
            limit.updated = time.time_ns()
            del self._limits[name]
            self._limits[new_name] = limit
            if not limit.active:
                self._abolish(limit)
            for ticket in list(limit.queue):
                error = _impossible(limit, ticket)
                if error is not None:
                    ticket.error = error
                    self._leave(ticket)
            self._advance([limit])
            self._note_tags()

        self._change(change)

    def delete(self, name: str) -> None:
        """Remove a limit; those who wait for it need not any more.

        Raises:
            ObjectNotFound: If there is none of that name.
        """

        def remove() -> None:
            self._abolish(self._find(name))
            del self._limits[name]
            self._note_tags()

        self._change(remove)

    def tag_limits(self, tags: Iterable[str]) -> list[tuple[str, int]]:
        """Return the names of the limits that hold for tags, with how many slots they have."""
        names = [TAG_PREFIX + tag for tag in tags]
        found = [self._limits.get(name) for name in names]
        return [(limit.name, limit.limit) for limit in found if limit is not None and limit.active]

    def _find(self, name: str) -> Limit:
        limit = self._limits.get(name)
        if limit is None:
            msg = (
                f"there is no concurrency limit {short_repr(name)} in this process; create it "
                "with `get_client(sync_client=True).create_global_concurrency_limit`"
            )
            raise ObjectNotFound(msg)
        return limit

    def _abolish(self, limit: Limit) -> None:
        """Let nobody wait for a limit any more."""
        waiting = list(limit.queue)
        limit.queue.clear()
        for ticket in waiting:
            ticket.limits.remove(limit)
            self._grant(ticket)
            self._advance(ticket.limits)

    def _leave(self, ticket: Ticket) -> None:
        for limit in ticket.limits:
            limit.queue.pop(ticket, None)
        ticket.tell()
        self._advance(ticket.limits)

    def _note_tags(self) -> None:
        plan_watch.expect_tag_limits(any(name.startswith(TAG_PREFIX) for name in self._limits))

    def begin_anew(self) -> None:
        """Keep the limits, and nobody who held or awaited slots: they are not in this process."""
        self._lock = RLock()
        self._is_busy = False
        self._returned.clear()
        for limit in self._limits.values():
            limit.queue.clear()
            if not limit.slot_decay_per_second:
                limit.held.clear()


def _impossible(limit: Limit, ticket: Ticket) -> Exception | None:
    """Return why a ticket can never have slots of a limit, if that is so."""
    if ticket.slots > limit.limit:
        return ConcurrencySlotAcquisitionError(
            f"{ticket.slots} slot(s) of {short_repr(limit.name)} were asked for, which is greater "
            f"than the limit of {limit.limit}; ask for fewer, or raise the limit"
        )
    if ticket.is_rate and not limit.slot_decay_per_second:
        return ConcurrencySlotAcquisitionError(
            f"{short_repr(limit.name)} cannot be a rate limit: its slots do not decay; update it "
            "with a `slot_decay_per_second` above 0, or use `concurrency`"
        )
    return None


def _nothing() -> None:
    """Change nothing: for what else a change does."""


STORE = Store()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STORE.begin_anew)
