"""Locks that nobody holds in a forked child, which does not have the thread that held them."""

from __future__ import annotations

import os
from _thread import RLock, allocate_lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_Lock = TypeVar("_Lock")
_made: WeakSet[Any] = WeakSet()


def fork_lock() -> AbstractContextManager[bool]:
    """Return a lock; a thread may not take it twice."""
    return _noted(allocate_lock())


def fork_rlock() -> AbstractContextManager[bool]:
    """Return a lock that the thread that holds it may take again."""
    return _noted(RLock())


def _noted(lock: _Lock) -> _Lock:
    _made.add(lock)
    return lock


def _free_all() -> None:
    for lock in _made:
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
