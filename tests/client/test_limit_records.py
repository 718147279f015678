"""Concurrency limits are made, read, changed and removed by clients."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest
from limit_tools import client, make

from oxtask.client._limits import ConcurrencyLimitAsyncClient, ConcurrencyLimitClient
from oxtask.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from oxtask.concurrency.sync import concurrency
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound

pytestmark = pytest.mark.usefixtures("no_limits")

read = client.read_global_concurrency_limit_by_name


def test_a_new_limit_has_the_fields_of_the_reference():
    """CC-13"""
    before = datetime.now(timezone.utc)
    made = client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="a", limit=3))

    limit = read("a")

    assert limit.model_dump(exclude={"id", "created", "updated"}) == {
        "name": "a",
        "limit": 3,
        "active": True,
        "active_slots": 0,
        "slot_decay_per_second": 0.0,
        "denied_slots": 0,
        "avg_slot_occupancy_seconds": 0.0,
    }
    assert limit.id == made
    assert before <= limit.created == limit.updated <= datetime.now(timezone.utc)


def test_a_limit_tells_how_it_is_used():
    """CC-13"""
    make("a", 3, active_slots=1)

    assert read("a").active_slots == 1
    with concurrency("a", 2):
        assert read("a").active_slots == 3
    assert read("a").active_slots == 1
    assert read("a").avg_slot_occupancy_seconds > 0


def test_there_is_one_limit_of_a_name():
    """CC-13"""
    make("a")
    make("b")

    with pytest.raises(ObjectAlreadyExists, match="'a'"):
        make("a")
    with pytest.raises(ObjectAlreadyExists, match="'b'"):
        client.update_global_concurrency_limit("a", GlobalConcurrencyLimitUpdate(name="b"))


def test_what_is_not_there_is_not_found():
    """CC-13"""
    for use in (
        read,
        client.delete_global_concurrency_limit_by_name,
        lambda name: client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate()),
    ):
        with pytest.raises(ObjectNotFound, match="no concurrency limit 'x'"):
            use("x")


def test_limits_are_read_in_the_order_of_their_names():
    """CC-13"""
    for name in ("c", "a", "b"):
        make(name)

    def names(**page):
        return [limit.name for limit in client.read_global_concurrency_limits(**page)]

    assert names() == ["a", "b", "c"]
    assert names(limit=1, offset=1) == ["b"]
    assert names(offset=3) == []
    with pytest.raises(ValueError, match="`offset` must be"):
        names(offset=-1)


def test_only_what_is_given_is_changed():
    """CC-13"""
    make("a", 3)
    before = read("a")

    changes = GlobalConcurrencyLimitUpdate(limit=5, active_slots=2, slot_decay_per_second=0.25)
    client.update_global_concurrency_limit("a", changes)
    client.update_global_concurrency_limit("a", GlobalConcurrencyLimitUpdate(name="b"))

    after = read("b")
    assert (after.id, after.created, after.limit) == (before.id, before.created, 5)
    assert (after.active_slots, after.slot_decay_per_second) == (2, 0.25)
    assert after.updated > before.updated
    with pytest.raises(ObjectNotFound):
        read("a")


def test_upsert_makes_a_limit_or_changes_it():
    """CC-13"""
    client.upsert_global_concurrency_limit_by_name("a", 1, slot_decay_per_second=2)
    client.upsert_global_concurrency_limit_by_name("a", 4)

    assert (read("a").limit, read("a").slot_decay_per_second) == (4, 2.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limit": -1}, "`limit` must be"),
        ({"limit": "1"}, "`limit` must be"),
        ({"active_slots": -1}, "`active_slots` must be"),
        ({"slot_decay_per_second": -0.1}, "`slot_decay_per_second` must be"),
        ({"slot_decay_per_second": float("nan")}, "`slot_decay_per_second` must be"),
        ({"active": 1}, "`active` must be"),
        ({"name": "a/b"}, "`name` must be"),
        ({"name": ""}, "`name` must be"),
    ],
)
def test_values_that_do_not_fit_are_refused(fields, message):
    """CC-13"""
    with pytest.raises(ValueError, match=message):
        GlobalConcurrencyLimitCreate(**({"name": "a", "limit": 1} | fields))
    with pytest.raises(ValueError, match=message):
        GlobalConcurrencyLimitUpdate(**fields)


def test_the_async_client_does_the_same():
    """CC-13"""
    names = {name for name in vars(ConcurrencyLimitClient) if not name.startswith("_")}
    assert names == {name for name in vars(ConcurrencyLimitAsyncClient) if name[0] != "_"}

    async def main():
        own = ConcurrencyLimitAsyncClient()
        await own.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="a", limit=1))
        await own.update_global_concurrency_limit("a", GlobalConcurrencyLimitUpdate(limit=2))
        await own.upsert_global_concurrency_limit_by_name("b", 1)
        limits = await own.read_global_concurrency_limits()
        assert [limit.limit for limit in limits] == [2, 1]
        assert (await own.read_global_concurrency_limit_by_name("a")).name == "a"
        await own.delete_global_concurrency_limit_by_name("a")

    asyncio.run(main())

    assert [limit.name for limit in client.read_global_concurrency_limits()] == ["b"]
