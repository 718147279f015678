"""What flows return; the lines are of engine.md, sections 1.5, 4.5 and 17."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
from flow_ways import WAYS, call, logs_fixture, made, ran_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.context import FlowRunContext
from oxtask.exceptions import FailedRun, UnfinishedRun
from oxtask.logging import disable_run_logger
from oxtask.states import Completed, Failed, State
from oxtask.utilities.annotations import quote

pytestmark = pytest.mark.parametrize("way", WAYS)


@task
def one(x=1):
    return x


@task
def broken(x=None):
    raise ValueError("no luck")


@dataclass
class Box:
    content: Any


def unready():
    return one.submit(wait_for=[broken.submit()])


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, [1, 2], {"a": 1}, ()])
def test_a_plain_value_is_returned(ran, way, value):
    """FL-58, ST-44, ST-48"""
    result = ran(way, lambda attempt: value)
    assert result.value == value
    assert result.state.result(_sync=True) == value
    assert call(made(way, lambda attempt: value), return_state=True).result(_sync=True) == value


def test_a_value_is_returned_itself(ran, way):
    """FL-53"""
    value = object()
    assert ran(way, lambda attempt: value).value is value
    items = [value]
    assert ran(way, lambda attempt: items).value is items


def test_a_future_becomes_its_state(ran, way):
    """FL-51, FL-52, FL-53"""
    result = ran(way, lambda attempt: one.submit(3))
    assert isinstance(result.value, State)
    assert (result.value.name, result.value.result(_sync=True)) == ("Completed", 3)
    assert result.state.message == "All states completed."
    assert result.state.data is result.value


def test_a_future_of_a_failed_run_fails_the_flow(ran, way):
    """FL-52, FL-53"""
    result = ran(way, lambda attempt: broken.submit())
    assert str(result.error) == "no luck"
    assert str(result.state) == "Failed('1/1 states failed.')"


def test_a_list_of_futures_is_returned_even_if_some_failed(ran, way):
    """FL-51, FL-53, D2, ST-43"""
    result = ran(way, lambda attempt: [one.submit(), broken.submit(), broken.submit()])
    assert [state.name for state in result.value] == ["Completed", "Failed", "Failed"]
    assert type(result.value) is list
    assert str(result.state) == "Failed('2/3 states failed.')"
    assert result.error is None


def test_the_futures_of_a_map_become_a_plain_list(ran, way):
    """FL-51"""
    result = ran(way, lambda attempt: one.map([1, 2, 3]))
    assert type(result.value) is list
    assert [state.result(_sync=True) for state in result.value] == [1, 2, 3]
    assert result.state.message == "All states completed."


def test_futures_are_found_wherever_they_are(ran, way):
    """FL-51, FL-54"""

    def body(attempt):
        return {"a": [one.submit(), 5], "b": Box((broken.submit(),)), "c": {one.submit()}}

    result = ran(way, body)
    assert result.state.name == "Completed"
    assert result.value["a"][0].result(_sync=True) == 1
    assert result.value["a"][1] == 5
    assert result.value["b"].content[0].is_failed()
    assert next(iter(result.value["c"])).is_completed()


def test_states_among_other_things_do_not_fail_the_flow(ran, way):
    """FL-54, ST-44"""
    for value in ([Failed(), 1], {"a": Failed()}, Box(Failed())):
        assert ran(way, lambda attempt, value=value: value).state.is_completed()


def test_failures_that_are_not_returned_do_not_fail_the_flow(ran, way):
    """FL-55, FL-106"""

    def body(attempt):
        broken.submit().wait()
        broken(return_state=True)
        return 3

    result = ran(way, body)
    assert (result.value, result.state.name) == (3, "Completed")


def test_what_is_quoted_is_left_alone(ran, way):
    """FL-51, ST-45"""
    quoted = []

    def body(attempt):
        quoted.append(quote([one.submit(), Failed()]))
        return quoted[0]

    result = ran(way, body)
    assert result.value is quoted[0]
    assert result.state.is_completed()


def test_a_state_of_ones_own_is_the_state_of_the_run(ran, way):
    """FL-53, ST-40"""
    completed = Completed(data=3, message="done")
    result = ran(way, lambda attempt: completed)
    assert result.state is completed
    assert result.value == 3
    failed = ran(way, lambda attempt: Failed(message="on purpose"))
    assert isinstance(failed.error, FailedRun)
    assert str(failed.error) == "on purpose"
    assert failed.state.message == "on purpose"


def test_the_state_of_a_direct_call_counts_as_that_of_another_run(ran, way):
    """FL-52, ST-41"""
    result = ran(way, lambda attempt: one(return_state=True))
    assert result.value.result(_sync=True) == 1
    assert result.state.data is result.value
    result = ran(way, lambda attempt: broken(return_state=True))
    assert str(result.error) == "no luck"


def test_a_future_of_a_run_that_never_started(ran, way):
    """FL-56, W04"""
    result = ran(way, lambda attempt: unready())
    assert str(result.state) == "Failed('1/1 states are not final.')"
    assert isinstance(result.error, UnfinishedRun)
    assert "NotReady" in str(result.error)
    state = call(made(way, lambda attempt: unready()), return_state=True)
    assert state.is_failed()


def test_a_generator_is_read_to_its_end(ran, way):
    """ST-46, W20"""
    result = ran(way, lambda attempt: (number for number in range(3)))
    assert result.value == [0, 1, 2]
    assert result.state.result(_sync=True) == [0, 1, 2]


def test_states_that_a_generator_yields_are_plain_values(ran, way):
    """ST-44"""
    states = [Failed(), Completed()]
    result = ran(way, lambda attempt: (state for state in states))
    assert result.value == states
    assert result.state.is_completed()


def test_a_generator_that_raises_fails_the_run(ran, way):
    """ST-46"""

    def numbers():
        yield 1
        raise ValueError("in the middle")

    result = ran(way, lambda attempt: numbers())
    assert str(result.error) == "in the middle"
    assert result.history == ["Pending", "Running", "Failed"]


def test_a_generator_is_read_in_the_time_the_flow_has(ran, way):
    """ST-46, FL-75"""

    def endless():
        while True:
            yield time.sleep(0.001)

    if way == "sync":  # on an event loop nothing interrupts it
        result = ran(way, lambda attempt: endless(), timeout_seconds=0.1)
        assert result.history == ["Pending", "Running", "TimedOut:FAILED"]


def test_what_an_attempt_left_behind_is_forgotten_by_the_next(ran, way):
    """FL-57, W14"""

    def body(attempt):
        if attempt == 1:
            raise ValueError("first attempt")
        return one.submit(attempt)

    result = ran(way, body, retries=1)
    assert result.error is None
    assert result.value.result(_sync=True) == 2

    def returns_own(attempt):
        if attempt == 1:
            raise ValueError("first attempt")
        return Completed(data=attempt)

    assert ran(way, returns_own, retries=1).value == 2


def test_values_need_not_be_kept_to_be_returned(ran, way):
    """FL-60"""
    options = {"cache_result_in_memory": False}
    assert ran(way, lambda attempt: 3, **options).value == 3
    assert ran(way, lambda attempt: Completed(data=4), **options).value == 4

    def raises(attempt):
        raise ValueError("no luck")

    assert str(ran(way, raises, **options).error) == "no luck"


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_run_outlives_it(way, fails):
    """What a run was given is released when it has ended, without the garbage collector."""

    class Given:
        pass

    def plain(given):
        return 1 / (not fails)

    async def coroutine(given):
        return 1 / (not fails)

    main = flow(coroutine if way == "async" else plain)

    async def released():
        given = Given()
        watch = weakref.ref(given)
        with contextlib.suppress(ZeroDivisionError):
            await main(given) if way == "async" else main(given)
        del given
        return watch() is None

    gc.disable()
    try:
        with disable_run_logger():  # pytest keeps what is logged
            assert asyncio.run(released())
    finally:
        gc.enable()


def test_a_coroutine_that_a_flow_returns_is_run_inside_of_it(logs, way):
    """FL-59, W21"""
    seen = []

    @flow
    async def child():
        await asyncio.sleep(0)
        parent = logs[0].record
        seen.append((parent.state_name, FlowRunContext.get().flow.name))
        return 5

    @flow
    def main():
        return child()

    if way == "sync":
        assert main() == 5
    else:

        async def around():
            return main()

        assert asyncio.run(around()) == 5
    assert seen == [("Running", "child")]
    assert [shown(log)[-1] for log in logs] == ["Completed", "Completed"]


def test_a_coroutine_that_an_async_flow_returns_is_awaited(way):
    """FL-59, W21"""
    if way == "sync":
        return
    loops = []

    async def child():
        loops.append(asyncio.get_running_loop())
        return 5

    @flow
    async def main():
        loops.append(asyncio.get_running_loop())
        return child()

    assert asyncio.run(main()) == 5
    assert loops[0] is loops[1]


def test_a_coroutine_that_fails_fails_the_flow_that_returns_it(logs, way):
    """FL-59, W21"""

    async def child():
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        call(made(way, lambda attempt: child()))
    assert shown(logs[0]) == ["Pending", "Running", "Failed"]
