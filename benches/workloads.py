"""The work that is measured: the functions, the sizes and the right answers.

Nothing here knows a peer: `peers/` does this work with each library, `compare.py` puts them side
by side. Importable by a bare interpreter, so that a peer can live in a virtual environment of its
own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

FAN_IN = 10


@dataclass(frozen=True)
class Load:
    """How much of a work to do.

    Attributes:
        count: Number of items (leaves, in a tree).
        seconds: How long a sleeper sleeps, and how long a retry is delayed.
    """

    count: int
    seconds: float = 1.0


# The functions. All are trivial: what is measured is what stands around them.


def increment(x: int) -> int:
    return x + 1


def identity(x: Any) -> Any:
    return x


def total(values: list[int]) -> int:
    return sum(values)


async def increment_async(x: int) -> int:
    return x + 1


async def increment_after_yielding(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


def nap(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x


class FailOnce:
    """Makes a function that fails at its first call with each argument, and counts the calls."""

    def __init__(self, count: int) -> None:
        self.calls = bytearray(count)

    def function(self):
        calls = self.calls

        def fail_once(x: int) -> int:
            calls[x] += 1
            if calls[x] == 1:
                message = f"first attempt of {x}"
                raise RuntimeError(message)
            return x

        return fail_once


# The right answers, by work. Each raises AssertionError, outside of what is timed.


def _equal(answer: Any, expected: Any) -> None:
    if answer != expected:
        text = repr(answer)
        raise AssertionError(f"wrong answer: {text[:100]}{'...' if len(text) > 100 else ''}")


def _increments(answer: Any, load: Load) -> None:
    _equal(list(answer), list(range(1, load.count + 1)))


def _each_item(answer: Any, load: Load) -> None:
    _equal(list(answer), list(range(load.count)))


def _triangle(answer: Any, load: Load) -> None:
    _equal(answer, load.count * (load.count + 1) // 2)


def _count(answer: Any, load: Load) -> None:
    _equal(answer, load.count)


def _retried(answer: Any, load: Load) -> None:
    values, calls = answer
    _equal(list(values), list(range(load.count)))
    _equal(list(calls), [2] * load.count)


CHECKS = {
    "map": _increments,
    "call": _increments,
    "submit": _increments,
    "round_trip": _increments,
    "chain": _count,
    "async_map": _increments,
    "async_yield": _increments,
    "tree": _triangle,
    "tree_mapped": _triangle,
    "sleepers": _each_item,
    "retries": _retried,
    "hold": _each_item,
    "stream": _triangle,
}


def units(work: str, load: Load) -> int:
    """Return how many runs a work makes: what its cost is divided by."""
    runs = level = load.count
    while work.startswith("tree") and level > 1:
        level = -(-level // FAN_IN)
        runs += level
    return runs


def check(work: str, answer: Any, load: Load) -> None:
    """Raise AssertionError unless ``answer`` is what ``work`` gives for ``load``."""
    CHECKS[work](answer, load)


@dataclass(frozen=True)
class Row:
    """One work at one size.

    Attributes:
        name: What ``--rows`` takes.
        work: Name of the work: a key of `CHECKS` and a method of the peers.
        count: Items (leaves, in a tree) in a full run.
        quick: Items with ``--quick``.
        fewer: Items for the peers that would take too long; their figures are then per item.
        repeat: How often the work is done within one measurement.
        rounds: Measurements of oxtask and of the plain loop; the best one counts.
        peer_rounds: Measurements of everybody else.
        peers: Who takes part; empty means everybody who can.
        kind: "time" in the process of compare.py; "memory" and "stream" in one of their own.
    """

    name: str
    work: str
    count: int
    quick: int
    fewer: dict[str, int] = field(default_factory=dict)
    repeat: int = 1
    rounds: int = 5
    peer_rounds: int = 3
    peers: tuple[str, ...] = ()
    kind: str = "time"

    def load(self, peer: str, *, quick: bool) -> Load:
        """Return the load for one peer."""
        fewer = self.fewer.get(peer, self.count)
        if quick:
            return Load(min(self.quick, fewer), seconds=0.05)
        return Load(fewer)


OURS = ("plain", "oxtask")

ROWS = (
    Row(
        "map",
        "map",
        1_000_000,
        2_000,
        {"pool": 50_000, "joblib": 5_000, "dask": 5_000, "prefect": 100},
        rounds=7,
    ),
    Row("map_10k", "map", 10_000, 500, repeat=20, peers=OURS),
    Row("call", "call", 200_000, 1_000, {"prefect": 100}),
    Row("call_10k", "call", 10_000, 500, repeat=10, rounds=3, peers=OURS),
    Row("call_1m", "call", 1_000_000, 1_000, rounds=2, peers=OURS),
    Row("submit", "submit", 100_000, 1_000, {"pool": 50_000, "prefect": 100}),
    Row("submit_10k", "submit", 10_000, 500, repeat=5, rounds=3, peers=OURS),
    Row("submit_1m", "submit", 1_000_000, 1_000, rounds=2, peers=OURS),
    Row("round_trip", "round_trip", 20_000, 500, {"pool": 10_000, "prefect": 100}, rounds=3),
    Row("chain", "chain", 100_000, 500, {"pool": 20_000, "dask": 5_000, "prefect": 100}),
    Row("chain_10k", "chain", 10_000, 500, repeat=5, rounds=3, peers=OURS),
    Row("chain_1m", "chain", 1_000_000, 1_000, rounds=2, peers=OURS),
    Row("async_map", "async_map", 200_000, 1_000, {"gather": 100_000, "prefect": 100}),
    Row("async_yield", "async_yield", 100_000, 1_000, {"prefect": 100}, rounds=4, peer_rounds=4),
    Row(
        "tree", "tree", 1_000_000, 1_000, {"pool": 20_000, "dask": 2_000, "prefect": 100}, rounds=3
    ),
    Row("tree_mapped", "tree_mapped", 1_000_000, 1_000, rounds=3, peers=OURS),
    Row("sleepers", "sleepers", 1_000, 50, rounds=3, peer_rounds=1),
    Row("retries", "retries", 10_000, 200, {"pool": 4, "prefect": 4}, rounds=3, peer_rounds=1),
    Row(
        "memory",
        "hold",
        1_000_000,
        2_000,
        {"pool": 200_000, "gather": 200_000, "prefect": 300},
        kind="memory",
    ),
    Row(
        "stream",
        "stream",
        10_000_000,
        5_000,
        {"pool": 50_000, "joblib": 5_000},
        rounds=2,
        peer_rounds=1,
        kind="stream",
    ),
)

BY_NAME = {row.name: row for row in ROWS}
