"""Tasks in tasks and flows: what a run sees around it, and keeps to itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from ways import WAYS, run

from oxtask import flow, get_run_logger, tags, task
from oxtask._internal.task_runs import log_of
from oxtask.context import FlowRunContext, TaskRunContext, get_run_context
from oxtask.exceptions import MissingContextError
from oxtask.logging import disable_run_logger
from oxtask.settings import temporary_settings

each_way = pytest.mark.parametrize("way", WAYS)
VARIABLE = contextvars.ContextVar("variable", default="unset")


@each_way
def test_a_body_sees_its_run(way):
    """26.2"""
    seen = []

    def body(count):
        context = TaskRunContext.get()
        assert get_run_context() is context
        run = context.task_run
        seen.append((context.task.name, run.name, run.state.name, run.run_count))
        seen.append(list(context.parameters))
        seen.append(context.start_time == run.start_time)
        seen.append(run.id)

    ran = run(way, body, hooks=False)
    name = ran.task_run.name
    assert seen[:3] == [(name.split("-")[0], name, "Running", 1), ["_"], True]
    assert seen[3] == ran.future.task_run_id


def test_there_is_no_run_outside_of_one():
    """26.2"""
    assert TaskRunContext.get() is None
    task(lambda: 1)()
    assert TaskRunContext.get() is None


def test_a_task_in_a_task_has_a_run_of_its_own():
    """26.1"""

    @task
    def inner():
        return TaskRunContext.get().task_run.id

    @task
    def outer():
        before = TaskRunContext.get().task_run.id
        inside = inner()
        return before, inside, TaskRunContext.get().task_run.id

    before, inside, after = outer()
    assert before == after
    assert before != inside
    assert len({*flow(outer)()}) == 2


def test_a_flow_in_a_task_is_seen_as_the_run():
    """26.1"""

    @flow
    def inner():
        return get_run_context(), FlowRunContext.get()

    @task
    def outer():
        context, own = inner()
        return context is own, get_run_context() is TaskRunContext.get()

    assert outer() == (True, True)


def test_async_tasks_nest_and_gather():
    """26.1"""

    @task
    async def inner(x):
        await asyncio.sleep(0)
        return TaskRunContext.get().parameters["x"]

    @task
    async def outer():
        results = await asyncio.gather(*(inner(x) for x in range(5)))
        return results, TaskRunContext.get().task.name

    assert asyncio.run(outer()) == ([0, 1, 2, 3, 4], "outer")


@each_way
def test_context_variables_are_carried_in_and_kept_inside(way):
    """DESIGN, the life of a run, 5"""
    seen = []

    def body(count):
        seen.append(VARIABLE.get())
        VARIABLE.set("body")

    def whole():
        VARIABLE.set("caller")
        run(way, body, hooks=False)
        run(way, body, hooks=True)
        return VARIABLE.get()

    assert contextvars.copy_context().run(whole) == "caller"
    assert seen == ["caller", "caller"]


def test_an_async_call_keeps_its_context_to_itself():
    """DESIGN, the life of a run, 5: also across awaits"""
    seen = []

    @task
    async def body(name):
        seen.append(VARIABLE.get())
        VARIABLE.set(name)
        await asyncio.sleep(0)
        assert VARIABLE.get() == name

    async def main():
        VARIABLE.set("caller")
        await body("first")
        await asyncio.gather(body("second"), body("third"))
        return VARIABLE.get()

    assert asyncio.run(main()) == "caller"
    assert seen == ["caller"] * 3


@each_way
def test_attempts_share_the_context_of_their_run(way):
    """26.2: what one attempt sets is not seen by the caller"""

    def body(count):
        VARIABLE.set(f"attempt {count}")
        if count == 1:
            raise ValueError

    run(way, body, retries=1)
    assert VARIABLE.get() == "unset"


def test_threads_of_the_program_have_no_run():
    """26.6"""
    seen = []

    @task
    def body():
        for target in (look, lambda c=contextvars.copy_context(): c.run(look)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    def look():
        context = TaskRunContext.get()
        seen.append(context and context.task.name)

    body()
    assert seen == [None, "body"]


def test_tags_are_those_of_the_task_and_around_the_call():
    """26.4, TE-08, 3.3"""

    @task(tags=["own", "a"])
    def body():
        return TaskRunContext.get().task_run.tags

    with tags("a", "b"):
        with tags("c"):
            assert sorted(body()) == ["a", "b", "c", "own"]
        assert sorted(flow(body)()) == ["a", "b", "own"]
    assert sorted(body()) == ["a", "own"]


def test_tags_of_a_body_hold_for_what_it_calls():
    """26.4"""

    @task
    def inner():
        return TaskRunContext.get().task_run.tags

    @task
    def outer():
        with tags("inside"):
            return inner()

    assert outer() == ["inside"]


def test_tags_that_a_body_enters_are_not_its_own():
    """26.4"""

    @task
    def body():
        with tags("inside"):
            return TaskRunContext.get().task_run.tags

    assert body() == []
    assert flow(lambda: body.submit().result())() == []


def test_the_run_knows_its_flow_and_task():
    """RR-01, TE-29, 3.4"""

    @task(version="2")
    def body():
        run, around = TaskRunContext.get().task_run, FlowRunContext.get().flow_run
        return run.flow_run_id == around.id, run.flow_run_run_count, run.task_version, run.task_key

    assert flow(body)() == (True, 1, "2", body.task_key)


def test_the_record_is_the_same_before_and_after():
    """RR-05, RR-08"""

    @flow
    def main():
        future = task(lambda: TaskRunContext.get().task_run).submit()
        seen, record = future.result(), log_of(future).record
        return seen.id == record.id, record.expected_start_time <= record.start_time

    assert main() == (True, True)


# --- logging --------------------------------------------------------------------------------------


def test_a_run_logger_needs_a_run(lines):
    """38.6"""

    @task
    def logs():
        get_run_logger().info("said")

    with pytest.raises(MissingContextError):
        logs.fn()
    with disable_run_logger():
        logs.fn()
    assert "said" not in lines()
    logs()
    assert "said" in lines()


@each_way
def test_prints_become_lines_on_request(way, lines, capsys):
    """3.20"""

    def body(count):
        print("hello", count)

    run(way, body, log_prints=True)
    assert "hello 1" in lines("INFO")
    assert capsys.readouterr().out == ""
    run(way, body, log_prints=False)
    assert capsys.readouterr().out == "hello 1\n"


def test_prints_follow_the_flow_unless_the_task_says_otherwise(lines, capsys):
    """3.20, 38.7"""

    @task
    def inherits():
        print("inherits")

    @task(log_prints=False)
    def opts_out():
        print("opts out")

    @flow(log_prints=True)
    def main():
        inherits()
        opts_out()
        inherits.submit().wait()

    main()
    assert lines("INFO").count("inherits") == 2
    assert capsys.readouterr().out == "opts out\n"


def test_prints_follow_the_setting(lines, capsys):
    """3.20"""
    with temporary_settings({"logging.log_prints": True}):
        task(lambda: print("hello"))()
    assert "hello" in lines("INFO")
    assert capsys.readouterr().out == ""


def test_prints_of_generators_become_lines(lines, capsys):
    """3.20"""

    @task(log_prints=True)
    def items():
        print("one")
        yield 1
        print("two")

    for _ in items():
        print("consumer")
    assert [line for line in lines("INFO") if line in {"one", "two", "consumer"}] == ["one", "two"]
    assert capsys.readouterr().out == "consumer\n"
