"""Slots of limits are never lost, nor given twice, whoever is stopped at whatever instant."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
import time
import warnings

import pytest
from limit_tools import PATIENCE, client, make, taken, until, waited_for

import oxtask.concurrency.asyncio as for_loops
from oxtask import flow, task
from oxtask._internal.slots import Lease
from oxtask.client.schemas.actions import GlobalConcurrencyLimitUpdate
from oxtask.concurrency.sync import (
    AcquireConcurrencySlotTimeoutError,
    concurrency,
)
from oxtask.logging import disable_run_logger
from oxtask.utilities.timeout import timeout

pytestmark = pytest.mark.usefixtures("no_limits")


class Meter:
    """Counts how many are inside, and how many there were at most."""

    def __init__(self):
        self._lock = threading.Lock()
        self.inside = self.most = self.visits = 0

    def __enter__(self):
        with self._lock:
            self.inside += 1
            self.visits += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *error):
        with self._lock:
            self.inside -= 1


def check_all_slots_are_there(*names):
    for name in names:
        until(lambda name=name: taken(name) == waited_for(name) == 0)


def test_threads_and_coroutines_that_give_up_at_any_time(seed):
    """CC-02, CC-04, CC-08"""
    make("a", 3)
    make("b", 2)
    meters = {"a": Meter(), "b": Meter()}
    choices = [["a"], ["b"], ["a", "b"]]

    def on_thread(number):
        draw = random.Random(seed + number)
        for _ in range(60):
            names = draw.choice(choices)
            try:
                with concurrency(names, timeout_seconds=draw.choice([None, 0, 0.0005, 0.002])):
                    with meters[names[0]]:
                        time.sleep(draw.choice([0, 0.0002]))
            except AcquireConcurrencySlotTimeoutError:
                pass

    async def once(draw):
        names = draw.choice(choices)
        async with for_loops.concurrency(names):
            with meters[names[0]]:
                await asyncio.sleep(draw.choice([0, 0.0002]))

    async def on_loop(number):
        draw = random.Random(seed - number)
        for _ in range(30):
            tasks = [asyncio.create_task(once(draw)) for _ in range(4)]
            await asyncio.sleep(draw.choice([0, 0.001]))
            for one in draw.sample(tasks, 2):
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    threads = [threading.Thread(target=on_thread, args=(number,)) for number in range(4)]
    threads += [
        threading.Thread(target=lambda number=number: asyncio.run(on_loop(number)))
        for number in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 4)
        assert not thread.is_alive()

    check_all_slots_are_there("a", "b")
    assert 0 < meters["a"].most <= 3
    assert 0 < meters["b"].most <= 2


@pytest.mark.parametrize("is_main", [True, False])
def test_deadlines_that_strike_at_any_instant(seed, is_main):
    """TE-85: signals on the main thread, injected exceptions on others"""
    make("a", 2)
    draw = random.Random(seed)

    def storm():
        for _ in range(100):
            try:
                with timeout(draw.uniform(0.001, 0.003)):
                    while True:
                        with concurrency("a"):
                            pass
            except TimeoutError:
                pass

    other = threading.Thread(target=storm)
    other.start()
    if is_main:
        storm()
    other.join(PATIENCE * 4)
    gc.collect()

    assert not other.is_alive()
    check_all_slots_are_there("a")


@pytest.mark.parametrize("is_async", [False, True])
def test_runs_that_are_cancelled_while_they_wait_and_while_they_run(seed, is_async):
    """CC-10"""
    make("tag:db", 3)
    meter = Meter()
    draw = random.Random(seed)

    @task(tags={"db"})
    def on_thread(_):
        with meter:
            time.sleep(0.0005)

    @task(tags={"db"}, retries=1)
    async def on_loop(_):
        with meter:
            await asyncio.sleep(0.0005)

    @flow
    def storm():
        futures = (on_loop if is_async else on_thread).map(range(200))
        for future in draw.sample(futures, 100):
            future.cancel()
        futures.wait()
        return [future.state.name for future in futures]

    with disable_run_logger():
        names = storm()

    assert set(names) <= {"Completed", "Cancelled"}
    assert names.count("Completed") >= 100
    assert meter.most <= 3
    check_all_slots_are_there("tag:db")


def test_many_who_wait_are_let_in_at_once():
    """CC-08: without a call for each, nested in the one before"""
    make("a", 0)
    client.update_global_concurrency_limit("a", GlobalConcurrencyLimitUpdate(limit=1))
    holder = Lease(["a"])
    waiting = [Lease(["a"]) for _ in range(5_000)]

    client.update_global_concurrency_limit("a", GlobalConcurrencyLimitUpdate(limit=6_000))

    assert all(lease.ticket.is_granted for lease in waiting)
    holder.release()
    for lease in waiting:
        lease.release()
    check_all_slots_are_there("a")


def test_a_lease_that_is_forgotten_is_given_back():
    """CC-02"""
    make("a")
    lease = Lease(["a"])
    assert taken("a") == 1

    del lease
    gc.collect()

    assert taken("a") == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_none_of_the_slots_of_its_parent_and_sees_them():
    """CC-09: slots belong to the process that took them"""
    make("a", 2)
    with concurrency("a"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        pid = os.fork()
        if not pid:
            try:
                with concurrency("a", timeout_seconds=0):
                    if taken("a") != 2:
                        os._exit(2)
                with pytest.raises(AcquireConcurrencySlotTimeoutError):
                    concurrency("a", 2, timeout_seconds=0).__enter__()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        assert taken("a") == 1

    assert os.waitstatus_to_exitcode(status) == 0
