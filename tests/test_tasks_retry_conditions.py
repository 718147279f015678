"""Conditions on which failed runs are tried again."""

from __future__ import annotations

import functools

import pytest
from ways import WAYS, run

from oxtask.states import Failed

each_way = pytest.mark.parametrize("way", WAYS)


def fails(count):
    raise ValueError(count)


class Condition:
    def __init__(self):
        self.asked = []

    def __call__(self, task, task_run, state):
        self.asked.append((task, task_run.state.name, state))
        return len(self.asked) < 2


class AsyncCondition(Condition):
    async def __call__(self, task, task_run, state):
        return super().__call__(task, task_run, state)


def condition_kinds():
    plain, bound, partial = Condition(), Condition(), Condition()
    coroutine, coroutine_object = Condition(), AsyncCondition()

    def function(task, task_run, state):
        return plain(task, task_run, state)

    async def coroutine_function(task, task_run, state):
        return coroutine(task, task_run, state)

    def three(extra, task, task_run, state):
        return partial(task, task_run, state)

    return {
        "function": (function, plain),
        "coroutine function": (coroutine_function, coroutine),
        "object": (bound, bound),
        "async object": (coroutine_object, coroutine_object),
        "method": (bound.__call__, bound),
        "partial": (functools.partial(three, "extra"), partial),
    }


@each_way
@pytest.mark.parametrize("kind", condition_kinds())
def test_a_condition_of_any_kind_decides_on_each_retry(way, kind):
    """28.4, 3.18, W6, W02, TE-37, TE-39"""
    condition, asked = condition_kinds()[kind]
    ran = run(way, fails, retries=5, retry_condition_fn=condition)
    assert ran.bodies == 2
    assert ran.history[-1] == "Failed"
    assert [entry[1] for entry in asked.asked] == ["Running", "Retrying"]
    state = asked.asked[0][2]
    assert (state.type.value, state.data.args) == ("FAILED", (1,))
    assert state.message == "Task run encountered unexpected exception: ValueError(1)"
    with pytest.raises(ValueError):
        state.result(_sync=True)


@each_way
def test_a_condition_is_not_asked_when_no_retry_is_left(way):
    """28.4, TE-37"""
    asked = []
    run(way, fails, retries=1, retry_condition_fn=lambda *_: asked.append(1) or True)
    assert asked == [1]
    run(way, fails, retries=0, retry_condition_fn=lambda *_: asked.append(2) or True)
    assert asked == [1]


@each_way
def test_a_condition_sees_the_state_that_the_body_returned(way):
    """TE-37"""
    seen = []
    run(
        way,
        lambda count: Failed(message="mine"),
        retries=1,
        retry_condition_fn=lambda task, run, state: seen.append(state.message),
    )
    assert seen == ["mine"]


@each_way
def test_a_condition_that_raises_is_logged_and_the_failure_stands(way, lines, caplog):
    """28.4, TE-38"""

    def broken(*_):
        raise LookupError("broken condition")

    ran = run(way, fails, retries=3, retry_condition_fn=broken)
    assert ran.bodies == 1
    assert ran.error.args == (1,)
    assert any("`retry_condition_fn`" in line for line in lines("ERROR"))
    assert "LookupError: broken condition" in caplog.text


@each_way
def test_an_answer_that_is_neither_true_nor_false_is_an_error_of_the_condition(way, lines):
    """28.4, N5"""

    class Neither:
        def __bool__(self):
            raise LookupError("neither")

    ran = run(way, fails, retries=3, retry_condition_fn=lambda *_: Neither())
    assert ran.bodies == 1
    assert ran.error.args == (1,)
    assert ran.history == ["Pending", "Running", "Failed"]
    assert any("`retry_condition_fn`" in line for line in lines("ERROR"))


@each_way
def test_a_declined_retry_is_logged_like_a_failure(way, lines, caplog):
    """TE-40, W03"""
    run(way, fails, retries=3, retry_condition_fn=lambda *_: False)
    assert "Task run failed with exception: ValueError(1)" in lines("ERROR")
    assert "raise ValueError(count)" in caplog.text
