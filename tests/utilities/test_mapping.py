import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from oxtask.exceptions import MappingLengthMismatch, MappingMissingIterable
from oxtask.utilities._mapping import Column, map_parameters
from oxtask.utilities.annotations import allow_failure, freeze, opaque, quote, unmapped
from oxtask.utilities.callables import (
    expand_mapping_parameters,
    get_call_parameters,
    signature_plan,
)


def add(x, y=1): ...


def variadic(x, *args, k=0, **kw): ...


def expand(fn, *args, **kwargs):
    return expand_mapping_parameters(
        fn, get_call_parameters(fn, args, kwargs, apply_defaults=False)
    )


def first(fn, *args, **kwargs):
    """What the children get as first argument."""
    return [child["x"] for child in expand(fn, *args, **kwargs)]


class TestExpansion:
    def test_gives_one_call_for_each_item_with_defaults(self):
        """37.4, 18.16"""
        assert expand(add, [1, 2]) == [{"x": 1, "y": 1}, {"x": 2, "y": 1}]

    def test_iterables_are_taken_together(self):
        """18.18"""
        assert expand(add, range(2), y=iter("ab")) == [{"x": 0, "y": "a"}, {"x": 1, "y": "b"}]

    def test_what_cannot_be_iterated_is_the_same_object_for_all(self):
        """18.4"""
        static = object()
        children = expand(add, static, [1, 2])
        assert all(child["x"] is static for child in children)

    @pytest.mark.parametrize("value", ["text", b"bytes", None, 5])
    def test_texts_and_scalars_are_static(self, value):
        """18.3"""
        assert first(add, value, [1, 2]) == [value, value]

    def test_pydantic_models_are_static(self):
        """18.3, W25"""

        class Model(BaseModel):
            a: int = 1

        model = Model()
        assert first(add, model, [1, 2]) == [model, model]

    def test_dicts_give_their_keys(self):
        """18.3"""
        assert first(add, {"k": 1, "j": 2}) == ["k", "j"]

    def test_defaults_are_never_iterated(self):
        """18.5"""

        def f(x, y=[1, 2, 3]): ...

        assert [child["y"] for child in expand(f, [1, 2])] == [[1, 2, 3]] * 2
        assert [child["y"] for child in expand(f, [1, 2], [3, 4])] == [3, 4]

    def test_each_child_gets_its_own_default_from_a_factory(self):
        """V2, 18.5"""

        def f(x, y=Field(default_factory=list)): ...

        one, two = expand(f, [1, 2])
        assert one["y"] == two["y"] == []
        assert one["y"] is not two["y"]

    def test_no_items_give_no_calls(self):
        """18.7"""
        assert expand(add, [], []) == []

    def test_already_exploded_keywords_are_accepted(self):
        """37.1, 37.4"""
        assert expand_mapping_parameters(variadic, {"x": [1], "z": [2]}) == [
            {"x": 1, "args": (), "k": 0, "kw": {"z": 2}}
        ]


class TestErrors:
    @pytest.mark.parametrize("value", [1, "text", unmapped([1]), quote(1)])
    def test_nothing_to_iterate_over(self, value):
        """18.6"""
        with pytest.raises(MappingMissingIterable, match="No iterable parameter"):
            expand(add, value)

    def test_no_arguments_at_all(self):
        """18.6"""
        with pytest.raises(MappingMissingIterable):
            expand(lambda: None)

    @pytest.mark.parametrize("lengths", [(2, 1), (0, 1)])
    def test_different_lengths_are_shown(self, lengths):
        """18.6"""
        with pytest.raises(MappingLengthMismatch) as caught:
            expand(add, range(lengths[0]), range(lengths[1]))
        assert str(dict(zip("xy", lengths, strict=True))) in str(caught.value)

    def test_members_of_args_and_kwargs_are_told_apart(self):
        """18.6, W26, W28"""
        with pytest.raises(MappingLengthMismatch) as caught:
            expand(variadic, [1], [1, 2], z=[1, 2, 3])
        assert "{'x': 1, 'args[0]': 2, 'z': 3}" in str(caught.value)


