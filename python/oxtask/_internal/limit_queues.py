"""Who gets slots of limits, in which order: the queues of a process, and where others come in.

Whoever wants slots files a `Ticket` with all limits it needs. It stands in the queue of each, and
is granted when it is first in all of them and all have room: all slots at once, in the order of
requests. So nobody is overtaken by who wants less, and those who wait for different limits do not
wait for each other. Slots that come back are handed on by who brings them.

Other processes hold slots, too, and wait for them: the `Board` tells. Who is first here gives way
to who has waited for longer elsewhere. Slots that another process gives back are looked for: while
somebody waits, a thread looks every few milliseconds, and grants what has become free.

A limit with a decay is a bucket that runs out steadily: when there will be room follows from the
level, so the first in its queue is told a time (`Ticket.due`) and asks again then.

A change takes the lock and calls nothing of the user. In it, whoever needs to know about the others
steps in, which takes the guard of the board until the change is over. A ticket that is given up
goes through `_returned`, also when the collector finds a forgotten one in the middle of another
change on the same thread: whoever holds the lock works that list off. What a change does can be
done twice without harm, since an exception may be injected into its thread.
"""

from __future__ import annotations

import contextlib
import time
from _thread import RLock, start_new_thread
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from oxtask._internal.lock_waits import lock_clock
from oxtask._internal.text import short_repr
from oxtask.concurrency.errors import ConcurrencySlotAcquisitionError
from oxtask.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oxtask._internal.limit_board import Board, Peer
    from oxtask._internal.limit_tickets import Limit, Ticket

T = TypeVar("T")

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.01
_PAUSE_ALONE = 0.1
"""Seconds between looks: at slots that other processes have, and for changes to limits only."""
_SIGN_OF_LIFE_SECONDS = 0.25
_MAX_COUNTED = 16


