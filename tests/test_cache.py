"""Explaining keys: what a key is made of, and what makes two differ."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from oxtask import flow, task
from oxtask.cache import explain
from oxtask.cache_policies import INPUTS, NO_CACHE, TASK_SOURCE
from oxtask.exceptions import ParameterBindError
from oxtask.utilities.hashing import hash_objects


@task(cache_policy=INPUTS - "log")
def fetch(page, options=None, log=None):
    return page


def test_a_key_is_explained_by_its_inputs():
    """Issue: oxtask.cache.explain"""
    found = explain(fetch, 1, log=threading.Lock())
    assert found.key == hash_objects({"page": 1, "options": None})
    assert found.inputs.keys() == {"page", "options"}
    assert found.parts == {"Inputs": found.key}
    assert found.key in str(found)
    assert "page = 1" in str(found)


def test_a_task_is_not_run():
    """Issue: oxtask.cache.explain"""

    @task(cache_policy=INPUTS)
    def fail(x):
        raise AssertionError

    assert explain(fail, 1).key


def test_the_default_is_explained_by_source_run_and_inputs():
    """P4, P18"""

    @task
    def plain(x):
        return x

    @flow
    def twice():
        return explain(plain, 1), explain(plain, 1)

    one, two = twice()
    assert list(one.parts) == ["TaskSource", "RunId", "Inputs"]
    assert one.key == two.key
    assert "each run has another key" in str(explain(plain, 1))
    assert [line.split(":")[0] for line in one.difference(twice()[0])] == ["RunId"]


@pytest.mark.parametrize(
    ("one", "two", "lines"),
    [
        (1, 1, []),
        (1, 2, ["input options: 1 / 2"]),
        (1, 1.0, ["input options: 1 / 1.0 (int, float)"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["input options['a'][1]: 2 / 3"]),
        ({"a": 1}, {"b": 1}, ["input options: {'a': 1} / {'b': 1}"]),
        (
            SimpleNamespace(a=1, b=(1,)),
            SimpleNamespace(a=2, b=(2,)),
            ["input options.a: 1 / 2", "input options.b[0]: 1 / 2"],
        ),
    ],
)
def test_the_difference_of_two_calls_names_the_innermost_part(one, two, lines):
    """Issue: for two calls, what differs between their keys"""
    assert explain(fetch, 1, one).difference(explain(fetch, 1, two)) == lines


def test_another_function_is_a_difference():
    """Issue: for two calls, what differs between their keys"""

    def make(n):
        return task(cache_policy=INPUTS + TASK_SOURCE)(lambda x: x + n)

    lines = explain(make(1), 1).difference(explain(make(2), 1))
    assert [line.split(":")[0] for line in lines] == ["TaskSource"]


def test_what_cannot_be_hashed_is_told():
    """Issue: oxtask.cache.explain"""
    found = explain(fetch, 1, {"lock": threading.Lock()})
    assert found.key is None
    assert "`options['lock']`" in found.problem
    assert found.inputs["options"] is None
    assert "cannot be hashed" in str(found)
    assert len(found.difference(explain(fetch, 1))) == 1


def test_a_task_without_cache_has_no_key():
    """P10, P19"""
    assert explain(fetch.with_options(cache_policy=NO_CACHE), 1).key is None
    keyed = task(lambda x: x, cache_key_fn=lambda context, inputs: f"key {inputs['x']}")
    assert explain(keyed, 1).key == "key 1"


def test_arguments_that_do_not_fit_are_an_error():
    """Issue: oxtask.cache.explain"""
    with pytest.raises(ParameterBindError):
        explain(fetch, 1, 2, 3, 4)


def stored_under(made, *args):
    """Return the key under which a run stores its result."""
    return made(*args, return_state=True).data.metadata.storage_key


def test_the_key_of_an_async_function_is_awaited(folder):
    """P8: as a run has it"""

    async def key_of(context, parameters):
        await asyncio.sleep(0)
        return f"{context.task.name} {parameters['x']}"

    @task(cache_key_fn=key_of, result_storage=folder)
    def double(x):
        return 2 * x

    found = explain(double, 3)
    assert found.key == stored_under(double, 3) == "double 3"
    assert found.parts == {"CacheKeyFnPolicy": "double 3"}

    async def inside():
        return explain(double, 3)

    assert asyncio.run(inside()) == found


@pytest.mark.parametrize("key", [KeyError("page"), 3.5])
def test_a_function_that_makes_no_key_is_told(key):
    """P8"""

    def key_of(context, parameters):
        if isinstance(key, Exception):
            raise key
        return key

    found = explain(task(lambda x: x, cache_key_fn=key_of, name="made"), 1)
    assert found.key is None
    assert ("KeyError" in found.problem) or ("3.5" in found.problem)


def test_a_template_makes_the_key(folder):
    """A8: whatever the inputs are"""

    @task(result_storage_key="{task_run.task_name}-{parameters[x]}", result_storage=folder)
    def double(x, log=None):
        return 2 * x

    found = explain(double, 3, log=threading.Lock())
    assert found.key == stored_under(double, 3) == "double-3"
    assert found.parts == {"result_storage_key": double.result_storage_key}
    assert found.problem is None
    assert found.difference(explain(double, 3)) == []
    assert found.difference(explain(double, 4, log=found.values["log"])) == ["input x: 3 / 4"]


@pytest.mark.parametrize(
    ("template", "told"),
    [("{parameters[y]}", "KeyError: 'y'"), ("{task_run.nothing}", "task_run has no field")],
)
def test_a_template_that_cannot_be_filled_in_is_told(template, told):
    """A8"""
    found = explain(task(lambda x: x, result_storage_key=template, name="made"), 1)
    assert found.key is None
    assert told in found.problem


def test_a_template_that_names_the_run_is_told():
    """A8"""
    made = task(lambda x: x, result_storage_key="{task_run.id}.json", name="made")
    assert explain(made, 1).key == "<the id of the run itself>.json"
