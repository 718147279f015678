"""Fixtures of the `bench_*.py` suites, which time the works of `workloads.py` one by one."""

from __future__ import annotations

import pytest
from peers import load_peer
from workloads import Load, check

# What --benchmark-disable asks for is the right answer, soon.
QUICK = 500


@pytest.fixture
def do(benchmark):
    """Return a function that benchmarks one work of one peer and checks its answer."""

    def run(name, work, count, seconds=1.0):
        load = Load(min(count, QUICK), 0.05) if benchmark.disabled else Load(count, seconds)
        peer = load_peer(name)
        body = peer.work(work, load)
        benchmark.extra_info["items"] = load.count
        result = peer.inside(work, lambda: benchmark(body))
        check(work, peer.answer(work, result), load)

    return run


@pytest.fixture
def in_flow(benchmark):
    """Return a function that benchmarks a function inside an oxtask flow."""

    def run(body):
        return load_peer("oxtask").inside("", lambda: benchmark(body))

    return run
