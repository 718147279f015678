"""Memory stays flat: results dropped, runs in their hundred thousands, streams without an end."""

from __future__ import annotations

import gc
import itertools
import logging
import sys
import threading
import time
from pathlib import Path

import pytest

from oxtask import flow, task
from oxtask.futures import as_completed
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10
MEGABYTE = 1 << 20


def resident():
    """Return the resident memory of this process in bytes."""
    text = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(text.split()[1]) * 4096


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@task
def identity(x):
    return x


@task
def megabyte(x):
    return bytes(MEGABYTE)


@task
def length(value):
    return len(value)


def dropped_one_by_one(count):
    for number in range(count):
        assert len(megabyte.submit(number).result()) == MEGABYTE


def dropped_as_completed(count):
    for start in range(0, count, 20):
        futures = list(megabyte.map(range(start, start + 20)))
        for future in as_completed(futures):
            assert len(future.result()) == MEGABYTE


def dropped_by_dependents(count):
    futures = []
    for number in range(count):
        futures.append(length.submit(megabyte.submit(number)))
        if len(futures) == 20:
            assert [future.result() for future in futures] == [MEGABYTE] * 20
            futures.clear()


def dropped_by_direct_calls(count):
    for number in range(count):
        assert length(megabyte(number)) == MEGABYTE


@pytest.mark.parametrize(
    "how",
    [dropped_one_by_one, dropped_as_completed, dropped_by_dependents, dropped_by_direct_calls],
)
@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_results_of_a_megabyte_that_are_dropped_stay_flat(how, count):
    """The issue: a flow that makes 100,000 results of 1 MB and drops each stays flat"""

    @flow(task_runner=ThreadPoolTaskRunner(4))
    def main():
        how(40)
        before = resident()
        how(count)
        return resident() - before

    assert main() < 100 * MEGABYTE


