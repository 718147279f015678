"""What a task returns, and the state that follows from it."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from ways import WAYS, run

from oxtask import flow, task
from oxtask.logging import disable_run_logger
from oxtask.results import ResultRecord
from oxtask.states import Cancelled, Completed, Failed, State

each_way = pytest.mark.parametrize("way", WAYS)
ASYNC_WAYS = {"await", "submit async", "map async"}


@each_way
@pytest.mark.parametrize("value", [None, 0, "", [], {}, (), ValueError("a value"), object()])
def test_any_value_completes_a_run(way, value):
    """29.1, ST-44, ST-48"""
    ran = run(way, lambda count: value)
    assert ran.value is value
    assert ran.state.is_completed()
    assert ran.state.result(_sync=True) is value


@each_way
def test_a_state_of_the_users_making_becomes_the_state_of_the_run(way):
    """29.2, ST-40"""
    chosen = Completed(name="Fancy", message="mine", data=3)
    ran = run(way, lambda count: chosen, hooks=False)
    assert ran.state.name == "Fancy"
    assert ran.state.message == "mine"
    assert ran.state is chosen


def completed_run():
    return task(lambda: 1)(return_state=True)


def failed_run():
    return task(lambda: 1 / 0)(return_state=True)


@each_way
@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: completed_run(), "COMPLETED", "All states completed."),
        (lambda: failed_run(), "FAILED", "1/1 states failed."),
        (lambda: [completed_run(), failed_run()], "FAILED", "1/2 states failed."),
        (lambda: (completed_run(),), "COMPLETED", "All states completed."),
        (lambda: {failed_run()}, "FAILED", "1/1 states failed."),
        (lambda: [Failed(), Cancelled()], "CANCELLED", "1/2 states cancelled."),
        (lambda: [Completed(), Completed()], "COMPLETED", "All states completed."),
    ],
)
def test_states_of_runs_are_summed_up(way, make, kind, message):
    """29.3, ST-41, ST-42, ST-43"""
    returned = []

    def body(count):
        returned.append(make())
        return returned[-1]

    ran = run(way, body, hooks=False)
    assert ran.state.type.value == kind
    assert ran.state.message == message
    if way in {"call", "await"}:
        assert ran.value is returned[-1]


@each_way
def test_a_sum_of_failures_is_tried_again(way):
    """28.3, 29.3"""
    ran = run(way, lambda count: [failed_run()], retries=1)
    assert ran.bodies == 2
    assert ran.history[-1] == "Failed"


@each_way
@pytest.mark.parametrize(
    "make",
    [
        lambda: [Failed(), 1],
        lambda: [1, Failed()],
        lambda: {"a": Failed()},
        list,
        lambda: {Failed(): 1},
    ],
)
def test_states_among_other_values_are_values(way, make):
    """29.3, ST-44"""
    returned = make()
    ran = run(way, lambda count: returned)
    assert ran.value is returned
    assert ran.state.is_completed()


def test_a_returned_future_is_the_result():
    """29.4"""

    @flow
    def main():
        inner = task(lambda: 3).submit()

        @task
        def hands_over():
            return inner

        return hands_over() is inner, hands_over.submit().result() is inner

    assert main() == (True, True)


@each_way
def test_a_result_record_is_unpacked(way):
    """ST-47"""
    ran = run(way, lambda count: ResultRecord(3))
    assert ran.value == 3


def test_a_result_is_awaited_in_async_code():
    """29.6, ST-26"""

    @task
    async def asks():
        return await completed_run_of_async().result()

    def completed_run_of_async():
        return Completed(data=3)

    @task
    def asks_sync():
        return Completed(data=3).result()

    @flow
    async def main():
        return await asks(), asks_sync()

    assert asyncio.run(main()) == (3, 3)


def test_the_state_of_a_call_is_a_state():
    """12.2"""
    assert isinstance(completed_run(), State)


class Value:
    """Something that can be referred to weakly."""


@each_way
@pytest.mark.parametrize("hooks", [False, True])
def test_arguments_and_results_are_released_when_nobody_needs_them(way, hooks):
    """Values go in and come out by reference; nothing keeps them"""
    hook = {"on_completion": [lambda *_: None]} if hooks else {}
    made = task(aidentity if way in ASYNC_WAYS else identity, **hook)

    def call():
        value = Value()
        result = given_to(way, made, value)
        assert result is value
        return weakref.ref(value)

    gone = call()
    gc.collect()
    assert gone() is None


def identity(x):
    return x


async def aidentity(x):
    return x


def given_to(way, made, value):
    """Return what a task returns when it is given a value in some way."""
    if way == "call":
        return made(value)
    if way == "await":
        return asyncio.run(made(value))
    if way.startswith("map"):
        return flow(lambda x: made.map([x]).result()[0])(value)
    return flow(lambda x: made.submit(x).result())(value)


class Hostile(Exception):
    """An exception that raises whatever it is asked."""

    def __repr__(self):
        raise LookupError("repr")

    __str__ = __bool__ = __eq__ = __repr__
    __hash__ = None


class HostileTimeout(Hostile, TimeoutError):
    pass


@each_way
@pytest.mark.parametrize("kind", [Hostile, HostileTimeout])
@pytest.mark.parametrize("options", [{}, {"retries": 1}, {"retry_condition_fn": lambda *_: False}])
def test_an_exception_that_cannot_be_shown_fails_a_run_like_others(way, kind, options):
    """TE-21: and is the one that the caller sees"""
    error = kind()

    def body(count):
        raise error

    with disable_run_logger():  # `logging` and `traceback` ask exceptions for their truth
        ran = run(way, body, **{"retries": 2} | options)
    assert ran.error is error
    assert ran.state.type.value == "FAILED"
    assert ran.hooks[-1] == "failure"


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_failed_call_leaves_nothing_behind(retries, is_async):
    """The exception refers to frames: they must not hold the run, into which no collector sees"""

    def body(value):
        raise ValueError

    async def abody(value):
        raise ValueError

    made = task(abody if is_async else body, retries=retries)

    def call(**options):
        return asyncio.run(made(**options)) if is_async else made(**options)

    def both():
        value = Value()
        with pytest.raises(ValueError):
            call(value=value)
        assert call(value=value, return_state=True).is_failed()
        return weakref.ref(value)

    with disable_run_logger():  # a log record keeps the exception
        gone = both()
    gc.collect()
    assert gone() is None
