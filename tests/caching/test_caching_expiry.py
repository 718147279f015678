"""Records that have run out or are to be made anew, and what a hit is."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from kept_runs import WAYS, make, names_of, states_of
from ways import shown

from oxtask import flow, task
from oxtask._internal import times
from oxtask._internal.storage import store as store_module
from oxtask._internal.task_runs import log_of
from oxtask.cache_policies import INPUTS
from oxtask.results import ResultStore
from oxtask.settings import temporary_settings

DAY = timedelta(days=1)
HIT, RAN = ["Completed", "Cached"], ["Completed", "Completed"]


@pytest.fixture
def clock(monkeypatch):
    """Return a list with what the clock adds to the time."""
    ahead = [timedelta(0)]

    def now():
        return datetime.now(timezone.utc) + ahead[0]

    monkeypatch.setattr(times, "utc_now", now)
    monkeypatch.setattr(store_module, "utc_now", now)
    return ahead


def keyed(way, body, folder, **options):
    return make(way, body, cache_key_fn=lambda *_: "k", result_storage=folder, **options)


@pytest.mark.parametrize("way", WAYS)
def test_a_record_counts_until_it_expires(way, folder, clock, calls):
    """E1, E3, E9"""
    of = keyed(way, lambda x: calls.append(x), folder, cache_expiration=DAY)
    before = times.utc_now()
    assert names_of(way, of, 1, 2) == HIT
    record = ResultStore(folder).read("k")
    assert before + DAY <= record.expiration <= times.utc_now() + DAY
    clock[0] = DAY - timedelta(seconds=60)
    assert names_of(way, of, 3) == ["Cached"]
    clock[0] = DAY + timedelta(seconds=1)
    assert names_of(way, of, 4, 5) == HIT
    assert calls == [1, 4]
    assert ResultStore(folder).read("k").expiration > record.expiration


def test_a_time_in_the_past_is_always_over(folder):
    """E3"""
    of = keyed("call", lambda x: x, folder, cache_expiration=-DAY)
    assert names_of("call", of, 1, 1) == RAN


def test_expiration_belongs_to_the_record(folder, clock):
    """E2"""
    short = keyed("call", lambda x: x, folder, cache_expiration=DAY)
    plain = keyed("call", lambda x: x, folder)
    assert names_of("call", short, 1) == ["Completed"]
    assert names_of("call", plain, 1) == ["Cached"]
    clock[0] = 2 * DAY
    assert names_of("call", plain, 1) == ["Completed"]
    clock[0] = 9 * DAY
    assert names_of("call", short, 1) == ["Cached"]


@pytest.mark.parametrize("way", WAYS)
def test_a_result_can_be_made_anew(way, folder, calls):
    """E4, tasks.md 3.13"""

    def count(x):
        calls.append(x)
        return len(calls)

    of = keyed(way, count, folder)
    anew = of.with_options(refresh_cache=True)
    assert [state.result() for state in states_of(way, of, 1, 1)] == [1, 1]
    found = states_of(way, anew, 1, 1)
    assert [(state.name, state.result()) for state in found] == [("Completed", 2), ("Completed", 3)]
    assert [state.result() for state in states_of(way, of, 1)] == [3]


def test_a_setting_makes_results_anew(folder):
    """E4, A11, tasks.md 3.13"""
    of = keyed("call", lambda x: x, folder)
    no, yes = of.with_options(refresh_cache=False), of.with_options(refresh_cache=True)
    assert names_of("call", of, 1) == ["Completed"]
    with temporary_settings({"tasks.refresh_cache": True}):
        assert names_of("call", of, 1) == ["Completed"]
        assert names_of("call", no, 1) == ["Cached"]
        assert names_of("call", yes.with_options(refresh_cache=None), 1) == ["Completed"]
    assert names_of("call", of, 1) == ["Cached"]


@pytest.mark.parametrize("way", ["submit", "submit async", "map", "map async"])
def test_a_hit_is_a_completed_run_named_cached(way, folder, lines, calls):
    """E5, E6, engine.md 3.1, 11.3"""
    hooks = []

    def noted(kind):
        return lambda *arguments: hooks.append((kind, arguments[-1].name))

    of = keyed(
        way,
        lambda x: calls.append(x) or {"x": (x,)},
        folder,
        on_running=[noted("running")],
        on_completion=[noted("completion")],
        on_failure=[noted("failure")],
        on_commit=[lambda txn: hooks.append("commit")],
        on_rollback=[lambda txn: hooks.append("rollback")],
    )
    futures = []

    @flow
    def main():
        for x in (1, 2):
            futures.append(of.map([x])[0] if way.startswith("map") else of.submit(x))
            futures[-1].wait()
            hooks.append("next")
        return futures[-1].result()

    assert main() == {"x": (1,)}
    assert calls == [1]
    assert [shown(log_of(future).history) for future in futures] == [
        ["Pending", "Running", "Completed"],
        ["Pending", "Running", "Cached:COMPLETED"],
    ]
    assert hooks == [
        ("running", "Running"),
        "commit",
        ("completion", "Completed"),
        "next",
        ("running", "Running"),
        ("completion", "Cached"),
        "next",
    ]
    assert "Finished in state Cached(type=COMPLETED)" in lines("INFO")
    state = futures[1].state
    assert (state.data.is_persisted, state.data.metadata.storage_key) == (True, "k")


def test_a_hit_is_not_undone(folder):
    """E6, X-63"""
    undone = []

    @task(cache_key_fn=lambda *_: "k", result_storage=folder)
    def one(x):
        return x

    @one.on_rollback
    def undo(txn):
        undone.append(txn)

    @task
    def fails():
        one(1)
        raise KeyError

    one(1)
    with pytest.raises(KeyError):
        fails()
    assert undone == []


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_needs_no_attempts(way, folder, calls):
    """E7"""
    of = keyed(way, lambda x: x, folder)
    assert names_of(way, of, 1) == ["Completed"]
    again = keyed(way, lambda x: calls.append(x), folder, retries=3, timeout_seconds=30)
    assert names_of(way, again, 1) == ["Cached"]
    assert calls == []


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_read_is_made_anew(way, folder, lines):
    """E7, W-R2, W-R3, X4"""
    of = keyed(way, lambda x: x, folder)
    assert names_of(way, of, 1) == ["Completed"]
    path = folder / "k"
    path.write_bytes(path.read_bytes()[:-3])
    assert names_of(way, of, 1, 1) == HIT
    (line,) = [line for line in lines("WARNING") if "is not used" in line]
    assert str(path) in line


def test_the_first_run_returns_the_value_itself(folder):
    """E8"""
    made = []

    def pair(x):
        made.append((x, {1: 2}))
        return made[-1]

    of = make("call", pair, cache_policy=INPUTS, result_storage=folder, result_serializer="json")
    assert of(1) is made[0]
    assert of(1) == [1, {"1": 2}]


def test_an_expired_record_is_made_anew_in_async_code_too(folder, clock):
    """E3"""

    @task(cache_key_fn=lambda *_: "k", result_storage=folder, cache_expiration=DAY)
    async def of(x):
        return x

    async def main():
        first = [await of(1), await of(2)]
        clock[0] = 2 * DAY
        return [*first, await of(3), await of(4)]

    assert asyncio.run(main()) == [1, 1, 3, 3]


@pytest.mark.parametrize("value", [None, True, False, [], {}, "", {"type": "literal"}, 0])
@pytest.mark.parametrize("is_kept", [True, False])
def test_small_values_survive(value, is_kept, folder):
    """Y9"""
    of = make("call", lambda x: value, persist_result=is_kept, result_storage=folder)
    values = [state.result() for state in states_of("call", of, 1, 1)]
    assert values == [value, value]
    assert [type(one) for one in values] == [type(value)] * 2
