"""Cache keys, beside the same of joblib and Dask, and beside bare XXH3 over the same bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xxhash
from dask.tokenize import tokenize
from joblib import hash as joblib_hash
from workloads import increment

from oxtask.utilities.hashing import hash_objects

PEERS = {"oxtask": hash_objects, "joblib": joblib_hash, "dask": tokenize}
SMALL = {"x": 1, "name": "hello", "rate": 2.5}
DICTS = {f"key{i}": {"id": i, "name": f"n{i}", "rate": i * 0.5} for i in range(200)}
INTS = list(range(100_000))


def timed(benchmark, function, value):
    """Time ``function(value)``: the key must be there, and be another for another value."""
    assert benchmark(function, value) == function(value) != function([value])


@pytest.fixture(scope="module")
def megabytes():
    """Return 64 MB of random bytes."""
    return np.random.default_rng(0).bytes(64 << 20)


def test_plain_call(benchmark):
    """The unit of the targets."""
    assert benchmark(increment, 1) == 2


@pytest.mark.parametrize("peer", PEERS)
def test_three_small_arguments(benchmark, peer):
    timed(benchmark, PEERS[peer], SMALL)


@pytest.mark.parametrize("peer", PEERS)
def test_200_small_dicts(benchmark, peer):
    timed(benchmark, PEERS[peer], DICTS)


@pytest.mark.parametrize("peer", PEERS)
def test_100k_integers(benchmark, peer):
    timed(benchmark, PEERS[peer], INTS)


@pytest.mark.parametrize("peer", [*PEERS, "xxh3"])
def test_64_megabytes(benchmark, peer, megabytes):
    if peer == "xxh3":
        assert benchmark(xxhash.xxh3_128_hexdigest, megabytes)
    else:
        timed(benchmark, PEERS[peer], megabytes)


@pytest.mark.parametrize("peer", [*PEERS, "xxh3"])
def test_array_of_64_megabytes(benchmark, peer, megabytes):
    array = np.frombuffer(megabytes, "u1").astype("f8")[: 8 << 20]
    if peer == "xxh3":
        assert benchmark(xxhash.xxh3_128_hexdigest, array.data)
    else:
        timed(benchmark, PEERS[peer], array)


@pytest.mark.parametrize("peer", [*PEERS, "xxh3"])
def test_frame_of_1m_rows(benchmark, peer):
    columns = {name: np.random.default_rng(1).random(1_000_000) for name in "abcd"}
    if peer == "xxh3":
        buffers = [column.data for column in columns.values()]
        assert all(benchmark(lambda: list(map(xxhash.xxh3_128_hexdigest, buffers))))
    else:
        timed(benchmark, PEERS[peer], pd.DataFrame(columns))
