"""Names, keys and texts of tasks, derived from their functions."""

from __future__ import annotations

import functools
import subprocess
import sys

import cloudpickle
import pytest

from oxtask import task
from oxtask._internal.functions import key_of

X = 1


def plain(x):
    return x


class Named:
    """A callable with a docstring."""

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (plain, "plain"),
        (lambda x: x, "<lambda>"),
        (Named(), "Named"),
        (functools.partial(plain, 1), "plain"),
        (functools.partial(functools.partial(plain), 1), "plain"),
        (len, "len"),
        (Named().__call__, "__call__"),
        (task(plain), "plain"),
    ],
)
def test_a_name_is_derived_from_the_function(fn, name):
    """3.1, W12"""
    assert task(fn).name == name


def test_a_description_is_derived_from_the_function():
    """3.2, W12"""

    def documented():
        """Say something."""

    assert task(documented).description == "Say something."
    assert task(Named()).description == "A callable with a docstring."
    assert task(functools.partial(documented)).description == "Say something."


def test_a_key_is_the_name_and_a_hash():
    """8.1"""

    class Outer:
        def method(self):
            return None

    name, digest = task(Outer.method).task_key.split("-")
    assert name == "method"
    assert len(digest) == 8
    assert int(digest, 16) >= 0


def test_the_same_function_has_the_same_key_each_time():
    """8.1"""
    assert task(plain).task_key == task(plain).task_key == key_of(plain)


def test_the_same_text_in_another_place_has_another_key():
    """8.1"""

    def one(x):
        return x

    first = one

    def one(x):
        return x

    assert task(first).task_key != task(one).task_key


def test_closures_and_defaults_do_not_change_the_key():
    """8.1"""

    def make(value):
        def inner(x=value):
            return x, value

        return inner

    assert task(make(1)).task_key == task(make(2)).task_key


def test_constants_change_the_key():
    """8.1"""
    sources = ["lambda x: x in {'a', 'b'}", "lambda x: x in {'a', 'c'}", "lambda x: x in ('a',)"]
    assert len({task(eval(source)).task_key for source in sources}) == 3


SCRIPT = """
from oxtask import task

@task
def outer(x):
    inner = lambda y: y in {"a", "b", "c", "d"}
    def other(z=[i for i in range(3)]):
        return (1, ("a", 2.5), None, ..., b"x")
    return inner, other

print(outer.task_key)
"""


def test_a_key_is_the_same_in_each_process(tmp_path):
    """8.1: whatever the seed of hashes and the places of objects in memory"""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    keys = {
        subprocess.run(
            [sys.executable, path],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1
    assert keys.pop().startswith("outer-")


def test_a_key_survives_other_options_and_pickling():
    """8.2"""
    made = task(lambda x: x)
    assert made.with_options(name="other").task_key == made.task_key
    made.fn = plain
    assert made.with_options(name="other").task_key == made.task_key
    assert cloudpickle.loads(cloudpickle.dumps(made)).task_key == made.task_key


def test_partials_of_different_functions_or_arguments_have_different_keys():
    """7.5, W12"""

    def other(x):
        return x

    partials = [
        functools.partial(plain),
        functools.partial(plain, 1),
        functools.partial(plain, 2),
        functools.partial(plain, x=1),
        functools.partial(plain, other),
        functools.partial(plain, plain),
        functools.partial(other, 1),
    ]
    keys = [task(partial).task_key for partial in partials]
    assert len(set(keys)) == len(keys)
    assert keys[0] == task(plain).task_key
    assert [key.split("-")[0] for key in keys] == ["plain"] * 6 + ["other"]


def test_a_partial_of_an_object_has_a_key_that_does_not_depend_on_its_place_in_memory():
    """7.5"""
    keys = [task(functools.partial(plain, object())).task_key for _ in range(2)]
    assert keys[0] == keys[1]


def test_a_callable_object_has_the_name_of_its_class_for_a_key():
    """7.6"""
    assert task(Named()).task_key == f"{__name__}.Named"


def test_a_callable_object_that_has_a_qualified_name_uses_it():
    """7.6"""
    named = Named()
    named.__qualname__ = "some.place.fancy"
    assert task(named).task_key.split("-")[0] == "fancy"


def test_a_function_without_code_has_an_unknown_hash():
    """8.1"""
    assert task(len).task_key == "len-unknown"


def test_the_source_is_read_when_asked_for():
    """8.3, 2.11"""
    made = task(plain)
    assert "source_code" not in vars(made)
    assert made.source_code == "def plain(x):\n    return x\n"


@pytest.mark.parametrize("fn", [Named(), functools.partial(plain, 1), len, eval("lambda: 1")])
def test_a_function_without_source_has_none(fn):
    """8.3, 7.5, 7.6"""
    assert task(fn).source_code is None


def test_the_source_survives_pickling():
    """8.3"""

    def local(x):
        return x + 1

    copied = cloudpickle.loads(cloudpickle.dumps(task(local)))
    assert copied.source_code == task(local).source_code
    assert "return x + 1" in copied.source_code
    assert "source_code" in vars(copied)


def test_the_source_can_be_set():
    """6.1: attributes are plain"""
    made = task(plain)
    made.source_code = "mine"
    assert made.source_code == "mine"
