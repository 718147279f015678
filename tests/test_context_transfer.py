"""Contexts that are written down, and entered elsewhere."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cloudpickle
import pytest

from oxtask import flow, tags, task
from oxtask.context import (
    FlowRunContext,
    TagsContext,
    TaskRunContext,
    get_run_context,
    hydrated_context,
    serialize_context,
    with_context,
)
from oxtask.flow_engine import run_flow
from oxtask.settings import get_current_settings, temporary_settings
from oxtask.task_runners import ThreadPoolTaskRunner

KEYS = {
    "flow_run_context",
    "task_run_context",
    "tags_context",
    "settings_context",
    "asset_context",
    "deployment_id",
    "deployment_parameters",
}


@task
def increment(x):
    return x + 1


@task(name="writing")
def write(x):
    return serialize_context()


@flow(flow_run_name="mine", task_runner=ThreadPoolTaskRunner(max_workers=3))
def main():
    with tags("a", "b"):
        return write(7)


def test_there_is_little_to_write_down_outside_of_runs():
    """CX-08"""
    written = serialize_context()
    assert written.keys() == KEYS
    assert written["settings_context"].keys() == {"settings"}
    del written["settings_context"]
    assert not any(written.values())


def test_what_is_written_down_can_be_pickled():
    """CX-08"""
    written = cloudpickle.loads(cloudpickle.dumps(main()))
    assert written.keys() == KEYS
    assert written["flow_run_context"]["flow_run"].name == "mine"
    assert written["flow_run_context"]["flow"].name == "main"
    assert written["flow_run_context"]["parameters"] == {}
    assert written["task_run_context"]["task"].name == "writing"
    assert written["task_run_context"]["parameters"] == {"x": 7}
    assert written["tags_context"] == {"current_tags": {"a", "b"}}


def test_settings_are_written_down_as_text(tmp_path):
    """CX-08: paths are plain strings"""
    with temporary_settings({"home": tmp_path, "tasks.default_retries": 3}):
        settings = serialize_context()["settings_context"]["settings"]
    assert settings["OXTASK_HOME"] == str(tmp_path)
    assert settings["OXTASK_TASKS_DEFAULT_RETRIES"] == "3"
    with hydrated_context({"settings_context": {"settings": settings}}):
        assert get_current_settings().home == Path(tmp_path)
        assert get_current_settings().tasks.default_retries == 3
    assert get_current_settings().tasks.default_retries == 0


def test_assets_are_handed_on():
    """CX-08"""
    assert serialize_context({"key": 1})["asset_context"] == {"key": 1}


def test_contexts_are_entered_again_and_left():
    """CX-09"""
    with hydrated_context(main()):
        context = get_run_context()
        assert isinstance(context, TaskRunContext)
        assert context.parameters == {"x": 7}
        flow_context = FlowRunContext.get()
        assert flow_context.detached
        assert flow_context.flow_run.name == "mine"
        assert flow_context.task_runner == ThreadPoolTaskRunner(max_workers=3)
        assert TagsContext.get().current_tags == {"a", "b"}
        assert increment.submit(1).result() == 2
    assert FlowRunContext.get() is TaskRunContext.get() is None
    assert TagsContext.get().current_tags == frozenset()


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_is_entered_if_there_is_nothing(nothing):
    """CX-09"""
    with hydrated_context(nothing):
        assert FlowRunContext.get() is None


@pytest.mark.parametrize("way", ["sync", "async", "generator", "async generator"])
def test_a_flow_run_gets_the_context_that_is_handed_to_it(way):
    """CX-09, FL-22"""
    seen = []

    def look():
        seen.append(sorted(TagsContext.get().current_tags))

    def function():
        look()

    async def afunction():
        look()

    def generator():
        yield look()

    async def agenerator():
        yield look()

    made = {"sync": function, "async": afunction, "generator": generator}.get(way, agenerator)
    result = run_flow(flow(made), context=main())

    async def whole():
        if hasattr(result, "__aiter__"):
            async for _ in result:
                pass
        else:
            await result

    if way == "generator":
        list(result)
    elif way != "sync":
        asyncio.run(whole())
    assert seen == [["a", "b"]]
    assert TagsContext.get().current_tags == frozenset()


def look(x):
    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    return (
        flow_context.flow_run.id,
        flow_context.detached,
        task_context.task_run.id,
        TagsContext.get().current_tags,
        get_current_settings().tasks.default_retries,
        increment.submit(x).result(),
    )


async def alook(x):
    return look(x)


def test_a_function_takes_its_context_to_another_process():
    """CX-10: and what it submits there runs there"""

    @task
    def inside():
        spawn = multiprocessing.get_context("spawn")
        with tags("a"), temporary_settings({"tasks.default_retries": 2}):
            function = with_context(look)
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                found = pool.submit(function, 1).result()
        run = TaskRunContext.get().task_run
        assert found == (run.flow_run_id, True, run.id, {"a"}, 2, 2)

    flow(inside)()


def test_a_coroutine_function_takes_its_context_with_it():
    """CX-10"""

    @task
    def inside():
        return pickle.dumps(with_context(alook))

    restored = pickle.loads(flow(inside)())
    assert asyncio.run(restored(1))[-1] == 2
    assert FlowRunContext.get() is None
