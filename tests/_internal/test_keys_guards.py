"""The key of what a task does is kept, and never out of date."""

from __future__ import annotations

import functools
import gc
import logging
import sys
import threading
import types
import weakref
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from oxtask import _core, task
from oxtask._internal.keys_guards import key_of_function
from oxtask._internal.keys_tasks import kept_key
from oxtask.cache_policies import TASK_SOURCE

LIMIT = 1
NUMBERS = [1]
ARRAY = np.zeros(3)
LOGGER = logging.getLogger(__name__)
LOCK = threading.Lock()
CALLS: list[int] = []


def helper(x, extra=0, *, factor=1):
    return (x + LIMIT + extra) * factor


def other(x):
    return x


def calls_helper(x):
    LOGGER.info("called")
    with LOCK:
        CALLS.append(x)
    return helper(x)


@dataclass
class Point:
    x: int
    scale = 2

    def scaled(self):
        return self.x * self.scale


class Derived(Point):
    pass


def makes_point(x):
    return Derived(x).scaled()


def library_user(x):
    return functools.reduce(max, [x, len(NUMBERS)])


def own_module(**names):
    """Return a module of the program."""
    module = types.ModuleType("guarded_helpers")
    exec("def work(x): return x", vars(module))
    vars(module).update(names)
    return module


HELPERS = own_module()


def calls_module(x):
    return HELPERS.work(x), HELPERS.missing if False else None


def assert_follows(function, change, *, back=None, is_kept=True):
    """Assert that a change of what a function does changes the key that was kept."""
    made = task(function)
    context = SimpleNamespace(task=made)
    before = TASK_SOURCE.compute_key(context, {}, {})
    assert before == key_of_function(function) == TASK_SOURCE.compute_key(context, {}, {})
    assert kept_key(made).is_kept() is is_kept
    change()
    assert kept_key(made).is_kept() is False
    after = TASK_SOURCE.compute_key(context, {}, {})
    assert after == key_of_function(function)
    assert after != before
    if back is not None:
        back()
        assert TASK_SOURCE.compute_key(context, {}, {}) == before


def test_a_key_stays_while_nothing_changes():
    """P13"""
    for function in (helper, calls_helper, makes_point, calls_module, library_user):
        made = task(function)
        keys = {kept_key(made).key() for _ in range(3)}
        assert keys == {key_of_function(function)}
        assert kept_key(made).is_kept()


@pytest.mark.parametrize("function", [helper, calls_helper])
def test_a_global_is_bound_to_another_value(monkeypatch, function):
    """P16"""
    with monkeypatch.context() as patch:
        assert_follows(
            function, lambda: patch.setitem(globals(), "LIMIT", 2), back=lambda: patch.undo()
        )


def test_a_global_of_the_name_of_a_builtin_appears(monkeypatch):
    """P16"""
    change = functools.partial(monkeypatch.setitem, globals(), "len", other)
    assert_follows(library_user, change)


@pytest.mark.parametrize("name", ["NUMBERS", "ARRAY"])
def test_a_global_is_changed_in_place(name):
    """P16"""
    value = globals()[name]
    function = eval(f"lambda: {name}", globals())
    first = value[0]

    def change(item):
        value[0] = item

    assert_follows(function, lambda: change(7), back=lambda: change(first))


def test_what_is_only_filled_does_not_count():
    """P16"""
    made = task(calls_helper)
    before = kept_key(made).key()
    CALLS.append(1)
    assert kept_key(made).is_kept()
    assert kept_key(made).key() == before


@pytest.mark.parametrize("value", [1, [1], other])
def test_a_cell_holds_another_value(value):
    """W-P2"""

    def closure():
        return value

    def change(to):
        nonlocal value
        value = to

    old = value
    assert_follows(closure, lambda: change(2), back=lambda: change(old))


def test_a_cell_is_filled_later():
    """W-P2"""

    def closure():
        return later

    def change():
        nonlocal later
        later = 1

    assert_follows(closure, change)
    later = None


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("__code__", other.__code__),
        ("__defaults__", (1,)),
        ("__defaults__", None),
        ("__kwdefaults__", {"factor": 2}),
        ("__kwdefaults__", None),
    ],
)
@pytest.mark.parametrize("of", [helper, calls_helper])
def test_a_function_gets_other_code_or_defaults(monkeypatch, part, value, of):
    """W-P3"""
    assert_follows(of, lambda: monkeypatch.setattr(helper, part, value))


def test_defaults_are_changed_in_place(monkeypatch):
    """W-P3"""

    def one(x=[1]):
        return x

    def two(*, x=1):
        return x

    assert_follows(one, lambda: one.__defaults__[0].append(2))
    assert_follows(two, lambda: monkeypatch.setitem(two.__kwdefaults__, "x", 2))


def test_a_function_is_bound_to_another(monkeypatch):
    """P16"""
    assert_follows(calls_helper, lambda: monkeypatch.setitem(globals(), "helper", other))
    assert_follows(calls_module, lambda: monkeypatch.setattr(HELPERS, "work", other))
    assert_follows(
        calls_module, lambda: monkeypatch.setitem(globals(), "HELPERS", own_module(work=1))
    )


