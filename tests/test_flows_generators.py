"""Flows of generator functions: item by item, and how their runs end."""

from __future__ import annotations

import asyncio
import contextvars
import time

import pytest
from flow_ways import WAYS, logs_fixture, shown  # noqa: F401

from oxtask import flow, task
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import FlowRunTimeoutError, ParameterBindError
from oxtask.flow_engine import run_flow

VARIABLE = contextvars.ContextVar("variable", default="unset")

every_way = pytest.mark.parametrize("way", WAYS)


@task
def increment(x):
    return x + 1


def made(way, function, **options):
    """Make a flow of a generator function without parameters; an async one yields the same."""

    async def items():
        for item in function():
            await asyncio.sleep(0)
            yield item

    return flow(items if way == "async" else function, **options)


def collect(generator, consume=lambda item: item):
    """Return the items of a generator, async or not, and what it raised."""
    items = []

    async def acollect():
        async for item in generator:
            items.append(consume(item))

    try:
        if hasattr(generator, "__aiter__"):
            asyncio.run(acollect())
        else:
            for item in generator:
                items.append(consume(item))
    except BaseException as error:
        items.append(error)
    return items


@flow
def counted(n):
    for item in range(n):
        yield increment.submit(item).result()


@flow
async def acounted(n):
    for item in range(n):
        await asyncio.sleep(0)
        yield increment.submit(item).result()


both = pytest.mark.parametrize("counting", [counted, acounted])


@both
def test_nothing_runs_before_the_first_item(counting, logs):
    """FL-115, TE-91"""
    generator = counting(3)
    assert logs == []
    assert collect(generator) == [1, 2, 3]
    assert shown(logs[0]) == ["Pending", "Running", "Completed"]


@both
def test_wrong_arguments_raise_at_the_call(counting):
    """FL-115, FL-20"""
    with pytest.raises(ParameterBindError):
        counting()


@both
def test_a_state_cannot_be_asked_for(counting):
    """FL-115, TE-90: at the call"""
    text = "return_type for a generator flow must be 'result'"
    with pytest.raises(ValueError, match=text):
        counting(3, return_state=True)
    with pytest.raises(ValueError, match=text):
        run_flow(counting, parameters={"n": 1}, return_type="state")


def test_items_come_while_the_run_is_under_way(logs):
    """FL-115, TE-91: and what the function returns ends the iteration"""

    @flow
    def items():
        yield 1
        return increment.submit(1)

    generator = items()
    assert next(generator) == 1
    assert shown(logs[0]) == ["Pending", "Running"]
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value.result(_sync=True) == 2
    assert logs[0].record.state.is_completed()


@every_way
def test_the_body_runs_in_a_context_of_its_own(way):
    """FL-115: the consumer sees nothing of it"""

    def items():
        for _ in range(2):
            seen = VARIABLE.get(), FlowRunContext.get().flow_run.run_count
            VARIABLE.set("body")
            yield seen

    def consume(item):
        return item, VARIABLE.get(), FlowRunContext.get(), TaskRunContext.get()

    def whole():
        VARIABLE.set("consumer")
        return collect(made(way, items)(), consume)

    assert contextvars.copy_context().run(whole) == [
        (("consumer", 1), "consumer", None, None),
        (("body", 1), "consumer", None, None),
    ]


@both
def test_a_generator_flow_is_a_subflow_where_it_is_consumed(counting, logs):
    """FL-115"""

    @flow
    def outer():
        return collect(counting(2))

    assert outer() == [1, 2]
    assert [shown(log)[-1] for log in logs] == ["Completed", "Completed"]


@every_way
@pytest.mark.parametrize("delay", [0, 0.005])
def test_a_retry_begins_anew(way, delay, logs):
    """FL-115, TE-92"""
    seen = []

    def items():
        yield 1
        yield 2
        raise ValueError("no")

    hook = [lambda flow, run, state: seen.append((state.name, run.run_count))]
    generator = made(way, items, retries=2, retry_delay_seconds=delay, on_failure=hook)()
    received = collect(generator)
    assert received[:-1] == [1, 2, 1, 2, 1, 2]
    assert isinstance(received[-1], ValueError)
    assert seen == [("Failed", 3)]
    assert shown(logs[0])[-3:] == ["AwaitingRetry:SCHEDULED", "Retrying:RUNNING", "Failed"]


