"""Annotations of arguments (tasks.md 20)."""

from __future__ import annotations

from typing_extensions import assert_type

from oxtask import allow_failure, unmapped
from oxtask.futures import Future
from oxtask.utilities.annotations import BaseAnnotation, NotSet, freeze, opaque, quote


def an_annotation_knows_the_type_of_its_value(future: Future[int]) -> None:
    """20.1"""
    assert_type(unmapped([1]), unmapped[list[int]])
    assert_type(allow_failure(future), allow_failure[Future[int]])
    assert_type(quote("a").value, str)
    assert_type(opaque({"a": 1}).unwrap(), dict[str, int])


def one_layer_is_removed_at_a_time() -> None:
    """20.6"""
    assert_type(unmapped(allow_failure(1)).unwrap(), allow_failure[int])
    assert_type(unmapped(allow_failure(1)).value.value, int)


def an_annotation_is_rewrapped_as_what_it_is() -> None:
    """20.2"""
    assert_type(quote(1).rewrap(2), quote[int])
    quote(1).rewrap("a")  # type: ignore[arg-type]


def an_unmapped_value_is_an_endless_sequence() -> None:
    """20.5"""
    assert_type(unmapped("a")[1_000], str)


def quotes_and_constants_have_names_of_their_own() -> None:
    """20.7, 20.8"""
    assert_type(quote(1).unquote(), int)
    assert_type(freeze(1).unfreeze(), int)
    unmapped(1).unquote()  # type: ignore[attr-defined]


def an_annotation_holds_exactly_one_value() -> None:
    """20.1"""
    unmapped()  # type: ignore[call-arg]
    unmapped(1, 2)  # type: ignore[call-arg]
    quote(1).value = 2  # type: ignore[misc]


def all_are_annotations() -> None:
    """20.1, 20.9"""
    annotated: list[BaseAnnotation[int]] = [unmapped(1), allow_failure(1), quote(1), opaque(1)]
    marker: type[NotSet] = NotSet
    print(annotated, marker)
