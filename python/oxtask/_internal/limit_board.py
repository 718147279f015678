"""What the processes of a user tell each other about concurrency limits: files in a folder.

- ``guard`` is locked by who reads or writes the others. It holds two numbers, which tell from one
  look whether another process has come, and whether the limits have changed.
- ``limits.json`` says which limits there are.
- ``levels.json`` says how full limits are apart from slots that somebody holds: those that decay.
- ``processes`` has a file for each process that holds or awaits slots. It keeps that file locked
  for as long as it lives, so that its end, however it ends, is seen by the others, and only it
  writes there: what a process leaves half written when it is killed counts for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import Any

from oxtask._internal.home_files import Document, Guard, make_private, open_private
from oxtask._internal.lock_waits import lock_clock
from oxtask._internal.os_locks import try_lock

_MAX_BYTES = 1 << 24
_NUMBERS = 16
"""Bytes of the two numbers in the guard."""

_encode = json.JSONEncoder(separators=(",", ":")).encode

PATIENCE_SECONDS = 1.0
"""Whose place in a queue counts no longer: a process that has not looked for so long is stopped, or
its loop is blocked. It keeps the slots that it has."""


class SharedValue:
    """A value in an open file, in JSON. It is overwritten in place: the disk has room for it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._size = 0
        self._blob = b""
        self._value: Any = None

    def read(self) -> Any:
        """Return the value; the one before if it is cut off, ``None`` if there is none."""
        blob = os.pread(self.descriptor, _MAX_BYTES, 0)
        if blob != self._blob:
            with contextlib.suppress(ValueError):
                self._value = json.loads(blob)
                self._blob = blob
            self._size = len(blob)
        return self._value

    def write(self, value: Any) -> None:
        """Replace the value."""
        blob = _encode(value).encode()
        # Spaces cover what was longer: they mean nothing, and cost less than to cut the file.
        blob = blob.ljust(self._size)
        os.pwrite(self.descriptor, blob, 0)
        self._size = len(blob)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


