"""How `visit_collection` rebuilds containers in which something changed."""

import time
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import NamedTuple

import pytest
from pydantic import BaseModel, PrivateAttr, RootModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from oxtask.utilities import _containers
from oxtask.utilities.annotations import quote
from oxtask.utilities.collections import visit_collection

Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 - the untyped kind is tested too


class Typed(NamedTuple):
    left: int
    right: str = "r"


def increment(item):
    return item + 1 if type(item) is int else item


def incremented(expr, **options):
    return visit_collection(expr, increment, return_data=True, **options)


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ([1, "a"], [2, "a"]),
        ((1, "a"), (2, "a")),
        ({1}, {2}),
        (frozenset({1}), frozenset({2})),
        ({"a": 1}, {"a": 2}),
        (OrderedDict(a=1, b="x"), OrderedDict(a=2, b="x")),
        (deque([1, 2], maxlen=2), deque([2, 3], maxlen=2)),
        (Pair(1, "a"), Pair(2, "a")),
        (Typed(1), Typed(2)),
        (Counter({"a": 1}), Counter({"a": 2})),
        (Counter({"a": 3, 1: 1}), Counter({"a": 4, 2: 2})),
        (quote(1), quote(2)),
    ],
    ids=repr,
)
def test_containers_are_rebuilt_as_the_same_type(container, expected):
    """21.6, W33, W36"""
    result = incremented(container)
    assert result == expected
    assert type(result) is type(container)


def test_a_deque_keeps_its_limit():
    """W36"""
    assert incremented(deque([1], maxlen=3)).maxlen == 3


def test_a_defaultdict_keeps_its_factory():
    """W33"""
    result = incremented(defaultdict(list, a=1))
    assert result == {"a": 2}
    assert result["missing"] == []


def test_an_ordered_dict_keeps_its_own_order():
    """21.6"""
    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert list(incremented(ordered).items()) == [("b", 3), ("a", 2)]


def test_c_level_records_are_rebuilt():
    """21.6"""
    moment = time.gmtime(0)
    result = incremented(moment)
    assert type(result) is time.struct_time
    assert result.tm_year == 1971
    assert result.tm_zone == moment.tm_zone


@pytest.mark.parametrize("base", [list, dict, set, frozenset, tuple, deque, OrderedDict])
def test_subclasses_keep_their_attributes_and_their_constructor_is_not_called(base):
    """W33"""
    calls = []

    class Sub(base):
        __slots__ = ("slotted", "unset") if base in (list, dict, set, deque) else ()

        def __new__(cls, *args):
            calls.append("new")
            return base.__new__(cls, *args)

        def __init__(self, *args):
            calls.append("init")
            if base not in (frozenset, tuple):
                base.__init__(self, *args)

    class WithDict(Sub):
        @cached_property
        def size(self):
            return repr(base(self))

    original = WithDict({1: 1} if issubclass(base, dict) else [1])
    original.note = ["kept"]
    if Sub.__slots__:
        original.slotted = "kept too"
    before = original.size
    calls.clear()

    result = incremented(original)
    assert calls == []
    assert type(result) is WithDict
    assert result == base({2: 2} if issubclass(base, dict) else [2])
    assert result.note is original.note
    assert result.size != before, "a cached property must not survive the change"
    if Sub.__slots__:
        assert result.slotted == "kept too"
        assert not hasattr(result, "unset")


class TestDataclasses:
    def test_are_rebuilt_without_running_init_or_post_init(self):
        """21.6, W33"""
        calls = []

        @dataclass
        class Point:
            x: int
            doubled: int = field(init=False)
            scale: InitVar[int]

            def __post_init__(self, scale):
                calls.append(scale)
                self.doubled = self.x * scale

        point = Point(1, 2)
        result = incremented(point)
        assert calls == [2]
        assert (result.x, result.doubled) == (2, 3)
        assert (point.x, point.doubled) == (1, 2)

    @pytest.mark.parametrize("slots", [True, False])
    def test_frozen_and_slotted_ones_are_rebuilt(self, slots):
        """21.6"""

        @dataclass(frozen=True, slots=slots)
        class Point:
            x: int
            y: str = "y"

        result = incremented(Point(1))
        assert result == Point(2)
        assert hash(result) == hash(Point(2))

    def test_fields_that_are_not_set_stay_unset(self):
        """W33"""

        @dataclass
        class Partial:
            x: int
            later: int = field(init=False)

        result = incremented(Partial(1))
        assert result.x == 2
        assert not hasattr(result, "later")

    def test_other_attributes_are_kept_and_cached_ones_dropped(self):
        """W33"""

        @dataclass
        class Point:
            x: int

            @cached_property
            def doubled(self):
                return self.x * 2

        point = Point(1)
        point.note = "kept"
        assert point.doubled == 2
        result = incremented(point)
        assert result.note == "kept"
        assert result.doubled == 4

    def test_fields_stored_elsewhere_by_a_property_are_set_through_it(self):
        """21.6"""

        @dataclass
        class Celsius:
            degrees: int

            @property
            def degrees(self):
                return self._degrees

            @degrees.setter
            def degrees(self, value):
                self._degrees = value

        assert incremented(Celsius(1)).degrees == 2

    def test_pydantic_dataclasses_are_rebuilt_without_validation(self):
        """21.6"""

        @pydantic_dataclass
        class Point:
            x: int

        result = visit_collection(Point(1), lambda i: "text" if i == 1 else i, return_data=True)
        assert result.x == "text"

    def test_those_derived_from_native_types_are_left_alone(self):
        """21.3"""

        @dataclass
        class Number(int):
            x: int = 1

        number = Number(5)
        assert incremented([number, 1])[0] is number


