"""Runs that wait for each other: an error that names them, not a hang."""

from __future__ import annotations

import threading
import time

import pytest

from oxtask import task
from oxtask.exceptions import DeadlockError
from oxtask.futures import FutureList, as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner
from oxtask.utilities.annotations import quote

PATIENCE = 10
LIMIT_SECONDS = 1
WORKERS = pytest.mark.parametrize("workers", [1, 2, None])


def spin(future):
    """Wait without lending this thread to the run."""
    while not future.done():
        time.sleep(0.001)


def lend(future):
    """Wait in such a way that this thread may run the run itself."""
    future.wait()


WAYS = pytest.mark.parametrize("ask", [spin, lend])


def ring(*kinds):
    """Submit tasks of which each waits for the next, and the last for the first."""
    futures, ready = [], threading.Event()

    def sync(after):
        assert ready.wait(PATIENCE)
        return futures[after].result()

    async def loop(after):
        assert ready.wait(PATIENCE)
        return await futures[after].aresult()

    async def blocking(after):
        assert ready.wait(PATIENCE)
        return futures[after].result()

    bodies = {"sync": sync, "loop": loop, "blocking": blocking}
    for place, kind in enumerate(kinds):
        body = task(bodies[kind], name=f"{kind}-{place}")
        futures.append(body.submit((place + 1) % len(kinds)))
    ready.set()
    return futures


def check(futures, ask):
    """Check that the runs end within a second, and that one error names all of them."""
    began = time.monotonic()
    for future in futures:
        ask(future)
    took = time.monotonic() - began
    errors = [future.result(raise_on_failure=False) for future in futures]
    assert {type(error) for error in errors} == {DeadlockError}
    text = str(errors[0])
    for future in futures:
        assert str(future.task_run_id) in text
        assert future._task.name in text
    assert took < LIMIT_SECONDS


KINDS = ["sync", "loop", "blocking"]


@WAYS
@WORKERS
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_waits_for_itself(workers, kind, ask):
    """B4, TE-66"""
    with ThreadPoolTaskRunner(workers):
        futures = ring(kind)
        check(futures, ask)
        assert "waits for itself" in str(futures[0].result(raise_on_failure=False))


@WAYS
@WORKERS
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_two_runs_that_wait_for_each_other(workers, first, second, ask):
    """B4"""
    with ThreadPoolTaskRunner(workers):
        check(ring(first, second), ask)


@WAYS
@WORKERS
@pytest.mark.parametrize("kinds", [["sync"] * 3, ["loop"] * 3, KINDS, ["sync", "loop"] * 3])
def test_longer_rings(workers, kinds, ask):
    """B4"""
    with ThreadPoolTaskRunner(workers):
        check(ring(*kinds), ask)


@WAYS
@WORKERS
@pytest.mark.parametrize("by", ["argument", "nested argument", "wait_for", "map"])
def test_a_cycle_through_runs_that_are_parked(workers, by, ask):
    """B4"""
    box, ready = [], threading.Event()

    @task
    def first():
        assert ready.wait(PATIENCE)
        return box[0].result()

    @task
    def between(x=None):
        return x

    with ThreadPoolTaskRunner(workers):
        start = first.submit()
        if by == "argument":
            parked = between.submit(start)
        elif by == "nested argument":
            parked = between.submit({"a": [(start,)]})
        elif by == "wait_for":
            parked = between.submit(wait_for=[start])
        else:
            parked = between.map([1, 2], wait_for=[start])[1]
        box.append(between.submit(between.submit(parked)))
        ready.set()
        began = time.monotonic()
        ask(start)
        assert time.monotonic() - began < LIMIT_SECONDS
        error = start.result(raise_on_failure=False)
        assert isinstance(error, DeadlockError)
        for future in (start, parked, box[0]):
            assert str(future.task_run_id) in str(error)
        box[0].wait()
        assert box[0].state.name == "NotReady"


@WAYS
@pytest.mark.parametrize("how", ["wait", "as_completed", "list wait", "list result", "all of it"])
def test_a_cycle_through_a_wait_for_many(how, ask):
    """B4"""
    box, ready = [], threading.Event()

    @task
    def one():
        assert ready.wait(PATIENCE)
        others = FutureList([quick.submit(), *box])
        if how == "wait":
            return wait(others)
        if how == "as_completed":
            return list(as_completed(others))
        return others.wait() if how == "list wait" else others.result()

    @task
    def quick():
        return 1

    @task
    def item(_):
        return box[0].result()

    with ThreadPoolTaskRunner():
        if how == "all of it":
            box.append(one.submit())
            box.append(item.submit(1))
        else:
            box.append(one.submit())
        ready.set()
        began = time.monotonic()
        for future in box:
            ask(future)
        assert time.monotonic() - began < LIMIT_SECONDS
        for future in box:
            assert isinstance(future.result(raise_on_failure=False), DeadlockError)


def test_a_run_whose_wait_for_got_its_own_future_later():
    """24.5, 42.10, TE-66"""
    gate, upstream = threading.Event(), []

    @task
    def hold():
        assert gate.wait(PATIENCE)

    @task
    def own(x=None):
        return x

    with ThreadPoolTaskRunner():
        upstream.append(hold.submit())
        future = own.submit(wait_for=upstream)
        upstream.append(future)
        gate.set()
        began = time.monotonic()
        spin(future)
        assert time.monotonic() - began < LIMIT_SECONDS
        with pytest.raises(ValueError, match=r"(?s)'own'.*itself") as raised:
            future.result()
        assert "deadlock" in str(raised.value)


def test_a_run_whose_argument_got_its_own_future_later():
    """24.5, TE-66"""
    gate, values = threading.Event(), []

    @task
    def hold():
        assert gate.wait(PATIENCE)

    @task
    def own(x):
        return x

    with ThreadPoolTaskRunner():
        values.append(hold.submit())
        future = own.submit(values)
        values.append(future)
        gate.set()
        began = time.monotonic()
        spin(future)
        assert time.monotonic() - began < LIMIT_SECONDS
        assert future.state.name in {"NotReady", "Failed"}


def test_waits_that_only_look_like_cycles_are_none():
    """B4: no false alarm"""

    @task
    def leaf(x):
        return x

    @task
    def diamond(x, below=()):
        return x + sum(future.result() for future in below)

    @task
    async def adiamond(x, below=()):
        return x + sum([await future.aresult() for future in below])

    with ThreadPoolTaskRunner(2):
        futures = [leaf.submit(1)]
        for number in range(100):
            kind = adiamond if number % 3 == 0 else diamond
            futures.append(kind.submit(1, below=quote(futures[-3:])))
        values = [1]
        for _ in range(100):
            values.append(1 + sum(values[-3:]))
        assert [future.result() for future in futures] == values


def test_a_wait_with_a_timeout_leaves_no_trace():
    """B4: no false alarm"""
    gate, box = threading.Event(), []

    @task
    def first():
        assert gate.wait(PATIENCE)
        return box[0].result()

    @task
    def second():
        box[1].wait(timeout=0.001)
        gate.set()
        return 2

    with ThreadPoolTaskRunner():
        start = first.submit()
        box.extend([second.submit(), start])
        assert start.result(timeout=PATIENCE) == 2


def test_a_deadlock_that_is_caught_can_be_got_over():
    """B4"""
    box, ready = [], threading.Event()

    @task
    def one():
        assert ready.wait(PATIENCE)
        try:
            return box[0].result()
        except DeadlockError:
            return "got over it"

    with ThreadPoolTaskRunner():
        box.append(one.submit())
        ready.set()
        assert box[0].result(timeout=PATIENCE) == "got over it"
