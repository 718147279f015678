"""Explaining keys: what a key is made of, and what makes two differ."""

from __future__ import annotations

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