class Peer:
    """Another process, and what it told last.

    Attributes:
        held: Slots that it holds, by the id of the limit.
        waiting: For how many slots it waits, and since when, by the id of the limit.
        seen: When it looked last; times are those of `lock_clock`.
        used: How often it gave slots back, and how long it had held them all together.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.value = SharedValue(descriptor)
        self.held: dict[str, int] = {}
        self.waiting: dict[str, tuple[int, float]] = {}
        self.seen = 0.0
        self.used: dict[str, tuple[int, float]] = {}

    def read(self) -> None:
        """Read what it tells."""
        told = self.value.read()
        if told:
            self.held, self.waiting = told["held"], told["waiting"]
            self.seen, self.used = told["seen"], told["used"]

    def is_before(self, limit_id: str, since: float) -> bool:
        """Tell whether it has waited for a limit for longer, and still does."""
        place = self.waiting.get(limit_id)
        return (
            place is not None and place[1] < since and lock_clock() - self.seen < PATIENCE_SECONDS
        )


class Board:
    """The files, as one process sees them. All but `version` is for who holds the guard.

    Args:
        folder: Where they are, or will be.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.guard = Guard(f"{folder}/guard")
        self._limits = Document(f"{folder}/limits.json")
        self._levels: SharedValue | None = None
        self._own: SharedValue | None = None
        self._own_name = ""
        self._members = -1
        self._identity: tuple[int, int] | None = None
        self._peers: dict[str, Peer] = {}

    def version(self) -> tuple[int, tuple[int, int] | None]:
        """Return a number that is another one when limits have changed, and which file says so.

        Raises:
            ConfigurationError: If the folder is not this user's alone.
            OSError: If it cannot be read.
        """
        if not self.guard.open(make=False):
            return 0, None
        return self._numbers()[1], self.guard.identity

    def enter(self) -> None:
        """Take the guard.

        Raises:
            ConfigurationError: If the folder is not this user's alone.
            OSError: If it cannot be used, or the guard be had.
        """
        self.guard.__enter__()
        if self.guard.identity != self._identity:
            # Who removes the folder under living processes makes them begin anew.
            self._close()
            self._identity = self.guard.identity

    def leave(self) -> None:
        """Let go of the guard."""
        self.guard.__exit__()

    @property
    def _guard_file(self) -> int:
        descriptor = self.guard.descriptor
        assert descriptor is not None
        return descriptor

    def _numbers(self) -> tuple[int, int]:
        blob = os.pread(self._guard_file, _NUMBERS, 0).ljust(_NUMBERS, b"\0")
        return int.from_bytes(blob[:8], "little"), int.from_bytes(blob[8:], "little")

    def _count(self, *, members: int = 0, limits: int = 0) -> None:
        old_members, old_limits = self._numbers()
        numbers = (old_members + members, old_limits + limits)
        blob = b"".join(number.to_bytes(8, "little") for number in numbers)
        os.pwrite(self._guard_file, blob, 0)

    # --- limits -----------------------------------------------------------------------------------

    def read_limits(self) -> list[dict[str, Any]]:
        """Return what is said about limits.

        Raises:
            ConfigurationError: If the file is damaged, or from a newer version of oxtask.
        """
        content = self._limits.read() or {}
        limits: list[dict[str, Any]] = content.get("limits", [])
        return limits

    def write_limits(self, limits: list[dict[str, Any]]) -> None:
        """Say which limits there are."""
        self._limits.write({"limits": limits})
        self._count(limits=1)

    def read_levels(self) -> dict[str, Any]:
        """Return how full limits are besides what is held, and when that was so, by id."""
        if self._levels is None:
            self._levels = SharedValue(open_private(f"{self._folder}/levels.json", os.O_CREAT))
        levels = self._levels.read()
        return levels if isinstance(levels, dict) else {}

    def write_levels(self, levels: dict[str, Any]) -> None:
        """Say how full limits are. After a power cut nobody knows any more, nor cares."""
        assert self._levels is not None  # it was read
        self._levels.write(levels)

    # --- processes --------------------------------------------------------------------------------

    def tell(self, content: dict[str, Any]) -> None:
        """Tell the others what this process holds and awaits.

        Raises:
            OSError: If that cannot be written.
        """
        if self._own is None:
            self._own = self._join()
        self._own.write({**content, "seen": lock_clock(), "pid": os.getpid()})

    def _join(self) -> SharedValue:
        folder = f"{self._folder}/processes"
        make_private(folder)
        self._own_name = f"{secrets.token_hex(8)}.json"
        descriptor = open_private(f"{folder}/{self._own_name}", os.O_CREAT | os.O_EXCL)
        try_lock(descriptor)
        self._count(members=1)
        return SharedValue(descriptor)

    def peers(self) -> tuple[list[Peer], list[Peer]]:
        """Return the other processes, and those that have ended since somebody looked."""
        members = self._numbers()[0]
        if members != self._members:
            self._find_peers()
            self._members = members
        dead = []
        for peer in list(self._peers.values()):
            peer.read()
            if try_lock(peer.value.descriptor):
                if os.fstat(peer.value.descriptor).st_nlink:
                    os.unlink(peer.path)  # noqa: PTH108 - a string
                    dead.append(peer)
                del self._peers[peer.path]
                peer.value.close()
        return list(self._peers.values()), dead

    def _find_peers(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(f"{self._folder}/processes"):  # noqa: PTH208 - strings
                path = f"{self._folder}/processes/{name}"
                if name != self._own_name and path not in self._peers:
                    with contextlib.suppress(OSError):  # somebody else has just removed it
                        self._peers[path] = Peer(path, open_private(path))

    def forget(self) -> None:
        """Close all files: a forked process is another one."""
        self.guard.close()
        self._close()

    def _close(self) -> None:
        values = [self._own, self._levels, *(peer.value for peer in self._peers.values())]
        self._own = self._levels = self._identity = None
        self._own_name, self._members = "", -1
        self._peers.clear()
        for value in values:
            if value is not None:
                value.close()