class TestModels:
    def test_keep_what_was_set_extras_and_private_attributes(self):
        """21.6, 21.16"""

        class Model(BaseModel, extra="allow", frozen=True):
            x: int
            unset: list = []
            _private: list = PrivateAttr(default_factory=list)

        model = Model(x=1, more=[1])
        result = incremented(model)
        assert result.model_dump() == {"x": 2, "unset": [], "more": [2]}
        assert result.model_fields_set == {"x", "more"}
        assert result.unset is model.unset
        assert result._private is model._private
        assert model.model_dump() == {"x": 1, "unset": [], "more": [1]}

    def test_are_rebuilt_without_validation(self):
        """21.6"""

        class Model(BaseModel, validate_assignment=True):
            x: int

        result = visit_collection(Model(x=1), lambda i: "a" if i == 1 else i, return_data=True)
        assert result.x == "a"

    def test_a_private_attribute_that_is_not_set_is_no_problem(self):
        """W33"""

        class Model(BaseModel):
            x: int
            _private: int = PrivateAttr()

        result = incremented(Model(x=1))
        assert result.x == 2
        with pytest.raises(AttributeError):
            _ = result._private

    def test_the_copy_does_not_share_its_bookkeeping(self):
        """21.6"""

        class Model(BaseModel, extra="allow"):
            x: int
            y: int = 1
            _private: int = PrivateAttr(default=0)

        model = Model(x=1, more=1)
        result = incremented(model)
        result.y = 5
        result.more = 6
        result._private = 7
        assert model.model_fields_set == {"x", "more"}
        assert model.more == 1
        assert model._private == 0

    def test_cached_properties_are_dropped(self):
        """W33"""

        class Model(BaseModel):
            x: int

            @cached_property
            def doubled(self):
                return self.x * 2

        model = Model(x=1)
        assert model.doubled == 2
        assert incremented(model).doubled == 4

    def test_built_without_their_constructor_are_no_problem(self):
        """W33"""

        class Model(BaseModel):
            x: int

        model = Model.__new__(Model)
        model.__dict__["x"] = 1
        assert incremented(model).x == 2

    def test_root_models_are_entered(self):
        """21.2"""
        assert incremented(RootModel[list[int]]([1])).root == [2]


class Attribute(NamedTuple):
    name: str


class AttrsLike:
    """What attrs makes of ``x`` and ``y`` with ``cache_hash=True`` and a cached property.

    Written out, so that the tests do not depend on attrs.
    """

    __attrs_attrs__ = (Attribute("x"), Attribute("y"))
    __slots__ = ("_attrs_cached_hash", "cached", "x", "y")

    def __init__(self, x, y):
        for name, value in (("x", x), ("y", y), ("_attrs_cached_hash", None)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError("frozen")

    def __hash__(self):
        if self._attrs_cached_hash is None:
            object.__setattr__(self, "_attrs_cached_hash", hash((self.x, self.y)))
        return self._attrs_cached_hash


class TestAttrs:
    def test_instances_are_entered_and_rebuilt(self):
        """W36"""
        shared = ["a"]
        result = incremented(AttrsLike(1, shared))
        assert type(result) is AttrsLike
        assert result.x == 2
        assert result.y is shared

    def test_what_they_cache_is_dropped(self):
        """W33, W36"""
        original = AttrsLike(1, (2,))
        object.__setattr__(original, "cached", "old")
        hash(original)
        result = incremented(original)
        assert hash(result) == hash((2, (3,)))
        assert not hasattr(result, "cached")

    def test_subclasses_keep_attributes_that_attrs_does_not_know(self):
        """W33, W36"""

        class Sub(AttrsLike):
            pass

        original = Sub(1, 2)
        original.__dict__["note"] = "kept"
        del original._attrs_cached_hash
        result = incremented(original)
        assert result.note == "kept"
        assert not hasattr(result, "_attrs_cached_hash")


def test_classes_are_not_kept_alive_by_the_thousand(monkeypatch):
    """21.3"""
    monkeypatch.setattr(_containers, "MAX_REMEMBERED_CLASSES", 10)
    for _ in range(50):
        assert _containers.container_of(type("Made", (list,), {})) is not None
    assert len(_containers._containers) <= 10