def test_two_hundred_thousand_runs_of_a_stream_stay_flat():
    """M1"""
    count = 200_000

    @flow
    def main():
        stream = identity.stream(range(count))
        seen = sum(1 for _ in itertools.islice(stream, count // 2))
        before = resident()
        seen += sum(1 for _ in stream)
        return seen, resident() - before

    began = time.monotonic()
    seen, grown = main()
    assert seen == count
    assert grown < 8 * MEGABYTE
    assert time.monotonic() - began < 30


def test_a_consumer_slower_than_its_stream_holds_no_more_than_the_window():
    """M3"""
    made = 0

    @task
    def make(x):
        nonlocal made
        made += 1
        return bytes(MEGABYTE)

    @flow
    def main():
        stream = make.stream(range(300), window=16)
        before, most = resident(), 0
        for taken, _ in enumerate(stream):
            time.sleep(0.001)
            assert made <= taken + 1 + 16 + 1
            most = max(most, resident() - before)
        return most

    assert main() < 16 * MEGABYTE * 1.2 + 30 * MEGABYTE
    assert made == 300


def test_a_stream_that_is_left_stops_pulling():
    """M4"""
    pulled = 0

    def source():
        nonlocal pulled
        for number in itertools.count():
            pulled += 1
            yield number

    @flow
    def main():
        for value in identity.stream(source(), window=10):
            if value == 100:
                break
        return pulled

    at_break = main()
    assert at_break <= 101 + 10 + 1
    assert pulled == at_break


def test_a_source_that_raises_says_at_which_item():
    """M4"""

    def source():
        yield from range(7)
        raise ValueError("the source broke")

    seen = []

    @flow
    def main():
        for value in identity.stream(source(), window=3):
            seen.append(value)

    with pytest.raises(ValueError, match="the source broke") as raised:
        main()
    assert seen == list(range(7))
    assert "7" in "".join(raised.value.__notes__)


def test_a_source_that_blocks_does_not_hold_back_the_results_before_it():
    """M4: it starts yielding before the source ends"""
    gate = threading.Event()

    def source():
        yield 1
        yield 2
        assert gate.wait(PATIENCE)
        yield 3

    @flow
    def main():
        stream = identity.stream(source(), window=2)
        first = next(stream)
        gate.set()
        return [first, *stream]

    assert main() == [1, 2, 3]


@task
def body(x):
    return x


@task
def fail(x):
    raise ValueError(x)


@task
def make_cycle(x):
    cycle = [x]
    cycle.append(cycle)
    return cycle


@task
def generate(x):
    return (item for item in (x,))


@task
async def fail_async(x):
    raise ValueError(x)


def mapped(kind):
    def once(numbers):
        kind.map(numbers).wait()

    return once


def called(kind):
    def once(numbers):
        for number in numbers:
            kind(number, return_state=True)

    return once


def caught(kind):
    def once(numbers):
        for number in numbers:
            future = kind.submit(number)
            try:
                future.result()
            except ValueError:
                continue

    return once


def raised(kind):
    def once(numbers):
        futures = kind.map(numbers)
        futures.wait()
        with pytest.raises(ValueError, match=str(numbers[0])):
            futures.result()

    return once


def caught_directly(numbers):
    for number in numbers:
        with pytest.raises(ValueError, match=str(number)):
            fail(number)


KINDS = {
    "values": mapped(body),
    "cycles": mapped(make_cycle),
    "generators": mapped(generate),
    "errors": mapped(fail),
    "errors after retries": mapped(fail.with_options(retries=1)),
    "errors with hooks": mapped(fail.with_options(on_failure=[lambda *_: None])),
    "errors with a timeout": mapped(fail.with_options(timeout_seconds=PATIENCE)),
    "async errors": mapped(fail_async),
    "async errors after retries": mapped(fail_async.with_options(retries=1)),
    "direct values": called(body),
    "direct errors": called(fail),
    "direct errors that are caught": caught_directly,
    "results that raise": caught(fail),
    "maps that raise": raised(fail),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_runs_leave_no_objects_behind(kind, count):
    """N4"""

    def once(size):
        for start in range(0, size, 500):
            KINDS[kind](range(start, start + 500))
        gc.collect()

    @flow
    def main():
        once(500)
        objects = len(gc.get_objects())
        once(count)
        # A worker lets go of its last run a moment after the waiter knows that it has ended.
        deadline = time.monotonic() + PATIENCE
        while (left := len(gc.get_objects()) - objects) >= 100 and time.monotonic() < deadline:
            time.sleep(0.01)
            gc.collect()
        return left

    logging.disable()  # what captures logs would keep the exceptions
    try:
        assert main() < 100
    finally:
        logging.disable(logging.NOTSET)


def test_runs_leave_no_memory_behind():
    """N4: below the level of objects too"""

    @flow
    def main():
        grown = []
        for _ in range(6):
            for start in range(0, 20_000, 1_000):
                body.map(range(start, start + 1_000)).result()
                fail.map(range(20)).wait()
            gc.collect()
            grown.append(resident())
        return grown

    logging.disable()
    try:
        grown = main()
    finally:
        logging.disable(logging.NOTSET)
    assert grown[-1] - grown[2] < 4 * MEGABYTE


COUNTED = {
    "map": lambda: body.map([None] * 5).result(),
    "submit": lambda: body.submit(None).result(),
    "keywords": lambda: body.submit(x=None).result(),
    "direct": lambda: body(None),
    "dependent": lambda: body.submit(body.submit(None)).result(),
    "error": lambda: fail.submit(None).wait(),
    "retries": lambda: fail.with_options(retries=1).submit(None).wait(),
    "async": lambda: fail_async.submit(None).wait(),
    "cancel": lambda: body.submit(None).cancel(),
    "stream": lambda: list(body.stream([None] * 5)),
    "state": lambda: body.submit(None).state,
    "callback": lambda: body.submit(None).add_done_callback(print),
}


@pytest.mark.parametrize("how", COUNTED)
def test_references_are_neither_lost_nor_invented(how, monkeypatch):
    """N4: the counts of objects that are never freed stay where they are"""
    monkeypatch.setattr("builtins.print", lambda *_: None)
    logging.disable()
    try:
        with ThreadPoolTaskRunner(2):
            for _ in range(20):
                COUNTED[how]()
            gc.collect()  # what tests before this one left
            before = [sys.getrefcount(one) for one in (None, (), True, ValueError)]
            for _ in range(400):
                COUNTED[how]()
        gc.collect()
    finally:
        logging.disable(logging.NOTSET)
    after = [sys.getrefcount(one) for one in (None, (), True, ValueError)]
    assert all(abs(new - old) < 200 for new, old in zip(after, before, strict=True))
