"""What needs a task worker says that there is none, and what to do instead."""

from __future__ import annotations

import asyncio

import pytest

from oxtask import task
from oxtask.exceptions import ParameterBindError


@task
def add(x, y=1):
    return x + y


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("delay", lambda: add.delay(1, y=2)),
        ("apply_async", lambda: add.apply_async([1], {"y": 2})),
        ("apply_async", lambda: add.apply_async(args=(1,), wait_for=[], dependencies={})),
        ("serve", add.serve),
        ("aserve", lambda: asyncio.run(add.aserve())),
    ],
)
def test_work_for_a_task_worker_is_refused_with_another_way(method, call):
    """30.1, 30.2, 30.6"""
    with pytest.raises(NotImplementedError, match=rf"'\.{method}\(\)' of task 'add'.*\.submit\(\)"):
        call()


@pytest.mark.parametrize(
    "call", [add.delay, lambda: add.delay(1, 2, 3), lambda: add.apply_async(kwargs={"z": 1})]
)
def test_wrong_arguments_are_reported_first(call):
    """30.1"""
    with pytest.raises(ParameterBindError):
        call()


def test_refusing_changes_nothing_of_the_task():
    """30.2, W44"""
    with pytest.raises(NotImplementedError):
        add.apply_async([1])
    assert add.persist_result is None
