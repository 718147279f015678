"""Mapping: what is iterated, what is the same for every run, lengths and errors."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import BaseModel

from oxtask import flow, task, unmapped
from oxtask.exceptions import (
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    UpstreamTaskError,
)
from oxtask.futures import FutureList


@task
def identity(x):
    return x


@task
def pair(x, y):
    return x, y


@task
def fail(error):
    raise error


def mapped(made, *args, **kwargs):
    """Return the results of a map in a flow."""
    return flow(lambda: made.map(*args, **kwargs).result())()


class OldStyle:
    """A sequence without ``__iter__``."""

    def __getitem__(self, index):
        return [5, 6][index]


@pytest.mark.parametrize(
    ("iterable", "items"),
    [
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        (range(2), [0, 1]),
        ({"a": 1, "b": 2}, ["a", "b"]),
        (OrderedDict(a=1), ["a"]),
        ({3}, [3]),
        (frozenset({3}), [3]),
        (iter([1, 2]), [1, 2]),
        (bytearray(b"ab"), [97, 98]),
        (memoryview(b"ab"), [97, 98]),
        (OldStyle(), [5, 6]),
        (zip([1], [2], strict=True), [(1, 2)]),
    ],
)
def test_iterables_are_iterated(iterable, items):
    """18.3"""
    assert mapped(identity, iterable) == items


def test_generators_are_iterated():
    """18.3"""
    assert mapped(identity, (x * 2 for x in range(3))) == [0, 2, 4]


def test_arrays_are_iterated_along_their_first_axis():
    """18.3"""
    rows = mapped(identity, np.arange(4).reshape(2, 2))
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3]]
    assert mapped(pair, [1, 2], np.array(5)) == [(1, 5), (2, 5)]


class Model(BaseModel):
    x: int = 1


@dataclass
class Data:
    x: int = 1


@pytest.mark.parametrize(
    "static", [None, 5, 1.5, "text", b"bytes", io.StringIO("a"), Model(), Data(), object(), Model]
)
def test_what_is_no_collection_is_the_same_for_every_run(static):
    """18.3, 18.4, W25"""
    results = mapped(pair, [1, 2], static)
    assert [x for x, _ in results] == [1, 2]
    assert all(y is static for _, y in results)
    with pytest.raises(MappingMissingIterable):
        mapped(identity, static)


def test_unmapped_is_the_same_for_every_run():
    """18.4"""
    whole = [7, 8]
    results = mapped(pair, [1, 2], y=unmapped(whole))
    assert results == [(1, [7, 8]), (2, [7, 8])]
    assert all(y is whole for _, y in results)


def test_an_unmapped_future_is_resolved_for_every_run():
    """18.4"""

    @flow
    def main():
        whole = identity.submit([7, 8])
        return pair.map([1, 2], unmapped(whole)).result()

    assert main() == [(1, [7, 8]), (2, [7, 8])]


def test_defaults_are_never_mapped_unless_they_are_given():
    """18.5"""

    @task
    def default(x, y=(1, 2)):
        return x, y

    assert mapped(default, [1, 2]) == [(1, (1, 2)), (2, (1, 2))]
    assert mapped(default, [1, 2], (1, 2)) == [(1, 1), (2, 2)]


def test_nothing_to_iterate_is_an_error():
    """18.6"""
    for args in ((), (5,), (unmapped([1]),), ("text",)):
        with pytest.raises(MappingMissingIterable, match="No iterable parameter"):
            mapped(task(lambda x=1: x), *args)


def test_a_future_of_a_text_is_nothing_to_iterate():
    """18.6"""
    with pytest.raises(MappingMissingIterable):
        flow(lambda: identity.map(identity.submit("text")))()


def test_unequal_lengths_are_an_error_that_tells_them():
    """18.6"""
    with pytest.raises(MappingLengthMismatch, match=r"\{'x': 2, 'y': 3\}"):
        mapped(pair, [1, 2], [1, 2, 3])
    with pytest.raises(MappingLengthMismatch, match=r"\{'x': 0, 'y': 1\}"):
        mapped(pair, [], [1])


def test_an_empty_map_has_no_runs():
    """18.7"""

    @flow
    def main():
        futures = identity.map([])
        assert isinstance(futures, FutureList)
        assert identity.map([], return_state=True) == []
        return list(futures), futures.result()

    assert main() == ([], [])


def test_keywords_of_the_function_are_mapped_one_by_one():
    """18.8"""

    @task
    def keywords(x, **rest):
        return x, rest

    assert mapped(keywords, [1, 2], a=[3, 4], b=5) == [
        *((1, {"a": 3, "b": 5}), (2, {"a": 4, "b": 5})),
    ]
    with pytest.raises(MappingLengthMismatch, match=r"\{'x': 2, 'a': 1\}"):
        mapped(keywords, [1, 2], a=[3])


def test_positional_arguments_are_mapped_one_by_one():
    """18.9, W26"""

    @task
    def positional(*args):
        return args

    assert mapped(positional, [1, 2], [3, 4], 5) == [(1, 3, 5), (2, 4, 5)]


class Summer:
    """An object that can be iterated, with a task for a method."""

    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    @task
    def plus(self, x):
        return sum(self.items) + x


def test_the_object_of_a_method_is_never_mapped():
    """18.10, W27"""
    assert mapped(Summer(1, 2, 3).plus, [10, 20]) == [16, 26]


def test_a_positional_parameter_and_a_keyword_of_the_same_name_stay_apart():
    """18.11, W28"""

    @task
    def positional(a, /, **kw):
        return a, kw

    assert mapped(positional, [1, 2], a=[3, 4]) == [(1, {"a": 3}), (2, {"a": 4})]


def test_futures_are_resolved_before_they_are_iterated():
    """18.2"""

    @flow
    def main():
        return pair.map(identity.submit([1, 2]), y=identity.submit(3)).result()

    assert main() == [(1, 3), (2, 3)]


def test_futures_inside_of_iterables_are_left_to_each_run():
    """18.2"""

    @flow
    def main():
        futures = identity.map([1, 2])
        return identity.map(futures).result(), pair.map(futures, [futures[0], 3]).result()

    assert main() == ([1, 2], [(1, 1), (2, 3)])


def test_a_failed_future_raises_from_map():
    """18.14"""

    @flow
    def main():
        failed = fail.submit(ValueError("no"))
        with pytest.raises(UpstreamTaskError, match=str(failed.task_run_id)):
            identity.map(failed)
        return [future.state.name for future in identity.map([failed, 1]).copy()]

    @flow
    def states():
        failed = fail.submit(ValueError("no"))
        return [state.name for state in identity.map([failed, 1], return_state=True)]

    assert states() == ["NotReady", "Completed"]
    main()


def test_what_a_map_waits_for_holds_for_every_run():
    """18.15"""

    @flow
    def main():
        failed = fail.submit(ValueError("no"))
        states = identity.map([1, 2], wait_for=[failed], return_state=True)
        assert type(states) is list
        return [state.name for state in states]

    assert main() == ["NotReady", "NotReady"]


def test_states_are_returned_in_order():
    """18.15"""

    @flow
    def main():
        states = identity.map([1, 2, 3], return_state=True)
        return [state.result(_sync=True) for state in states]

    assert main() == [1, 2, 3]


def test_a_name_template_sees_the_parameters_of_each_run():
    """18.16, 38.3"""
    from oxtask._internal.task_runs import log_of

    @flow
    def main():
        named = pair.with_options(task_run_name="{x} with {y.x}")
        futures = named.map([1, 2], Data(7))
        futures.wait()
        return [log_of(future).record.name for future in futures]

    assert main() == ["1 with 7", "2 with 7"]


def test_map_needs_a_flow():
    """18.1"""
    with pytest.raises(RuntimeError, match="deferred=True"):
        identity.map([1])


def test_wrong_arguments_are_reported_before_the_missing_flow():
    """13.5, 18.1"""
    with pytest.raises(ParameterBindError):
        identity.map()
    with pytest.raises(ParameterBindError):
        pair.map([1], z=[2])


def test_deferred_maps_say_that_they_are_not_there():
    """18.1, 30.5"""
    with pytest.raises(NotImplementedError, match="'deferred=True' needs a task worker"):
        identity.map([1], deferred=True)


def test_an_iterator_that_raises_says_at_which_item():
    """Bad input: an iterator that raises at item k"""

    def broken():
        yield from range(3)
        raise LookupError("broken")

    ran = []

    @flow
    def main():
        before = task(ran.append).map([1, 2])
        with pytest.raises(LookupError, match="broken") as caught:
            identity.map(broken())
        before.wait()
        return caught.value.__notes__

    assert "item 3" in main()[0]
    assert sorted(ran) == [1, 2]


def test_an_iterable_that_raises_at_once_is_reported():
    """Bad input"""

    class Broken:
        def __iter__(self):
            raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        mapped(identity, Broken())


def test_functions_can_be_mapped_without_being_tasks_before():
    """38.2"""
    from oxtask._internal.task_runs import log_of

    def one(x):
        return x + 1

    def two(x):
        return x + 2

    @task
    def outer():
        futures = [task(one).map([1])[0], task(two).map([1])[0]]
        names = {log_of(future).record.name.split("-")[0] for future in futures}
        return [future.result() for future in futures], names

    assert flow(outer)() == ([2, 3], {"one", "two"})


@pytest.mark.asyncio
async def test_async_tasks_are_mapped_alike():
    """18.1"""

    @task
    async def double(x):
        return 2 * x

    @flow
    async def main():
        return [await future.aresult() for future in double.map(range(3))]

    assert await main() == [0, 2, 4]


def test_a_parameter_may_be_called_self():
    """18.1: of a function that is no method"""

    @task
    def strange(self, args=0):
        return self, args

    assert mapped(strange, self=[1, 2], args=3) == [(1, 3), (2, 3)]
    assert strange(self=1, args=2) == (1, 2)
