"""Unequal values have unequal keys and equal values equal ones, over every type and nesting."""

from __future__ import annotations

import copy
import pickle
from datetime import timezone

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from oxtask.utilities.hashing import hash_objects


def key(value):
    return hash_objects(value, raise_on_failure=True)


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.sampled_from([2**62, 2**63, 2**64, -(2**63)]).flatmap(lambda n: st.integers(n - 2, n + 2)),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=4),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.binary(max_size=4).map(bytearray),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.datetimes(timezones=st.just(timezone.utc)),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.integers(0, 3).map(range),
)
HASHABLE = st.recursive(
    ATOMS.filter(lambda value: not isinstance(value, bytearray)),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.dictionaries(st.text(max_size=2), inner, min_size=15, max_size=20),
    ),
    max_leaves=25,
)
ARRAYS = npst.arrays(
    st.sampled_from(["f8", "f4", "i8", "i2", "u1", "?", "c16", "U2", "M8[s]"]),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def canonical(value):
    """Return what two values have in common exactly if they are the same: written out, typed."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, frozenset((canonical(name), canonical(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return kind, tuple(map(canonical, value))
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(map(canonical, value))
    if isinstance(value, range):
        return kind, tuple(value)
    return kind, repr(value)


@settings(max_examples=150)
@given(VALUES, VALUES)
def test_keys_are_equal_exactly_where_values_are(one, two):
    """Issue: hypothesis"""
    assert (key(one) == key(two)) == (canonical(one) == canonical(two))


@settings(max_examples=100)
@given(VALUES)
def test_copies_have_the_same_key(value):
    """Issue: hypothesis; W-H10"""
    assert key(value) == key(copy.deepcopy(value)) == key(pickle.loads(pickle.dumps(value)))


@settings(max_examples=100)
@given(st.dictionaries(HASHABLE, ATOMS, max_size=25), st.randoms(use_true_random=False))
def test_the_order_of_dicts_and_sets_does_not_matter(value, random):
    """W-H7"""
    items = list(value.items())
    random.shuffle(items)
    assert key(dict(items)) == key(value)
    assert key({name for name, _ in items}) == key(set(value))


@settings(max_examples=100)
@given(st.lists(VALUES, min_size=1, max_size=5), st.data())
def test_any_change_of_a_part_changes_the_key(values, data):
    """Issue: hypothesis"""
    place = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(VALUES)
    changed = [*values[:place], other, *values[place + 1 :]]
    same = canonical(values[place]) == canonical(other)
    assert (key(changed) == key(values)) == same
    assert (key({"a": changed}) == key({"a": values})) == same


@settings(max_examples=200)
@given(ARRAYS, ARRAYS)
def test_arrays_have_equal_keys_exactly_where_they_are_equal(one, two):
    """Issue: hypothesis; 2.3"""

    def written(array):
        nan = array.dtype.kind in "fc"
        content = np.where(np.isnan(array), np.nan, array) if nan else array
        return array.dtype, array.shape, repr(content.tolist())

    assert (key(one) == key(two)) == (written(one) == written(two))
    assert key(one) == key(np.array(one, order="F")) == key(one[::-1][::-1] if one.ndim else one)