class TestVariadic:
    def test_members_of_kwargs_are_mapped_one_by_one(self):
        """18.8"""
        children = expand(variadic, [1, 2], z=[3, 4], static="s")
        assert [child["kw"] for child in children] == [
            {"z": 3, "static": "s"},
            {"z": 4, "static": "s"},
        ]

    def test_members_of_args_are_mapped_one_by_one(self):
        """18.9, W26"""

        def f(*args): ...

        assert expand(f, [1, 2], [3, 4]) == [{"args": (1, 3)}, {"args": (2, 4)}]
        assert expand(f, [1, 2], "s") == [{"args": (1, "s")}, {"args": (2, "s")}]

    def test_a_positional_only_parameter_and_a_keyword_of_that_name_stay_apart(self):
        """18.11, W28"""

        def f(a, /, **kw): ...

        assert expand(f, [1, 2], a=[3, 4]) == [{"a": 1, "kw": {"a": 3}}, {"a": 2, "kw": {"a": 4}}]

    def test_children_do_not_share_their_variadic_containers(self):
        """18.8"""
        one, two = expand(variadic, [1, 2], z="s")
        assert one["kw"] is not two["kw"]


class TestAnnotations:
    def test_unmapped_is_broadcast_as_it_is(self):
        """18.4, 18.12"""
        value = [1, 2, 3]
        children = expand(add, [1, 2], unmapped(value))
        assert all(child["y"] is value for child in children)

    @pytest.mark.parametrize("kind", [allow_failure, quote, opaque, freeze])
    def test_other_annotations_are_put_around_each_item(self, kind):
        """18.12, 18.19, W29"""
        assert first(add, kind([1, 2])) == [kind(1), kind(2)]
        assert type(first(add, kind([1, 2]))[0]) is kind

    @pytest.mark.parametrize("kind", [allow_failure, quote, opaque, freeze])
    def test_other_annotations_around_scalars_are_static(self, kind):
        """18.12"""
        assert first(add, kind(5), [1, 2]) == [kind(5), kind(5)]

    @pytest.mark.parametrize("kind", [allow_failure, quote, opaque, freeze])
    def test_unmapped_broadcasts_inside_and_outside_other_annotations(self, kind):
        """18.12"""
        for value in (unmapped(kind([1, 2])), kind(unmapped([1, 2]))):
            assert first(add, value, [1, 2, 3]) == [kind([1, 2])] * 3

    def test_nested_annotations_keep_their_order(self):
        """18.12, W29"""
        assert first(add, allow_failure(opaque([1, 2]))) == [
            allow_failure(opaque(1)),
            allow_failure(opaque(2)),
        ]

    def test_members_of_args_and_kwargs_may_be_annotated(self):
        """18.12"""
        children = expand(variadic, [1, 2], unmapped([0]), z=quote([3, 4]))
        assert [(child["args"], child["kw"]) for child in children] == [
            (([0],), {"z": quote(3)}),
            (([0],), {"z": quote(4)}),
        ]


class TestSplitting:
    def test_parameters_named_static_are_not_iterated(self):
        """18.10, W27"""

        def method(self, x): ...

        plan = signature_plan(method)
        receiver = [1, 2, 3]
        mapped = map_parameters(plan, {"self": receiver, "x": [1, 2]}, static=["self"])
        assert mapped.length == 2
        assert mapped.columns == [Column("x", None, [1, 2])]
        assert mapped.child(1) == {"self": receiver, "x": 2}
        assert mapped.child(1)["self"] is receiver

    def test_the_given_parameters_are_not_changed(self):
        """18.16"""
        parameters = {"x": unmapped(1), "args": ([1, 2],), "kw": {"z": unmapped(2)}}
        before = repr(parameters)
        map_parameters(signature_plan(variadic), parameters).child(0)
        assert repr(parameters) == before

    def test_a_later_change_of_a_mapped_list_does_not_matter(self):
        """18.18"""
        values = [1, 2]
        mapped = map_parameters(signature_plan(add), {"x": values})
        values.clear()
        assert mapped.child(1) == {"x": 2, "y": 1}

    @given(st.lists(st.integers(), max_size=5), st.integers())
    def test_every_child_gets_its_items(self, items, static):
        """18.18"""
        children = expand(variadic, items, [*reversed(items)], static, k=items, z=items)
        assert children == [
            {"x": item, "args": (other, static), "k": item, "kw": {"z": item}}
            for item, other in zip(items, reversed(items), strict=True)
        ]