class Queues:
    """Queues for the limits of a board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = RLock()
        self._is_busy = self._is_inside = self._is_polled = False
        self._limits: dict[str, Limit] = {}
        self._returned: deque[Ticket] = deque()
        self._levels: dict[str, Any] = {}
        self._peers: list[Peer] = []
        self._seen: list[Limit] = []
        self._is_news = False
        self._told_at = 0.0
        self._waiting: dict[str, tuple[int, float, float]] = {}

    def _change(self, change: Callable[[], T]) -> T:
        with self._lock:
            was_busy, self._is_busy = self._is_busy, True
            if not was_busy:
                self._is_inside = False
            try:
                return change()
            finally:
                try:
                    while not was_busy and self._returned:
                        self._take_back(self._returned[0])
                        self._returned.popleft()
                finally:
                    self._is_busy = was_busy
                    if not was_busy:
                        self._step_out()
                if not was_busy and self._returned:
                    self._change(_nothing)

    # --- others -----------------------------------------------------------------------------------

    def _step_in(self) -> None:
        """Take the guard, and see what other processes have and want."""
        if self._is_inside:
            return
        self._board.enter()
        self._is_inside = True
        self._seen = []
        self._levels = self._board.read_levels()
        self._peers, dead = self._board.peers()
        for peer in dead:
            for limit in self._limits.values():
                if limit.key in peer.held:
                    self._see(limit)
                    limit.give_back_declared(peer.held[limit.key])

    def _see(self, limit: Limit) -> None:
        """Note what others have of a limit."""
        self._step_in()
        if limit not in self._seen:
            self._seen.append(limit)
            limit.elsewhere = sum(peer.held.get(limit.key, 0) for peer in self._peers)
            limit.level, limit.level_at = self._levels.get(limit.key, (0.0, 0.0))
            if limit.level < 0 and not limit.held_slots():
                limit.level = 0.0

    def _step_out(self) -> None:
        """Tell others what is new, and let go of the guard."""
        try:
            if self._is_news:
                # Who cannot tell that slots are free does so next time.
                with contextlib.suppress(OSError, ConfigurationError):
                    self._step_in()
                    self._tell()
        finally:
            if self._is_inside:
                self._board.leave()
                self._is_inside = False

    def _tell(self, granted: Ticket | None = None) -> None:
        """Tell other processes what this one holds and awaits; a ticket may be about to be granted.

        Raises:
            OSError: If that cannot be written.
        """
        now = lock_clock()
        new_levels = [limit for limit in self._seen if limit.is_level_new]
        if new_levels:
            known = {limit.key for limit in self._limits.values()}
            self._levels = {key: level for key, level in self._levels.items() if key in known}
            self._levels.update({limit.key: (limit.level, limit.level_at) for limit in new_levels})
            self._board.write_levels(self._levels)
        limits = self._limits.values()
        held = {limit.key: sum(limit.held.values()) for limit in limits if limit.held}
        places = {limit.key: self._place(limit, granted, now) for limit in limits if limit.queue}
        self._waiting = {key: place for key, place in places.items() if place is not None}
        self._board.tell(
            {
                "held": held,
                "waiting": {key: place[:2] for key, place in self._waiting.items()},
                "used": {
                    limit.key: (limit.releases, limit.seconds_held)
                    for limit in limits
                    if limit.releases
                },
            }
        )
        for limit in new_levels:
            limit.is_level_new = False
        self._is_news, self._told_at = False, now

    def _place(
        self, limit: Limit, granted: Ticket | None, now: float
    ) -> tuple[int, float, float] | None:
        """Return how many slots are waited for, since when, and when that was counted."""
        since = next((ticket.since for ticket in limit.queue if ticket is not granted), None)
        if since is None:
            return None
        known = self._waiting.get(limit.key)
        # A long queue is not counted at every change.
        if known and len(limit.queue) > _MAX_COUNTED and now - known[2] < _PAUSE_ALONE:
            return known[0], since, known[2]
        return sum(each.slots for each in limit.queue if each is not granted), since, now

    def _poll(self) -> None:
        """Look for slots that come free elsewhere, until nobody waits any more."""
        pause = _SHORTEST_PAUSE
        while True:
            time.sleep(pause)
            try:
                is_shared = self._change(self._look_around)
            except TimeoutError:
                is_shared = True
            except (OSError, ConfigurationError) as error:
                self._change(lambda error=error: self._refuse_all(error))  # type: ignore[misc]
                continue
            except BaseException:
                self._is_polled = False
                raise
            if is_shared is None:
                return
            pause = min(2 * pause, _LONGEST_PAUSE if is_shared else _PAUSE_ALONE)

    def _look_around(self) -> bool | None:
        """Grant what can be granted; tell whether others have a part in it, if anybody waits."""
        self._refresh()
        waiting = [limit for limit in self._limits.values() if limit.queue]
        self._advance(waiting)
        waiting = [limit for limit in waiting if limit.queue]
        if not waiting:
            self._is_polled = False
            return None
        if lock_clock() - self._told_at > _SIGN_OF_LIFE_SECONDS:
            self._is_news = True
        return any(
            limit.elsewhere or any(limit.key in peer.waiting for peer in self._peers)
            for limit in waiting
        )

    def _refuse_all(self, error: Exception) -> None:
        for limit in list(self._limits.values()):
            for ticket in list(limit.queue):
                ticket.error = unusable(error)
                ticket.tell()
            limit.queue.clear()

    def _refresh(self) -> None:
        """Take note of what others have changed about the limits."""
        raise NotImplementedError

    # --- slots ------------------------------------------------------------------------------------

    def request(self, ticket: Ticket) -> None:
        """Grant a ticket, or put it into the queues.

        Raises:
            ConcurrencySlotAcquisitionError: If it can never be granted, or the files of the limits
                cannot be used.
            ConfigurationError: If these are not this user's alone, or from a newer version.
        """

        def file() -> None:
            self._refresh()
            ticket.missing = [name for name in ticket.names if name not in self._limits]
            found = [self._limits[name] for name in ticket.names if name in self._limits]
            ticket.limits = [limit for limit in found if limit.active]
            for limit in ticket.limits:
                error = impossible(limit, ticket)
                if error is not None:
                    ticket.limits = []
                    raise error
            for limit in ticket.limits:
                limit.queue[ticket] = None
            self._grant(ticket)

        try:
            self._change(file)
        except OSError as error:
            raise unusable(error) from error

    def listen(self, ticket: Ticket, wake: Callable[[], object]) -> bool:
        """Have ``wake`` called once when there is news; true if the ticket is settled already."""

        def look() -> bool:
            if not ticket.is_settled() and self._grant(ticket):
                self._advance(ticket.limits)
            ticket.wake = None if ticket.is_settled() else wake
            return ticket.is_settled()

        try:
            return self._change(look)
        except OSError as error:
            raise unusable(error) from error

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
        try:
            for limit in ticket.limits:
                self._see(limit)
        except (OSError, ConfigurationError):
            self._poll_soon()
        for limit in ticket.limits:
            self._is_news = True
            limit.queue.pop(ticket, None)
            limit.give_back(ticket)
        with contextlib.suppress(OSError, ConfigurationError):
            self._advance(ticket.limits)
        ticket.tell()

    def _grant(self, ticket: Ticket) -> bool:
        """Grant a ticket if it is its turn; else note when it may be."""
        if any(next(iter(limit.queue), None) is not ticket for limit in ticket.limits):
            return False
        due: float | None = 0.0
        for limit in ticket.limits:
            self._see(limit)
            seconds = limit.seconds_to_room(ticket.slots)
            if any(peer.is_before(limit.key, ticket.since) for peer in self._peers):
                seconds = None
            due = None if due is None or seconds is None else max(due, seconds)
        if due != 0.0:
            self._note_refusal(ticket, due)
            return False
        ticket.granted_at = time.monotonic()
        for limit in ticket.limits:
            if ticket not in limit.held:
                limit.take(ticket)
        if ticket.limits:
            self._tell(ticket)
        ticket.is_granted = True
        for limit in ticket.limits:
            limit.queue.pop(ticket, None)
        ticket.tell()
        return True

    def _note_refusal(self, ticket: Ticket, due: float | None) -> None:
        before = ticket.due
        ticket.due = None if due is None else time.monotonic() + due
        if ticket.due is not None and (before is None or ticket.due < before):
            ticket.tell()
        for limit in ticket.limits:
            place = self._waiting.get(limit.key)
            if place is None or place[1] != ticket.since:
                self._is_news = True
        self._poll_soon()

    def _poll_soon(self) -> None:
        if not self._is_polled:
            self._is_polled = True
            try:
                start_new_thread(self._poll, ())
            except RuntimeError:  # the interpreter is about to end
                self._is_polled = False

    def _advance(self, limits: Iterable[Limit]) -> None:
        """Grant what can be granted now that there is room, or a new first in the queue."""
        open_limits = list(limits)
        while open_limits:
            first = next(iter(open_limits.pop().queue), None)
            if first is not None and self._grant(first):
                open_limits.extend(first.limits)

    def _abolish(self, limit: Limit) -> None:
        """Let nobody wait for a limit any more."""
        waiting = list(limit.queue)
        limit.queue.clear()
        for ticket in waiting:
            ticket.limits.remove(limit)
            self._grant(ticket)
            self._advance(ticket.limits)

    def _leave(self, ticket: Ticket) -> None:
        self._is_news = True
        for limit in ticket.limits:
            limit.queue.pop(ticket, None)
        ticket.tell()
        self._advance(ticket.limits)

    def begin_anew(self) -> None:
        """Forget who held or awaited slots: they are in the process that this one is forked off."""
        self._lock = RLock()
        self._is_busy = self._is_inside = self._is_polled = self._is_news = False
        self._returned.clear()
        self._waiting.clear()
        self._board.forget()
        for limit in self._limits.values():
            limit.queue.clear()
            limit.held.clear()
            limit.releases, limit.seconds_held = 0, 0.0


def impossible(limit: Limit, ticket: Ticket) -> Exception | None:
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


def unusable(error: Exception) -> Exception:
    """Return the error of who cannot have slots because of files."""
    return ConcurrencySlotAcquisitionError(f"The concurrency limits cannot be used: {error}")


def _nothing() -> None:
    """Change nothing: for what else a change does."""
