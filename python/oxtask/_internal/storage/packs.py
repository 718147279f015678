"""The packs that are open in this process."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from oxtask._core import Pack
from oxtask._internal.fork_locks import fork_lock
from oxtask._internal.storage import signing
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Hashable

_open: WeakValueDictionary[Hashable, Pack] = WeakValueDictionary()
_recent: deque[Pack] = deque(maxlen=4)
"""Kept open although nobody may use them at the moment."""
_lock = fork_lock()


def pack_in(folder: str) -> Pack:
    """Return the pack in a folder, as the settings say it is to be kept.

    Nothing is opened before it is used.
    """
    settings = get_current_settings()
    results = settings.results
    options = (results.max_bytes, results.max_age, results.durability)
    place = (folder, settings.home, options)
    pack = _open.get(place)
    if pack is None:
        max_age = results.max_age
        made = Pack(
            folder,
            partial(signing.keys, settings.home),
            max_bytes=results.max_bytes,
            max_age=None if max_age is None else max_age * 10**9,
            durable=results.durability == "full",
        )
        with _lock:
            pack = _open.setdefault(place, made)
            _recent.append(pack)
    return pack
