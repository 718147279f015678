"""Methods, class methods and static methods as tasks."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import threading
import weakref

import pytest
from pydantic import BaseModel, ConfigDict, PydanticUserError

from oxtask import Task, flow, task
from oxtask._internal.task_runs import log_of
from oxtask.context import TaskRunContext
from oxtask.exceptions import ParameterBindError


class Holder:
    def __init__(self, value):
        self.value = value

    @task
    def plus(self, x=0):
        return self.value + x

    @task
    async def aplus(self, x=0):
        return self.value + x

    @task
    def me(self):
        return self

    @task
    @classmethod
    def inner_class(cls):
        return cls

    @classmethod
    @task
    def outer_class(cls):
        return cls

    @task
    @staticmethod
    def inner_static(x):
        return x

    @staticmethod
    @task
    def outer_static(x):
        return x


class Sub(Holder):
    pass


def test_a_method_is_a_task_bound_to_its_object():
    """9.1, 9.3"""
    holder = Holder(5)
    assert isinstance(holder.plus, Task)
    assert holder.plus is not holder.plus
    assert holder.plus() == 5
    assert holder.plus(1) == 6
    assert holder.me() is holder
    assert asyncio.run(holder.aplus(1)) == 6


def test_a_method_can_be_submitted_and_mapped():
    """9.3"""

    @flow
    def main():
        holder = Holder(5)
        return (
            holder.plus.submit(1).result(),
            holder.plus.map([1, 2]).result(),
            holder.aplus.submit(x=1).result(),
            holder.aplus.map([1, 2]).result(),
        )

    assert main() == (6, [6, 7], 6, [6, 7])


def test_bindings_do_not_mix():
    """9.2a, W13"""
    first, second = Holder(1).plus, Holder(2).plus
    assert (first(), second(), first()) == (1, 2, 1)


def test_the_class_keeps_the_unbound_task():
    """9.2b, 9.2e, W13"""
    holder = Holder(3)
    assert Holder.plus(holder, 1) == 4
    assert holder.plus(1) == 4
    assert Holder.plus(holder, 1) == 4
    with pytest.raises(ParameterBindError):
        Holder.plus()
    assert holder.plus.ismethod
    assert not Holder.plus.ismethod


def test_an_object_is_not_kept_alive():
    """9.2c, W13"""
    holder = Holder(1)
    gone = weakref.ref(holder)
    holder.plus()
    flow(lambda held: held.plus.submit().result())(holder)
    del holder
    gc.collect()
    assert gone() is None


def test_threads_do_not_mix_bindings():
    """9.2d, W13"""
    wrong, right = [], []
    barrier = threading.Barrier(8)

    def access(value):
        holder = Holder(value)
        barrier.wait(10)
        for _ in range(5_000):
            (right if holder.plus() == value else wrong).append(value)

    threads = [threading.Thread(target=access, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(right) == 40_000


def test_a_model_can_have_task_methods():
    """9.3"""

    class Model(BaseModel):
        model_config = ConfigDict(ignored_types=(Task,))
        x: int

        @task
        def double(self):
            return 2 * self.x

    assert Model(x=4).double() == 8
    assert flow(lambda: Model(x=4).double.submit().result())() == 8


def test_a_model_must_be_told_that_tasks_are_no_fields():
    """9.11: the error is pydantic's, as for any object that is no function"""
    with pytest.raises(PydanticUserError, match="non-annotated attribute"):

        class Model(BaseModel):
            @task
            def method(self):
                return None


class Empty:
    """An object that is false."""

    def __len__(self):
        return 0

    @task
    def method(self):
        return "bound"


def test_an_object_that_is_false_is_bound():
    """9.4, W14"""
    assert Empty().method() == "bound"


def test_the_object_is_a_parameter_like_others():
    """9.5"""

    class Named:
        a = "name"

        @task(task_run_name="{self.a} {x}")
        def run(self, x):
            context = TaskRunContext.get()
            return context.task_run.name, list(context.parameters)

    assert Named().run(1) == ("name 1", ["self", "x"])


@pytest.mark.parametrize("name", ["inner_class", "outer_class"])
def test_class_methods_get_the_class_they_are_found_on(name):
    """9.6, W13"""
    held, sub = getattr(Holder, name), getattr(Sub, name)
    assert held() is Holder
    assert sub() is Sub
    assert held() is Holder
    assert getattr(Sub(1), name)() is Sub


def test_class_methods_are_tasks():
    """9.6"""
    assert isinstance(Holder.inner_class, Task)
    assert isinstance(Holder.outer_class, Task) == (sys.version_info < (3, 13))

    @flow
    def main():
        return Holder.inner_class.submit().result(), Sub(1).inner_class.submit().result()

    assert main() == (Holder, Sub)


@pytest.mark.parametrize("name", ["inner_static", "outer_static"])
def test_static_methods_are_never_bound(name):
    """9.7, W15"""
    assert getattr(Holder, name)(1) == 1
    assert getattr(Holder(5), name)(2) == 2
    assert getattr(Holder, name)(3) == 3
    assert flow(lambda: getattr(Holder(5), name).map([1, 2]).result())() == [1, 2]


def test_a_task_tells_of_what_kind_of_method_it_is():
    """9.8"""
    assert Holder.inner_class.isclassmethod
    assert Holder.inner_static.isstaticmethod
    assert not Holder.plus.isclassmethod
    assert not Holder.plus.isstaticmethod
    assert Holder.inner_class.with_options(name="n").isclassmethod


def test_hooks_of_a_bound_task_are_those_of_all():
    """9.9, 11.9"""

    class Hooked:
        @task
        def run(self):
            return self

    seen = []
    first, second = Hooked(), Hooked()
    first.run.on_completion(lambda t, run, state: seen.append(t))
    called = second.run
    called()
    assert seen == [called]
    assert seen[0]._receiver is second


def test_a_method_can_call_that_of_its_base():
    """9.10"""

    class Base:
        @task
        def run(self, x):
            return x + 1

    class Derived(Base):
        __slots__ = ()

        @task
        def run(self, x):
            return super().run(x) * 10

    assert Derived().run(1) == 20


def test_all_objects_share_name_and_key():
    """9.10"""
    assert Holder(1).plus.name == Holder(2).plus.name == Holder.plus.name == "plus"
    assert Holder(1).plus.task_key == Holder.plus.task_key


def test_the_signature_of_a_bound_task_has_no_self():
    """6.2"""
    assert list(inspect.signature(Holder(1).plus).parameters) == ["x"]
    assert list(inspect.signature(Holder.plus).parameters) == ["self", "x"]
    assert list(inspect.signature(Holder.inner_class).parameters) == []


def test_the_wrong_arguments_of_a_bound_task_are_refused():
    """13.3"""
    with pytest.raises(ParameterBindError, match="too many positional arguments"):
        Holder(1).plus(1, 2)


def test_runs_of_methods_are_runs_of_the_task():
    """9.10"""

    @flow
    def main():
        return log_of(Holder(1).plus.submit()).record.task_key

    assert main() == Holder.plus.task_key
