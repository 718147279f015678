"""Copying and pickling tasks."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import cloudpickle
import pytest

from oxtask import Task, task


def raw(x):
    return x + 1


made_of_raw = task(raw, retries=2)


@task(tags=["a"])
def decorated(x):
    return x + 1


changed = decorated.with_options(name="changed", retries=3)


class Holder:
    def __init__(self, value):
        self.value = value

    @task
    def plus(self, x):
        return self.value + x

    @task
    @classmethod
    def kind(cls):
        return cls


def hook(*_):
    return None


@pytest.mark.parametrize("library", [pickle, cloudpickle])
@pytest.mark.parametrize("made", [made_of_raw, decorated, changed])
def test_tasks_survive_pickling(library, made):
    """31.1, 31.2, W45"""
    copied = library.loads(library.dumps(made))
    assert type(copied) is Task
    assert copied(1) == 2
    for name in ("name", "tags", "retries", "task_key", "source_code", "description"):
        assert getattr(copied, name) == getattr(made, name)


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_task_that_its_module_holds_is_pickled_by_name(library):
    """31.2, W45"""
    assert library.loads(library.dumps(decorated)) is decorated
    assert library.loads(library.dumps(Holder.plus)) is Holder.plus


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_bound_tasks_survive_pickling(library):
    """31.1"""
    copied = library.loads(library.dumps(Holder(5).plus))
    assert copied(1) == 6
    assert copied.ismethod
    assert library.loads(library.dumps(Holder.kind))() is Holder


def test_a_bound_task_with_other_options_survives_cloudpickle():
    """31.1"""
    copied = cloudpickle.loads(cloudpickle.dumps(Holder(5).plus.with_options(name="n")))
    assert (copied(1), copied.name) == (6, "n")


def test_tasks_of_local_functions_survive_cloudpickle():
    """31.1: with their closures, hooks and bindings"""
    factor, seen = 3, []

    @task(on_running=[lambda *_: seen.append(1)], retries=1, retry_delay_seconds=lambda n: [n])
    def local(x):
        return x * factor

    copied = cloudpickle.loads(cloudpickle.dumps(local))
    assert copied(2) == 6
    assert len(copied.on_running_hooks) == 1
    assert copied.with_options(retries=2).retry_delay_seconds == [2]
    assert copied.task_key == local.task_key


SCRIPT = """
import sys, cloudpickle
from oxtask import task

@task(name="named")
def of_main(x):
    return x + 1

class Model:
    @task
    def method(self, x):
        return x * 2

if __name__ == "__main__":
    sys.stdout.buffer.write(cloudpickle.dumps([of_main, Model().method]))
"""


def test_a_task_of_the_main_module_is_pickled_by_value(tmp_path):
    """31.1: another process has another main module"""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    dumped = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ).stdout
    first, second = cloudpickle.loads(dumped)
    assert (first(1), first.name, second(2)) == (2, "named", 4)
    assert "return x + 1" in first.source_code


def test_copies_are_independent():
    """31.3"""
    for make in (copy.copy, copy.deepcopy):
        copied = make(decorated)
        assert copied is not decorated
        assert copied(1) == 2
        copied.retries = 5
        copied.fn = lambda x: x
        assert decorated.retries == 0
        assert decorated(1) == 2
        assert copied(1) == 1
        assert copied.with_options().retries == 5
        assert decorated.with_options().retries == 0


def test_a_shallow_copy_shares_lists_and_a_deep_one_does_not():
    """31.3"""
    shallow, deep = copy.copy(decorated), copy.deepcopy(decorated)
    assert shallow.on_running_hooks is decorated.on_running_hooks
    assert deep.on_running_hooks is not decorated.on_running_hooks
    assert deep.tags is not decorated.tags


def test_a_deep_copy_of_a_structure_keeps_one_task():
    """31.3"""
    first, second = copy.deepcopy([decorated, decorated])
    assert first is second


def test_a_subclass_is_pickled_as_one():
    """31.1"""
    copied = cloudpickle.loads(cloudpickle.dumps(Special(raw)))
    assert type(copied) is Special
    assert copied(1) == 2


class Special(Task):
    """A task of a subclass."""
