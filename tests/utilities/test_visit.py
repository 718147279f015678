"""What `visit_collection` visits, in which order, and what it returns."""

import gc
import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest
from pydantic import BaseModel, PrivateAttr

from oxtask.utilities.annotations import allow_failure, freeze, opaque, quote, unmapped
from oxtask.utilities.collections import StopVisiting, visit_collection


class Pair(NamedTuple):
    left: object
    right: object


@dataclass
class Point:
    x: object
    y: object = 2


class Model(BaseModel, extra="allow"):
    x: object
    _hidden: list = PrivateAttr(default_factory=lambda: ["hidden"])


class Plain:
    def __init__(self):
        self.x = 1


def visited(expr, **options):
    seen = []
    visit_collection(expr, seen.append, **options)
    return seen


def increment(item):
    return item + 1 if type(item) is int else item


def incremented(expr, **options):
    return visit_collection(expr, increment, return_data=True, **options)


class TestOrder:
    def test_containers_come_before_their_contents_and_keys_before_values(self):
        """21.1"""
        assert visited({"x": 1}) == [{"x": 1}, "x", 1]
        assert visited([1, [2, 3], 4]) == [[1, [2, 3], 4], 1, [2, 3], 2, 3, 4]

    def test_return_values_are_ignored_unless_asked_for(self):
        """21.1, 21.4"""
        seen = []

        def visit(item):
            seen.append(item)
            return "ignored"

        assert visit_collection([1, [2]], visit) is None
        assert seen == [[1, [2]], 1, [2], 2]


class TestWhatIsEntered:
    @pytest.mark.parametrize(
        "container",
        [
            [1],
            (1,),
            {1},
            frozenset({1}),
            deque([1]),
            Pair(1, 1),
            {1: 1},
            OrderedDict({1: 1}),
            Point(1, 1),
            Model(x=1),
            Model(x=None, more=1),
            quote(1),
            allow_failure(1),
            unmapped(1),
            opaque(1),
            freeze(1),
        ],
        ids=repr,
    )
    def test_containers_models_dataclasses_and_annotations(self, container):
        """21.2, W36"""
        assert 1 in visited(container)
        assert 2 not in visited(container)

    @pytest.mark.parametrize("base", [list, tuple, set, frozenset, deque, OrderedDict, dict])
    def test_subclasses_of_containers(self, base):
        """21.2, W36"""
        sub = type("Sub", (base,), {})
        container = sub({"key": 1}) if issubclass(sub, dict) else sub(["key"])
        assert visited(container)[1] == "key"

    @pytest.mark.parametrize(
        "leaf",
        [
            "text",
            b"bytes",
            range(3),
            {1: 2}.keys(),
            {1: 2}.items(),
            MappingProxyType({1: 2}),
            np.arange(3),
            Plain(),
            Point,
            Model,
            ValueError([1]),
            iter([1, 2]),
        ],
        ids=lambda leaf: type(leaf).__name__,
    )
    def test_anything_else_is_visited_as_it_is(self, leaf):
        """21.3"""
        seen = visited([leaf])
        assert len(seen) == 2
        assert seen[1] is leaf

    def test_generators_are_not_consumed(self):
        """21.3"""
        generator = (item for item in [1, 2])
        assert visited({"g": generator})[2] is generator
        assert list(generator) == [1, 2]

    @pytest.mark.parametrize("kind", [Mock, MagicMock])
    @pytest.mark.parametrize("spec", [None, list, dict, Point, Model])
    def test_mocks_are_not_entered_whatever_they_imitate(self, kind, spec):
        """21.3"""
        mock = kind(spec=spec)
        assert len(visited([mock])) == 2

    def test_members_of_enumerations_are_not_taken_apart(self):
        """21.3"""

        class Size(tuple, Enum):
            __slots__ = ()
            SMALL = (1, 2)

        assert incremented([Size.SMALL])[0] is Size.SMALL

    def test_classes_that_claim_every_attribute_are_leaves(self):
        """21.3"""

        class Claiming(type):
            def __getattr__(cls, name):
                return ()

        instance = Claiming("Anything", (), {})()
        assert visited([instance])[1] is instance
        assert incremented([instance, 1])[0] is instance

    def test_private_attributes_of_models_are_not_visited(self):
        """21.2"""
        assert "hidden" not in visited(Model(x=1))

    def test_lazy_attributes_are_not_triggered(self):
        """21.16"""

        class Lazy(BaseModel):
            x: int = 1
            lazy: int = 2

            def __getattribute__(self, name):
                if name == "lazy":
                    raise AssertionError("loaded")
                return super().__getattribute__(name)

        assert visited([Lazy()])[1:] == [Lazy(), 1, 2]


