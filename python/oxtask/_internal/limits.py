"""The concurrency limits of this user: which there are, for all processes with the same home."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, TypeVar

from oxtask._internal import home_files, plan_watch
from oxtask._internal.limit_board import Board
from oxtask._internal.limit_queues import Queues, impossible
from oxtask._internal.limit_tickets import Limit
from oxtask._internal.text import short_repr
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

TAG_PREFIX = "tag:"
"""Limits of this kind of name hold for task runs with the tag that follows."""


class Store(Queues):
    """The limits in a home, and who in this process holds and awaits their slots.

    All methods raise `ConfigurationError` if the files of the limits are not this user's alone, or
    from a newer version of oxtask, and `OSError` if they cannot be read or written.

    Args:
        folder: The folder of these files.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(Board(folder))
        self.folder = folder
        self._version: tuple[int, tuple[int, int] | None] = (0, None)

    def refresh(self) -> None:
        """Take note of what other processes have changed."""
        self._change(self._refresh)

    def create(self, limit: Limit, *, active_slots: int = 0) -> None:
        """Add a limit.

        Raises:
            ObjectAlreadyExists: If there is one of that name.
        """

        def add() -> None:
            self._begin()
            if limit.name in self._limits:
                msg = (
                    f"there is a concurrency limit {short_repr(limit.name)} already; "
                    "update it, or choose another name"
                )
                raise ObjectAlreadyExists(msg)
            self._see(limit)
            self._write([*self._definitions(), limit.definition()])
            self._occupy(self._limits[limit.name], active_slots)

        self._change(add)

    def read(self, name: str, look: Callable[[Limit, int, tuple[int, float]], T]) -> T:
        """Return what ``look`` makes of a limit, the slots waited for, and what was given back.

        Raises:
            ObjectNotFound: If there is none of that name.
        """

        def read() -> T:
            self._refresh()
            return look(*self._described(self._find(name)))

        return self._change(read)

    def read_all(self, look: Callable[[Limit, int, tuple[int, float]], T]) -> list[T]:
        """Return what ``look`` makes of the limits, ordered by name; see `read`."""

        def read() -> list[T]:
            self._refresh()
            return [look(*self._described(self._limits[name])) for name in sorted(self._limits)]

        return self._change(read)

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
            self._begin()
            limit = self._find(name)
            new_name = changes.get("name", name)
            if new_name != name and new_name in self._limits:
                msg = f"there is a concurrency limit {short_repr(new_name)} already"
                raise ObjectAlreadyExists(msg)
            self._see(limit)
            occupied = changes.get("active_slots", limit.occupied())
            new = {key: changes[key] for key in changes.keys() - {"active_slots"}}
            definition = {**limit.definition(), **new, "updated": time.time_ns()}
            others = [each for each in self._definitions() if each["id"] != limit.key]
            decayed = limit.slot_decay_per_second
            self._write([*others, definition])
            if "active_slots" in changes or limit.slot_decay_per_second != decayed:
                self._occupy(limit, occupied)

        self._change(change)

    def delete(self, name: str) -> None:
        """Remove a limit; those who wait for it need not any more.

        Raises:
            ObjectNotFound: If there is none of that name.
        """

        def remove() -> None:
            self._begin()
            limit = self._find(name)
            self._write([each for each in self._definitions() if each["id"] != limit.key])

        self._change(remove)

    def tag_limits(self, tags: Iterable[str]) -> list[tuple[str, int]]:
        """Return the names of the limits that hold for tags, with how many slots they have."""
        self.refresh()
        names = [TAG_PREFIX + tag for tag in tags]
        found = [self._limits.get(name) for name in names]
        return [(limit.name, limit.limit) for limit in found if limit is not None and limit.active]

    # --- definitions ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Have the limits as they are, and nobody else change them."""
        self._refresh()
        self._step_in()
        self._refresh()

    def _find(self, name: str) -> Limit:
        limit = self._limits.get(name)
        if limit is None:
            msg = (
                f"there is no concurrency limit {short_repr(name)}; create it with "
                "`oxtask gcl create`, or with "
                "`get_client(sync_client=True).create_global_concurrency_limit`"
            )
            raise ObjectNotFound(msg)
        return limit

    def _described(self, limit: Limit) -> tuple[Limit, int, tuple[int, float]]:
        self._see(limit)
        own = sum(ticket.slots for ticket in limit.queue)
        used = [(limit.releases, limit.seconds_held)]
        used += [peer.used[limit.key] for peer in self._peers if limit.key in peer.used]
        waiting = [peer.waiting[limit.key][0] for peer in self._peers if limit.key in peer.waiting]
        return limit, own + sum(waiting), (sum(n for n, _ in used), sum(s for _, s in used))

    def _definitions(self) -> list[dict[str, Any]]:
        return [limit.definition() for limit in self._limits.values()]

    def _write(self, definitions: list[dict[str, Any]]) -> None:
        self._board.write_limits(definitions)
        self._refresh()

    def _occupy(self, limit: Limit, slots: float) -> None:
        """Let so many slots be taken, whoever holds them."""
        self._see(limit)
        if slots != limit.occupied() or limit.slot_decay_per_second:
            limit.set_occupied(slots)
            self._tell()
        self._advance([limit])

    def _refresh(self) -> None:
        version = self._board.version()
        if version == self._version:
            return
        if version[1] is not None:
            self._step_in()
            version = self._board.version()
        self._apply(self._board.read_limits() if version[1] is not None else [])
        self._version = version

    def _apply(self, definitions: list[dict[str, Any]]) -> None:
        """Have the limits that there are; tickets for those that changed may be due, or in vain."""
        known = {limit.key: limit for limit in self._limits.values()}
        changed = []
        limits: dict[str, Limit] = {}
        for definition in definitions:
            limit = known.pop(definition["id"], None)
            if limit is None:
                limit = Limit.defined(definition)
            elif limit.definition() != definition:
                limit.define(definition)
                changed.append(limit)
            limits[limit.name] = limit
        self._limits = limits
        gone = list(known.values())
        for limit in [*gone, *changed]:
            if not limit.active or limit in gone:
                self._abolish(limit)
            for ticket in list(limit.queue):
                ticket.error = impossible(limit, ticket)
                if ticket.error is not None:
                    self._leave(ticket)
        self._advance(changed)
        are_there = any(name.startswith(TAG_PREFIX) for name in limits)
        plan_watch.expect_tag_limits(self.folder, are_there)


_stores: dict[str, Store] = {}
_stores_lock = allocate_lock()


def store() -> Store:
    """Return the limits in the home of the settings."""
    home = home_files.home()
    found = _stores.get(home)
    if found is None:
        with _stores_lock:
            found = _stores.get(home) or _stores.setdefault(home, Store(f"{home}/limits"))
    return found


def drop(home: str) -> None:
    """Forget the limits in a home that is removed."""
    found = _stores.pop(home, None)
    if found is not None:
        found.begin_anew()
        plan_watch.expect_tag_limits(found.folder, False)


def _begin_anew() -> None:
    global _stores_lock  # noqa: PLW0603 - another thread may have had it at the time of the fork
    _stores_lock = allocate_lock()
    for each in _stores.values():
        each.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
