"""`Task.stream`: results over an iterable of any length."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxtask import flow, task
from oxtask.exceptions import MissingContextError
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


@pytest.fixture(autouse=True)
def runner():
    with ThreadPoolTaskRunner(max_workers=4) as runner:
        yield runner


class Flaw(Exception):
    pass


@task
def double(x, plus=0):
    return 2 * x + plus


@task
async def double_async(x):
    await asyncio.sleep(0)
    return 2 * x


@task
def fail_at_three(x):
    if x == 3:
        raise Flaw(x)
    return x


async def arange(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def collect(stream):
    return [item async for item in stream]


@settings(max_examples=60)
@given(
    count=st.integers(0, 600),
    window=st.none() | st.integers(1, 40) | st.integers(250, 260),
    ordered=st.booleans(),
    kind=st.sampled_from([double, double_async]),
)
def test_every_item_has_one_result(count, window, ordered, kind):
    """The issue: any iterable, ordered or as they end, whatever the window"""
    with ThreadPoolTaskRunner(max_workers=4):
        results = list(kind.stream(iter(range(count)), window=window, ordered=ordered))
    expected = [2 * number for number in range(count)]
    assert (results if ordered else sorted(results)) == expected


@settings(max_examples=30)
@given(
    futures=st.lists(st.booleans(), max_size=80), window=st.integers(1, 9), ordered=st.booleans()
)
def test_items_with_futures_may_be_among_the_others(futures, window, ordered):
    """Futures in items are resolved as in `map`"""
    with ThreadPoolTaskRunner(max_workers=4):
        items = [
            double.submit(number) if is_future else number
            for number, is_future in enumerate(futures)
        ]
        results = list(double.stream(items, window=window, ordered=ordered))
    expected = [4 * number if is_future else 2 * number for number, is_future in enumerate(futures)]
    assert (results if ordered else sorted(results)) == (expected if ordered else sorted(expected))


@pytest.mark.parametrize("window", [1, 3, 16, 17, 1_024])
def test_no_more_than_a_window_is_pulled_ahead(window):
    """The issue: pulls at most `window` items ahead"""
    pulled = 0

    def source():
        nonlocal pulled
        for number in itertools.count():
            pulled += 1
            yield number

    stream = double.stream(source(), window=window)
    for taken, result in enumerate(itertools.islice(stream, 200)):
        assert result == 2 * taken
        assert pulled - taken <= window
    stream.close()


def test_results_come_before_the_source_ends():
    """The issue: starts yielding before the source ends"""
    go_on = threading.Event()

    def source():
        yield 1
        assert go_on.wait(PATIENCE)
        yield 2

    stream = double.stream(source(), window=1)
    assert next(stream) == 2
    go_on.set()
    assert list(stream) == [4]


def test_unordered_results_come_as_runs_end():
    """The issue: `ordered=False`"""
    gates = [threading.Event() for _ in range(3)]

    @task
    def wait(number):
        assert gates[number].wait(PATIENCE)
        return number

    stream = wait.stream(range(3), ordered=False, window=3)
    seen = []
    for number in (2, 0, 1):
        gates[number].set()
        seen.append(next(stream))
    assert seen == [2, 0, 1]
    assert list(stream) == []


def test_further_arguments_are_the_same_for_every_item():
    assert list(double.stream(range(3), 5)) == [5, 7, 9]
    assert list(double.stream(range(3), plus=1)) == [1, 3, 5]


def test_a_failure_is_raised_at_its_place_and_the_stream_goes_on():
    """Same states as `map`"""
    stream = fail_at_three.stream(range(6))
    seen = [next(stream) for _ in range(3)]
    with pytest.raises(Flaw):
        next(stream)
    assert [*seen, *stream] == [0, 1, 2, 4, 5]


def test_runs_are_retried():
    """Same retries as `map`"""
    failed = set()

    @task(retries=1)
    def fail_once(x):
        if x not in failed:
            failed.add(x)
            raise Flaw(x)
        return x

    assert list(fail_once.stream(range(50), window=7)) == list(range(50))


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_of_the_source_comes_after_the_results_of_what_it_gave(ordered):
    """The issue: an iterator that raises at item k carries k, and what was running finishes"""

    def source():
        yield from range(5)
        raise Flaw("source")

    stream = double.stream(source(), ordered=ordered)
    seen = sorted(next(stream) for _ in range(5))
    assert seen == [0, 2, 4, 6, 8]
    with pytest.raises(Flaw) as caught:
        next(stream)
    notes = getattr(caught.value, "__notes__", None) or caught.value.args
    assert "item 5" in str(notes)
    assert list(stream) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_an_interrupt_in_the_source_waits_for_no_result(ordered):
    """K1"""
    release = threading.Event()

    def source():
        yield 1
        raise KeyboardInterrupt

    stream = task(lambda x: release.wait(60)).stream(source(), ordered=ordered)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    finally:
        release.set()
    assert list(stream) == [True]  # what was pulled is there for who goes on


def test_a_stream_that_is_read_in_the_main_thread_calls_nothing_there(runner):
    """K1: what it called there might be deaf to Ctrl-C"""
    threads = set(task(lambda _: threading.get_ident()).stream(range(500), window=2))
    assert threading.main_thread().ident not in threads


def test_a_stream_that_is_closed_pulls_no_more_and_closes_its_source():
    closed = threading.Event()

    def source():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    with double.stream(source(), window=5) as stream:
        assert next(stream) == 0
    assert closed.is_set()
    assert list(stream) == []
    stream.close()


def test_a_closed_stream_cancels_what_has_not_started(runner):
    gate = threading.Event()

    @task
    def wait(x):
        assert gate.wait(PATIENCE)
        return x

    stream = wait.stream(range(100), window=50)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    while stream.counts[0] < 50:
        gate.wait(0.001)
    stream.close()
    gate.set()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert stream.counts[0] < 100
    assert double.submit(1).result() == 2


def test_two_threads_cannot_read_a_stream_at_a_time():
    entered, leave = threading.Event(), threading.Event()

    def source():
        entered.set()
        assert leave.wait(PATIENCE)
        yield 1

    stream = double.stream(source())
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    assert entered.wait(PATIENCE)
    with pytest.raises(RuntimeError, match="another thread"):
        next(stream)
    leave.set()
    reader.join(PATIENCE)


def test_a_source_may_use_the_runner():
    """A source that maps in its turn"""

    def source():
        for start in range(0, 30, 10):
            yield from double.map(range(start, start + 10))

    assert list(double.stream(source(), window=4)) == [4 * number for number in range(30)]


def test_an_async_source_that_is_cancelled_does_not_look_as_if_it_were_over():
    """tasks.md 27"""

    async def source():
        yield 1
        raise asyncio.CancelledError("by the source")

    async def read():
        received = []
        with ThreadPoolTaskRunner(max_workers=1):
            try:
                async for item in double.stream(source()):
                    received.append(item)
            except asyncio.CancelledError:
                received.append("cancelled")
        return received

    assert asyncio.run(read()) == [2, "cancelled"]


@pytest.mark.parametrize("window", [1, 5, None])
@pytest.mark.parametrize("ordered", [True, False])
def test_async_iterables_give_async_iterators(window, ordered):
    """The issue: async ones included (then an async iterator)"""

    @flow
    async def main():
        return await collect(double_async.stream(arange(40), window=window, ordered=ordered))

    results = asyncio.run(main())
    assert (results if ordered else sorted(results)) == [2 * number for number in range(40)]


def test_wrong_windows_and_iterables_are_refused():
    with pytest.raises(ValueError, match="'window' must be from 1"):
        double.stream(range(3), window=0)
    with pytest.raises(TypeError, match="'window' must be an int"):
        double.stream(range(3), window="many")
    with pytest.raises(TypeError, match="'iterable' must be an iterable"):
        double.stream(3)
    with pytest.raises(TypeError, match="surplus"):
        double.stream(range(3), surplus=1)


def test_a_stream_needs_a_runner():
    failures = []

    def outside():
        try:
            double.stream(range(3))
        except (RuntimeError, MissingContextError) as error:
            failures.append(error)

    thread = threading.Thread(target=outside)
    thread.start()
    thread.join(PATIENCE)
    assert len(failures) == 1
