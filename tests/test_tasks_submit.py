"""Submitting tasks in flows: futures, order, context."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from ways import history

from oxtask import flow, tags, task
from oxtask._core import TaskRunFuture
from oxtask._internal.task_runs import log_of
from oxtask.exceptions import ParameterBindError, UnfinishedRun
from oxtask.futures import Future
from oxtask.task_runners import ThreadPoolTaskRunner


@task
def add(x, y=1):
    return x + y


@task
async def aadd(x, y=1):
    return x + y


@task
def fail(error):
    raise error


@pytest.mark.parametrize("made", [add, aadd])
def test_submit_returns_a_future_at_once(made):
    """17.1"""

    @flow
    def main():
        future = made.submit(1, y=2)
        assert isinstance(future, Future)
        assert isinstance(future, TaskRunFuture)
        return future.result()

    assert main() == 3


@pytest.mark.parametrize("made", [add, aadd])
def test_submit_is_sync_in_async_flows_too(made):
    """17.1"""

    @flow
    async def main():
        future = made.submit(1)
        assert isinstance(future, TaskRunFuture)
        return await future.aresult()

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_async_tasks_run_on_an_event_loop_of_their_own(is_async):
    """17.9: not on that of the flow, which may be blocked"""

    @task
    async def loop():
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), threading.get_ident()

    def main():
        return loop.submit().result(), threading.get_ident()

    async def amain():
        (own, thread), here = main()
        assert own is not asyncio.get_running_loop()
        return (own, thread), here

    (_, thread), here = asyncio.run(flow(amain)()) if is_async else flow(main)()
    assert thread != here


def test_submit_needs_a_flow():
    """17.2"""
    with pytest.raises(RuntimeError, match=r"Unable to determine task runner.*'add'"):
        add.submit(1)


def test_a_task_outside_of_a_flow_cannot_submit():
    """17.2"""
    with pytest.raises(RuntimeError, match="Unable to determine task runner"):
        task(lambda: add.submit(1))()


def test_a_thread_of_the_program_can_submit_in_a_copy_of_the_context():
    """17.2, 26.6"""
    seen = []

    def submit():
        try:
            seen.append(add.submit(1).result())
        except RuntimeError as error:
            seen.append(type(error))

    @flow
    def main():
        for target in (submit, lambda c=contextvars.copy_context(): c.run(submit)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    main()
    assert seen == [RuntimeError, 2]


def test_wrong_arguments_are_reported_before_the_missing_flow():
    """13.5"""
    with pytest.raises(ParameterBindError):
        add.submit()
    with pytest.raises(ParameterBindError):
        add.submit(1, z=2)


def test_a_task_that_was_submitted_can_submit():
    """17.3, on one worker as well"""

    @task
    def parent(n):
        return 0 if n == 0 else parent.submit(n - 1).result() + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return parent.submit(20).result(), parent(3)

    assert main() == (20, 3)


def test_sync_and_async_tasks_can_submit_each_other():
    """17.3, 26.1"""

    @task
    async def outer(x):
        return await aadd.submit(add.submit(x)).aresult() + await aadd(1)

    @flow
    def main():
        return outer.submit(1).result()

    assert main() == 5


def test_a_state_is_returned_on_request():
    """17.4"""

    @flow
    def main():
        state = add.submit(1, return_state=True)
        assert state.is_completed()
        return state.result(_sync=True)

    assert main() == 2


def test_a_failure_is_raised_by_result_only():
    """17.5"""
    error = ValueError("no")

    @flow
    def main():
        future = fail.submit(error)
        future.wait()
        assert future.state.is_failed()
        assert future.result(raise_on_failure=False) is error
        with pytest.raises(ValueError) as caught:
            future.result()
        assert caught.value is error
        return "fine"

    assert main() == "fine"


def test_arguments_are_shared_by_reference():
    """17.6"""
    gate = threading.Event()

    @task
    def look(items):
        gate.wait(10)
        return items

    @flow
    def main():
        items = [1]
        future = look.submit(items)
        items.append(2)
        gate.set()
        result = future.result()
        assert result is items
        return list(result)

    assert main() == [1, 2]


VARIABLE = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_sees_the_context_of_its_submission(kind):
    """17.7"""
    gate = threading.Event()

    @task
    def look(_):
        gate.wait(10)
        return VARIABLE.get()

    @task
    async def alook(_):
        return VARIABLE.get()

    @flow
    def main():
        made = look if kind == "sync" else alook
        VARIABLE.set("then")
        future = made.submit(0)
        mapped = made.map([0, 1])
        VARIABLE.set("now")
        gate.set()
        return [future.result(), *mapped.result()]

    assert main() == ["then", "then", "then"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_keeps_what_it_sets_in_its_context_to_itself(kind):
    """DESIGN, the life of a run, 5"""

    @task
    def change(_):
        before = VARIABLE.get()
        VARIABLE.set("changed")
        return before

    @task
    async def achange(_):
        return change.fn(_)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        made = change if kind == "sync" else achange
        VARIABLE.set("mine")
        seen = [made.submit(0).result(), *made.map([0, 0]).result()]
        return seen, VARIABLE.get()

    assert main() == (["mine"] * 3, "mine")


def test_tags_are_those_of_the_submission():
    """17.7, 26.4, TE-08"""

    @flow
    def main():
        with tags("a"), tags("b"):
            future = add.with_options(tags=["own", "a"]).submit(1)
        with tags("later"):
            future.wait()
            return sorted(log_of(future).record.tags)

    with tags("flow"):
        assert main() == ["a", "b", "flow", "own"]


def test_a_chain_needs_one_worker_only():
    """17.8, W58"""

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        future = add.submit(0)
        for _ in range(200):
            future = add.submit(future)
        return future.result()

    assert main() == 201


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_a_run_begins_when_the_last_of_its_inputs_has_ended(order):
    """22.2: in whatever order they end"""
    gates = [threading.Event() for _ in range(3)]

    @task
    def wait(place):
        assert gates[place].wait(10)
        return place

    @flow
    def main():
        inputs = [wait.submit(place) for place in range(3)]
        together = task(lambda first, rest: [first, *rest]).submit(inputs[0], inputs[1:])
        for place in order:
            assert not together.done()
            gates[place].set()
            inputs[place].wait()
        return together.result()

    assert main() == [0, 1, 2]


def test_tags_without_a_limit_cost_nothing(lines):
    """38.8: no waiting, nothing said"""

    @flow
    def main():
        return add.with_options(tags=["database", "api"]).map(range(50)).result()

    with tags("outer"):
        assert main() == list(range(1, 51))
    assert lines("WARNING") == []


def test_a_run_that_waits_for_others_holds_no_worker():
    """17.8, W58"""
    gate = threading.Event()

    @task
    def first():
        gate.wait(10)
        return 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main():
        slow = first.submit()
        waiting = [add.submit(slow) for _ in range(10)]
        assert add.submit(1).result() == 2
        assert {history(future)[-1] for future in waiting} == {"Pending"}
        gate.set()
        return [future.result() for future in waiting]

    assert main() == [2] * 10


def test_the_result_of_a_run_that_never_started_is_not_available():
    """17.12"""

    @flow
    def main():
        future = add.submit(fail.submit(ValueError("no")))
        for raise_on_failure in (True, False):
            with pytest.raises(UnfinishedRun, match="NotReady"):
                future.result(raise_on_failure=raise_on_failure)
        return future.state.name

    assert main() == "NotReady"


def test_futures_are_hashable_and_not_awaitable():
    """17.11, D4"""

    @flow
    async def main():
        future = add.submit(1)
        assert len({future, future}) == 1
        with pytest.raises(TypeError):
            await future
        return await future.aresult()

    assert asyncio.run(main()) == 2


def test_mapped_children_that_fail_do_not_hold_up_the_others():
    """38.1"""

    @task
    def odd(x):
        if x % 2 == 0:
            raise ValueError(x)
        return x

    @flow
    def main():
        futures = odd.map(range(4))
        futures.wait()
        return [future.state.type.value for future in futures]

    assert main() == ["FAILED", "COMPLETED", "FAILED", "COMPLETED"]


def test_a_run_inside_a_flow_has_a_name_of_its_own():
    """16.1, TE-05, TE-06"""

    @flow
    def main():
        runs = [log_of(future).record for future in (add.submit(1), *add.map([1, 2]))]
        return [(run.name, run.dynamic_key) for run in runs]

    for name, key in main():
        assert name == f"add-{key[:3]}"
    assert len({key for _, key in main()}) == 3
