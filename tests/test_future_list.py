"""Many futures at once: `FutureList`, `wait`, `as_completed`, `resolve_futures_to_*`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxtask import flow, task
from oxtask.exceptions import FlowRunTimeoutError, UnfinishedRun
from oxtask.futures import (
    DoneAndNotDoneFutures,
    FutureList,
    as_completed,
    resolve_futures_to_results,
    resolve_futures_to_states,
    wait,
)
from oxtask.states import State
from oxtask.task_runners import ThreadPoolTaskRunner
from oxtask.utilities.annotations import quote

PATIENCE = 10


@pytest.fixture(autouse=True)
def pool():
    with ThreadPoolTaskRunner() as runner:
        yield runner


@task
def add(x, y=1):
    return x + y


@task
def fail(error):
    raise error


@task
def pass_gate(gate, value):
    """Return or raise `value` once the gate is open."""
    assert gate.wait(PATIENCE)
    if isinstance(value, BaseException):
        raise value
    return value


class Gates:
    """Runs that end when the test says so, in the order that it says."""

    def __init__(self, *values):
        self.gates = [threading.Event() for _ in values]
        self.futures = pass_gate.map(self.gates, list(values))

    def open(self, *places):
        for place in places:
            self.gates[place].set()
            self.futures[place].wait()

    def open_all(self):
        self.open(*range(len(self.gates)))


# --- FutureList ---


def test_a_map_gives_a_list_of_futures_in_the_order_of_its_items():
    """FU-10, 18.18, 19.1"""
    futures = add.map([3, 1, 2])
    assert isinstance(futures, FutureList)
    assert isinstance(futures, list)
    assert futures.result() == [4, 2, 3]
    assert [future.result() for future in futures] == [4, 2, 3]
    assert type(futures[:2]) is list


def test_a_list_of_futures_counts_as_an_iterator_that_is_at_its_end():
    """19.1"""
    futures = add.map([1, 2])
    assert isinstance(futures, Iterator)
    with pytest.raises(StopIteration):
        next(futures)
    assert add.map(futures).result() == [3, 4]
    assert add.submit(1, wait_for=futures).result() == 2


def test_wait_returns_nothing_whatever_the_runs_come_to():
    """FU-10, 19.2"""
    gates = Gates(1, ValueError("no"), 2)
    assert gates.futures.wait(timeout=0) is None
    assert gates.futures.wait(timeout=0.01) is None
    gates.open_all()
    assert gates.futures.wait() is None
    assert FutureList().wait() is None
    assert FutureList().result() == []


def test_result_raises_the_first_failure_in_time_without_waiting_for_the_others():
    """FU-10, 19.3"""
    first, second = ValueError("first"), ValueError("second")
    gates = Gates(1, second, 2, first)
    gates.open(3)
    with pytest.raises(ValueError, match="first") as raised:
        gates.futures.result()
    assert raised.value is first
    gates.open(1)
    with pytest.raises(ValueError, match="first"):
        gates.futures.result()
    gates.open_all()


def test_result_is_woken_by_a_failure():
    """FU-10"""
    gates = Gates(1, ValueError("no"))
    waiting = threading.Event()

    def fail_later():
        assert waiting.wait(PATIENCE)
        gates.gates[1].set()

    helper = threading.Thread(target=fail_later)
    helper.start()
    waiting.set()
    with pytest.raises(ValueError, match="no"):
        gates.futures.result()
    helper.join()
    gates.open_all()


def test_exceptions_stand_in_the_list_if_failures_are_not_to_be_raised():
    """FU-10, 19.3"""
    error = ValueError("no")
    futures = FutureList([add.submit(1), fail.submit(error), add.submit(2)])
    assert futures.result(raise_on_failure=False) == [2, error, 3]


def test_results_of_futures_that_are_listed_twice_are_repeated():
    """FU-10, 19.3"""
    one, two = add.submit(1), add.submit(2)
    assert FutureList([one, two, one]).result() == [2, 3, 2]
    assert FutureList([one, two, one]).result(raise_on_failure=False) == [2, 3, 2]


def test_result_of_a_list_with_a_run_that_never_started_raises():
    """17.12, FU-10"""
    futures = FutureList([add.submit(1), add.submit(fail.submit(ValueError()))])
    with pytest.raises(UnfinishedRun):
        futures.result()


def test_a_list_that_takes_too_long_says_so():
    """FU-10, 19.3"""
    gates = Gates(1, 2)
    gates.open(0)
    expected = "Timed out waiting for all futures to complete within 0.01 seconds"
    with pytest.raises(TimeoutError) as raised:
        gates.futures.result(timeout=0.01)
    assert str(raised.value) == expected
    gates.open_all()
    assert gates.futures.result(timeout=0) == [1, 2]


def test_a_timeout_error_of_a_run_passes_through_unchanged():
    """FU-10, 19.3"""
    error = TimeoutError("from the body")
    futures = FutureList([add.submit(1), fail.submit(error)])
    with pytest.raises(TimeoutError) as raised:
        futures.result(timeout=PATIENCE)
    assert raised.value is error


@pytest.mark.parametrize("method", ["wait", "result"])
def test_a_negative_timeout_of_a_list_is_refused(method):
    """19.2, 19.3"""
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        getattr(add.map([1]), method)(timeout=-1)


def test_the_deadline_of_the_flow_passes_through_waits_with_timeouts_of_their_own():
    """FU-11"""
    gate = threading.Event()
    reached = []

    @flow(timeout_seconds=0.2)
    def main():
        futures = pass_gate.map([gate, gate], [1, 2])
        try:
            futures.result(timeout=PATIENCE)
        finally:
            gate.set()
        reached.append(1)

    with pytest.raises(FlowRunTimeoutError):
        main()
    assert reached == []


# --- wait ---


def test_wait_parts_the_done_from_the_others():
    """FU-08, 19.4"""
    gates = Gates(1, ValueError("no"), 3)
    gates.open(2, 1)
    answer = wait(gates.futures, timeout=0.01)
    assert isinstance(answer, DoneAndNotDoneFutures)
    done, not_done = answer
    assert done == answer.done == {gates.futures[1], gates.futures[2]}
    assert not_done == answer.not_done == {gates.futures[0]}
    gates.open_all()
    assert wait(gates.futures) == (set(gates.futures), set())


def test_wait_counts_duplicates_once_and_takes_any_iterable():
    """FU-08"""
    one, two = add.submit(1), add.submit(2)
    assert wait(future for future in [one, two, one]) == ({one, two}, set())
    assert wait([]) == (set(), set())


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_wait_refuses_a_negative_timeout(timeout):
    """FU-08"""
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        wait([add.submit(1)], timeout=timeout)


# --- as_completed ---


def test_as_completed_yields_in_the_order_of_completion():
    """FU-09, 19.4"""
    gates = Gates("a", "b", ValueError("c"), "d")
    gates.open(2)
    found = as_completed(gates.futures)
    assert isinstance(found, Iterator)
    assert next(found) is gates.futures[2]
    for place in (3, 0, 1):
        gates.open(place)
        assert next(found) is gates.futures[place]
    assert list(found) == []


def test_as_completed_yields_the_ended_first_and_duplicates_once():
    """FU-09"""
    gates = Gates("a", "b")
    gates.open(1)
    twice = [*gates.futures, *gates.futures]
    found = as_completed(twice)
    assert next(found) is gates.futures[1]
    gates.open(0)
    assert list(found) == [gates.futures[0]]


def test_as_completed_says_how_many_are_unfinished_when_time_is_up():
    """FU-09"""
    gates = Gates(1, 2, 3)
    gates.open(1)
    found = as_completed(gates.futures, timeout=0)
    assert next(found) is gates.futures[1]
    with pytest.raises(TimeoutError, match=r"2 \(of 3\) futures unfinished"):
        next(found)
    gates.open_all()
    assert set(as_completed(gates.futures, timeout=0)) == set(gates.futures)


def test_as_completed_refuses_a_negative_timeout_when_it_is_first_asked():
    """FU-09"""
    found = as_completed([add.submit(1)], timeout=-1)
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        next(found)
    assert list(as_completed([])) == []


def test_as_completed_can_be_left_early_and_works_in_a_task():
    """FU-09"""

    @task
    def inside():
        found = as_completed(add.map(range(100)))
        next(found)
        del found
        return sorted(future.result() for future in as_completed(add.map(range(5))))

    assert inside.submit().result() == [1, 2, 3, 4, 5]


# --- resolve_futures_to_* ---


@dataclass
class Pair:
    one: Any
    two: Any


def nested(future):
    return [future, (1, future), {"key": future}, OrderedDict(a=future), Pair(future, [future])]


def test_futures_in_nested_collections_become_results():
    """FU-12, 19.5"""
    future = add.submit(1)
    expected = [2, (1, 2), {"key": 2}, OrderedDict(a=2), Pair(2, [2])]
    assert resolve_futures_to_results(nested(future)) == expected
    assert resolve_futures_to_results({add.submit(2): future}) == {3: 2}
    assert resolve_futures_to_results({future, 5}) == {2, 5}
    assert resolve_futures_to_results(future) == 2


def test_futures_in_nested_collections_become_states():
    """FU-12, 19.5"""
    failed = fail.submit(ValueError())
    states = resolve_futures_to_states(nested(failed))
    assert isinstance(states[0], State)
    assert states[0].is_failed()
    assert states[1][1].is_failed()
    assert isinstance(states[3], OrderedDict)
    assert states[4].two[0].is_failed()


def test_a_future_list_becomes_a_plain_list():
    """FU-12, 19.5"""
    futures = add.map([1, 2])
    results = resolve_futures_to_results(futures)
    assert results == [2, 3]
    assert type(results) is list
    assert [state.name for state in resolve_futures_to_states(futures)] == ["Completed"] * 2


def test_what_holds_no_futures_and_what_is_quoted_stays_as_it_is():
    """FU-12, 19.5"""
    future = add.submit(1)
    plain = {"a": [1, 2], "b": Pair(1, 2)}
    assert resolve_futures_to_results(plain) is plain
    kept = resolve_futures_to_results([quote(future), future])
    assert kept == [quote(future), 2]
    assert kept[0].unwrap() is future


def test_a_run_that_did_not_complete_has_no_result_to_resolve_to():
    """FU-12"""
    error = ValueError("no")
    message = "At least one result did not complete successfully"
    with pytest.raises(Exception, match=message) as raised:
        resolve_futures_to_results([add.submit(1), {"a": fail.submit(error)}])
    assert type(raised.value) is Exception
    assert raised.value.__cause__ is error
    with pytest.raises(Exception, match=message):
        resolve_futures_to_results(add.submit(fail.submit(error)))


# --- all together ---


@settings(max_examples=50)
@given(st.permutations(range(6)), st.sets(st.integers(0, 5)), st.integers(0, 6))
def test_any_order_of_ends_is_told_as_it_was(order, bad, opened):
    """FU-08, FU-09, FU-10"""
    errors = {place: ValueError(place) for place in bad}
    gates = Gates(*(errors.get(place, place) for place in range(6)))
    gates.open(*order[:opened])
    done, not_done = wait(gates.futures, timeout=0)
    assert done == {gates.futures[place] for place in order[:opened]}
    assert done | not_done == set(gates.futures)
    found = as_completed(gates.futures)
    assert {next(found) for _ in range(opened)} == done
    for place in order[opened:]:
        gates.open(place)
        assert next(found) is gates.futures[place]
    expected = [errors.get(place, place) for place in range(6)]
    assert gates.futures.result(raise_on_failure=False) == expected
    if bad:
        first = next(place for place in order if place in bad)
        with pytest.raises(ValueError, match=str(first)):
            gates.futures.result()
