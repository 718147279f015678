"""Code of the user that calls back in: callbacks, destructors, comparisons, loggers, traces."""

from __future__ import annotations

import gc
import logging
import pickle
import subprocess
import sys
import threading
from contextvars import copy_context
from functools import partial

import pytest

from oxtask import task
from oxtask.futures import FutureList, as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


@pytest.fixture(autouse=True, params=[1, None])
def pool(request):
    with ThreadPoolTaskRunner(request.param) as runner:
        yield runner


@task
def add(x, y=1):
    return x + y


@task
def hold(gate):
    assert gate.wait(PATIENCE)


def use_everything():
    """Use what a user may use from anywhere; return the futures that were made."""
    one = add.submit(1)
    many = add.map(range(3))
    doomed = add.submit(one)
    doomed.cancel()
    assert one.result() == 2
    assert many.result() == [1, 2, 3]
    assert wait([one, doomed]).not_done == set()
    assert set(as_completed(many)) == set(many)
    assert one.state.is_completed()
    doomed.add_done_callback(lambda _: None)
    return [one, doomed, *many]


def here(function):
    """Let a callback run in a copy of the context at hand, which knows the runner."""
    return partial(copy_context().run, function)


def test_a_done_callback_can_submit_and_wait():
    """B5"""
    gate, made, called = threading.Event(), [], threading.Event()

    def back(_):
        made.extend(use_everything())
        called.set()

    future = hold.submit(gate)
    future.add_done_callback(here(back))
    gate.set()
    assert called.wait(2)
    assert len(made) == 5
    future.add_done_callback(here(back))
    assert len(made) == 10


def test_a_callback_can_add_callbacks_to_its_own_future_and_others():
    """B5"""
    gate, seen, called = threading.Event(), [], threading.Event()
    future = hold.submit(gate)

    def outer(ended):
        seen.append("outer")
        ended.add_done_callback(here(inner))
        add.submit(1).add_done_callback(last)

    def inner(_):
        seen.append("inner")

    def last(_):
        seen.append("last")
        called.set()

    future.add_done_callback(here(outer))
    gate.set()
    assert called.wait(2)
    assert seen == ["outer", "inner", "last"]


def test_a_long_chain_of_callbacks_that_submit():
    """B5"""
    finished = threading.Event()

    def again(future):
        if future.result() >= 2_000:
            finished.set()
        else:
            add.submit(future.result()).add_done_callback(here(again))

    add.submit(0).add_done_callback(here(again))
    assert finished.wait(PATIENCE)


def test_a_destructor_of_an_argument_or_result_can_submit():
    """B5"""
    made, called = [], threading.Event()

    class Last:
        def __del__(self):
            made.extend(use_everything())
            called.set()

    @task
    def take(_):
        return None

    @task
    def give():
        return Last()

    take.submit(Last()).result()
    assert called.wait(2)
    called.clear()
    future = give.submit()
    future.wait()
    del future
    gc.collect()
    assert called.wait(2)
    assert len(made) == 10


def test_the_destructor_of_a_dropped_input_can_submit():
    """B5: the input of a run that is cancelled before it starts"""
    made = []

    class Last:
        def __del__(self):
            made.extend(use_everything())

    @task(retries=1, retry_delay_seconds=60)
    def sleeping():
        raise ValueError

    upstream = sleeping.submit()
    parked = both.submit(upstream, Last())
    assert made == []
    assert parked.cancel()
    assert len(made) == 5
    assert upstream.cancel()


@task
def both(one, two):
    return one, two


class Calls:
    """Values that use runs when they are pickled, compared and hashed."""

    def __reduce__(self):
        use_everything()
        return Calls, ()

    def __eq__(self, other):
        use_everything()
        return True

    def __hash__(self):
        use_everything()
        return 1


def test_pickling_equality_and_hashing_of_values_can_submit():
    """B5"""

    @task
    def body(value):
        pickle.dumps(value)
        return {value: 1, Calls(): 2}

    assert len(body.submit(Calls()).result()) == 1


def test_a_logging_handler_can_submit():
    """B5"""
    made, called = [], threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            if not made:
                made.append(record)
                made.extend(use_everything())
                called.set()

    @task
    def fail():
        raise ValueError

    handler = Handler(level=logging.ERROR)
    logger = logging.getLogger("oxtask")
    logger.addHandler(handler)
    try:
        fail.submit().wait()
        assert called.wait(2)
    finally:
        logger.removeHandler(handler)


TRACING = """
import sys
from oxtask import flow, task

made = []

@task
def add(x):
    return x + 1

@task
def traced():
    return 1

def trace(frame, event, arg):
    if frame.f_code.co_name == "traced" and not made:
        sys.settrace(None)
        made.extend([add.submit(1).result(), *add.map([1, 2]).result()])

@task
def body():
    sys.settrace(trace)
    try:
        return traced.submit().result(), traced()
    finally:
        sys.settrace(None)

@flow
def main():
    assert body.submit().result() == (1, 1)
    assert made == [2, 2, 3]

main()
"""


def test_a_trace_function_can_submit():
    """B5. In a fresh process: CPython 3.11 can loop for ever in tracing what it has optimised."""
    subprocess.run([sys.executable, "-c", TRACING], check=True, timeout=30)


def test_a_collection_in_the_midst_of_things_can_run_destructors_that_submit():
    """B5"""
    made = []

    class Cycle:
        def __init__(self):
            self.own = self

        def __del__(self):
            made.append(add.submit(1))

    before = gc.get_threshold()
    gc.set_threshold(10)
    try:
        for _ in range(100):
            Cycle()
            assert FutureList([add.submit(1), *add.map([1, 2])]).result() == [2, 2, 3]
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len(made) == 100
    assert [future.result() for future in made] == [2] * 100
