"""Arguments and results go in and out by reference, and are let go of when nobody needs them."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref

import pytest

from oxtask import flow, task
from oxtask.futures import as_completed
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


class Thing:
    """Something that can be seen to be gone."""


@pytest.fixture(autouse=True)
def without_collector():
    """Leave nothing to the garbage collector: counts of references must do.

    Nor to the capturing of logs, which keeps exceptions with their tracebacks.
    """
    gc.collect()
    gc.disable()
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


@pytest.fixture
def pool():
    with ThreadPoolTaskRunner(2) as runner:
        yield runner


@task
def same(x, **kwargs):
    return x


@task
def drop(*args, **kwargs):
    return None


@task
async def same_async(x, suspend=False):
    if suspend:
        await asyncio.sleep(0)
    return x


@task
async def drop_async(x, suspend=False):
    if suspend:
        await asyncio.sleep(0)


def fail_task(thing):
    raise ValueError


fail = task(fail_task)
fail_async = task(same_async.fn)

DROPPERS = {
    "positional": lambda thing: drop.submit(thing),
    "keyword": lambda thing: drop.submit(x=thing),
    "both": lambda thing: drop.submit(1, thing, x=thing),
    "nested": lambda thing: drop.submit([{"a": (thing,)}]),
    "with a future": lambda thing: drop.submit(thing, same.submit(1)),
    "map": lambda thing: drop.map([thing])[0],
    "map by keyword": lambda thing: drop.map([1], x=[thing])[0],
    "retries": lambda thing: drop.with_options(retries=1).submit(thing),
    "timeout": lambda thing: drop.with_options(timeout_seconds=PATIENCE).submit(thing),
    "hook": lambda thing: drop.with_options(on_completion=[print]).submit(thing),
    "async": lambda thing: drop_async.submit(thing),
    "async that suspends": lambda thing: drop_async.submit(thing, suspend=True),
    "async with retries": lambda thing: drop_async.with_options(retries=1).submit(thing, True),
}


def finished(future):
    """Wait until the run has ended and the worker has done with it, without running it here."""
    ended = threading.Event()
    future.add_done_callback(lambda _: ended.set())
    assert ended.wait(PATIENCE)
    future.wait()


def gone(reference):
    """Tell whether an object goes away: a worker may be about to let go of it."""
    for _ in range(100):
        if reference() is None:
            return True
        same.submit(1).result(timeout=PATIENCE)
    return False


@pytest.mark.parametrize("how", DROPPERS)
def test_an_argument_is_let_go_of_when_the_run_has_ended(pool, how):
    """The issue: a run's argument is released as soon as nobody needs it"""
    thing = Thing()
    reference = weakref.ref(thing)
    future = DROPPERS[how](thing)
    del thing
    finished(future)
    assert gone(reference)
    assert future.result() is None


@pytest.mark.parametrize("body", [same, same_async])
@pytest.mark.parametrize("way", ["submit", "map", "direct lend"])
def test_a_result_is_the_object_itself_and_goes_with_the_last_future(pool, body, way):
    """FU-16, 17.6"""
    thing = Thing()
    reference = weakref.ref(thing)
    future = body.map([thing])[0] if way == "map" else body.submit(thing)
    if way != "direct lend":
        finished(future)
    assert future.result() is thing
    del thing
    assert future.result() is reference()
    del future
    assert gone(reference)


def test_a_result_taken_and_a_future_dropped_leave_nothing(pool):
    """FU-16"""
    references = []
    for _ in range(100):
        thing = same.submit(Thing()).result()
        references.append(weakref.ref(thing))
        del thing
    assert all(gone(reference) for reference in references)


def test_the_results_of_a_map_go_with_its_last_future(pool):
    """FU-16: the futures of a map share a group"""
    futures = same.map([Thing() for _ in range(10)])
    references = [weakref.ref(thing) for thing in futures.result()]
    last = futures[-1]
    del futures
    assert references[-1]() is last.result()
    del last
    assert all(gone(reference) for reference in references)


def test_the_input_of_a_dependent_goes_when_it_has_run(pool):
    """FU-16"""
    reference = None

    @task
    def make():
        nonlocal reference
        thing = Thing()
        reference = weakref.ref(thing)
        return thing

    future = drop.submit(make.submit())
    finished(future)
    assert gone(reference)


def test_a_cancelled_run_lets_go_of_its_input_at_once(pool):
    """FU-16, FU-107"""
    gate = threading.Event()

    @task
    def hold():
        assert gate.wait(PATIENCE)

    held, thing = hold.submit(), Thing()
    reference = weakref.ref(thing)
    future = drop.submit(held, thing)
    del thing
    assert reference() is not None
    assert future.cancel()
    assert reference() is None
    gate.set()


def test_a_failed_run_keeps_its_argument_no_longer_than_its_exception(pool):
    """EX-05: the traceback holds the frame, and the frame the argument"""
    thing = Thing()
    reference = weakref.ref(thing)
    future = fail.submit(thing)
    del thing
    finished(future)
    error = future.result(raise_on_failure=False)
    assert reference() is not None
    error.__traceback__ = None
    del error
    assert gone(reference)


def test_an_exception_goes_with_its_future(pool):
    """FU-16, N4"""

    class Special(ValueError):
        pass

    @task
    def special():
        raise Special

    future = special.submit()
    finished(future)
    reference = weakref.ref(future.result(raise_on_failure=False))
    del future
    gc.collect()  # an exception, its traceback and the frame of the body may be a cycle
    assert gone(reference)


def test_callbacks_and_their_futures_are_let_go_of(pool):
    """FU-16"""

    class Callback(Thing):
        def __call__(self, future):
            self.seen = future

    callback = Callback()
    reference = weakref.ref(callback)
    future = same.submit(1)
    future.add_done_callback(callback)
    del callback
    finished(future)
    assert gone(reference)


def test_as_completed_lets_go_of_what_it_has_yielded(pool):
    """FU-16"""
    references = []
    for future in as_completed([same.submit(Thing()) for _ in range(10)]):
        references.append(weakref.ref(future.result()))
    del future
    assert all(gone(reference) for reference in references)


def test_a_flow_keeps_nothing_of_what_its_runs_gave():
    """41.5, FU-16, W27"""
    references = []

    @flow
    def main():
        for _ in range(20):
            thing = same(Thing())
            references.append(weakref.ref(thing))
            thing = same.submit(thing).result()
            del thing
        assert all(gone(reference) for reference in references)
        return len(references)

    assert main() == 20


def test_runners_tasks_and_contexts_are_let_go_of():
    """W27"""

    @task
    def local():
        return 1

    runner = ThreadPoolTaskRunner(1)
    with runner:
        assert local.submit().result() == 1
    references = [weakref.ref(runner), weakref.ref(local)]
    del runner, local
    gc.collect()
    for reference in references:
        assert reference() is None
