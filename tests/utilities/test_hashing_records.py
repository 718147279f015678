"""Dicts that have the keys of those before them: the same key as if they had been met alone."""

from __future__ import annotations

import random

import pytest

from oxtask.utilities.hashing import hash_objects

ATOMS = [0, -1, 2**70, 1.5, float("nan"), None, True, b"bytes", "text", "ü", "\ud800", "x" * 2000]
OTHERS = [[1], (), {"a": 1}, {1, 2}, 3 + 4j, {}]


def key(value):
    """Return the key of a value."""
    return hash_objects(value, raise_on_failure=True)


def anew(value):
    """Return an equal value with other objects for names, in another order."""
    if type(value) is dict:
        names = [("".join(list(n)) if isinstance(n, str) else n, v) for n, v in value.items()]
        return {n: anew(v) for n, v in reversed(names)}
    return [anew(part) for part in value] if type(value) is list else value


@pytest.mark.parametrize("seed", range(20))
def test_a_record_has_one_key_whatever_was_met_before_it(seed):
    """W-H7, W-H8"""
    draw = random.Random(seed)
    names = ["id", "name", "n" * 29, "n" * 31, "ä", "\udc00", "", "value", "rate", *"abcdefghijk"]
    values = [*ATOMS, *OTHERS] if seed % 2 else ATOMS
    shapes = [draw.sample(names[seed % 3 :], draw.randint(1, 17)) for _ in range(3)]
    records = [
        {name: draw.choice(values) for name in draw.choice(shapes)}
        for _ in range(draw.choice([5, 40]))
    ]
    assert key(records) == key(anew(records))
    large = {f"number {place}": record for place, record in enumerate(records)}
    assert key(large) == key(anew(large)) != key({**large, "number 0": None})


def test_records_with_other_values_or_names_have_other_keys():
    """2.5"""
    records = [{"id": number, "name": "n", "rate": None} for number in range(50)]
    for place in (0, 1, 2, 3, 49):
        for changed in ({"id": -1}, {"name": None}, {"rate": "n"}, {"more": 1}):
            other = [dict(record) for record in records]
            other[place].update(changed)
            assert key(other) != key(records)
    swapped = [*records[:7], {"id": 7, "rate": "n", "name": None}, *records[8:]]
    assert key(swapped) != key(records)


def test_a_name_that_takes_the_place_of_another_in_memory_is_told_apart():
    """2.5"""

    class Fresh:
        """Makes names that are dropped as soon as they were hashed."""

        def __init__(self, name):
            self.name = name

        def __getstate__(self):
            return {f"{self.name} {part}": part for part in range(2)}

    names = [f"name{number}" for number in range(20)]
    whole = key([Fresh(name) for name in names])
    for place in range(20):
        other = [*names[:place], "other", *names[place + 1 :]]
        assert key([Fresh(name) for name in other]) != whole


@pytest.mark.parametrize("count", [16, 17, 32, 33, 48, 49, 200, 2048, 2049, 5000])
def test_dicts_and_sets_have_no_order_whatever_their_size(count):
    """W-H7"""
    numbers = list(range(count))
    shuffled = random.Random(count).sample(numbers, count)
    assert key({f"n{n}": n for n in numbers}) == key({f"n{n}": n for n in shuffled})
    assert key({n: {n: [n]} for n in numbers}) == key({n: {n: [n]} for n in shuffled})
    assert key({str(n) for n in numbers}) == key({str(n) for n in shuffled})
    nested = {f"n{n}": {f"m{m}": n for m in range(20)} for n in numbers[:60]}
    assert key(nested) == key(anew(nested))
