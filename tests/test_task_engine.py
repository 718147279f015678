"""Running tasks by hand."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from ways import shown

from oxtask import flow, tags, task
from oxtask.client.schemas.objects import TaskRun
from oxtask.context import FlowRunContext, TagsContext, TaskRunContext, serialize_context
from oxtask.exceptions import (
    SignatureMismatchError,
    TaskRunTimeoutError,
    UnfinishedRun,
    UpstreamTaskError,
)
from oxtask.states import Completed
from oxtask.task_engine import run_task, run_task_async, run_task_sync

TASK_RUN_ID = uuid.UUID("0192d7c4-0000-7000-8000-000000000001")


@task
def add(x, y=2):
    return x + y


@task
async def aadd(x, y=2):
    return x + y


@task
def count(n):
    yield from range(n)
    return "returned"


@task
async def acount(n):
    for item in range(n):
        yield item


def run(made, *args, **options):
    """Run a task, and to its end if it is async."""
    result = run_task(made, *args, **options)

    async def whole():
        return await result

    return asyncio.run(whole()) if made.isasync else result


both = pytest.mark.parametrize("made", [add, aadd])


@both
def test_a_task_is_run_with_parameters_by_name(made):
    """TE-03: defaults are the function's"""
    assert run(made, parameters={"x": 1}) == 3
    assert run(made, parameters={"x": 1, "y": 1}) == 2
    one = run_task_async if made.isasync else run_task_sync
    result = one(made, parameters={"x": 1})
    assert (asyncio.run(result) if made.isasync else result) == 3


@both
def test_the_state_can_be_asked_for(made):
    """TE-03"""
    state = run(made, parameters={"x": 1}, return_type="state")
    assert state.is_completed()
    assert state.result(_sync=True) == 3
    with pytest.raises(ValueError, match="'return_type' must be 'result' or 'state'"):
        run_task(made, return_type="both")


@both
def test_wrong_parameters_are_refused(made):
    """TE-03"""
    with pytest.raises(SignatureMismatchError, match="z"):
        run_task(made, parameters={"z": 1})


@pytest.mark.parametrize("is_async", [False, True])
def test_the_record_has_the_id_that_was_given(is_async):
    """TE-03"""
    seen = []

    @task(task_run_name="named {x}", retries=1)
    def look(x):
        seen.append(TaskRunContext.get().task_run)
        if len(seen) == 1:
            raise ValueError

    @task(task_run_name="named {x}", retries=1)
    async def alook(x):
        look.fn(x)

    options = {"task_run_id": TASK_RUN_ID, "parameters": {"x": 1}}
    state = run(alook if is_async else look, return_type="state", **options)
    assert {record.id for record in seen} == {TASK_RUN_ID}
    assert seen[1].name == "named 1"
    assert state.state_details.task_run_id == TASK_RUN_ID
    assert state.is_completed()


@both
def test_a_record_that_is_given_goes_through_the_states(made):
    """TE-03"""
    record = TaskRun(task_key="k", dynamic_key="0")
    assert run(made, task_run=record, parameters={"x": 1}) == 3
    assert record.state.is_completed()
    assert record.state.state_details.task_run_id == record.id
    assert record.run_count == 1


@both
def test_a_record_of_a_run_that_has_ended_is_not_run_again(made):
    """TE-03"""
    record = TaskRun(task_key="k", dynamic_key="0", state=Completed(data="before"))
    assert run(made, task_run=record, parameters={"x": 1}) == "before"
    assert run(made, task_run=record, return_type="state") is record.state


@both
def test_inputs_are_resolved(made):
    """TE-03, TE-60, TE-61"""

    @flow
    def main():
        good = add.submit(1)
        bad = task(lambda: 1 / 0).submit()
        assert run(made, parameters={"x": good}) == 5
        assert run(made, parameters={"x": 1}, wait_for=[good]) == 3
        with pytest.raises(UpstreamTaskError):
            run(made, parameters={"x": bad})
        record = TaskRun(task_key="k", dynamic_key="0")
        state = run(made, task_run=record, parameters={"x": bad}, return_type="state")
        assert shown([state]) == ["NotReady:PENDING"]
        assert record.run_count == 0
        with pytest.raises(UnfinishedRun):
            state.result(_sync=True)

    main()


def test_what_a_run_raises_is_raised():
    """TE-03"""

    @task(timeout_seconds=0.01)
    async def slow():
        await asyncio.sleep(20)

    with pytest.raises(TaskRunTimeoutError):
        run(slow, task_run_id=TASK_RUN_ID)
    with pytest.raises(TypeError):
        run(add, parameters={"x": None})


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_gets_the_context_that_is_handed_to_it(is_async):
    """CX-09, TE-03"""

    def look():
        context = FlowRunContext.get()
        return (
            context.flow_run.name,
            context.detached,
            TagsContext.get().current_tags,
            TaskRunContext.get().task_run.flow_run_id == context.flow_run.id,
            add.submit(1).result(),
        )

    async def alook():
        return look()

    @flow(flow_run_name="outer")
    def outer():
        with tags("a"):
            return serialize_context()

    expected = ("outer", True, {"a"}, True, 3)
    assert run(task(alook if is_async else look), context=outer()) == expected
    assert FlowRunContext.get() is None


def collect(generator):
    async def acollect():
        return [item async for item in generator]

    return asyncio.run(acollect()) if hasattr(generator, "__aiter__") else list(generator)


@pytest.mark.parametrize("made", [count, acount])
def test_a_generator_task_is_run_item_by_item(made):
    """TE-03, TE-90"""
    assert collect(run_task(made, parameters={"n": 3})) == [0, 1, 2]
    with pytest.raises(ValueError, match="must be 'result'"):
        run_task(made, parameters={"n": 3}, return_type="state")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_task_gets_the_context_that_is_handed_to_it(is_async):
    """CX-09: and its consumer does not"""

    def look():
        for _ in range(2):
            yield FlowRunContext.get().flow_run.name

    async def alook():
        for item in look():
            yield item

    @flow(flow_run_name="outer")
    def outer():
        return serialize_context()

    seen = []

    async def acollect(generator):
        async for item in generator:
            seen.append((item, FlowRunContext.get()))

    generator = run_task(task(alook if is_async else look), context=outer())
    if is_async:
        asyncio.run(acollect(generator))
    else:
        seen.extend((item, FlowRunContext.get()) for item in generator)
    assert seen == [("outer", None), ("outer", None)]


def test_runs_that_the_parameters_come_from_are_added_to_the_record():
    """TE-03"""
    record = TaskRun(task_key="k", dynamic_key="0")
    run_task(add, task_run=record, parameters={"x": 1}, dependencies={"x": ["upstream"]})
    assert record.task_inputs["x"] == ["upstream"]
