"""Cancelling many runs at once, at any instant of their lives."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time

import pytest

from oxtask import task
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


def check_slots(workers):
    """Check that as many runs can be under way as ever."""
    gate = threading.Barrier(workers)

    @task
    def meet():
        gate.wait(PATIENCE)

    futures = [meet.submit() for _ in range(workers)]
    for future in futures:
        while not future.done():
            time.sleep(0.001)
        future.result()


@pytest.mark.parametrize("workers", [4, None])
def test_half_of_ten_thousand_runs_cancelled_while_they_run(seed, ledger, workers):
    """B6"""
    write, read = ledger

    @task
    def body(number):
        write(number)
        return number

    order = list(range(10_000))
    random.Random(seed).shuffle(order)
    with ThreadPoolTaskRunner(workers):
        futures = body.map(range(10_000))
        before = {number: futures[number].state.name for number in order[:100]}
        cancelled = {number for number in order[:5_000] if futures[number].cancel()}
        futures.wait()
        states = [future.state for future in futures]
        check_slots(workers or 20)
    assert set(before.values()) <= {"Pending", "Running", "Completed"}
    began = [int(line) for line in read()]
    assert len(began) == len(set(began))
    for number, state in enumerate(states):
        assert state.is_cancelled() == (number in cancelled)
        assert state.is_completed() == (number not in cancelled)
        if state.is_completed():
            assert state.result() == number
    never_began = {number for number in cancelled if futures[number]._times[1] == 0}
    assert never_began.isdisjoint(began)
    assert set(began) | never_began == set(range(10_000))


def test_runs_of_all_kinds_cancelled_from_many_threads(seed):
    """B6: every future resolves, and each run is cancelled by one caller at most"""
    gate = threading.Event()
    wins = []

    @task
    def sync(x):
        return x

    @task(retries=2, retry_delay_seconds=0.001)
    def flaky(x):
        raise ValueError(x)

    @task
    async def loop(x):
        await asyncio.sleep(0.001 * (x % 3))
        return x

    @task
    def hold():
        assert gate.wait(PATIENCE)

    def cancel(place):
        own = list(futures)
        random.Random(seed + place).shuffle(own)
        start.wait(PATIENCE)
        wins.extend(future for future in own if future.cancel())

    with ThreadPoolTaskRunner(8):
        held = hold.submit()
        futures = [kind.submit(x) for x in range(300) for kind in (sync, flaky, loop)]
        futures += [sync.submit(held) for _ in range(100)]
        start = threading.Barrier(4)
        threads = [threading.Thread(target=cancel, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        gate.set()
        for future in futures:
            future.wait()
            assert future.done()
        check_slots(8)
    assert len(wins) == len(set(wins))
    assert {future for future in futures if future.state.is_cancelled()} == set(wins)


def test_cancelling_around_the_return_of_a_body_hurts_nobody_else(seed):
    """B9: the exception for one body never reaches the next, nor the worker"""
    spread = random.Random(seed)
    hurt = []

    @task
    def brief(turns):
        for _ in range(turns):
            pass
        return turns

    @task
    def next_one(x):
        try:
            for _ in range(50):
                pass
        except BaseException as error:
            hurt.append(error)
        return x

    with ThreadPoolTaskRunner(2) as runner:
        for number in range(2_000):
            future = brief.submit(spread.randrange(2_000))
            after = next_one.submit(number)
            while not (future.done() or future._times[1]):
                time.sleep(0)
            for _ in range(spread.randrange(200)):
                pass
            future.cancel()
            while not after.done():
                time.sleep(0)
            assert after.result() == number
            assert future.state.is_cancelled() or future.state.is_completed()
        assert runner._runner.threads == (runner._runner.threads[0], 0)
        check_slots(2)
    assert hurt == []


def test_cancel_all_in_a_storm_of_submits(seed):
    """TR-12, B6"""
    spread = random.Random(seed)

    @task
    def body(x):
        return x

    for _ in range(20):
        futures, refused = [], 0
        with ThreadPoolTaskRunner(4) as runner:
            timer = threading.Timer(spread.random() * 0.01, runner.cancel_all)
            timer.start()
            for number in range(2_000):
                try:
                    futures.append(
                        body.submit(futures[-1] if futures and number % 3 == 2 else number)
                    )
                except RuntimeError:
                    refused += 1
            timer.join()
        assert len(futures) + refused == 2_000
        assert all(future.done() for future in futures)
        names = {future.state.name for future in futures}
        assert names <= {"Completed", "Cancelled", "NotReady"}


def test_callbacks_of_cancelled_runs_are_called_once(seed):
    """FU-07"""
    counts = {}
    lock = threading.Lock()

    def count(future):
        with lock:
            counts[future] = counts.get(future, 0) + 1

    @task
    def body(x):
        return x

    with ThreadPoolTaskRunner(4):
        futures = body.map(range(2_000))
        for future in futures:
            future.add_done_callback(count)
        for future in random.Random(seed).sample(futures, 1_000):
            future.cancel()
        futures.wait()
        check_slots(4)
    assert counts == dict.fromkeys(futures, 1)


@pytest.mark.parametrize("ends", ["on_completion", "on_failure"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_whose_body_has_ended_is_not_cancelled_and_its_hooks_are_left_alone(ends, kind):
    """B9: the exception for a body reaches the body or nothing"""
    inside, log = threading.Event(), []

    def hook(task, run, state):
        inside.set()
        try:
            while not tried.is_set():
                pass
            for _ in range(10_000):
                pass
            log.append("hook ended")
        except BaseException as error:
            log.append(error)
            raise

    def body():
        if ends == "on_failure":
            raise ValueError

    async def async_body():
        body()

    tried = threading.Event()
    with ThreadPoolTaskRunner():
        chosen = body if kind == "sync" else async_body
        future = task(chosen, **{ends: [hook]}).submit()
        assert inside.wait(PATIENCE)
        assert not future.cancel()
        tried.set()
        future.wait()
    assert log == ["hook ended"]
    assert future.state.is_completed() if ends == "on_completion" else future.state.is_failed()


def test_what_logs_the_end_of_a_run_is_not_hit_by_its_cancellation(seed):
    """B9: a handler that were hit could keep the lock of all logging"""
    hits, spread = [], random.Random(seed)

    class Handler(logging.Handler):
        def emit(self, record):
            try:
                for _ in range(2_000):
                    pass
            except BaseException as error:
                hits.append(error)
                raise

    @task
    def fail():
        raise ValueError

    logger, handler = logging.getLogger("oxtask.task_runs"), Handler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with ThreadPoolTaskRunner(1):
            for _ in range(500):
                future = fail.submit()
                while not (future.done() or future._times[1]):
                    time.sleep(0)
                for _ in range(spread.randrange(300)):
                    pass
                future.cancel()
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert hits == []
