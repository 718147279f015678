"""Tasks that submit tasks and wait for them: no depth and no number of workers deadlocks."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from oxtask import flow, task
from oxtask.futures import as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10
WORKERS = [1, 2, None]


@task
def descend(depth):
    return 0 if depth == 0 else descend.submit(depth - 1).result() + 1


@task
async def descend_async(depth):
    return 0 if depth == 0 else await descend_async.submit(depth - 1).aresult() + 1


@task
def descend_mixed(depth):
    if depth == 0:
        return 0
    return (descend_blocking if depth % 2 else descend_mixed).submit(depth - 1).result() + 1


@task
async def descend_blocking(depth):
    return descend_mixed.submit(depth - 1).result() + 1 if depth else 0


@task
def tree(depth):
    if depth == 0:
        return 1
    return sum(tree.map([depth - 1] * 2).result())


def spin(future):
    """Wait without lending this thread to the run."""
    while not future.done():
        time.sleep(0.001)
    return future.result()


@pytest.mark.parametrize("ask", [spin, lambda future: future.result()])
def test_a_thousand_levels_on_one_worker(ask):
    """B1"""
    began = time.monotonic()
    threads = threading.active_count()
    with ThreadPoolTaskRunner(max_workers=1) as runner:
        assert ask(descend.submit(1_000)) == 1_000
        workers, stuck = runner._runner.threads
    assert time.monotonic() - began < 5
    assert workers <= 65
    assert stuck == 0
    assert threading.active_count() <= threads + 65


@pytest.mark.parametrize("workers", WORKERS)
def test_a_thousand_levels_of_async_tasks(workers):
    """B1"""
    with ThreadPoolTaskRunner(max_workers=workers):
        assert spin(descend_async.submit(1_000)) == 1_000


@pytest.mark.parametrize("workers", WORKERS)
def test_async_tasks_that_block_their_loop_on_other_runs(workers):
    """B1, 5"""
    with ThreadPoolTaskRunner(max_workers=workers):
        assert spin(descend_mixed.submit(30)) == 30
        assert descend_mixed.submit(30).result() == 30


@pytest.mark.parametrize("workers", WORKERS)
def test_a_tree_of_nested_maps(workers):
    """TR-14, W22"""
    with ThreadPoolTaskRunner(max_workers=workers):
        assert tree.submit(8).result() == 256


@pytest.mark.parametrize("workers", WORKERS)
def test_every_way_to_wait_gives_the_worker_back(workers):
    """TR-14, W22"""

    @task
    def child(x):
        return x

    @task
    def parent():
        one, many = child.submit(1), child.map(range(5))
        assert wait([one, *many]).not_done == set()
        assert {future.result() for future in as_completed(child.map(range(3)))} == {0, 1, 2}
        child.map(range(3)).wait()
        child.submit(2).wait()
        assert child.submit(3, return_state=True).is_completed()
        assert child.map([child.submit(4)]).result() == [4]
        return child(child.submit(5))

    with ThreadPoolTaskRunner(max_workers=workers):
        assert [spin(future) for future in [parent.submit() for _ in range(5)]] == [5] * 5


def test_flows_in_tasks_in_flows():
    """26.1"""

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def level(depth):
        return 0 if depth == 0 else inside.submit(depth).result()

    @task
    def inside(depth):
        return level(depth - 1) + 1

    assert level(20) == 20


def test_every_one_of_many_waits_for_every_one_of_many():
    """B2"""

    @task
    def first(x):
        return x

    @task
    def second():
        return 1

    began = time.monotonic()
    with ThreadPoolTaskRunner():
        upstream = first.map(range(500))
        futures = [second.submit(wait_for=upstream) for _ in range(500)]
        assert [future.result() for future in futures] == [1] * 500
    assert time.monotonic() - began < 10


def test_a_lock_that_a_waiting_task_holds_is_no_trap():
    """B3: only the awaited run may run on the stack of the one that waits"""
    lock, holds = threading.Lock(), threading.Event()

    @task
    def needs_lock():
        with lock:
            return "had it"

    @task
    def child():
        return "child"

    @task
    def parent():
        with lock:
            holds.set()
            others.append(needs_lock.submit())
            return child.submit().result()

    others = []
    with ThreadPoolTaskRunner(max_workers=1):
        one = parent.submit()
        assert spin(one) == "child"
        assert spin(others[0]) == "had it"


@pytest.mark.parametrize("ask", [spin, lambda future: future.result()])
def test_many_chains_and_nested_submits_on_few_workers(ask):
    """engine.md 20.3"""

    @task
    def link(x):
        return x + 1

    @task
    def item(start):
        future = link.submit(start)
        for _ in range(49):
            future = link.submit(future)
        return future.result()

    with ThreadPoolTaskRunner(max_workers=8) as runner:
        futures = item.map(range(1_000))
        assert [ask(future) for future in futures] == [start + 50 for start in range(1_000)]
        assert runner._runner.threads[0] < 250, "items began before what others wait for"


def mapped(task, xs):
    return task.map(xs).result()


def mapped_as_completed(task, xs):
    return [future.result() for future in as_completed(task.map(xs))]


def mapped_one_by_one(task, xs):
    return [future.result() for future in task.map(xs)]


@pytest.mark.parametrize("many", [mapped, mapped_as_completed, mapped_one_by_one])
def test_what_a_run_waits_for_goes_ahead_of_what_was_queued_before(many):
    """engine.md 20.3: a thread for each run that waits would be a thread an item"""

    @task
    def leaf(x):
        return x

    @task
    def twice(x):
        return 2 * x

    @task
    def item(start):
        return sum(many(twice, leaf.map(range(start, start + 20))))

    with ThreadPoolTaskRunner(max_workers=4) as runner:
        futures = item.map(range(2_000))
        assert futures.result() == [2 * sum(range(start, start + 20)) for start in range(2_000)]
        assert runner._runner.threads[0] < 400  # of 2,000


def test_a_sleeping_input_takes_no_worker():
    """TR-17, W58"""
    gate = threading.Event()

    @task
    def slow():
        assert gate.wait(PATIENCE)
        return 1

    @task
    def add(x, y=1):
        return x + y

    with ThreadPoolTaskRunner(max_workers=2) as runner:
        held = slow.submit()
        parked = [add.submit(held) for _ in range(50)]
        assert spin(add.submit(1)) == 2
        assert runner._runner.threads[0] <= 2
        gate.set()
        assert [spin(future) for future in parked] == [2] * 50


def test_an_async_flow_can_nest_without_blocking_its_loop():
    """W05"""
    ticks = 0

    @task
    def child(x):
        time.sleep(0.05)
        return x

    @flow
    async def main():
        nonlocal ticks

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticker = asyncio.ensure_future(tick())
        values = [await child.submit(x).aresult() for x in range(4)]
        ticker.cancel()
        return values

    assert asyncio.run(main()) == [0, 1, 2, 3]
    assert ticks > 20


@pytest.mark.parametrize(
    "ask", [lambda future: future.wait() or future.result(), lambda future: future.result()]
)
def test_waits_that_cross_two_runners_give_back_the_slots_of_both(ask):
    """TR-14, B1"""
    one, other = ThreadPoolTaskRunner(max_workers=1), ThreadPoolTaskRunner(max_workers=1)

    @task
    def cross(depth):
        if depth == 0:
            return 0
        runner = (one, other)[depth % 2]
        return ask(runner.submit(cross, {"depth": depth - 1})) + 1

    with one, other:
        assert one.submit(cross, {"depth": 20}).result() == 20
        assert other.submit(cross, {"depth": 21}).result() == 21
