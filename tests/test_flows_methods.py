"""Methods as flows; the lines are of engine.md, section 4.1."""

from __future__ import annotations

import asyncio
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from oxtask import Flow, flow, task
from oxtask._core import TaskRunFuture
from oxtask.context import FlowRunContext


class Store:
    def __init__(self, name):
        self.name = name

    @flow
    def read(self, key, suffix="!"):
        return f"{self.name}.{key}{suffix}"

    @flow
    async def aread(self, key):
        return f"{self.name}.{key}"

    @flow
    @classmethod
    def inner_class(cls, key):
        return (cls, key)

    @classmethod
    @flow
    def outer_class(cls, key):
        return (cls, key)

    @flow
    @staticmethod
    def inner_static(key):
        return key

    @staticmethod
    @flow
    def outer_static(key):
        return key


class Cellar(Store):
    @flow
    def read(self, key, suffix="?"):
        return super().read(key, suffix)


class Empty(Store):
    def __len__(self):
        return 0


def test_a_method_is_a_flow_of_its_instance():
    """FL-10"""
    store = Store("a")
    assert isinstance(store.read, Flow)
    assert store.read("x") == "a.x!"
    assert store.read(key="x", suffix="") == "a.x"
    assert asyncio.run(store.aread("x")) == "a.x"


def test_a_method_shows_the_parameters_that_it_takes():
    """FL-10"""
    assert list(inspect.signature(Store.read).parameters) == ["self", "key", "suffix"]
    assert list(inspect.signature(Store("a").read).parameters) == ["key", "suffix"]
    assert list(inspect.signature(Store.inner_class).parameters) == ["key"]


def test_a_method_can_be_called_through_its_class():
    """FL-10"""
    assert isinstance(Store.read, Flow)
    assert Store.read(Store("b"), "x") == "b.x!"


def test_a_method_of_an_instance_that_counts_as_false():
    """FL-10"""
    assert Empty("e").read("x") == "e.x!"


def test_a_method_can_call_that_of_the_class_above():
    """FL-10"""
    assert Cellar("c").read("x") == "c.x?"


@pytest.mark.parametrize("name", ["inner_class", "outer_class"])
@pytest.mark.parametrize("access", [lambda kind: kind, lambda kind: kind("a")])
def test_a_class_method_is_a_flow_of_the_class_it_is_taken_from(name, access):
    """FL-10"""
    for kind in (Store, Cellar):
        method = getattr(access(kind), name)
        if name == "inner_class" or sys.version_info < (3, 13):
            assert isinstance(method, Flow)
        assert method("x") == (kind, "x")


@pytest.mark.parametrize("name", ["inner_static", "outer_static"])
def test_a_static_method_is_a_flow_of_nobody(name):
    """FL-10"""
    for owner in (Store, Store("a")):
        method = getattr(owner, name)
        assert isinstance(method, Flow)
        assert method("x") == "x"
        assert method(key="x") == "x"


def test_a_method_of_a_pydantic_model():
    """FL-10"""

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ignored_types=(Flow,))
        name: str

        @flow
        def read(self, key: int):
            return f"{self.name}.{key}"

    assert Model(name="m").read("3") == "m.3"
    assert isinstance(Model(name="m").read, Flow)


def test_flows_of_two_instances_do_not_mix():
    """FL-11, W13"""
    first, second = Store("a"), Store("b")
    a, b = first.read, second.read
    assert (a("x"), b("x"), a("y")) == ("a.x!", "b.x!", "a.y!")
    assert Store.read(second, "z") == "b.z!"
    c, d = Store.inner_class, Cellar.inner_class
    assert (c("x")[0], d("x")[0]) == (Store, Cellar)


def test_flows_of_many_instances_do_not_mix_in_threads():
    """FL-11, W13"""
    stores = [Store(str(number)) for number in range(4)]

    def read(number):
        return [stores[number].read(turn) for turn in range(50)]

    with ThreadPoolExecutor(4) as pool:
        for number, results in enumerate(pool.map(read, range(4))):
            assert results == [f"{number}.{turn}!" for turn in range(50)]


def test_a_variant_of_a_bound_flow_stays_bound():
    """FL-08"""
    store = Store("a")
    variant = store.read.with_options(name="other", retries=1)
    assert variant.name == "other"
    assert variant("x") == "a.x!"
    assert Store.inner_class.with_options(retries=1)("x") == (Store, "x")
    assert Cellar.inner_class.with_options(retries=1)("x") == (Cellar, "x")
    assert Store("a").inner_static.with_options(retries=1)("x") == "x"
    unbound = Store.inner_class.with_options(name="again")
    assert unbound.name == "again"


def test_hooks_of_a_method_are_those_of_all_instances():
    """FL-10"""
    seen = []

    class Counter:
        @flow
        def count(self):
            return 1

        @count.on_completion
        def note(flow, flow_run, state):
            seen.append(flow.name)

    first, second = Counter(), Counter()
    first.count()
    second.count()
    assert seen == ["count", "count"]


def test_who_is_bound_is_an_argument_but_not_recorded():
    """FL-35, FL-10"""
    seen = []

    class Keeper:
        @flow(flow_run_name="{self.name} of {key}")
        def keep(self, key):
            context = FlowRunContext.get()
            seen.append((context.parameters, context.flow_run.parameters, context.flow_run.name))

        @flow
        @classmethod
        def all(cls, key):
            context = FlowRunContext.get()
            seen.append((context.parameters, context.flow_run.parameters))

        name = "kim"

    keeper = Keeper()
    keeper.keep(3)
    Keeper.all(4)
    assert seen == [
        ({"self": keeper, "key": 3}, {"key": 3}, "kim of 3"),
        ({"cls": Keeper, "key": 4}, {"key": 4}),
    ]


def test_what_a_method_is_bound_to_is_passed_as_it_is():
    """FL-10: even if it holds futures"""
    seen = []

    @task
    def one():
        return 1

    @dataclass
    class Holder:
        future: Any

        @flow
        def look(self, x):
            seen.append(self)
            return x

    @flow
    def main():
        holder = Holder(one.submit())
        x = holder.look(one.submit())
        assert seen[0] is holder
        assert isinstance(holder.future, TaskRunFuture)
        return x

    assert main() == 1


def test_a_method_may_use_tasks_that_are_methods():
    """FL-10"""

    class Adder:
        def __init__(self, step):
            self.step = step

        @task
        def add(self, x):
            return x + self.step

        @flow
        def add_all(self, items):
            return self.add.map(items).result()

    assert Adder(2).add_all([1, 2]) == [3, 4]
    assert Adder(3).add_all([1, 2]) == [4, 5]
