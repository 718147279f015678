"""Contexts; the lines are of engine.md, section 8."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import types
from contextvars import ContextVar

import pydantic
import pytest

from oxtask import flow, tags, task
from oxtask.client.schemas.objects import FlowRun, TaskRun
from oxtask.context import (
    ContextModel,
    EngineContext,
    FlowRunContext,
    TagsContext,
    TaskRunContext,
    get_run_context,
)
from oxtask.exceptions import MissingContextError
from oxtask.results import ResultStore


class Point(pydantic.BaseModel):
    x: int


class Own(ContextModel):
    __var__ = ContextVar("own")
    x: int
    point: Point | None = None
    word: str = "none"
    anything: object = None


KINDS = [
    lambda: Own(x=1),
    lambda: FlowRunContext(flow_run=FlowRun()),
    lambda: TaskRunContext(task_run=TaskRun()),
    lambda: TagsContext(current_tags=frozenset("a")),
]


# --- contexts of all kinds ------------------------------------------------------------------------


@pytest.mark.parametrize("make", KINDS)
def test_a_context_is_there_while_it_is_entered(make):
    """CX-01"""
    context = make()
    kind = type(context)
    before = kind.get()
    with context as entered:
        assert entered is context
        assert kind.get() is context
        with make() as inner:
            assert kind.get() is inner
        assert kind.get() is context
    if kind is TagsContext:
        assert kind.get().current_tags == before.current_tags == frozenset()
    else:
        assert kind.get() is before is None


@pytest.mark.parametrize("make", KINDS)
def test_a_context_is_entered_once(make):
    """CX-01"""
    context = make()
    with context:
        with pytest.raises(RuntimeError, match="Context already entered"):
            context.__enter__()
        with context.model_copy() as copied:
            assert type(context).get() is copied
        assert type(context).get() is context


@pytest.mark.parametrize("make", KINDS)
def test_a_context_is_left_as_often_as_it_was_entered(make):
    """CX-01"""
    context = make()
    with pytest.raises(RuntimeError, match="Asymmetric use of context"):
        context.__exit__()
    with pytest.raises(RuntimeError, match="Asymmetric use of context"):
        with context:
            context.__exit__()
    with context:
        pass


@pytest.mark.parametrize("make", KINDS)
def test_fields_that_a_context_does_not_have_are_refused(make):
    """CX-01"""
    context = make()
    with pytest.raises(TypeError, match=f"{type(context).__name__} has no field 'wrong'"):
        type(context)(wrong=3)
    with pytest.raises(TypeError, match="has no field 'wrong'"):
        context.model_copy(update={"wrong": 3})
    with pytest.raises(AttributeError, match="has no attribute 'wrong'"):
        context.wrong


def test_fields_without_a_default_are_needed():
    """CX-01"""
    with pytest.raises(TypeError, match="Own needs 'x'"):
        Own()


def test_values_are_checked_against_their_types():
    """CX-01"""
    made = Own(x="3", point={"x": "4"}, anything=Own)
    assert (made.x, made.point, made.word, made.anything) == (3, Point(x=4), "none", Own)
    with pytest.raises(ValueError, match="valid integer"):
        Own(x="many")
    with pytest.raises(ValueError, match="valid string"):
        Own(x=3, word=4)


def test_fields_of_a_context_are_inherited():
    """CX-01"""

    class More(Own):
        __var__ = ContextVar("more")
        y: int = 2

    assert (More(x="1").x, More(x=1).y) == (1, 2)
    with Own(x=1), More(x=5, y=6) as more:
        assert Own.get().x == 1
        assert More.get() is more


def test_a_copy_has_the_fields_of_its_original_but_for_those_that_are_replaced():
    """CX-01"""
    first = Own(x=1, word="one")
    second = first.model_copy(update={"x": "2"})
    assert (second.x, second.word, first.x) == (2, "one", 1)
    assert repr(second) == "Own(x=2, word='one')"


def test_a_coroutine_closed_from_elsewhere_leaves_its_context_in_peace():
    """CX-01: as the garbage collector does with one that nobody awaits any more"""

    @types.coroutine
    def suspend():
        yield

    async def body():
        with Own(x=1):
            await suspend()

    coroutine = body()
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()


# --- contexts of runs -----------------------------------------------------------------------------


@task
def current():
    return TaskRunContext.get()


def test_a_flow_run_has_a_context():
    """CX-02"""

    @flow(log_prints=True)
    def main(x: int, y=2):
        context = FlowRunContext.get()
        assert context is EngineContext.get()
        assert context.flow is main
        assert context.flow_run.state_name == "Running"
        assert context.parameters == {"x": 1, "y": 2}
        assert context.log_prints is True
        assert context.detached is False
        assert context.task_runner.duplicate() == context.task_runner
        assert context.start_time <= context.flow_run.state.timestamp
        assert (context.client, context.events) == (None, None)
        assert isinstance(context.result_store, ResultStore)
        assert context.persist_result is False
        assert context.input_keyset is None
        for name in ("task_run_dynamic_keys", "observed_flow_pauses", "run_results"):
            assert getattr(context, name) == {}
            assert getattr(context, name) is getattr(context, name)
        assert context.task_run_assets == {}
        return "done"

    assert main("1") == "done"
    assert FlowRunContext.get() is None


@pytest.mark.parametrize("way", ["call", "submit", "map"])
def test_a_task_run_has_a_context(way):
    """CX-03"""

    @task
    def look(x, y=2):
        context = TaskRunContext.get()
        assert context.task is look
        assert context.task_run.state_name == "Running"
        assert context.parameters == {"x": 1, "y": 2}
        assert context.log_prints is False
        assert (context.client, context.persist_result) == (None, False)
        assert isinstance(context.result_store, ResultStore)
        assert context.start_time is not None
        assert context.task_run.flow_run_id == FlowRunContext.get().flow_run.id
        assert TaskRunContext.get() is context
        return "done"

    @flow
    def main():
        if way == "call":
            return look(1)
        return look.submit(1).result() if way == "submit" else look.map([1]).result()[0]

    assert main() == "done"
    assert TaskRunContext.get() is None


def test_a_task_sees_the_arguments_that_futures_came_to():
    """CX-03"""

    @task
    def one():
        return 1

    @task
    def look(x):
        return TaskRunContext.get().parameters

    @flow
    def main():
        return [look(one.submit()), look.submit([one.submit()]).result()]

    assert main() == [{"x": 1}, {"x": [1]}]


def test_the_context_of_a_run_is_that_of_the_innermost():
    """CX-04"""

    @flow
    def child():
        return get_run_context(), get_run_context().flow.name

    @task
    def calls():
        own = get_run_context()
        _, name = child()
        assert get_run_context() is own
        return type(own).__name__, name

    @flow
    def main():
        assert get_run_context() is FlowRunContext.get()
        return calls()

    assert main() == ("TaskRunContext", "child")
    assert type(current()).__name__ == "TaskRunContext"


def test_there_is_no_context_outside_of_runs():
    """CX-04"""
    with pytest.raises(MissingContextError, match="No run context available"):
        get_run_context()
    with pytest.raises(RuntimeError):
        get_run_context()


def test_contexts_can_be_entered_by_hand():
    """CX-04"""
    run = FlowRun()
    with FlowRunContext(flow_run=run) as flow_context:
        assert get_run_context() is flow_context
        with TaskRunContext(task_run=TaskRun(flow_run_id=run.id)) as task_context:
            assert get_run_context() is task_context
        with TaskRunContext(task_run=TaskRun()):
            assert get_run_context() is flow_context


def test_each_attempt_has_a_context_of_its_own():
    """CX-05"""
    seen = []

    @flow(retries=1)
    def main():
        seen.append(FlowRunContext.get())
        if len(seen) == 1:
            raise ValueError

    main()
    first, second = seen
    assert first is not second
    assert first.flow_run is second.flow_run
    assert first.start_time < second.start_time


def test_each_attempt_of_a_task_has_a_context_of_its_own():
    """CX-05"""
    seen = []

    @task(retries=1)
    def fails_once():
        context = TaskRunContext.get()
        seen.append((context, context.task_run.run_count, context.start_time))
        if len(seen) == 1:
            raise ValueError

    fails_once()
    assert seen[0][0] is not seen[1][0]
    assert [count for _, count, _ in seen] == [1, 2]
    assert seen[0][2] < seen[1][2]


# --- threads and loops ----------------------------------------------------------------------------


def test_threads_of_the_program_see_contexts_only_if_they_are_given_them():
    """CX-11"""
    seen = []

    def look():
        seen.append((FlowRunContext.get(), TagsContext.get().current_tags))

    @flow
    def main():
        with tags("a"):
            plain = threading.Thread(target=look)
            given = threading.Thread(target=contextvars.copy_context().run, args=(look,))
        for thread in (plain, given):
            thread.start()
            thread.join()

    main()
    assert seen[0] == (None, frozenset())
    assert seen[1][0].flow is main
    assert seen[1][1] == frozenset("a")


def test_flows_side_by_side_on_a_loop_do_not_see_each_other():
    """CX-01"""

    @flow
    async def main(number):
        with tags(str(number)):
            await asyncio.sleep(0.001 * (number % 3))
            context = FlowRunContext.get()
            assert TagsContext.get().current_tags == {str(number)}
            return context.parameters["number"]

    async def around():
        return await asyncio.gather(*(main(number) for number in range(20)))

    assert asyncio.run(around()) == list(range(20))
