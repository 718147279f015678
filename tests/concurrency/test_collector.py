"""What failed and was handed out forms cycles: frames, futures, exceptions, and frames again."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest

from oxtask import flow, get_run_logger, task
from oxtask.context import TaskRunContext
from oxtask.futures import as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


class Flaw(Exception):
    pass


class Value:
    pass


@pytest.fixture(autouse=True)
def quiet():
    """What captures logs would keep the exceptions."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def runner():
    with ThreadPoolTaskRunner(max_workers=2) as runner:
        yield runner


@task
def fail(x):
    raise Flaw(x)


@task
async def fail_async(x):
    raise Flaw(x)


@task
def fail_at_zero(x):
    if x == 0:
        raise Flaw(x)
    return Value()


@task
def fail_in_context(x):
    context = TaskRunContext.get()
    logger = get_run_logger()
    raise Flaw(x, context is not None, logger is not None)


@flow
def failing_flow(x):
    return fail.map([x, x]).result()


def raises(function):
    """Call it, and return a weak reference to what it raises."""
    try:
        function()
    except Flaw as flaw:
        return weakref.ref(flaw)
    raise AssertionError("it raised nothing")


def submitted(kind):
    def once():
        future = kind.submit(1)
        return raises(future.result)

    return once


def mapped(ask):
    def once():
        futures = fail.map(range(5))
        futures.wait()  # what is under way holds on to its group
        return raises(lambda: ask(futures))

    return once


def seen_in_a_state():
    futures = fail.map(range(5))
    futures.wait()
    return raises(lambda: [future.state.result() for future in futures])


def handed_on():
    upstream = fail.submit(1)
    downstream = fail.submit(upstream)
    wait([downstream])
    assert downstream.state.name == "NotReady"
    return raises(upstream.result)


WAYS = {
    "submit": submitted(fail),
    "async": submitted(fail_async),
    "context": submitted(fail_in_context),
    "retries": submitted(fail.with_options(retries=2)),
    "retries after a delay": submitted(fail.with_options(retries=1, retry_delay_seconds=0.001)),
    "hooks": submitted(fail.with_options(on_failure=[lambda *_: None])),
    "timeout": submitted(fail.with_options(timeout_seconds=PATIENCE)),
    "async retries": submitted(fail_async.with_options(retries=1)),
    "map": mapped(lambda futures: futures.result()),
    "map, one by one": mapped(lambda futures: [future.result() for future in futures]),
    "map, as completed": mapped(lambda futures: [one.result() for one in as_completed(futures)]),
    "states": seen_in_a_state,
    "dependent": handed_on,
    "direct": lambda: raises(lambda: fail(1)),
    "direct, retries": lambda: raises(lambda: fail.with_options(retries=1)(1)),
    "flow": lambda: raises(lambda: failing_flow(1)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_that_was_caught_is_collected(way):
    """N4"""
    flaw = WAYS[way]()
    gc.collect()
    assert flaw() is None


def test_the_results_beside_a_failure_are_collected_with_it():
    """N4"""

    def once():
        futures = fail_at_zero.map(range(5))
        futures.wait()
        flaw = raises(futures.result)
        return [flaw, *(weakref.ref(future.result()) for future in futures[1:])]

    kept = once()
    gc.collect()
    assert [one() for one in kept] == [None] * 5


def test_what_is_held_from_outside_is_not_collected():
    """N4"""

    def once():
        futures = fail_at_zero.map(range(5))
        raises(futures.result)
        return futures[3], futures[0]

    value, flaw = once()
    for _ in range(3):
        gc.collect()
    assert isinstance(value.result(), Value)
    with pytest.raises(Flaw):
        flaw.result()


def test_a_run_that_waits_for_a_collected_list_still_gets_its_input():
    """N4, A1"""
    gate = threading.Event()

    @task
    def late(value, _flaw):
        assert gate.wait(PATIENCE)
        return value

    def once():
        futures = fail_at_zero.map(range(3))
        raises(futures.result)
        return late.submit(futures[1], 0)

    dependent = once()
    gc.collect()
    gate.set()
    assert isinstance(dependent.result(), Value)


def test_the_collector_at_work_beside_failing_runs_takes_nothing_that_is_needed():
    """N4, A1"""
    stop = threading.Event()

    def collect():
        while not stop.is_set():
            gc.collect()

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        flaws = []
        for count in range(1, 60):
            futures = fail_at_zero.with_options(retries=count % 2).map(range(count))
            futures.wait()
            flaws.append(raises(futures.result))
            assert all(isinstance(one.result(), Value) for one in futures[1:])
            with pytest.raises(Flaw):
                futures[0].result()
            del futures
    finally:
        stop.set()
        collector.join()
    gc.collect()
    assert [flaw() for flaw in flaws] == [None] * len(flaws)
