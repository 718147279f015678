import copy
import pickle
import warnings
from itertools import islice

import cloudpickle
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from oxtask.utilities.annotations import (
    BaseAnnotation,
    NotSet,
    Quote,
    allow_failure,
    freeze,
    opaque,
    quote,
    unmapped,
)

KINDS = [unmapped, allow_failure, quote, opaque, freeze]

each_kind = pytest.mark.parametrize("kind", KINDS)


class Tagged(BaseAnnotation):
    """A user's annotation, with room for attributes."""


@each_kind
class TestEveryAnnotation:
    def test_exposes_its_value_like_a_tuple_of_one(self, kind):
        """20.1"""
        value = [1]
        annotation = kind(value)
        assert annotation.value is value
        assert annotation.unwrap() is value
        assert annotation[0] is value
        assert list(annotation) == [value]
        assert len(annotation) == 1
        assert isinstance(annotation, tuple)
        assert isinstance(annotation, BaseAnnotation)

    @pytest.mark.parametrize("arguments", [(), (1, 2)])
    def test_takes_exactly_one_value(self, kind, arguments):
        """20.1"""
        with pytest.raises(TypeError):
            kind(*arguments)

    def test_value_is_read_only(self, kind):
        """20.1"""
        with pytest.raises(AttributeError):
            kind(1).value = 2

    def test_rewrap_gives_the_same_kind_around_another_value(self, kind):
        """20.2"""
        rewrapped = kind(1).rewrap([2])
        assert type(rewrapped) is kind
        assert rewrapped.value == [2]

    def test_repr_shows_the_kind_and_the_value(self, kind):
        """20.2"""
        assert repr(kind("a")) == f"{kind.__name__}('a')"

    def test_equals_only_the_same_kind_around_an_equal_value(self, kind):
        """20.3"""
        assert kind([1]) == kind([1])
        assert (kind([1]) != kind([1])) is False
        assert kind([1]) != kind([2])
        assert kind([1]) != ([1],)
        plain = ([1],)
        assert plain != kind([1])
        for other in KINDS:
            assert (kind(1) == other(1)) is (kind is other)
            assert (kind(1) != other(1)) is (kind is not other)

    def test_is_hashable_if_its_value_is(self, kind):
        """20.3, W31"""
        assert hash(kind((1, "a"))) == hash(kind((1, "a")))
        assert len({kind(1), kind(1), kind(2)}) == 2
        with pytest.raises(TypeError, match="unhashable"):
            hash(kind([]))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_survives_pickling_exactly(self, kind, protocol):
        """20.4, W32"""
        annotation = kind([1, (2,)])
        loaded = pickle.loads(pickle.dumps(annotation, protocol))
        assert type(loaded) is kind
        assert loaded.value == [1, (2,)]

    def test_survives_cloudpickle_and_copying_exactly(self, kind):
        """20.4, W32"""
        annotation = kind([1])
        assert cloudpickle.loads(cloudpickle.dumps(annotation)) == annotation
        assert copy.copy(annotation) == annotation
        assert copy.copy(annotation).value is annotation.value
        assert copy.deepcopy(annotation) == annotation
        assert copy.deepcopy(annotation).value is not annotation.value

    def test_nests_and_unwraps_one_layer_at_a_time(self, kind):
        """20.6"""
        nested = quote(kind(1))
        assert nested.unwrap() == kind(1)
        assert type(nested.unwrap()) is kind


def test_hash_tells_kinds_apart():
    """20.3, W31"""
    assert len({kind(1) for kind in KINDS}) == len(KINDS)
    assert len({hash(kind(1)) for kind in KINDS}) == len(KINDS)


def test_an_annotation_in_a_cycle_survives_pickling_and_deepcopy():
    """20.4, W32"""
    cycle = []
    cycle.append(quote(cycle))
    for copied in (pickle.loads(pickle.dumps(cycle)), copy.deepcopy(cycle)):
        assert copied is not cycle
        assert copied[0].value is copied


def test_a_users_annotation_keeps_its_attributes_when_pickled():
    """20.4, W32"""
    tagged = Tagged(1)
    tagged.reason = "why"
    loaded = pickle.loads(pickle.dumps(tagged))
    assert loaded == tagged
    assert loaded.reason == "why"


def test_annotations_have_no_attributes_of_their_own():
    """20.1"""
    with pytest.raises(AttributeError):
        quote(1).extra = 2


class TestUnmapped:
    def test_reads_as_an_endless_sequence_of_its_value(self):
        """20.5"""
        value = [1, 2]
        annotation = unmapped(value)
        for index in (0, 1, 10**9, -1, "any"):
            assert annotation[index] is value

    def test_iterates_over_its_one_value(self):
        """20.5"""
        assert list(islice(unmapped([1, 2]), 3)) == [[1, 2]]


class TestQuote:
    def test_unquote_is_unwrap(self):
        """20.7"""
        value = []
        assert quote(value).unquote() is value

    def test_the_former_name_warns_and_is_a_quote(self):
        """20.7"""
        with pytest.warns(DeprecationWarning, match="use `quote`") as caught:
            annotation = Quote(1)
        assert isinstance(annotation, quote)
        assert annotation.unquote() == 1
        assert caught[0].filename == __file__

    def test_the_former_name_warns_only_where_the_user_wrote_it(self):
        """20.7, W32"""
        with pytest.warns(DeprecationWarning, match="deprecated"):
            annotation = Quote([1])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert pickle.loads(pickle.dumps(annotation)) == annotation
            assert copy.deepcopy(annotation) == annotation
            assert type(annotation.rewrap(2)) is Quote


class TestFreeze:
    @pytest.mark.parametrize("value", [1, "a", None, [1, {"a": 2.5}], {1, 2}, float("nan")])
    def test_accepts_what_can_be_written_as_json(self, value):
        """20.8"""
        assert freeze(value).unfreeze() is value

    def test_refuses_what_cannot_be_written_as_json(self):
        """20.8, 42.21"""
        with pytest.raises(ValueError, match="Value must be JSON serializable") as caught:
            freeze(object())
        assert "<object object" in str(caught.value)
        assert caught.value.__cause__ is not None

    def test_rewrap_checks_the_new_value(self):
        """20.8"""
        with pytest.raises(ValueError, match="Value must be JSON serializable"):
            freeze(1).rewrap(object())

    def test_is_written_by_pydantic_as_the_bare_value(self):
        """20.8"""
        assert TypeAdapter(freeze).dump_python(freeze([1])) == [1]
        assert TypeAdapter(freeze[int]).dump_json(freeze(5)) == b"5"

    def test_is_validated_by_pydantic_from_a_bare_or_frozen_value(self):
        """20.8"""

        class Model(BaseModel):
            size: freeze[int]

        assert Model(size=3).size == freeze(3)
        assert Model(size=freeze(3)).size == freeze(3)
        assert Model.model_validate_json('{"size": 3}').model_dump() == {"size": 3}
        with pytest.raises(ValidationError):
            Model(size=freeze("many"))

    def test_has_the_json_schema_of_its_value(self):
        """20.8"""
        for mode in ("validation", "serialization"):
            assert TypeAdapter(freeze[int]).json_schema(mode=mode) == {"type": "integer"}


def test_not_set_is_a_truthy_class_to_compare_with_is():
    """20.9"""
    assert isinstance(NotSet, type)
    assert NotSet
