"""Hooks: when they are called, with what, in which context, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import functools
import threading

import pytest
from ways import WAYS, run

from oxtask import flow, get_run_logger, task
from oxtask._internal.task_runs import log_of
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.states import Cancelled, Completed, Failed

each_way = pytest.mark.parametrize("way", WAYS)


def fails(count):
    raise ValueError("no")


def works(count):
    return "value"


def fails_once(count):
    if count == 1:
        raise ValueError("no")


class Stop(BaseException):
    """An exception that is no `Exception`."""


def stop():
    raise Stop("stop")


def records(seen, *, is_async=False):
    """Return a hook that keeps what it is called with."""

    def hook(task, task_run, state):
        seen.append((task, task_run, state))

    async def ahook(task, task_run, state):
        await asyncio.sleep(0)
        seen.append((task, task_run, state))

    return ahook if is_async else hook


@each_way
@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_gets_the_task_the_run_and_the_state(way, is_async):
    """11.1, 11.9, 38.9, TE-50, TE-53, TE-57: sync and async hooks of sync and async tasks"""
    seen, running = [], []
    hooks = {
        "on_completion": [records(seen, is_async=is_async)],
        "on_running": [records(running, is_async=is_async)],
    }
    ran = run(way, works, hooks=False, **hooks)
    (made, task_run, state), (_, same_run, earlier) = seen[0], running[0]
    assert task_run is same_run
    assert made.name == task_run.name.split("-")[0]
    assert (earlier.name, state.name) == ("Running", "Completed")
    assert state.result(_sync=True) == "value"
    assert task_run.id == ran.future.task_run_id
    assert task_run.state is state
    assert task_run.run_count == 1


@each_way
@pytest.mark.parametrize("delay", [0, 0.005])
def test_hooks_of_attempts_come_before_each_body(way, delay):
    """11.2, TE-51, TE-28: of attempts that follow at once and of those that come later"""
    seen = []

    def body(count):
        seen.append(f"body {count}")
        fails_once(count)

    def hook(task, task_run, state):
        seen.append((state.name, task_run.run_count, task_run.state is state))

    run(way, body, hooks=False, on_running=[hook], retries=1, retry_delay_seconds=delay)
    assert seen == [("Running", 1, True), "body 1", ("Retrying", 2, True), "body 2"]


@each_way
def test_a_failure_hook_is_called_at_the_end_only(way):
    """11.4, TE-51"""
    seen = []
    run(way, fails, hooks=False, on_failure=[records(seen)], retries=2)
    assert [state.name for _, _, state in seen] == ["Failed"]
    assert seen[0][1].run_count == 3


def times_out(count):
    raise TimeoutError("no")


@each_way
@pytest.mark.parametrize(
    ("body", "name"),
    [(times_out, "TimedOut"), (lambda count: Failed(message="mine", name="Odd"), "Odd")],
)
def test_failed_states_of_any_name_are_failures(way, body, name):
    """11.4"""
    ran = run(way, body)
    assert ran.hooks == ["running", "failure"]
    assert ran.state.name == name


@each_way
@pytest.mark.parametrize(
    ("body", "name"), [(lambda count: Cancelled(), "Cancelled"), (lambda count: stop(), "Crashed")]
)
def test_no_hook_is_called_for_other_ends(way, body, name):
    """11.5"""
    ran = run(way, body)
    assert ran.hooks == ["running"]
    assert ran.state.name == name


@each_way
def test_completed_states_of_any_name_are_completions(way):
    """11.3"""
    ran = run(way, lambda count: Completed(name="Fancy"))
    assert ran.hooks == ["running", "completion"]
    assert ran.state.name == "Fancy"


@each_way
def test_hooks_are_called_in_order_before_the_caller_goes_on(way):
    """11.8, TE-52"""
    seen = []
    hooks = [lambda *_, name=name: seen.append(name) for name in "abc"]
    run(way, works, hooks=False, on_completion=hooks)
    assert seen == ["a", "b", "c"]


@each_way
def test_hooks_run_in_the_context_of_the_run(way):
    """11.8, TE-52"""
    seen = []

    def hook(task, task_run, state):
        context = TaskRunContext.get()
        seen.append(context.task_run is task_run and context.task is task)
        seen.append((FlowRunContext.get() is None) == (way in {"call", "await"}))
        get_run_logger().info("said by a hook")

    async def ahook(task, task_run, state):
        hook(task, task_run, state)

    run(way, works, hooks=False, on_running=[hook, ahook], on_completion=[hook, ahook])
    assert seen == [True] * 8


@each_way
@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_that_fails_is_logged_and_the_others_run(way, is_async, lines, caplog):
    """11.6, TE-54"""
    seen = []

    def broken(task, task_run, state):
        raise LookupError("broken hook")

    async def abroken(task, task_run, state):
        broken(task, task_run, state)

    hook = abroken if is_async else broken
    hooks = [hook, records(seen)]
    ran = run(way, works, hooks=False, on_completion=hooks, on_running=hooks)
    assert ran.value == "value"
    assert ran.history == ["Pending", "Running", "Completed"]
    assert len(seen) == 2
    errors = [line for line in lines("ERROR") if f"running hook '{hook.__name__}'" in line]
    assert len(errors) == 2
    assert "LookupError: broken hook" in caplog.text


@each_way
@pytest.mark.parametrize("kind", ["on_completion", "on_failure"])
def test_a_final_hook_that_tears_down_does_not_change_the_run(way, kind):
    """11.6, TE-55, W01"""
    error = Stop("hook")

    def hook(*_):
        raise error

    ran = run(way, works if kind == "on_completion" else fails, hooks=False, **{kind: [hook]})
    final = "Completed" if kind == "on_completion" else "Failed"
    assert ran.history == ["Pending", "Running", final]
    if way in {"call", "await"}:
        assert ran.error is error
    elif kind == "on_completion":
        assert ran.value == "value"
    else:
        assert isinstance(ran.error, ValueError)


@each_way
def test_a_running_hook_that_tears_down_crashes_the_run(way):
    """11.6: the body is not called"""
    error = Stop("hook")
    futures = []

    def hook(*_):
        from oxtask._core import current_run

        futures.append(current_run.get().future)
        raise error

    ran = run(way, works, hooks=False, on_running=[hook], retries=2)
    ran.future = futures[0]
    assert ran.history == ["Pending", "Running", "Crashed"]
    assert ran.bodies == 0
    assert ran.error is error


@each_way
def test_hooks_are_logged(way, lines):
    """11.7, TE-56"""

    def hook(*_):
        return None

    class Callable:
        def __call__(self, *_):
            return None

    hooks = [hook, functools.partial(hook, extra=1), Callable()]
    run(way, works, hooks=False, on_completion=[hooks[0], hooks[2]])
    assert [line for line in lines("INFO") if "ook '" in line] == [
        "Running hook 'hook' in response to entering state 'Completed'",
        "Hook 'hook' finished running successfully",
        "Running hook 'Callable' in response to entering state 'Completed'",
        "Hook 'Callable' finished running successfully",
    ]


def test_hooks_may_be_partials_and_have_more_arguments():
    """11.1, TE-50, TE-56"""
    seen = []

    def hook(task, task_run, state, extra="default"):
        seen.append(extra)

    class Holder:
        def method(self, task, task_run, state):
            seen.append("method")

    task(lambda: 1, on_completion=[hook, functools.partial(hook, extra="given"), Holder().method])()
    assert seen == ["default", "given", "method"]


def test_hooks_that_are_added_later_are_called():
    """5.4"""
    seen = []
    made = task(lambda: 1)
    made()
    made.on_completion(records(seen))
    made.on_running(records(seen))
    made()
    flow(lambda: made.submit().wait())()
    assert [state.name for _, _, state in seen] == ["Running", "Completed"] * 2


def test_an_async_hook_works_where_an_event_loop_runs():
    """TE-57: a sync task that is called in async code"""
    seen = []

    async def hook(task, task_run, state):
        await asyncio.sleep(0)
        seen.append(TaskRunContext.get().task_run is task_run)

    @flow
    async def main():
        return task(lambda: 3, on_completion=[hook])()

    assert asyncio.run(main()) == 3
    assert seen == [True]


def test_async_hooks_of_async_tasks_run_on_the_same_loop():
    """11.1"""
    loops = []

    async def hook(*_):
        loops.append(asyncio.get_running_loop())

    @task(on_running=[hook], on_completion=[hook])
    async def body():
        loops.append(asyncio.get_running_loop())

    asyncio.run(body())
    assert len(loops) == 3
    assert len(set(loops)) == 1


def test_a_submitted_run_has_ended_when_its_hooks_have():
    """TE-52: who waits for the run sees what its hooks did"""
    seen, gate = [], threading.Event()

    def hook(*_):
        gate.wait(10)
        seen.append("hook")

    @flow
    def main():
        future = task(lambda: 1, on_completion=[hook]).submit()
        assert not future.done()
        gate.set()
        future.wait()
        return list(seen)

    assert main() == ["hook"]


def test_a_hook_sees_the_final_record():
    """TE-53"""
    seen = []

    def hook(task, task_run, state):
        seen.append(
            (task_run.end_time is not None, task_run.total_run_time >= 0 * task_run.total_run_time)
        )

    @flow
    def main():
        future = task(lambda: 1, on_completion=[hook]).submit()
        future.wait()
        return log_of(future).record.end_time is not None

    assert main()
    assert seen == [(True, True)]
