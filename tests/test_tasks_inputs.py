"""Inputs: results in place of futures and states, wherever they stand; annotations."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from pydantic import BaseModel, PrivateAttr
from ways import WAYS

from oxtask import allow_failure, flow, task, unmapped
from oxtask.client.schemas.objects import FlowRun
from oxtask.context import FlowRunContext
from oxtask.exceptions import FailedRun, OxtaskException
from oxtask.states import Completed
from oxtask.utilities.annotations import freeze, opaque, quote


@task
def identity(x):
    return x


@task
async def aidentity(x):
    return x


@task
def fail(error):
    raise error


def through(way, make, prepare=lambda: identity.submit(3)):
    """Return what a task receives when it is given ``make(future)``."""
    is_async = way in {"await", "submit async", "map async"}
    made = aidentity if is_async else identity

    if way == "await":

        @flow
        async def main():
            return quote(await made(make(prepare())))

        return asyncio.run(main()).unquote()

    @flow
    def main():
        value = make(prepare())
        if way == "call":
            return quote(made(value))
        if way.startswith("map"):
            return quote(made.map([value])[0].result())
        return quote(made.submit(value).result())

    return main().unquote()


each_way = pytest.mark.parametrize("way", WAYS)


@dataclass
class Data:
    x: object
    y: list = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    x: object
    y: object = field(init=False, default=None)


class Model(BaseModel):
    model_config = {"arbitrary_types_allowed": True, "extra": "allow"}
    x: object = None
    _private: object = PrivateAttr(default=None)


class Point(NamedTuple):
    x: object
    y: object


@each_way
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda f: f, 3),
        (lambda f: [f, 1], [3, 1]),
        (lambda f: (f, (f,)), (3, (3,))),
        (lambda f: {f}, {3}),
        (lambda f: frozenset({f}), frozenset({3})),
        (lambda f: {"a": [f]}, {"a": [3]}),
        (lambda f: {f: 1}, {3: 1}),
        (lambda f: Data(f, [f]), Data(3, [3])),
        (lambda f: Frozen(f), Frozen(3)),
        (lambda f: Model(x=f, extra=[f]), Model(x=3, extra=[3])),
        (lambda f: Point(f, 1), Point(3, 1)),
        (lambda f: deque([f], maxlen=2), deque([3], maxlen=2)),
        (lambda f: OrderedDict(a=f), OrderedDict(a=3)),
        (lambda f: [[[[[f]]]]], [[[[[3]]]]]),
        (lambda f: Completed(data=5), 5),
        (lambda f: [Completed(data=5)], [5]),
        (lambda f: [f.state if f.wait() is None else None], [3]),
    ],
)
def test_futures_and_states_are_replaced_by_results(way, make, expected):
    """22.1, 22.8, 22.11, TE-60, W36"""
    received = through(way, make)
    assert received == expected
    assert type(received) is type(expected)


def test_containers_are_rebuilt_as_they_are():
    """21.7, W33: no constructor is called, nothing is lost"""
    received = through("call", lambda f: defaultdict(list, a=f))
    assert received == {"a": 3}
    assert received.default_factory is list
    assert through("call", lambda f: Counter({"a": f})) == Counter(a=3)
    model = Model(x=1)
    model._private = "kept"
    assert through("call", lambda f: [model, f])[0] is model
    assert through("call", lambda f: deque([f], maxlen=2)).maxlen == 2


def test_what_holds_no_future_is_not_rebuilt():
    """12.3, 21.5"""
    inner, outer = [1], {"a": 1}
    received = through("call", lambda f: [inner, outer, f])
    assert received[0] is inner
    assert received[1] is outer


def test_the_same_object_twice_stays_the_same_object():
    """21.14"""
    for wrap in (list, tuple, lambda items: dict(enumerate(items))):
        for rest in ([], [{3}]):  # the core's walk, and Python's
            received = through("call", lambda f: wrap([s := wrap([f]), s, wrap([s]), *rest]))
            assert received[0] == wrap([3])
            assert received[0] is received[1] is received[2][0]


def test_results_that_hold_futures_are_resolved_too():
    """22.3"""
    received = through("submit", lambda f: identity.submit(quote([f])))
    assert received == [3]
    assert through("call", lambda f: identity.submit(quote({"a": [f]}))) == {"a": [3]}


def test_what_is_no_collection_is_not_searched():
    """TE-60"""

    class Plain:
        def __init__(self, x):
            self.x = x

    seen = []
    received = through("call", lambda f: seen.append(f) or Plain(f))
    assert received.x is seen[0]


@each_way
def test_quote_leaves_its_value_untouched(way):
    """22.6, 20.10, TE-64"""
    seen = []
    inner = through(way, lambda f: quote(seen.append([f]) or seen[0]))
    assert inner is seen[0]
    assert through(way, lambda f: [quote(f), f])[1] == 3
    assert through(way, lambda f: {"a": quote(seen[0])})["a"] is seen[0]


@each_way
def test_opaque_resolves_its_value_but_does_not_look_inside(way):
    """22.7, 21.13, TE-64"""
    assert through(way, lambda f: opaque(f)) == 3
    seen = []
    received = through(way, lambda f: opaque(seen.append(f) or [f]))
    assert received[0] is seen[0]
    seen.clear()
    inner = through(way, lambda f: opaque(identity.submit(quote(seen.append(f) or [f]))))
    assert inner[0] is seen[0]


@each_way
@pytest.mark.parametrize("annotation", [unmapped, allow_failure, freeze, quote, opaque])
def test_annotations_never_reach_the_body(way, annotation):
    """20.10"""
    assert through(way, lambda f: annotation(5)) == 5
    assert through(way, lambda f: [annotation("a")]) == ["a"]


def test_all_annotations_around_a_value_count():
    """TE-65, W34"""
    error = ValueError("no")
    failing = {"prepare": lambda: fail.submit(error)}
    assert through("submit", lambda f: allow_failure(opaque(f)), **failing) is error
    assert through("submit", lambda f: opaque(allow_failure(f)), **failing) is error
    assert through("submit", lambda f: allow_failure([unmapped(f)]), **failing) == [error]


def test_quoted_annotations_are_kept():
    """20.10"""
    assert through("call", lambda f: quote(allow_failure(1))) == allow_failure(1)


@each_way
def test_allow_failure_hands_over_the_exception(way):
    """23.4, 23.5, TE-63"""
    error = ValueError("no")
    failing = {"prepare": lambda: fail.submit(error)}
    assert through(way, lambda f: allow_failure(f), **failing) is error
    assert through(way, lambda f: allow_failure([f, 1]), **failing) == [error, 1]
    assert through(way, lambda f: {"a": [allow_failure(f)]}, **failing) == {"a": [error]}
    assert through(way, lambda f: allow_failure(f)) == 3


def test_allow_failure_of_a_failed_state_without_data_gives_an_error_with_its_message():
    """23.4"""
    from oxtask.states import Failed

    received = through("submit", lambda f: allow_failure(Failed(message="mine")))
    assert isinstance(received, FailedRun)
    assert str(received) == "mine"


def test_allow_failure_of_a_run_that_never_started_gives_nothing():
    """23.4, TE-63"""
    not_ready = {"prepare": lambda: identity.submit(fail.submit(ValueError("no")))}
    assert through("submit", lambda f: allow_failure([f]), **not_ready) == [None]


class Stop(BaseException):
    pass


def test_allow_failure_covers_crashed_and_cancelled_runs():
    """23.4, W37, TE-63"""
    from oxtask.exceptions import CancelledRun
    from oxtask.states import Cancelled

    crash = Stop("stop")
    crashed = {"prepare": lambda: fail.submit(crash)}
    assert through("submit", lambda f: allow_failure([f]), **crashed) == [crash]
    cancelled = {"prepare": lambda: task(lambda: Cancelled(message="mine")).submit()}
    received = through("submit", lambda f: allow_failure([f]), **cancelled)[0]
    assert isinstance(received, CancelledRun)


@pytest.mark.parametrize("how", ["direct", "nested", "result", "mapped"])
def test_run_records_are_no_arguments(how):
    """22.5, TE-67"""

    @flow
    def main():
        record = FlowRunContext.get().flow_run
        with pytest.raises(OxtaskException, match="Passing a `FlowRun` object"):
            if how == "direct":
                identity(record)
            elif how == "nested":
                identity.submit({"a": [record]}).result()
            elif how == "result":
                identity.submit(task(lambda: record).submit()).result()
            else:
                identity.map([record]).result()
        return identity(opaque(record)) is record and identity(quote(record)) is record

    assert main()


def test_run_records_are_recognised_by_type():
    """22.5"""
    with pytest.raises(OxtaskException, match="`opaque`"):
        identity(FlowRun())


def test_inputs_are_resolved_once_for_all_attempts():
    """22.10"""
    seen = []

    @task(retries=2)
    def body(x):
        seen.append(x)
        if len(seen) < 3:
            raise ValueError

    @flow
    def main():
        body.submit([identity.submit(3)]).wait()

    main()
    assert seen == [[3]] * 3
    assert seen[0] is seen[1] is seen[2]


@pytest.mark.parametrize("way", ["submit", "submit async", "map"])
def test_an_error_in_the_inputs_names_the_parameter(way):
    """22.4, TE-68"""
    with pytest.raises(OxtaskException, match="Failed to resolve inputs in parameter") as caught:
        through(way, lambda f: {Completed(data=[]): 1})
    assert isinstance(caught.value.__cause__, TypeError)
    assert "`quote`" in str(caught.value)
    assert "`opaque`" in str(caught.value)


def test_a_task_may_return_an_annotation():
    """20.11"""
    assert task(lambda: quote(1))() == quote(1)
