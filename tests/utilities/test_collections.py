import io
import json
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from enum import Enum
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel

from oxtask.utilities import annotations, collections
from oxtask.utilities.collections import (
    AutoEnum,
    batched_iterable,
    deep_merge,
    deep_merge_dicts,
    dict_to_flatdict,
    distinct,
    ensure_iterable,
    extract_instances,
    flatdict_to_dict,
    get_from_dict,
    isiterable,
    listrepr,
    remove_nested_keys,
    set_in_dict,
)


def test_annotations_can_be_imported_from_here():
    """1.4"""
    for name in ("BaseAnnotation", "Quote", "quote", "opaque"):
        assert getattr(collections, name) is getattr(annotations, name)


def test_everything_in_all_exists():
    """1.4"""
    for name in collections.__all__:
        assert hasattr(collections, name)


class Color(AutoEnum):
    RED = AutoEnum.auto()
    BLUE = AutoEnum.auto()


class TestAutoEnum:
    def test_values_are_the_names(self):
        """37.7"""
        assert [color.value for color in Color] == ["RED", "BLUE"]
        assert Color("RED") is Color.RED

    def test_members_are_strings_and_json(self):
        """37.7"""
        assert Color.RED == "RED"
        assert json.dumps([Color.RED]) == '["RED"]'

    def test_shows_class_and_value_on_every_python(self):
        """37.7"""
        assert repr(Color.RED) == str(Color.RED) == f"{Color.RED}" == "Color.RED"


@dataclass
class Point:
    x: int = 1


class Model(BaseModel):
    x: int = 1


class OldStyleSequence:
    def __getitem__(self, index):
        return [1, 2][index]


class TestIsIterable:
    @pytest.mark.parametrize(
        "value",
        [
            [],
            (),
            set(),
            {},
            range(0),
            iter([]),
            (x for x in ()),
            bytearray(),
            memoryview(b""),
            Color,
            OldStyleSequence(),
            MagicMock(),
            frozenset(),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_can_be_iterated_is_iterable(self, value):
        """18.3, 21.17"""
        assert isiterable(value)

    @pytest.mark.parametrize(
        "value",
        [1, 1.5, None, True, "text", b"bytes", io.StringIO(), io.BytesIO(), Point(), Point, int],
        ids=lambda value: type(value).__name__,
    )
    def test_scalars_texts_files_and_dataclasses_are_not(self, value):
        """18.3, 21.17"""
        assert not isiterable(value)

    def test_instances_of_pydantic_models_are_not(self):
        """18.3, W25"""
        assert not isiterable(Model())
        assert not isiterable(RootModel[list[int]]([1, 2]))

    def test_arrays_are_except_those_without_dimensions(self):
        """18.3"""
        import numpy as np

        assert isiterable(np.zeros(2))
        assert not isiterable(np.float64(1.0))
        assert not isiterable(np.array(1))

    def test_an_error_in_iter_is_not_hidden(self):
        """21.17"""

        class Broken:
            def __iter__(self):
                raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            isiterable(Broken())


@pytest.mark.parametrize("value", [[1], (1,), {1}, frozenset({1}), "text", b"bytes", range(2)])
def test_ensure_iterable_returns_sequences_and_sets_as_they_are(value):
    """21.17"""
    assert ensure_iterable(value) is value


@pytest.mark.parametrize("value", [1, None, {"a": 1}, iter([1])])
def test_ensure_iterable_puts_anything_else_in_a_list(value):
    """21.17"""
    assert ensure_iterable(value) == [value]


def test_listrepr_joins_representations():
    """1.4"""
    assert listrepr([1, "b"]) == "1 'b'"
    assert listrepr([1, "b"], sep="\n") == "1\n'b'"


class TestExtractInstances:
    def test_one_type_gives_a_list(self):
        """1.4"""
        assert extract_instances([1, "b", 2, None], int) == [1, 2]

    def test_several_types_give_lists_by_type(self):
        """1.4"""
        assert extract_instances([1, "b", 2, None], (int, str)) == {int: [1, 2], str: ["b"]}

    def test_without_a_type_everything_is_extracted(self):
        """1.4"""
        assert extract_instances([1, None]) == [1, None]


class TestBatchedIterable:
    def test_yields_tuples_and_a_shorter_rest(self):
        """37.7"""
        assert list(batched_iterable(iter(range(5)), 2)) == [(0, 1), (2, 3), (4,)]
        assert list(batched_iterable([], 2)) == []

    def test_refuses_a_size_that_would_lose_items(self):
        """37.7"""
        with pytest.raises(ValueError, match="size must be at least 1; got 0"):
            list(batched_iterable([1], 0))

    @given(st.lists(st.integers()), st.integers(1, 10))
    def test_keeps_all_items_in_order(self, items, size):
        """37.7"""
        batches = list(batched_iterable(items, size))
        assert [item for batch in batches for item in batch] == items
        assert all(len(batch) == size for batch in batches[:-1])


def test_distinct_keeps_the_first_of_each():
    """37.7"""
    assert list(distinct([3, 1, 3, 2, 1])) == [3, 1, 2]
    assert list(distinct([3, 1, 2, 4], key=lambda x: x % 2)) == [3, 2]
    assert list(distinct([[1], [1], [2]], key=repr)) == [[1], [2]]


nested_dicts = st.recursive(
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), st.integers() | inner, max_size=3),
)


