"""Results that are kept: found, stored and mapped over, beside other caches."""

from __future__ import annotations

import itertools
import threading
from contextvars import copy_context

import diskcache
import joblib
import pytest

from oxtask import flow, task
from oxtask.cache_policies import INPUTS
from oxtask.settings import temporary_settings

RUNS = 20_000
_numbers = itertools.count()


def double(x):
    return 2 * x


@pytest.fixture
def home(tmp_path):
    with temporary_settings({"home": tmp_path / "home"}):
        yield tmp_path


def in_flow(function):
    return flow(function)()


@pytest.fixture(params=["plain", "oxtask", "diskcache", "joblib"])
def cached(request, home):
    """Return a function whose results are kept."""
    if request.param == "plain":
        yield double
    elif request.param == "oxtask":
        yield task(double, cache_policy=INPUTS)
    elif request.param == "diskcache":
        with diskcache.Cache(home / "diskcache") as cache:
            yield cache.memoize()(double)
    else:
        yield joblib.Memory(home / "joblib", verbose=0).cache(double)


@pytest.mark.filterwarnings("ignore")
def test_hit(benchmark, cached):
    """The same small value again and again: with oxtask, from memory. Target: 2 us."""

    def whole():
        assert cached(1) == 2
        return benchmark(cached, 1)

    assert in_flow(whole) == 2


@pytest.mark.filterwarnings("ignore")
def test_store(benchmark, cached):
    """A value that was not there. Target of the write alone: 15 us."""

    def whole():
        numbers = itertools.count()
        return benchmark(lambda: cached(next(numbers)))

    assert in_flow(whole) % 2 == 0


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("runs", [1_000, RUNS])
def test_map_of_hits(benchmark, runs):
    """All results are there; per item the same for few and for many. Target: 6 us an item."""
    cached = task(double, cache_policy=INPUTS)

    def whole():
        numbers = range(runs)
        expected = cached.map(numbers).result()
        found = benchmark.pedantic(lambda: cached.map(numbers).result(), rounds=5)
        assert found == expected == [2 * number for number in numbers]

    in_flow(whole)


@pytest.mark.usefixtures("home")
def test_one_key_wanted_by_64_threads(benchmark):
    """The body runs once."""
    bodies = []

    @task(cache_policy=INPUTS)
    def once(key):
        bodies.append(key)
        return key

    def whole():
        key = next(_numbers)
        # Threads of a program's own do not see settings that hold for a while.
        threads = [threading.Thread(target=copy_context().run, args=(once, key)) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return key

    benchmark.pedantic(whole, rounds=5)
    assert len(bodies) == len(set(bodies)) == next(_numbers)
