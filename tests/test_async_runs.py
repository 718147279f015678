"""Async tasks that were submitted: they run on shared event loops, as on any other."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from contextvars import ContextVar

import pytest

from oxtask import flow, task
from oxtask.context import TaskRunContext
from oxtask.exceptions import CancelledRun, UnfinishedRun
from oxtask.states import StateType
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


@pytest.fixture(autouse=True)
def pool():
    with ThreadPoolTaskRunner() as runner:
        yield runner


def run(function, *args):
    """Submit an async function as a task and return its result."""
    return task(function).submit(*args).result(timeout=PATIENCE)


def test_an_async_task_runs_on_an_event_loop_off_the_caller_s_thread():
    """5: sync flow, async task submitted"""

    async def where():
        asyncio.get_running_loop()
        return threading.current_thread()

    assert run(where) is not threading.current_thread()


def test_async_runs_share_event_loops():
    """SA-02, W28"""

    @task
    async def loop():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    loops = {loop.submit().result() for _ in range(50)}
    assert len(loops) <= 2


@pytest.mark.parametrize("suspends", [False, True])
def test_results_errors_and_crashes_are_those_of_sync_runs(suspends):
    """5"""
    errors = [ValueError("no"), KeyboardInterrupt(), SystemExit(3)]

    @task
    async def end(how):
        if suspends:
            await asyncio.sleep(0)
        if isinstance(how, BaseException):
            raise how
        return how

    futures = end.map([1, *errors])
    futures.wait()
    types = [future.state.type for future in futures]
    assert types == [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CRASHED]
    assert futures.result(raise_on_failure=False) == [1, *errors]
    for future, error in zip(futures[1:], errors, strict=True):
        with pytest.raises(type(error)) as raised:
            future.result()
        assert raised.value is error


def test_a_body_that_raises_cancelled_error_has_crashed():
    """3.2: asyncio.CancelledError"""

    async def give_up():
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    future = task(give_up).submit()
    future.wait()
    assert future.state.is_crashed()
    with pytest.raises(asyncio.CancelledError):
        future.result()


def test_inputs_are_resolved_and_results_can_be_inputs():
    """TE-60, TE-61, 5"""

    @task
    async def double(x):
        await asyncio.sleep(0)
        return x * 2

    @task
    def fail():
        raise ValueError

    assert double.submit(double.submit(double.submit(1))).result() == 8
    assert double.map([double.submit(1), 5]).result() == [4, 10]
    below = double.submit(fail.submit())
    with pytest.raises(UnfinishedRun):
        below.result()


def test_the_current_task_is_one_of_its_own():
    @task
    async def current():
        before = asyncio.current_task()
        await asyncio.sleep(0.001)
        same = asyncio.current_task() is before
        return same, before, before.done(), before.cancelled(), bool(before.get_name())

    futures = [current.submit(), current.submit()]
    one, two = (future.result() for future in futures)
    assert one[0]
    assert two[0]
    assert one[1] is not two[1]
    assert one[2:] == (False, False, True)
    assert one[1].done()


def test_gather_wait_for_and_queues_work():
    async def body():
        queue = asyncio.Queue(maxsize=1)

        async def produce():
            for number in range(5):
                await queue.put(number)

        async def consume():
            return [await queue.get() for _ in range(5)]

        _, got = await asyncio.gather(produce(), consume())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        assert await asyncio.wait_for(asyncio.sleep(0, "quick"), PATIENCE) == "quick"
        done, pending = await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])
        assert (len(done), pending) == (1, set())
        return got

    assert run(body) == [0, 1, 2, 3, 4]


def test_locks_conditions_and_semaphores_work_across_runs():
    lock, inside, most = None, 0, 0

    @task
    async def enter(_):
        nonlocal inside, most, lock
        lock = lock or asyncio.Semaphore(2)
        async with lock:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    enter.map(range(20)).result()
    assert most == 2


def test_subprocesses_streams_and_executors_work():
    async def body():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('hi')", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()

        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        in_thread = await asyncio.to_thread(threading.get_ident)
        return out.strip(), line, in_thread != threading.get_ident()

    assert run(body) == (b"hi", b"line\n", True)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
def test_timeouts_and_task_groups_work():
    async def body():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        assert asyncio.current_task().cancelling() == 0
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
        with pytest.raises(BaseExceptionGroup) as raised:  # noqa: F821 - from 3.11 on
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.Event().wait())
                raise ValueError("from the group")
        assert raised.group_contains(ValueError)
        await asyncio.sleep(0)
        return [one.result() for one in tasks]

    assert run(body) == [0, 1, 2]


def test_a_body_can_cancel_what_it_started_and_even_itself():
    async def body():
        child = asyncio.ensure_future(asyncio.Event().wait())
        await asyncio.sleep(0)
        child.cancel()
        with pytest.raises(asyncio.CancelledError):
            await child
        own = asyncio.current_task()
        own.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        if sys.version_info >= (3, 11):
            assert own.cancelling() == 1
            assert own.uncancel() == 0
        await asyncio.sleep(0)
        return "went on"

    assert run(body) == "went on"


def test_another_task_of_the_loop_can_wait_for_the_current_task():
    async def body(heard):
        own = asyncio.current_task()
        own.add_done_callback(heard.append)
        dropped = heard.append
        own.add_done_callback(dropped)
        assert own.remove_done_callback(dropped) == 2
        own.add_done_callback(lambda ended: (heard.append(ended.done()), called.set()))
        await asyncio.sleep(0)

    heard, called = [], threading.Event()
    run(body, heard)
    assert called.wait(PATIENCE)
    assert heard == [True]


def test_the_context_of_a_body_is_its_own_across_suspensions():
    """TR-06"""
    value = ContextVar("value", default=-1)

    @task
    async def body(number):
        before = value.get()
        value.set(number)
        for _ in range(5):
            await asyncio.sleep(0)
            assert value.get() == number
        inner = await asyncio.ensure_future(read())
        assert TaskRunContext.get().task is body
        return before, inner

    async def read():
        return value.get()

    value.set(100)
    assert body.map(range(50)).result() == [(100, number) for number in range(50)]
    assert value.get() == 100


def test_async_generators_and_context_managers_are_closed():
    closed = []

    async def numbers():
        try:
            for number in range(100):
                yield number
                await asyncio.sleep(0)
        finally:
            closed.append("generator")

    @contextlib.asynccontextmanager
    async def manager():
        try:
            yield "inside"
        finally:
            await asyncio.sleep(0)
            closed.append("manager")

    async def body():
        async with manager() as inside, contextlib.aclosing(numbers()) as source:
            async for number in source:
                if number == 3:
                    return inside, number
        return None

    assert run(body) == ("inside", 3)
    assert closed == ["generator", "manager"]


def test_bad_awaits_are_told_to_the_body():
    class Odd:
        def __await__(self):
            yield "not a future"

    async def body():
        with pytest.raises(RuntimeError, match=r"bad yield.*'not a future'"):
            await Odd()
        foreign = asyncio.new_event_loop()
        with pytest.raises(RuntimeError, match="another event loop"):
            await foreign.create_future()
        foreign.close()
        return "went on"

    assert run(body) == "went on"


def test_an_async_task_that_blocks_its_loop_does_not_stall_new_ones():
    """B11, the issue: one that blocks must not stall the others"""
    entered, release = threading.Event(), threading.Event()

    @task
    async def block():
        entered.set()
        assert release.wait(PATIENCE)
        return "blocked"

    @task
    async def quick(x):
        await asyncio.sleep(0)
        return x

    blocked = block.submit()
    assert entered.wait(PATIENCE)
    assert quick.map(range(20)).result(timeout=PATIENCE) == list(range(20))
    more = [block.submit() for _ in range(3)]
    assert quick.map(range(20)).result(timeout=PATIENCE) == list(range(20))
    release.set()
    assert [future.result() for future in [blocked, *more]] == ["blocked"] * 4


def test_sync_waits_inside_async_tasks_do_not_deadlock():
    """5: async flow, result() is synchronous"""

    @task
    async def child(x):
        await asyncio.sleep(0)
        return x + 1

    @task
    def sync_child(x):
        return x + 1

    @task
    async def parent():
        one = child.submit(1).result()
        return sync_child.submit(one).result()

    assert [future.result(timeout=PATIENCE) for future in [parent.submit() for _ in range(5)]] == [
        3
    ] * 5


def test_awaiting_other_runs_inside_async_tasks():
    """SA-01"""

    @task
    async def child(x):
        await asyncio.sleep(0)
        return x + 1

    @task
    async def parent(depth):
        if depth == 0:
            return 0
        return await child.submit(await parent.submit(depth - 1).aresult()).aresult()

    assert parent.submit(20).result(timeout=PATIENCE) == 20


def test_a_cancelled_async_run_gets_cancelled_error_at_its_await():
    started, seen = threading.Event(), []

    @task
    async def wait_for_ever():
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            stopped.set()
            raise

    stopped = threading.Event()
    future = wait_for_ever.submit()
    assert started.wait(PATIENCE)
    while not future.cancel():
        pass
    assert stopped.wait(PATIENCE)
    assert future.state.is_cancelled()
    with pytest.raises(CancelledRun):
        future.result()
    assert seen == ["cancelled"]


def test_async_flows_and_tasks_mix_with_submitted_ones():
    """26.1, FL-98"""

    @task
    async def one(x):
        await asyncio.sleep(0)
        return x + 1

    @task
    def two(x):
        return x * 2

    @flow
    async def child(x):
        return await one(x) + await two.submit(x).aresult()

    @flow
    async def main():
        direct = await asyncio.gather(one(1), one(2), child(3))
        mapped = one.map(two.map([1, 2, 3]))
        return direct, [await future.aresult() for future in mapped]

    assert asyncio.run(main()) == ([2, 3, 10], [3, 5, 7])


def test_a_thousand_runs_that_sleep_at_once_overlap():
    """B11"""
    inside = most = 0

    @task
    async def nap(x):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.2)
        inside -= 1
        return x

    assert nap.map(range(1000)).result() == list(range(1000))
    assert most > 500
