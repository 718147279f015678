"""The storage of results alone: small values found and written, beside other caches on disk."""

from __future__ import annotations

import itertools

import diskcache
import joblib
import pytest

from oxtask._core import Pack

KEYS = [f"{number:032x}" for number in range(5_000)]
VALUE = {"x": [1, 2.5, "three"], "y": (None, True)}


class Packed:
    """A pack; with ``memory`` records are kept in memory too."""

    def __init__(self, folder, memory=0):
        self._pack = Pack(str(folder / "pack"), lambda: [bytes(32)], memory_records=memory)
        self.get, self.put = self._pack.lookup, self._pack.keep


class DiskCache:
    def __init__(self, folder):
        cache = diskcache.Cache(folder / "diskcache")
        self.get, self.put = cache.get, cache.set


def value_of(key):
    return VALUE if key else None


class Joblib:
    def __init__(self, folder):
        self.get = joblib.Memory(folder / "joblib", verbose=0).cache(value_of)

    def put(self, key, value):
        assert self.get(key) == value


PEERS = {
    "oxtask": Packed,
    "oxtask-memory": lambda folder: Packed(folder, 100_000),
    "diskcache": DiskCache,
    "joblib": Joblib,
}


@pytest.fixture(params=PEERS)
def storage(request, tmp_path):
    return PEERS[request.param](tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_hit(benchmark, storage):
    """Target: 5 us from disk, 1 us from memory."""
    keys = KEYS[:500]
    for key in keys:
        storage.put(key, VALUE)
    turns = itertools.cycle(keys)
    assert benchmark(lambda: storage.get(next(turns))) == VALUE


@pytest.mark.filterwarnings("ignore")
def test_write(benchmark, storage):
    """A key that was not there, and a key that was; target: 15 us."""
    turns = itertools.cycle(KEYS)
    benchmark(lambda: storage.put(next(turns), VALUE))
    assert storage.get(KEYS[0]) == VALUE