class TestReplacement:
    def test_the_contents_of_the_replacement_are_visited(self):
        """21.4"""
        seen = []

        def visit(item):
            seen.append(item)
            return [1, 2] if item == "replace" else item

        assert visit_collection(["replace"], visit, return_data=True) == [[1, 2]]
        assert seen == [["replace"], "replace", 1, 2]

    def test_the_root_may_be_replaced(self):
        """21.4"""
        assert incremented(1) == 2
        replace = {"x": [1], 1: 2}

        def visit(item):
            return replace.get(item, item) if isinstance(item, (str, int)) else item

        assert visit_collection("x", visit, return_data=True) == [2]

    def test_nothing_changed_means_the_same_object(self):
        """21.5"""
        expr = {"a": [1, (2, {3})], "b": Point([4]), "c": quote(Model(x=[5]))}
        assert visit_collection(expr, lambda item: item, return_data=True) is expr

    def test_only_what_leads_to_a_change_is_rebuilt(self):
        """21.5"""
        same = ["a"]
        expr = [same, [1], Point(same)]
        result = incremented(expr)
        assert result == [["a"], [2], Point(["a"], 3)]
        assert result[0] is same
        assert result[2].x is same
        assert expr == [["a"], [1], Point(["a"], 2)]

    def test_keys_are_transformed(self):
        """21.8"""
        assert incremented({1: 1}) == {2: 2}
        assert visit_collection(
            {"a": 1, "b": 2}, lambda i: "k" if i in ("a", "b") else i, return_data=True
        ) == {"k": 2}

    def test_a_key_that_becomes_unhashable_is_an_error(self):
        """21.8"""
        with pytest.raises(TypeError, match="unhashable"):
            visit_collection({"a": 1}, lambda item: [] if item == "a" else item, return_data=True)

    def test_items_of_a_set_may_merge(self):
        """21.8"""
        assert visit_collection({1, 2}, lambda i: 0 if type(i) is int else i, return_data=True) == {
            0
        }

    def test_stop_visiting_keeps_the_object_and_does_not_enter_it(self):
        """21.10"""

        def visit(item):
            if item == [1]:
                raise StopVisiting
            return increment(item)

        inner = [1]
        result = visit_collection([inner, 1], visit, return_data=True)
        assert result == [[1], 2]
        assert result[0] is inner

    def test_stop_visiting_is_not_swallowed_by_except_exception(self):
        """21.10"""
        assert not issubclass(StopVisiting, Exception)


class TestDepth:
    @pytest.mark.parametrize(
        ("depth", "expected"),
        [
            (0, [[1, [2, [3]]]]),
            (1, [[1, [2, [3]]], 1, [2, [3]]]),
            (2, [[1, [2, [3]]], 1, [2, [3]], 2, [3]]),
            (-1, [[1, [2, [3]]], 1, [2, [3]], 2, [3], 3]),
            (-7, [[1, [2, [3]]], 1, [2, [3]], 2, [3], 3]),
        ],
    )
    def test_limits_how_many_levels_are_entered(self, depth, expected):
        """21.9"""
        assert visited([1, [2, [3]]], max_depth=depth) == expected

    def test_an_annotation_is_a_level_and_stays_if_it_is_not_entered(self):
        """21.9, 22.12"""
        assert incremented(quote([1]), max_depth=0, remove_annotations=True) == quote([1])
        assert incremented(quote([1]), max_depth=1, remove_annotations=True) == [1]
        assert incremented(quote([1]), max_depth=2, remove_annotations=True) == [2]

    def test_an_object_met_again_with_more_depth_left_is_entered_deeper(self):
        """21.9, 21.14"""
        shared = [[1]]
        assert incremented([[shared], shared], max_depth=3) == [[[[1]]], [[2]]]

    def test_nesting_deeper_than_the_recursion_limit_is_no_problem(self):
        """21.9"""
        expr = [1]
        for _ in range(50_000):
            expr = [expr]
        result = incremented(expr)
        for _ in range(50_000):
            result = result[0]
        assert result == [2]


class TestSharedReferences:
    def test_stay_shared(self):
        """21.14"""
        shared = [1]
        result = incremented({"a": shared, "b": (shared,), "c": Point(shared)})
        assert result["a"] == [2]
        assert result["a"] is result["b"][0] is result["c"].x

    def test_are_visited_again_but_not_entered_again(self):
        """21.14"""
        shared = [1]
        assert visited([shared, shared]) == [[shared, shared], shared, 1, shared]

    def test_stay_shared_if_the_visitor_makes_a_new_object_each_time(self):
        """21.14"""
        shared = ["x"]
        result = visit_collection(
            [shared, shared], lambda item: [*item] if item == ["x"] else item, return_data=True
        )
        assert result[0] is not shared
        assert result[0] is result[1]

    def test_equal_leaves_are_replaced_one_by_one(self):
        """21.4"""
        counter = iter(range(10))
        result = visit_collection(
            [7, 7, 7], lambda item: next(counter) if item == 7 else item, return_data=True
        )
        assert result == [0, 1, 2]


def test_the_walk_leaves_no_reference_cycles_behind():
    """41.5"""
    target = Plain()
    alive = weakref.ref(target)
    gc.disable()
    try:
        visit_collection([[target]], lambda item: item, return_data=True)
        incremented([[target], 1])
        del target
        assert alive() is None
    finally:
        gc.enable()


def test_errors_of_the_visitor_reach_the_caller():
    """21.1"""

    def visit(item):
        if item == 1:
            raise KeyError("boom")
        return item

    with pytest.raises(KeyError, match="boom"):
        visit_collection([[1]], visit)
