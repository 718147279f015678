"""Of those who want the same result at once, one makes it: threads, nested runs, event loops."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from oxtask import _core, flow, task
from oxtask.task_runners import ThreadPoolTaskRunner

LIMIT_SECONDS = 30


class Store:
    """Results by key, and how often each was made."""

    def __init__(self):
        self.values = {}
        self.made = []
        self.lock = threading.Lock()

    def get(self, key, make):
        """Return the result of a key as a run with a cache does."""
        while key not in self.values:
            flight = _core.lead_flight(key)
            if flight is None:
                continue
            with flight:
                if key not in self.values:
                    self.values[key] = self.make(key, make)
        return self.values[key]

    def make(self, key, make):
        value = make()
        with self.lock:
            self.made.append(key)
        return value


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def threads():
    """Return a function that runs another in threads and returns what they return or raise."""
    started = []

    def run(count, function):
        answers = [None] * count

        def body(place):
            try:
                answers[place] = function(place)
            except Exception as error:
                answers[place] = error

        for place in range(count):
            started.append(threading.Thread(target=body, args=(place,)))
            started[-1].start()
        for thread in started:
            thread.join(LIMIT_SECONDS)
            assert not thread.is_alive()
        return answers

    return run


def test_64_threads_that_want_one_key_make_it_once(store, threads):
    """Issue: single flight"""
    began = threading.Barrier(64)

    def body(_):
        began.wait()
        return store.get("one", lambda: time.sleep(0.05) or 7)

    assert threads(64, body) == [7] * 64
    assert store.made == ["one"]


def test_keys_do_not_wait_for_each_other(store, threads):
    """Issue: single flight"""
    met = threading.Barrier(8, timeout=LIMIT_SECONDS)
    threads(8, lambda place: store.get(f"key-{place}", met.wait))
    assert len(store.made) == 8


def test_who_waits_for_one_that_fails_makes_it(store, threads):
    """Issue: the leader raises"""
    began, failed = threading.Barrier(4), []

    def make():
        with store.lock:
            first = not failed
            failed.append(1)
        if first:
            raise LookupError("the first fails")
        return 7

    def body(_):
        began.wait()
        return store.get("fails", make)

    answers = threads(4, body)
    assert sorted(map(str, answers)) == ["7", "7", "7", "the first fails"]
    assert len(store.made) == 1


def test_a_flight_that_is_dropped_ends():
    """Issue: the leader is gone"""
    flight = _core.lead_flight("dropped")
    heard = []
    waiting = threading.Thread(target=lambda: heard.append(_core.lead_flight("dropped")))
    waiting.start()
    del flight
    waiting.join(LIMIT_SECONDS)
    # Whether it came before or after the end, it did not wait for ever.
    assert len(heard) == 1


def test_a_flight_ends_once():
    """Issue: single flight"""
    flight = _core.lead_flight("twice")
    flight.end()
    with _core.lead_flight("twice") as other:
        flight.end()
        assert _core.lead_flight("twice", wait=False) is not None  # its own
        busy = []
        asking = threading.Thread(
            target=lambda: busy.append(_core.lead_flight("twice", wait=False))
        )
        asking.start()
        asking.join()
        assert busy == [None]
    other.end()


# --- nobody waits for himself ---------------------------------------------------------------------


def test_a_thread_that_leads_makes_it_again(store):
    """Issue: recursion"""
    assert store.get("a", lambda: store.get("a", lambda: 1)) == 1
    assert store.made == ["a", "a"]


def test_a_run_that_calls_itself_makes_it(store):
    """Issue: a cached task that calls itself with the same arguments"""

    @task
    def recursive(depth):
        return store.get("r", lambda: recursive(depth - 1) if depth else 7)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def work():
        return recursive.submit(3).result()

    assert recursive(3) == work() == 7


@pytest.mark.parametrize("workers", [1, 4])
def test_a_run_that_waits_for_one_that_wants_its_key_goes_on(store, workers):
    """Issue: two tasks that wait for each other"""

    @task
    def inner():
        return store.get("same", lambda: 1)

    @task
    def outer():
        return store.get("same", lambda: inner.submit().result() + 1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=workers))
    def work():
        return outer.submit().result()

    assert work() in {1, 2}


def test_a_run_that_waits_for_a_stranger_that_wants_its_key_goes_on(store):
    """Issue: two tasks that wait for each other"""
    leads, passed = threading.Event(), []

    @task
    def stranger():
        leads.wait(LIMIT_SECONDS)
        return store.get("same", lambda: 1)

    @task
    def leader():
        def make():
            leads.set()
            return passed[0].result() + 1

        return store.get("same", make)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def work():
        passed.append(stranger.submit())
        return leader.submit().result()

    assert work() in {1, 2}


@pytest.mark.parametrize("of", ["threads", "runs"])
def test_two_that_lead_and_want_what_the_other_leads_go_on(store, threads, of):
    """Issue: no deadlock"""
    met = threading.Barrier(2, timeout=LIMIT_SECONDS)

    def cross(place):
        mine, yours = "ab"[place], "ba"[place]

        def make():
            if mine not in store.made:
                met.wait()
            return store.get(yours, lambda: 1)

        return store.get(mine, make)

    @task
    def run(place):
        return cross(place)

    assert threads(2, cross if of == "threads" else run) == [1, 1]


def test_a_run_that_waits_gives_its_slot_back(store):
    """Issue: no thread holds a slot while it waits"""
    began = threading.Event()

    @task
    def leads():
        def make():
            began.set()
            return needed.submit().result()

        return store.get("slot", make)

    @task
    def follows():
        began.wait(LIMIT_SECONDS)
        return store.get("slot", lambda: 0)

    @task
    def needed():
        return 7

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def work():
        return [future.result() for future in [leads.submit(), follows.submit(), follows.submit()]]

    assert work() == [7, 7, 7]
    assert store.made == ["slot"]


# --- event loops ----------------------------------------------------------------------------------


def test_runs_of_one_loop_wait_for_each_other_without_blocking_it():
    """Issue: async runs"""
    values, made = {}, []

    async def get(key, make):
        while key not in values:
            flight = _core.lead_flight(key, wait=False)
            if flight is None:
                await asyncio.sleep(0.001)
                continue
            with flight:
                if key not in values:
                    value = await make()
                    made.append(key)
                    values[key] = value
        return values[key]

    @task
    async def slow(key):
        async def make():
            await asyncio.sleep(0.02)
            return 7

        return await get(key, make)

    @task
    async def nested(key):
        return await get("outer" + key, lambda: slow("inner"))

    async def work():
        return await asyncio.gather(*(slow("one") for _ in range(20)))

    async def crossing():
        return await asyncio.gather(*(nested(str(place)) for place in range(4)))

    assert asyncio.run(work()) == [7] * 20
    assert made == ["one"]
    assert asyncio.run(crossing()) == [7] * 4
