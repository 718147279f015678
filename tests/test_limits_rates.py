"""`rate_limit`, and limits whose slots decay."""

from __future__ import annotations

import asyncio
import inspect
import time
from itertools import pairwise

import pytest
from limit_tools import client, make, taken, thread, until, waited_for

import oxtask.concurrency.asyncio as for_loops
from oxtask.client.schemas.actions import GlobalConcurrencyLimitUpdate
from oxtask.concurrency.sync import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    concurrency,
    rate_limit,
)

pytestmark = pytest.mark.usefixtures("no_limits")


def take(way, *args, **kwargs):
    """Take slots on this thread, or on a loop."""
    if way == "async":
        asyncio.run(for_loops.rate_limit(*args, **kwargs))
    else:
        rate_limit(*args, **kwargs)


both = pytest.mark.parametrize("way", ["sync", "async"])


def test_both_forms_have_the_parameters_of_the_reference():
    """CC-06"""
    for function in (rate_limit, for_loops.rate_limit):
        parameters = inspect.signature(function).parameters.values()
        defaults = {parameter.name: parameter.default for parameter in parameters}
        assert list(defaults) == ["names", "occupy", "timeout_seconds", "strict"]
        assert list(defaults.values())[1:] == [1, None, False]


@both
def test_slots_come_at_the_rate_of_the_limit(way):
    """CC-06, CC-07, W34: steadily, without the stalls of whole slots and random pauses"""
    make("r", 1, slot_decay_per_second=20)
    times = []

    for _ in range(5):
        take(way, "r")
        times.append(time.monotonic())

    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 0.025
    assert 0.2 - 0.02 <= times[-1] - times[0] < 0.4


@both
def test_a_burst_of_the_limit_is_free(way):
    """CC-06"""
    make("r", 100, slot_decay_per_second=0.001)

    for _ in range(4):
        take(way, "r", 25, timeout_seconds=0)
    with pytest.raises(AcquireConcurrencySlotTimeoutError):
        take(way, "r", timeout_seconds=0.01)

    assert taken("r") == 100


@both
def test_a_limit_without_decay_is_refused(way):
    """CC-06"""
    make("a")

    with pytest.raises(ConcurrencySlotAcquisitionError, match="slot_decay_per_second"):
        take(way, "a")

    assert taken("a") == 0


@both
def test_missing_limits_are_skipped_with_a_warning(way, lines):
    """CC-06"""
    take(way, "x")

    assert lines("WARNING") == ["Concurrency limits ['x'] do not exist - skipping acquisition."]
    with pytest.raises(ConcurrencySlotAcquisitionError, match="must be created"):
        take(way, "x", strict=True)


def test_parts_of_a_slot_decay(monkeypatch):
    """CC-07: 0.5 slots are there after half the time of one, and not before"""
    now = 100.0
    monkeypatch.setattr("oxtask._internal.limit_tickets.lock_clock", lambda: now)
    make("r", 3, slot_decay_per_second=2)
    rate_limit("r", 3)

    def is_there(slots):
        try:
            rate_limit("r", slots, timeout_seconds=0)
        except AcquireConcurrencySlotTimeoutError:
            return False
        return True

    now += 0.49
    assert not is_there(1)
    now += 0.01
    assert is_there(1)
    now += 0.99
    assert not is_there(2)
    now += 0.01
    assert is_there(2)


def test_slots_that_decay_are_given_back_by_a_block():
    """CC-07"""
    make("r", 2, slot_decay_per_second=0.001)

    with concurrency("r", 2):
        assert taken("r") == 2

    assert taken("r") == 0


def test_who_waits_hears_of_a_quicker_decay():
    """CC-07, CC-13"""
    make("r", 1, slot_decay_per_second=0.001)
    rate_limit("r")

    with thread(rate_limit, "r"):
        until(lambda: waited_for("r"))
        quicker = GlobalConcurrencyLimitUpdate(slot_decay_per_second=1000)
        client.update_global_concurrency_limit("r", quicker)


def test_slots_declared_free_while_held_are_not_given_twice():
    """CC-13"""
    make("a", 2)

    with concurrency("a", 2):
        client.update_global_concurrency_limit("a", GlobalConcurrencyLimitUpdate(active_slots=0))
        assert taken("a") == 0
        with concurrency("a", 2, timeout_seconds=0):
            assert taken("a") == 2

    with concurrency("a", 2, timeout_seconds=0), pytest.raises(AcquireConcurrencySlotTimeoutError):
        rate = concurrency("a", timeout_seconds=0)
        rate.__enter__()
