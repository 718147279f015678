"""Flows in flows, and sync and async together; the lines are of engine.md, sections 4.10 and 5."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time

import pytest
from flow_ways import WAYS, call, logs_fixture, made, shown  # noqa: F401

from oxtask import Task, flow, tags, task
from oxtask._core import TaskRunFuture
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import UpstreamTaskError
from oxtask.states import Completed
from oxtask.task_runners import ThreadPoolTaskRunner


@task
def one(x=1):
    return x


@task
async def aone(x=1):
    await asyncio.sleep(0)
    return x


@task
def broken():
    raise ValueError("no luck")


def nested(way, child):
    """Return a flow that calls another."""

    async def coroutine():
        return await child()

    return flow(coroutine if way == "async" else (lambda: child()), name="parent")


# --- flows in flows -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_child_has_a_run_and_a_runner_of_its_own(logs, way):
    """FL-95, FL-97"""
    seen = []

    def body(attempt):
        seen.append(FlowRunContext.get())
        return 5

    child = made(way, body, name="child", task_runner=ThreadPoolTaskRunner(max_workers=3))
    assert call(nested(way, child)) == 5
    parent, inner = logs
    assert parent.record.id != inner.record.id
    assert shown(inner) == shown(parent) == ["Pending", "Running", "Completed"]
    assert seen[0].flow_run is inner.record
    assert seen[0].task_runner == child.task_runner
    assert seen[0].task_runner is not child.task_runner
    assert FlowRunContext.get() is None


@pytest.mark.parametrize("way", WAYS)
def test_a_child_inherits_the_tags_around_its_call(logs, way):
    """FL-97, CX-06"""
    child = made(way, lambda attempt: sorted(FlowRunContext.get().flow_run.tags), name="child")

    def plain():
        with tags("b"):
            return child()

    async def coroutine():
        with tags("b"):
            return await child()

    with tags("a"):
        found = call(flow(coroutine if way == "async" else plain))
    assert found == ["a", "b"]
    assert logs[0].record.tags == ["a"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("parents", [True, False, None])
@pytest.mark.parametrize("childs", [True, False, None])
def test_a_child_that_does_not_say_logs_prints_as_its_parent_does(way, parents, childs):
    """FL-97, LG-20"""
    body = lambda attempt: FlowRunContext.get().log_prints  # noqa: E731
    child = made(way, body, log_prints=childs)
    found = call(nested(way, child).with_options(log_prints=parents))
    assert found is bool(parents if childs is None else childs)


@pytest.mark.parametrize("way", WAYS)
def test_a_child_that_fails_raises_in_the_parent(logs, way):
    """FL-99"""

    def failing(attempt):
        raise ValueError("in the child")

    child = made(way, failing, name="child")
    with pytest.raises(ValueError, match="in the child"):
        call(nested(way, child))
    assert [shown(log)[-1] for log in logs] == ["Failed", "Failed"]

    def plain():
        return [child(return_state=True).name]

    async def coroutine():
        return [(await child(return_state=True)).name]

    assert call(flow(coroutine if way == "async" else plain)) == ["Failed"]


@pytest.mark.parametrize("way", WAYS)
def test_a_child_takes_futures_and_states(way):
    """FL-96"""

    def plain(a, b, c):
        return [a, b, c]

    async def coroutine(a, b, c):
        return [a, b, c]

    child = flow(coroutine if way == "async" else plain)

    @flow
    def parent():
        found = call(child, one.submit(2), [one.submit(3), Completed(data=4)], {"k": one.submit(5)})
        assert found == [2, [3, 4], {"k": 5}]
        with pytest.raises(UpstreamTaskError):
            call(child, 1, [broken.submit()], 3)
        return "done"

    assert parent() == "done"


def test_a_child_that_waits_for_futures_does_not_stop_the_event_loop():
    """FL-96, W05"""
    gate = threading.Event()

    @task
    def slow():
        gate.wait(10)
        return 3

    @flow
    async def child(x):
        return x

    @flow
    async def parent():
        waiting = asyncio.ensure_future(child(slow.submit()))
        for _ in range(5):
            await asyncio.sleep(0.01)
        gate.set()
        return await waiting

    assert asyncio.run(parent()) == 3


def test_async_children_run_together():
    """FL-98"""
    meeting = None

    @flow
    async def child(number):
        await meeting.wait()
        return number

    @flow
    async def parent():
        nonlocal meeting
        meeting = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, meeting.set)
        return await asyncio.gather(*(child(number) for number in range(5)))

    assert asyncio.run(parent()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("way", WAYS)
def test_flows_may_call_themselves(logs, way):
    """FL-98"""

    @flow
    def count(n):
        return 0 if n == 0 else 1 + count(n - 1)

    @flow
    async def acount(n):
        return 0 if n == 0 else 1 + await acount(n - 1)

    assert call(acount if way == "async" else count, 10) == 10
    assert len({log.record.id for log in logs}) == 11


def test_a_flow_can_be_a_task():
    """FL-100"""
    seen = []

    @flow(log_prints=True)
    def child(x):
        seen.append((TaskRunContext.get() is not None, FlowRunContext.get().log_prints))
        return x + 1

    @flow
    async def achild(x):
        return x + 1

    assert task(child)(1) == 2
    assert asyncio.run(task(achild)(1)) == 2

    @flow
    def parent():
        wrapped = Task(child)
        return [wrapped(1), wrapped.submit(2).result(), task(achild).submit(3).result()]

    assert parent() == [2, 3, 4]
    assert seen == [(True, True)] * 3


def test_a_task_or_a_flow_can_be_the_function_of_a_flow():
    """FL-100"""
    around = flow(one)
    assert (around.name, around.version) == ("one", flow(one.fn).version)
    assert around(3) == 3
    assert asyncio.run(flow(aone)(5)) == 5
    inner = flow(version="7")(one.fn)
    outer = flow(name="outer", retries=2)(inner)
    assert (outer(4), outer.name, outer.retries) == (4, "outer", 2)
    assert outer.version == flow(one.fn).version
    assert asyncio.run(flow(flow(aone.fn))(5)) == 5


def test_a_flow_called_in_a_task_runs_there(logs):
    """FL-68, CX-04"""

    @flow
    def child():
        return [one.submit(number).result() for number in range(3)]

    @task
    def calls():
        return child()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def parent():
        return calls.submit().result()

    assert parent() == [0, 1, 2]
    assert [log.record.state_name for log in logs] == ["Completed", "Completed"]


# --- sync and async -------------------------------------------------------------------------------


def run_in(way, body):
    """Return what a function returns that is called in a flow of this kind; coroutines as such."""
    found = []
    call(made(way, lambda attempt: found.append(body())))
    return found[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_sync_task_runs_on_the_thread_of_its_caller(way):
    """5: a sync task in flows of both kinds, and in tasks of both kinds"""
    where = Task(lambda: threading.get_ident())

    @task
    def calls():
        return where()

    @task
    async def acalls():
        return where()

    assert run_in(way, where) == threading.get_ident()
    assert run_in(way, calls) == threading.get_ident()
    main = made("async", lambda attempt: acalls())
    assert call(main) == threading.get_ident()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [aone, flow(aone.fn)])
def test_an_async_callee_is_a_coroutine_for_any_caller(way, kind):
    """5: an async task or flow in a sync flow; FL-98"""
    coroutine = run_in(way, kind)
    assert inspect.iscoroutine(coroutine)
    coroutine.close()

    @task
    def calls():
        return [kind()]

    coroutine = calls()[0]
    assert inspect.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == 1


def test_an_async_callee_is_awaited():
    """5: an async task or flow in an async flow"""

    @flow
    async def child():
        return await aone(2)

    @flow
    async def parent():
        return [await aone(1), await child()]

    assert asyncio.run(parent()) == [1, 2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [one, aone])
def test_what_is_submitted_is_a_future_that_is_not_awaited(way, kind):
    """5, D4: submit and map of tasks of both kinds in flows of both kinds"""

    def body():
        future = kind.submit(3)
        assert isinstance(future, TaskRunFuture)
        assert not hasattr(future, "__await__")
        assert not hasattr(kind.map([1]), "__await__")
        assert future.result() == 3
        return kind.map([1, 2]).result()

    assert run_in(way, body) == [1, 2]


@pytest.mark.parametrize("kind", [one, aone])
def test_a_future_can_be_awaited_in_another_way(kind):
    """SA-01"""

    @flow
    async def main():
        return await kind.submit(3).aresult()

    assert asyncio.run(main()) == 3


def test_a_sync_child_runs_on_the_event_loop_of_its_caller_and_stops_it():
    """5: a sync flow in an async flow and in an async task; FL-98"""

    @flow
    def child():
        time.sleep(0.02)
        return asyncio.get_running_loop()

    @task
    async def calls():
        return child()

    @flow
    async def parent():
        ticks = []
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        loops = {child()}
        assert ticks == []
        loops.add(await calls())
        return loops == {asyncio.get_running_loop()}

    assert asyncio.run(parent()) is True