@every_way
def test_a_generator_that_is_closed_early_completes(way, logs):
    """FL-115, TE-93: its ``finally`` blocks run"""
    seen = []

    def items():
        try:
            yield 1
            yield 2
        finally:
            seen.append(FlowRunContext.get().flow_run.state.name)

    @flow(on_completion=[lambda *args: seen.append("completed")])
    async def aitems():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append(FlowRunContext.get().flow_run.state.name)

    async def consume():
        generator = aitems()
        assert await anext(generator) == 1
        await generator.aclose()

    if way == "async":
        asyncio.run(consume())
    else:
        generator = flow(items, on_completion=[lambda *args: seen.append("completed")])()
        assert next(generator) == 1
        generator.close()
    assert seen == ["Running", "completed"]
    assert shown(logs[0]) == ["Pending", "Running", "Completed"]
    assert logs[0].record.state.result(_sync=True) is None


def test_an_error_while_closing_fails_the_run_and_is_raised(logs):
    """FL-115: also with retries left"""

    @flow(retries=3)
    def items():
        try:
            yield 1
        finally:
            raise ValueError("closing")

    generator = items()
    next(generator)
    with pytest.raises(ValueError, match="closing"):
        generator.close()
    assert shown(logs[0]) == ["Pending", "Running", "Failed"]


@every_way
def test_only_the_time_of_the_producer_counts(way):
    """FL-115, TE-94"""

    def items():
        yield 1
        yield 2

    generator = made(way, items, timeout_seconds=0.1)()
    assert collect(generator, lambda item: time.sleep(0.08) or item) == [1, 2]


@every_way
def test_a_producer_that_takes_too_long_is_timed_out(way, logs):
    """FL-115, TE-94"""

    def items():
        yield 1
        time.sleep(20)

    async def aitems():
        yield 1
        await asyncio.sleep(20)

    began = time.monotonic()
    received = collect(flow(aitems if way == "async" else items, timeout_seconds=0.1)())
    assert received[0] == 1
    assert type(received[1]) is FlowRunTimeoutError
    assert time.monotonic() - began < 5
    assert shown(logs[0])[-1] == "TimedOut:FAILED"


@every_way
def test_an_interrupt_crashes_the_run(way, logs):
    """FL-115, FL-85"""

    def items():
        yield 1
        raise KeyboardInterrupt

    async def aitems():
        yield 1
        raise asyncio.CancelledError

    received = collect(flow(aitems if way == "async" else items)())
    assert isinstance(received[1], (KeyboardInterrupt, asyncio.CancelledError))
    assert shown(logs[0]) == ["Pending", "Running", "Crashed"]


def test_the_consumer_can_send_and_throw():
    """FL-115, TE-98"""

    @flow
    def echo():
        received = []
        while len(received) < 3:
            try:
                received.append((yield len(received)))
            except LookupError as error:
                received.append(str(error))
        return received

    generator = echo()
    assert next(generator) == 0
    assert generator.send("a") == 1
    assert generator.throw(LookupError("b")) == 2
    with pytest.raises(StopIteration) as stop:
        generator.send("c")
    assert stop.value.value == ["a", "b", "c"]


def test_a_generator_that_is_yielded_is_not_read():
    """FL-115, TE-97"""

    @flow
    def items():
        yield (x for x in range(3))

    assert list(next(items())) == [0, 1, 2]


@both
def test_run_flow_returns_the_generator(counting):
    """FL-115, FL-22"""
    assert collect(run_flow(counting, parameters={"n": 2})) == [1, 2]


def test_prints_are_logged(lines):
    """FL-115, LG-20: between items the consumer's own are not"""

    @flow(log_prints=True)
    def items():
        print("of the body")
        yield 1

    for _ in items():
        print("of the consumer")
    assert "of the body" in lines()
    assert "of the consumer" not in lines()
