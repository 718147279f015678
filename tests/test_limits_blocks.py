"""`concurrency`: slots of limits for blocks of code, sync and async."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from contextlib import ExitStack

import pytest
from limit_tools import PATIENCE, client, make, refused, taken, thread, until, waited_for

import oxtask.concurrency._asyncio as private
import oxtask.concurrency.asyncio as for_loops
import oxtask.concurrency.sync as for_threads
from oxtask import flow, task
from oxtask.client.schemas.actions import GlobalConcurrencyLimitUpdate
from oxtask.concurrency.sync import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    concurrency,
)

pytestmark = pytest.mark.usefixtures("no_limits")


def hold(way, *args, inside=lambda: None, **kwargs):
    """Hold slots while ``inside`` is called: on this thread, or on a loop."""

    async def on_loop():
        async with for_loops.concurrency(*args, **kwargs):
            inside()

    if way == "async":
        asyncio.run(on_loop())
    else:
        with concurrency(*args, **kwargs):
            inside()


both = pytest.mark.parametrize("way", ["sync", "async"])


def test_both_forms_have_the_parameters_of_the_reference():
    """CC-01"""
    names = ["names", "occupy", "timeout_seconds", "max_retries", "lease_duration", "strict"]
    names += ["holder", "raise_on_lease_renewal_failure"]
    defaults = [inspect.Parameter.empty, 1, None, None, 300, False, None, None]
    for function in (for_threads.concurrency, for_loops.concurrency):
        parameters = inspect.signature(function).parameters
        assert list(parameters) == names
        assert [parameter.default for parameter in parameters.values()] == defaults


def test_errors_are_where_programs_look_for_them():
    """EX-04"""
    for name in ("ConcurrencySlotAcquisitionError", "AcquireConcurrencySlotTimeoutError"):
        assert getattr(private, name) is getattr(for_loops, name) is getattr(for_threads, name)
    assert issubclass(AcquireConcurrencySlotTimeoutError, TimeoutError)


@both
@pytest.mark.parametrize("names", ["", [], ()])
def test_no_names_take_no_slots(way, names, lines):
    """CC-01"""
    hold(way, names, strict=True)

    assert lines() == []


@both
def test_names_are_a_string_or_a_list_and_count_once(way):
    """CC-01"""
    make("a", 5)
    make("b", 5)
    seen = []

    hold(way, "a", inside=lambda: seen.append((taken("a"), taken("b"))))
    hold(way, ["a", "b", "a"], 2, inside=lambda: seen.append((taken("a"), taken("b"))))

    assert seen == [(1, 0), (2, 2)]
    assert (taken("a"), taken("b")) == (0, 0)


@both
def test_slots_are_given_back_when_the_block_raises(way):
    """CC-02"""
    make("a")

    with pytest.raises(ZeroDivisionError):
        hold(way, "a", inside=lambda: 1 / 0)

    assert taken("a") == 0


def test_slots_are_given_back_when_the_block_is_cancelled():
    """CC-02"""
    make("a")

    async def main():
        inside = asyncio.Event()

        async def holder():
            async with for_loops.concurrency("a"):
                inside.set()
                await asyncio.Event().wait()

        running = asyncio.create_task(holder())
        await inside.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())

    assert taken("a") == 0


def test_nothing_is_taken_before_all_can_be():
    """CC-02"""
    make("a")
    make("b")

    with ExitStack() as stack:
        stack.enter_context(concurrency("b"))
        with thread(hold, "sync", ["a", "b"]):
            until(lambda: waited_for("b"))
            assert taken("a") == 0
            stack.close()

    assert (taken("a"), taken("b")) == (0, 0)


@both
def test_missing_limits_are_skipped_with_a_warning(way, lines):
    """CC-03"""
    hold(way, ["x", "y"])

    expected = "Concurrency limits ['x', 'y'] do not exist - skipping acquisition."
    assert lines("WARNING") == [expected]


def test_the_warning_comes_from_the_run_logger_in_runs(caplog):
    """CC-03"""

    @task
    def body():
        with concurrency("x"):
            return 1

    with caplog.at_level(logging.WARNING):
        assert body() == 1
        with concurrency("x"):
            pass

    assert [record.name for record in caplog.records] == ["oxtask.task_runs", "oxtask.concurrency"]


@both
def test_strict_is_about_all_names_and_says_which_are_missing(way):
    """CC-03"""
    with pytest.raises(ConcurrencySlotAcquisitionError, match=r"\['x', 'y'\] must be created befo"):
        hold(way, ["x", "y"], strict=True)

    make("a")
    hold(way, ["a", "x"], strict=True)


@both
@pytest.mark.parametrize("seconds", [0, 0.01])
def test_a_wait_that_takes_too_long_is_a_timeout(way, seconds):
    """CC-04"""
    make("a")

    message = rf"Attempt to acquire concurrency slots timed out after {seconds} second\(s\)"
    with concurrency("a"):
        with pytest.raises(AcquireConcurrencySlotTimeoutError, match=message):
            hold(way, "a", timeout_seconds=seconds)
        assert (taken("a"), waited_for("a")) == (1, 0)

    hold(way, "a", timeout_seconds=0)


@both
def test_nobody_waits_with_no_retries(way):
    """CC-04"""
    make("a")
    hold(way, "a", max_retries=0)

    with concurrency("a"), pytest.raises(ConcurrencySlotAcquisitionError, match="not free"):
        hold(way, "a", max_retries=0)

    assert (taken("a"), waited_for("a")) == (0, 0)


@both
@pytest.mark.parametrize(("limit", "occupy"), [(0, 1), (2, 3)])
def test_more_than_the_limit_is_refused_at_once(way, limit, occupy):
    """CC-04"""
    make("a", limit)

    with pytest.raises(ConcurrencySlotAcquisitionError, match="greater than the limit"):
        hold(way, "a", occupy)

    assert taken("a") == 0


@both
def test_an_inactive_limit_does_not_count(way):
    """CC-05"""
    make("a", 0, active=False)
    seen = []

    hold(way, "a", 7, strict=True, inside=lambda: seen.append(taken("a")))

    assert seen == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"occupy": 0}, "`occupy` must be"),
        ({"occupy": 1.5}, "`occupy` must be"),
        ({"timeout_seconds": -1}, "`timeout_seconds` must be"),
        ({"lease_duration": 59}, "`lease_duration` must be at least 60"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, message):
    """CC-01, CC-09"""
    with pytest.raises(ValueError, match=message):
        hold("sync", "a", **options)


def test_names_of_other_types_are_refused():
    """CC-01"""
    with pytest.raises(TypeError, match="`names` must be"):
        hold("sync", ["a", 1])


def test_who_asked_first_is_first_on_threads_and_loops_alike():
    """CC-08, W34"""
    make("a")
    order = []

    with ExitStack() as threads, concurrency("a"):
        for place, way in enumerate(["sync", "async", "sync", "async", "async", "sync"]):
            waiting = thread(lambda w, p: hold(w, "a", inside=lambda: order.append(p)), way, place)
            threads.enter_context(waiting)
            until(lambda count=place + 1: waited_for("a") == count)

    assert order == [0, 1, 2, 3, 4, 5]


def test_who_wants_many_is_not_overtaken_by_who_wants_few():
    """CC-08, W34"""
    make("a", 2)
    order = []

    with ExitStack() as threads, ExitStack() as slots:
        slots.enter_context(concurrency("a"))
        for slots_wanted in (2, 1):
            note = lambda count=slots_wanted: order.append(count)  # noqa: E731
            threads.enter_context(
                thread(lambda n, f: hold("sync", "a", n, inside=f), slots_wanted, note)
            )
            until(lambda count=slots_wanted: waited_for("a") == (2 if count == 2 else 3))
        assert taken("a") == 1
        slots.close()

    assert order == [2, 1]


def test_who_waits_for_other_limits_is_not_in_the_way():
    """CC-08"""
    make("a")
    make("b")

    with ExitStack() as threads, concurrency("a"):
        threads.enter_context(thread(hold, "sync", "a"))
        until(lambda: waited_for("a"))
        hold("sync", "b", timeout_seconds=0)


def test_a_place_that_was_given_up_does_not_hold_up_those_behind():
    """CC-08"""
    make("a", 2)
    got = threading.Event()

    with concurrency("a"):
        with thread(refused, AcquireConcurrencySlotTimeoutError, hold, "sync", "a", 2, 0.2):
            until(lambda: waited_for("a") == 2)
            with thread(lambda: hold("sync", "a", inside=got.set)):
                assert got.wait(PATIENCE)

    assert taken("a") == 0


def test_a_slot_is_handed_on_as_soon_as_it_is_free():
    """CC-08, W34: the reference took 5.6 s for three"""
    make("a")

    def work():
        with concurrency("a"):
            time.sleep(0.1)

    began = time.monotonic()
    with ExitStack() as threads:
        for _ in range(3):
            threads.enter_context(thread(work))

    assert 0.3 <= time.monotonic() - began < 0.6


def test_those_who_wait_hear_of_changes_to_the_limit():
    """CC-13"""
    make("a")

    def change(**fields):
        update = GlobalConcurrencyLimitUpdate(**fields)
        client.update_global_concurrency_limit("a", update)

    with concurrency("a"):
        with thread(hold, "sync", "a"):
            until(lambda: waited_for("a"))
            change(limit=2)
        with thread(hold, "sync", "a", 2):
            until(lambda: waited_for("a"))
            change(active=False)
        change(active=True)
        with thread(refused, ConcurrencySlotAcquisitionError, hold, "sync", "a", 2):
            until(lambda: waited_for("a"))
            change(limit=1)
        with thread(hold, "sync", "a"):
            until(lambda: waited_for("a"))
            client.delete_global_concurrency_limit_by_name("a")


def test_async_runs_of_a_flow_share_a_limit_with_its_threads():
    """CC-02"""
    make("a", 2)
    seen = []

    @task
    def on_thread(_):
        with concurrency("a"):
            seen.append(taken("a"))

    @task
    async def on_loop(_):
        async with for_loops.concurrency("a"):
            seen.append(taken("a"))
            await asyncio.sleep(0)

    @flow
    def program():
        futures = on_thread.map(range(50)) + on_loop.map(range(50))
        return [future.result() for future in futures]

    program()

    assert len(seen) == 100
    assert max(seen) <= 2
    assert taken("a") == 0