def test_a_missing_name_of_a_module_appears():
    """P16"""
    module = own_module()
    function = eval("lambda: module.later", {"module": module})
    assert_follows(function, lambda: vars(module).update(later=1))


@pytest.mark.parametrize("cls", [Point, Derived])
@pytest.mark.parametrize(
    ("name", "value"), [("scale", 3), ("scaled", lambda self: 0), ("more", 1), ("__init__", other)]
)
def test_a_class_gets_another_attribute(monkeypatch, cls, name, value):
    """P16"""
    assert_follows(makes_point, lambda: monkeypatch.setattr(cls, name, value, raising=False))


def test_a_method_gets_other_code(monkeypatch):
    """P16"""
    code = (lambda self: -self.x).__code__
    assert_follows(makes_point, lambda: monkeypatch.setattr(Point.scaled, "__code__", code))


def test_a_class_gets_other_bases():
    """P16"""

    class Base:
        pass

    class Other:
        pass

    class Own(Base):
        pass

    def use():
        return Own

    def change():
        Own.__bases__ = (Other,)
        Other.x = 1

    assert_follows(use, change)


def test_a_class_attribute_is_changed_in_place():
    """P16"""

    class Own:
        names = ["a"]

    def use():
        return Own

    assert_follows(use, lambda: Own.names.append("b"))


def test_a_task_that_is_called_gets_another_function():
    """P16"""
    inner = task(helper)

    def use():
        return inner

    def change():
        inner.fn = other

    assert_follows(use, change)


@pytest.mark.parametrize("change", ["keywords", "nested"])
def test_a_partial_is_changed(change):
    """W-P2"""
    numbers = [1]
    made = functools.partial(helper, numbers, factor=1)

    def use():
        return made

    changes = {
        "keywords": lambda: made.keywords.update(factor=2),
        "nested": lambda: numbers.append(2),
    }
    assert_follows(use, changes[change])


def test_an_object_is_changed():
    """W-P2"""
    settings = SimpleNamespace(limit=1)

    def use():
        return settings

    assert_follows(use, lambda: vars(settings).update(limit=2))


def test_an_object_without_a_key_is_replaced_by_one_with_a_key():
    """keys_code: a lock counts by its type"""
    value = SimpleNamespace(lock=threading.Lock())

    def use():
        return value

    made = task(use)
    with pytest.raises(ValueError, match=r"cannot be hashed"):
        TASK_SOURCE.compute_key(SimpleNamespace(task=made), {}, {})
    value.lock = None
    assert kept_key(made).key() == key_of_function(use)
    names = {"settings": SimpleNamespace(lock=threading.Lock())}
    assert_follows(eval("lambda: settings", names), lambda: vars(names["settings"]).clear())


def test_a_list_that_holds_the_function_is_changed():
    """keys_code: a cycle"""
    registry = []
    function = eval("lambda: registry", {"registry": registry})
    registry.append(function)
    assert_follows(function, lambda: registry.append(1), back=registry.pop)


def test_a_library_function_is_replaced_in_its_module(monkeypatch):
    """keys_code: libraries count by name"""
    import textwrap

    function = eval("lambda x: dedent(x)", {"dedent": textwrap.dedent})
    assert_follows(function, lambda: monkeypatch.setattr(textwrap, "dedent", other))


def test_a_module_with_lazy_names_is_looked_at_each_time():
    """PEP 562"""
    answers = [1]
    module = own_module(__getattr__=lambda _: answers[0])
    function = eval("lambda: module.lazy", {"module": module})
    assert_follows(function, lambda: answers.__setitem__(0, 2), is_kept=False)


def test_objects_that_are_bound_share_the_key():
    """P15"""

    class Owner:
        @task
        def work(self):
            return LIMIT

    assert kept_key(Owner().work) is kept_key(Owner().work)


def test_a_function_whose_key_is_kept_can_be_collected():
    """A key is no leak."""

    def make():
        def recursive():
            return recursive

        recursive.keep = _core.SourceKey(recursive)
        assert recursive.keep.key()
        assert recursive.keep.is_kept()
        return weakref.ref(recursive)

    made = make()
    gc.collect()
    assert made() is None


def test_a_change_meanwhile_in_another_thread_is_seen(monkeypatch):
    """The key is one of before or of after, and the next one is of after."""
    names = {"limit": 0}
    made = task(eval("lambda: limit", names))
    expected = {}
    for limit in range(20):
        names["limit"] = limit
        expected[limit] = key_of_function(made.fn)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    stop = threading.Event()

    def read():
        while not stop.is_set():
            assert kept_key(made).key() in expected.values()

    readers = [threading.Thread(target=read) for _ in range(2)]
    try:
        for reader in readers:
            reader.start()
        for round_ in range(200):
            names["limit"] = round_ % 20
            assert kept_key(made).key() == expected[round_ % 20]
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
