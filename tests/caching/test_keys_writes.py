"""TASK_SOURCE: what a function writes into is something it produces, not an input."""

from __future__ import annotations

import types
from collections import Counter

import pytest

from oxtask import task
from oxtask.cache_policies import INPUTS, TASK_SOURCE

CALLS = Counter()
STATE = types.ModuleType("state_of_a_program")
ROWS = {"rate": 2}
MATRIX = [[0, 0], [0, 0]]
SEEN = set()
GROUPS = {"a": []}
DEEP = {}
TOTAL = 0


class Tally:
    def __init__(self):
        self.count = 0
        self.rows = {}


TALLY = Tally()


def key(of):
    return TASK_SOURCE.compute_key(types.SimpleNamespace(task=of), {}, {})


def adds_to_an_entry(x):
    CALLS["x"] += 1
    return CALLS["x"] and x


def fills_entries(x):
    if x not in ROWS:
        ROWS[x] = x * x
    return ROWS[x]


def removes_entries(x):
    del ROWS[x]


def fills_rows(x):
    MATRIX[0][x], MATRIX[1][x:] = x, [x]


def adds_to_a_set(x):
    if x in SEEN:
        return None
    SEEN.add(x)
    return x


def adds_to_an_entry_s_list(x):
    GROUPS["a"].append(x)
    return x


def adds_to_what_may_be_there(x):
    if x in GROUPS:
        return len(GROUPS[x])
    GROUPS.setdefault(x, []).append(x)
    return [GROUPS[x].extend([x]) for _ in range(2)]


def adds_to_a_slice_of_many(x):
    DEEP[x][0][1:].sort()
    DEEP[x]["rows"].update(x=x)


def adds_to_rows_of_an_attribute(x):
    TALLY.rows.update(x=x)


def counts_in_an_attribute(x):
    TALLY.count += 1
    return x


def fills_an_attribute(x):
    TALLY.rows[x] = x
    return x


def counts_in_a_name(x):
    global TOTAL
    TOTAL += x
    return x


def counts_in_a_helper(x):
    return adds_to_an_entry(x) + fills_entries(x)


def counts_in_a_nested_function(x):
    def count(y):
        ROWS[y] = y
        return y

    return count(x)


def counts_in_a_loop(x):
    for ROWS["last"] in range(x):
        pass


WRITERS = [
    adds_to_an_entry,
    fills_entries,
    removes_entries,
    fills_rows,
    adds_to_a_set,
    adds_to_an_entry_s_list,
    adds_to_what_may_be_there,
    adds_to_a_slice_of_many,
    adds_to_rows_of_an_attribute,
    counts_in_an_attribute,
    fills_an_attribute,
    counts_in_a_name,
    counts_in_a_helper,
    counts_in_a_nested_function,
    counts_in_a_loop,
]


@pytest.fixture
def changed(monkeypatch):
    """Return a function that gives all that is written into another content."""
    tally = Tally()
    tally.count, tally.rows = 7, {1: 2}
    other = {
        "CALLS": Counter("x"),
        "ROWS": {"rate": 3},
        "MATRIX": [[1, 2], []],
        "SEEN": {1},
        "GROUPS": {"a": [1], 2: [3]},
        "DEEP": {1: [[2]]},
        "TALLY": tally,
        "TOTAL": 5,
    }

    def change():
        for name, value in other.items():
            monkeypatch.setitem(globals(), name, value)

    return change


@pytest.mark.parametrize("function", WRITERS, ids=lambda function: function.__name__)
def test_what_is_in_what_a_function_writes_into_does_not_matter(function, changed):
    """Issue: a counter of calls must not make each call another one"""
    before = key(function)
    changed()
    assert key(function) == before


def test_what_it_only_reads_does_matter(changed):
    """P13"""

    def reads(x):
        return ROWS["rate"] * x, CALLS["x"]

    def stores_elsewhere(x):
        own = {}
        own["x"] = ROWS["rate"] * x
        return own

    def passes_it_on(x):
        return len(ROWS)

    before = [key(function) for function in (reads, stores_elsewhere, passes_it_on)]
    changed()
    after = [key(function) for function in (reads, stores_elsewhere, passes_it_on)]
    assert all(one != two for one, two in zip(before, after, strict=True))


class Client:
    """Something with a method of a container, which may well change nothing."""

    def __init__(self, rate):
        self.rate = rate

    def update(self, x):
        return x * self.rate


CLIENTS = {"a": Client(2)}


def test_a_method_of_a_part_that_is_no_container_changes_nothing(monkeypatch):
    """P13"""

    def asks(x):
        return CLIENTS["a"].update(x)

    before = key(asks)
    monkeypatch.setitem(globals(), "CLIENTS", {"a": Client(3)})
    assert key(asks) != before


def test_parts_of_what_is_in_another_module_may_be_written_into():
    """P13"""
    STATE.groups, STATE.rate = {}, 2

    def count(x):
        STATE.groups.setdefault(x, []).append(x)
        STATE.groups[x].append(x)
        return x * STATE.rate

    before = key(count)
    count(1)
    assert key(count) == before
    STATE.rate = 3
    assert key(count) != before


def test_the_type_of_what_it_writes_into_does_matter(monkeypatch):
    """P13"""
    before = key(adds_to_a_set)
    monkeypatch.setitem(globals(), "SEEN", Counter())
    assert key(adds_to_a_set) != before


def test_values_closed_over_are_told_apart_in_the_same_way():
    """W-P2"""

    def counting():
        calls, total, limits = Counter(), 0, {"most": 3}

        def count(x):
            nonlocal total
            total += x
            calls[x] += 1
            return min(x, limits["most"])

        return count, limits

    (one, limits), (two, _) = counting(), counting()
    one(1)
    assert key(one) == key(two)
    limits["most"] = 4
    assert key(one) != key(two)


def test_what_it_writes_into_in_another_module_does_not_matter():
    """P13"""
    STATE.calls, STATE.rate, STATE.total, STATE.names = {}, 2, 0, []

    def count(x):
        STATE.calls[x] = 1
        STATE.total += x
        STATE.names.append(x)
        return x * STATE.rate

    def read(x):
        return STATE.total, STATE.names

    before, reading = key(count), key(read)
    count(1)
    assert (key(count), key(read) == reading) == (before, False)
    STATE.rate = 3
    assert key(count) != before


def test_functions_that_carry_attributes_count_by_what_they_do():
    """W-P2"""

    def helper(x):
        return x + 1

    def count(x):
        helper.calls = 1
        return helper(x)

    before = key(count)
    count(1)
    assert key(count) == before
    helper.__code__ = (lambda x: x + 2).__code__
    assert key(count) != before


def test_without_a_text_only_methods_and_names_are_known():
    """W-P3"""
    names = {"seen": [], "rows": {}, "total": 0}
    text = "def {0}(x):\n    global total\n    total += 1\n    {1}\n    return x\n"
    exec(text.format("adds", "seen.append(x)"), names)
    exec(text.format("fills", "rows[x] = x"), names)
    before = [key(names[name]) for name in ("adds", "fills")]
    for name in ("adds", "fills"):
        names[name](1)
    after = [key(names[name]) for name in ("adds", "fills")]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_a_task_that_counts_its_calls_is_cached(folder):
    """P16, W-P2"""
    count = Counter()

    @task(cache_policy=INPUTS + TASK_SOURCE, result_storage=folder)
    def double(x):
        count["double"] += 1
        return 2 * x

    assert [double(1), double(1), double(2)] == [2, 2, 4]
    assert count == {"double": 2}