class TestFlatDicts:
    def test_flattens_to_tuples_of_keys(self):
        """37.7"""
        nested = {"a": {"b": 1, "c": {}}, "d": 2}
        assert dict_to_flatdict(nested) == {("a", "b"): 1, ("a", "c"): {}, ("d",): 2}

    @given(nested_dicts)
    def test_unflattening_undoes_flattening(self, nested):
        """37.7"""
        assert flatdict_to_dict(dict_to_flatdict(nested)) == nested

    @pytest.mark.parametrize("kind", [OrderedDict, lambda pairs: defaultdict(int, pairs)])
    def test_keeps_the_type_of_dict(self, kind):
        """37.7"""
        nested = kind({"a": {"b": 1}})
        flat = dict_to_flatdict(nested)
        assert type(flat) is type(nested)
        assert type(flatdict_to_dict(flat)) is type(nested)

    def test_a_path_through_a_value_is_an_error(self):
        """37.7"""
        with pytest.raises(TypeError, match=r"a value at 'a' and a path through it: \('a', 'b'\)"):
            flatdict_to_dict({("a",): 1, ("a", "b"): 2})


def test_remove_nested_keys_removes_at_every_level():
    """37.7"""
    nested = {"a": 1, "b": {"a": 1, "c": {"a": 2, "d": 3}}}
    assert remove_nested_keys(["a"], nested) == {"b": {"c": {"d": 3}}}
    assert "a" in nested


@pytest.mark.parametrize("value", [1, None, [{"a": 1}]])
def test_remove_nested_keys_passes_through_what_is_not_a_dict(value):
    """37.7"""
    assert remove_nested_keys(["a"], value) is value


class TestGetFromDict:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("a.b", [1, {"c": 5}]),
            ("a.b[0]", 1),
            ("a.b[1].c", 5),
            ("a.b[-1].c", 5),
            (["a", "b"], [1, {"c": 5}]),
            ("a.0", "digits"),
            ("none", None),
        ],
    )
    def test_follows_dots_brackets_and_lists_of_keys(self, path, expected):
        """37.7"""
        nested = {"a": {"b": [1, {"c": 5}], "0": "digits"}, "none": None}
        assert get_from_dict(nested, path, "default") == expected

    @pytest.mark.parametrize("path", ["x", "a.x", "a.b[7]", "a.b.c", "a.b[0].c", ""])
    def test_gives_the_default_where_the_path_ends(self, path):
        """37.7"""
        assert get_from_dict({"a": {"b": [1]}}, path) is None
        assert get_from_dict({"a": {"b": [1]}}, path, "default") == "default"


class TestSetInDict:
    @pytest.mark.parametrize("path", ["a.b.c", ["a", "b", "c"]])
    def test_creates_missing_dicts(self, path):
        """37.7"""
        target = {"a": {"z": 1}}
        set_in_dict(target, path, 9)
        assert target == {"a": {"z": 1, "b": {"c": 9}}}

    def test_refuses_a_path_through_something_else(self):
        """37.7"""
        with pytest.raises(TypeError, match="lead through 'a', which is not a dict: 1"):
            set_in_dict({"a": 1}, "a.b", 1)

    def test_refuses_an_empty_path(self):
        """37.7"""
        with pytest.raises(ValueError, match="keys must name at least one key"):
            set_in_dict({}, [], 1)


class TestDeepMerge:
    def test_merges_nested_dicts_and_replaces_the_rest(self):
        """37.7"""
        left = {"a": {"b": 1, "l": [1]}, "k": 1}
        right = {"a": {"c": 2, "l": [2]}, "k": {"z": 1}}
        assert deep_merge(left, right) == {"a": {"b": 1, "l": [2], "c": 2}, "k": {"z": 1}}

    @given(nested_dicts, nested_dicts)
    def test_changes_neither_dict(self, left, right):
        """37.7"""
        before = repr((left, right))
        deep_merge(left, right)
        assert repr((left, right)) == before

    def test_later_dicts_win(self):
        """37.7"""
        assert deep_merge_dicts({"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
        assert deep_merge_dicts({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": 3}) == {"a": 3}
        assert deep_merge_dicts() == {}


def test_enums_are_iterated_by_member():
    """18.3"""

    class Plain(Enum):
        A = 1

    assert isiterable(Plain)
    assert not isiterable(Plain.A)
