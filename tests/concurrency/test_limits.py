"""`max_workers` is exactly how many runs are under way."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from oxtask import task
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


class Meter:
    """Counts who is inside, and how many there were at most."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = self.most = self.entered = 0

    def __enter__(self):
        with self.lock:
            self.inside += 1
            self.entered += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *error):
        with self.lock:
            self.inside -= 1


def spin(futures):
    """Wait without lending this thread to a run."""
    for future in futures:
        while not future.done():
            time.sleep(0.001)
    return [future.result() for future in futures]


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("ask", [spin, lambda futures: [future.result() for future in futures]])
def test_sync_runs(workers, ask):
    """TR-10: never more than the limit, and as many as the limit"""
    meter, gate = Meter(), threading.Barrier(workers)

    @task
    def body(x):
        with meter:
            gate.wait(PATIENCE)
        return x

    with ThreadPoolTaskRunner(workers):
        count = workers * 20
        assert ask(body.map(range(count))) == list(range(count))
        assert ask([body.submit(x) for x in range(count)]) == list(range(count))
    assert meter.most == workers


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_async_runs(workers):
    """TR-10"""
    meter = Meter()

    @task
    async def body(x):
        with meter:
            for _ in range(3):
                await asyncio.sleep(0.001)
        return x

    with ThreadPoolTaskRunner(workers):
        assert spin(body.map(range(100))) == list(range(100))
    assert meter.most == workers


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_sync_and_async_runs_share_the_limit(workers):
    """TR-10"""
    meter = Meter()

    @task
    def sync(x):
        with meter:
            time.sleep(0.002)
        return x

    @task
    async def loop(x):
        with meter:
            await asyncio.sleep(0.002)
        return x

    with ThreadPoolTaskRunner(workers):
        futures = [(loop if x % 2 else sync).submit(x) for x in range(100)]
        assert spin(futures) == list(range(100))
    assert meter.most <= workers
    assert meter.entered == 100


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_runs_that_wait_for_others_are_not_counted_and_then_are_again(workers):
    """TR-10, TR-14"""
    meter = Meter()

    @task
    def child(x):
        with meter:
            time.sleep(0.001)
        return x

    @task
    def parent(x):
        with meter:
            futures = child.map(range(3))
        total = sum(futures.result())
        with meter:
            time.sleep(0.001)
        total += child.submit(x).result()
        with meter:
            time.sleep(0.001)
        return total

    with ThreadPoolTaskRunner(workers):
        assert spin(parent.map(range(20))) == [3 + x for x in range(20)]
        assert parent.map(range(20)).result() == [3 + x for x in range(20)]
    assert meter.most <= workers


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_async_runs_that_await_others_are_not_counted_and_then_are_again(workers):
    """TR-10, TR-14"""
    meter = Meter()

    @task
    async def child(x):
        with meter:
            await asyncio.sleep(0.001)
        return x

    @task
    def sync_child(x):
        with meter:
            time.sleep(0.001)
        return x

    @task
    async def parent(x):
        with meter:
            await asyncio.sleep(0)
        one = await child.submit(x).aresult()
        with meter:
            await asyncio.sleep(0.001)
        two = await sync_child.submit(x).aresult()
        with meter:
            await asyncio.sleep(0.001)
        return one + two

    with ThreadPoolTaskRunner(workers):
        assert spin(parent.map(range(30))) == [2 * x for x in range(30)]
    assert meter.most <= workers


def test_a_slot_of_a_failed_cancelled_or_crashed_run_is_free_again():
    """B6: no slot leaks"""
    gate = threading.Barrier(3)

    @task
    def end(how):
        if how:
            raise how

    @task
    async def aend(how):
        await asyncio.sleep(0)
        if how:
            raise how

    @task
    def meet():
        gate.wait(PATIENCE)

    errors = [None, ValueError(), KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()]
    with ThreadPoolTaskRunner(3):
        for _ in range(20):
            futures = [kind.submit(error) for error in errors for kind in (end, aend)]
            for future in futures[::2]:
                future.cancel()
            for future in futures:
                future.wait()
        for _ in range(5):
            spin([meet.submit() for _ in range(3)])


def test_one_runner_does_not_take_the_slots_of_another():
    """TR-11"""
    meters = [Meter(), Meter()]

    @task
    def body(place):
        with meters[place]:
            time.sleep(0.01)

    def drive(place):
        with ThreadPoolTaskRunner(place + 1):
            spin(body.map([place] * 50))

    threads = [threading.Thread(target=drive, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [meter.most for meter in meters] == [1, 2]


def test_an_idle_runner_grows_again_to_its_limit():
    """TR-12"""
    with ThreadPoolTaskRunner(8):
        for size in (2, 8, 3, 8, 1, 8):
            gate = threading.Barrier(size)

            @task
            def meet():
                gate.wait(PATIENCE)

            spin([meet.submit() for _ in range(size)])


def test_a_default_runner_has_room_for_everybody():
    """TR-10: unbounded is load-bearing"""
    gate = threading.Barrier(200)

    @task
    def meet(x):
        gate.wait(PATIENCE)
        return x

    with ThreadPoolTaskRunner():
        assert spin(meet.map(range(200))) == list(range(200))
