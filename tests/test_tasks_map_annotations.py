"""Annotations around the arguments of a map."""

from __future__ import annotations

import pytest

from oxtask import allow_failure, flow, task, unmapped
from oxtask.exceptions import MappingMissingIterable, UpstreamTaskError
from oxtask.utilities.annotations import freeze, opaque, quote


@task
def identity(x):
    return x


@task
def pair(x, y):
    return x, y


@task
def fail(error):
    raise error


def in_flow(body):
    """Return what a function returns in a flow, whatever it is."""
    return flow(lambda: quote(body()))().unquote()


ERROR = ValueError("no")


@pytest.mark.parametrize(
    "wrap", [lambda f: unmapped(allow_failure(f)), lambda f: allow_failure(unmapped(f))]
)
def test_a_static_argument_may_be_a_failed_run(wrap):
    """18.12"""
    results = in_flow(lambda: pair.map([1, 2], wrap(fail.submit(ERROR))).result())
    assert results == [(1, ERROR), (2, ERROR)]


def test_items_of_a_quoted_list_are_quoted():
    """18.12"""

    def body():
        future = identity.submit(1)
        results = identity.map(quote([[future], 2])).result()
        return results[0][0] is future, results[1]

    assert in_flow(body) == (True, 2)


@pytest.mark.parametrize(
    "wrap", [lambda x: quote(unmapped(x)), lambda x: unmapped(quote(x)), lambda x: unmapped(x)]
)
def test_what_is_not_mapped_is_passed_whole(wrap):
    """18.12"""
    assert in_flow(lambda: pair.map([1, 2], wrap([7, 8])).result()) == [(1, [7, 8]), (2, [7, 8])]
    with pytest.raises(MappingMissingIterable):
        in_flow(lambda: identity.map(wrap([7, 8])))


@pytest.mark.parametrize("annotation", [quote, opaque, allow_failure, freeze])
def test_an_annotated_scalar_is_static(annotation):
    """18.12"""
    assert in_flow(lambda: pair.map([1, 2], annotation(5)).result()) == [(1, 5), (2, 5)]


def test_failures_are_allowed_for_each_item():
    """18.12"""
    results = in_flow(lambda: identity.map(allow_failure([fail.submit(ERROR), 2])).result())
    assert results == [ERROR, 2]


def test_items_of_an_opaque_list_are_opaque():
    """18.12"""

    def body():
        future = identity.submit(1)
        results = identity.map(opaque([future, [future]])).result()
        return results[0], results[1][0] is future

    assert in_flow(body) == (1, True)


def test_items_of_a_frozen_list_are_mapped():
    """18.12, W29"""
    assert in_flow(lambda: identity.map(freeze([1, 2])).result()) == [1, 2]


@pytest.mark.parametrize("annotation", [allow_failure, opaque])
def test_an_annotated_future_is_resolved_and_mapped(annotation):
    """18.13, W30"""
    assert in_flow(lambda: identity.map(annotation(identity.submit([1, 2]))).result()) == [1, 2]


def test_a_failure_that_is_allowed_goes_to_every_run():
    """18.13, W30"""
    results = in_flow(lambda: pair.map([1, 2], allow_failure(fail.submit(ERROR))).result())
    assert results == [(1, ERROR), (2, ERROR)]


def test_a_failure_that_is_not_allowed_raises():
    """18.14"""
    with pytest.raises(UpstreamTaskError):
        in_flow(lambda: pair.map([1, 2], opaque(fail.submit(ERROR))))


def test_a_quoted_future_is_static():
    """18.13: and stays a future"""

    def body():
        future = identity.submit([1, 2])
        return [y is future for _, y in pair.map([1, 2], quote(future)).result()]

    assert in_flow(body) == [True, True]
