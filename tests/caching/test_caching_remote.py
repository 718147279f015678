"""Results on a storage that is far away: it fails at times, and shows late what was written."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from oxtask import flow, task
from oxtask.cache_policies import INPUTS
from oxtask.results import ResultStore
from oxtask.settings import temporary_settings

SEED = 11


class FarAway:
    """Files by path. One operation in twenty fails; a new file is seen from the second look on."""

    def __init__(self):
        self.files, self._unseen, self._random = {}, Counter(), random.Random(SEED)
        self.writes = Counter()

    def _may_fail(self):
        if self._random.random() < 0.05:
            raise ConnectionError("the connection was reset")

    def read_path(self, path):
        self._may_fail()
        if path not in self.files:
            raise FileNotFoundError(path)
        if self._unseen[path]:
            self._unseen[path] -= 1
            raise FileNotFoundError(path)
        return self.files[path]

    def write_path(self, path, content):
        self._may_fail()
        self.writes[path] += 1
        self._unseen[path] = path not in self.files
        self.files[path] = bytes(content)


@pytest.mark.parametrize("way", ["call", "map"])
def test_an_unreliable_storage_costs_runs_and_never_an_answer(way):
    """RELIABILITY D11: seed 11"""
    storage, bodies = FarAway(), Counter()

    @task(cache_policy=INPUTS, result_storage=storage)
    def square(x):
        bodies[x] += 1
        return [x * x]

    @flow
    def whole():
        for _ in range(6):
            if way == "call":
                found = [square(x) for x in range(40)]
            else:
                found = square.map(range(40)).result()
            assert found == [[x * x] for x in range(40)]

    with temporary_settings({"results.on_persist_error": "warn"}):
        whole()
    # Once because it is new, once because it is not seen yet; else only after a failure.
    assert all(1 <= count <= 5 for count in bodies.values())
    assert sum(bodies.values()) < 40 * 3
    assert max(storage.writes.values()) <= max(bodies.values())
    store = ResultStore(storage)
    for path in storage.files:
        record = None
        while record is None:
            record = store.lookup(path)
        assert record.result[0] in {x * x for x in range(40)}
