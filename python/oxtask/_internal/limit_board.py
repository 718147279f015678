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

PATIENCE_SECONDS = 1.0
"""Whose place in a queue counts no longer: a process that has not looked for so long is stopped, or
its loop is blocked. It keeps the slots that it has."""


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
        self.descriptor = descriptor
        self._blob = b""
        self.held: dict[str, int] = {}
        self.waiting: dict[str, tuple[int, float]] = {}
        self.seen = 0.0
        self.used: dict[str, tuple[int, float]] = {}

    def read(self) -> None:
        """Read what it tells."""
        blob = os.pread(self.descriptor, _MAX_BYTES, 0)
        if blob != self._blob:
            try:
                told = json.loads(blob)
                self.held, self.waiting = told["held"], told["waiting"]
                self.seen, self.used = told["seen"], told["used"]
            except (ValueError, TypeError, KeyError):  # killed in the middle, or about to begin
                return
            self._blob = blob

    def is_before(self, limit_id: str, since: float) -> bool:
        """Tell whether it has waited for a limit for longer, and still does."""
        place = self.waiting.get(limit_id)
        return (
            place is not None
            and place[1] < since
            and lock_clock() - self.seen < PATIENCE_SECONDS
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
        self._levels_path = f"{folder}/levels.json"
        self._own: int | None = None
        self._own_name = ""
        self._members = (-1, -1)
        self._peers: dict[str, Peer] = {}

    def version(self) -> tuple[int, int]:
        """Return a number that is another one when limits have changed, and which file says so.

        Raises:
            ConfigurationError: If the folder is not this user's alone.
            OSError: If it cannot be read.
        """
        if not self.guard.open(make=False):
            return 0, 0
        return self._numbers()[1], os.fstat(self._guard_file).st_ino

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
        try:
            descriptor = open_private(self._levels_path)
        except FileNotFoundError:
            return {}
        try:
            levels = json.loads(os.pread(descriptor, _MAX_BYTES, 0))
        except ValueError:  # cut off in the middle
            return {}
        finally:
            os.close(descriptor)
        return levels if isinstance(levels, dict) else {}

    def write_levels(self, levels: dict[str, Any]) -> None:
        """Say how full limits are. After a power cut nobody knows any more, nor cares."""
        descriptor = open_private(self._levels_path, os.O_CREAT)
        try:
            _write(descriptor, levels)
        finally:
            os.close(descriptor)

    # --- processes --------------------------------------------------------------------------------

    def tell(self, content: dict[str, Any]) -> None:
        """Tell the others what this process holds and awaits.

        Raises:
            OSError: If that cannot be written.
        """
        if self._own is None or not os.fstat(self._own).st_nlink:
            self._join()
        assert self._own is not None
        _write(self._own, {**content, "seen": lock_clock(), "pid": os.getpid()})

    def _join(self) -> None:
        self._leave()
        folder = f"{self._folder}/processes"
        make_private(folder)
        self._own_name = f"{secrets.token_hex(8)}.json"
        self._own = open_private(f"{folder}/{self._own_name}", os.O_CREAT | os.O_EXCL)
        try_lock(self._own)
        self._count(members=1)

    def _leave(self) -> None:
        descriptor, self._own = self._own, None
        if descriptor is not None:
            os.close(descriptor)

    def peers(self) -> tuple[list[Peer], list[Peer]]:
        """Return the other processes, and those that have ended since somebody looked."""
        # The file as well: who removes the folder under living processes makes them begin anew.
        members = (self._numbers()[0], os.fstat(self._guard_file).st_ino)
        if members != self._members:
            self._find_peers()
            self._members = members
        dead = []
        for peer in list(self._peers.values()):
            peer.read()
            if try_lock(peer.descriptor):
                if os.fstat(peer.descriptor).st_nlink:
                    os.unlink(peer.path)  # noqa: PTH108 - a string
                    dead.append(peer)
                del self._peers[peer.path]
                os.close(peer.descriptor)
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
        self._leave()
        self._own_name = ""
        for peer in self._peers.values():
            os.close(peer.descriptor)
        self._peers.clear()
        self._members = (-1, -1)


def _write(descriptor: int, content: dict[str, Any]) -> None:
    blob = json.dumps(content, separators=(",", ":")).encode()
    os.pwrite(descriptor, blob, 0)
    os.ftruncate(descriptor, len(blob))
