"""Cache keys as runs pay for them, beside those of joblib and Dask, and beside bare XXH3."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xxhash
from dask.tokenize import tokenize
from joblib import hash as joblib_hash
from workloads import increment

from oxtask import _core, task
from oxtask._internal.keys_plans import key_plan_of
from oxtask.cache_policies import DEFAULT, INPUTS, TASK_SOURCE
from oxtask.utilities.hashing import hash_objects

FLOW_RUN = "11111111-1111-1111-1111-111111111111"


def plan_of(function, policy):
    """Return what makes the keys of a task's runs."""
    return key_plan_of(task(function, name="measured", cache_policy=policy))


ONE_INPUT = plan_of(lambda value: value, INPUTS)


def of_one_input(value):
    """Return the key of a run with one argument."""
    return ONE_INPUT.compute((value,))


PEERS = {"oxtask": of_one_input, "joblib": joblib_hash, "dask": tokenize}
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


@pytest.mark.parametrize("peer", ["oxtask", "oxtask, by name", "joblib", "dask"])
def test_three_small_arguments(benchmark, peer):
    if not peer.startswith("oxtask"):
        timed(benchmark, PEERS[peer], SMALL)
        return
    compute = plan_of(lambda x, name, rate: (x, name, rate), INPUTS).compute
    given = ((), SMALL) if "name" in peer else (tuple(SMALL.values()),)
    assert benchmark(compute, *given) == hash_objects(SMALL)


def test_three_small_arguments_source_and_run(benchmark):
    """The key of the default policy in a flow."""
    compute = plan_of(increment_by_step, DEFAULT).compute
    assert benchmark(compute, (1, "hello", 2.5), None, FLOW_RUN)


STEP = 1


def increment_by_step(x, name="", rate=1.0):
    """Read a global and call another function."""
    return increment(x) + STEP, name, rate


@pytest.mark.parametrize("kind", ["kept", "made anew"])
def test_source(benchmark, kind):
    """What a task does: looked at, and walked through."""
    made = task(increment_by_step, cache_policy=TASK_SOURCE)
    key = key_plan_of(made).compute
    if kind == "kept":
        assert benchmark(key, (1,)) == _core.SourceKey(increment_by_step).key()
    else:
        assert benchmark(lambda: _core.SourceKey(increment_by_step).key()) == key((1,))


def test_lead_a_flight(benchmark):
    """What a run pays so that no other makes the same meanwhile: two calls of the system."""

    def lead():
        with _core.lead_flight("key"):
            return True

    assert benchmark(lead)


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
