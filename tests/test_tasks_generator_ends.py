"""How generator tasks end: early, in failure, after retries, out of time."""

from __future__ import annotations

import asyncio
import time

import pytest
from ways import history

from oxtask import flow, task
from oxtask._core import current_run
from oxtask.exceptions import TaskRunTimeoutError

FUTURES = []


@pytest.fixture(autouse=True)
def futures():
    FUTURES.clear()
    return FUTURES


def note():
    FUTURES.append(current_run.get().future)


def collect(generator):
    """Return the items of a generator, async or not, and what it raised."""

    async def acollect():
        items = []
        try:
            async for item in generator:
                items.append(item)
        except Exception as error:
            items.append(error)
        return items

    if hasattr(generator, "__aiter__"):
        return asyncio.run(acollect())
    items = []
    try:
        for item in generator:
            items.append(item)
    except Exception as error:
        items.append(error)
    return items


def failing(is_async, attempts, **options):
    def items():
        note()
        attempts.append(1)
        yield 1
        yield 2
        raise ValueError("no")

    async def aitems():
        for item in items():
            yield item

    return task(aitems if is_async else items, **options)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("delay", [0, 0.005])
def test_a_retry_begins_anew(is_async, delay):
    """27.5, TE-92"""
    attempts, seen = [], []
    made = failing(
        *(is_async, attempts),
        retries=2,
        retry_delay_seconds=delay,
        on_failure=[lambda t, run, state: seen.append((state.name, run.run_count))],
    )
    items = collect(made())
    assert items[:-1] == [1, 2, 1, 2, 1, 2]
    assert isinstance(items[-1], ValueError)
    assert len(attempts) == 3
    assert seen == [("Failed", 3)]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_that_is_closed_early_completes(is_async):
    """27.6, W42, TE-93"""
    seen = []

    def items():
        note()
        try:
            yield 1
            yield 2
        finally:
            seen.append("closed")

    async def aitems():
        note()
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    hook = [lambda t, run, state: seen.append(state.name)]
    made = task(aitems if is_async else items, on_completion=hook)

    async def consume():
        generator = made()
        assert await anext(generator) == 1
        await generator.aclose()

    if is_async:
        asyncio.run(consume())
    else:
        generator = made()
        assert next(generator) == 1
        generator.close()
    assert seen == ["closed", "Completed"]
    assert history(FUTURES[0]) == ["Pending", "Running", "Completed"]
    assert FUTURES[0].result() is None


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_while_closing_fails_the_run_and_is_raised(is_async):
    """27.6: also with retries left"""

    @task(retries=3)
    def items():
        note()
        try:
            yield 1
        finally:
            raise ValueError("closing")

    @task(retries=3)
    async def aitems():
        note()
        try:
            yield 1
        finally:
            raise ValueError("closing")

    async def consume():
        generator = aitems()
        await anext(generator)
        await generator.aclose()

    generator = items()
    with pytest.raises(ValueError, match="closing"):
        if is_async:
            asyncio.run(consume())
        else:
            next(generator)
            generator.close()
    assert history(FUTURES[0]) == ["Pending", "Running", "Failed"]


def test_a_generator_runs_anew_each_time():
    """27.8: whatever is said of its results"""
    ran = []

    @task(persist_result=True, result_storage_key="key", cache_key_fn=lambda *_: "key")
    def items():
        ran.append(1)
        yield 1

    assert [list(items()), list(items())] == [[1], [1]]
    assert ran == [1, 1]


@pytest.mark.parametrize("is_async", [False, True])
def test_only_the_time_of_the_producer_counts(is_async):
    """27.9, W43, TE-94"""

    @task(timeout_seconds=0.1)
    def items():
        yield 1
        yield 2

    @task(timeout_seconds=0.1)
    async def aitems():
        yield 1
        yield 2

    async def consume():
        received = []
        async for item in aitems():
            received.append(item)
            time.sleep(0.08)
        return received

    if is_async:
        assert asyncio.run(consume()) == [1, 2]
        return
    received = []
    for item in items():
        received.append(item)
        time.sleep(0.08)
    assert received == [1, 2]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_producer_that_takes_too_long_is_timed_out(is_async):
    """27.9, TE-94: all its items together"""

    @task(timeout_seconds=0.6)
    def items():
        note()
        yield 1
        time.sleep(0.3)
        yield 2
        time.sleep(20)

    @task(timeout_seconds=0.6)
    async def aitems():
        note()
        yield 1
        await asyncio.sleep(0.3)
        yield 2
        await asyncio.sleep(20)

    began = time.monotonic()
    received = collect(aitems() if is_async else items())
    assert received[:-1] == [1, 2]
    assert type(received[-1]) is TaskRunTimeoutError
    assert time.monotonic() - began < 5
    assert history(FUTURES[0])[-1] == "TimedOut:FAILED"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_submitted_generator_is_tried_again(is_async):
    """27.5"""
    attempts = []

    @flow
    def main():
        future = failing(is_async, attempts, retries=2).submit()
        future.wait()
        return type(future.result(raise_on_failure=False)), len(attempts)

    assert main() == (ValueError, 3)


def test_a_submitted_generator_has_a_deadline():
    """27.9"""

    @task(timeout_seconds=0.05)
    def items():
        yield 1
        time.sleep(0.5)

    @flow
    def main():
        future = items.submit()
        future.wait()
        return future.state.name

    assert main() == "TimedOut"
