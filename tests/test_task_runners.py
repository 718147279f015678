"""Task runners: their life, what `submit` and `map` need of them, runners written in Python."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from uuid import uuid4

import pytest

from oxtask import flow, tags, task
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import CancelledRun, MappingLengthMismatch, MappingMissingIterable
from oxtask.futures import Future, FutureList, as_completed, wait
from oxtask.settings import temporary_settings
from oxtask.states import Completed, Pending, State, exception_to_failed_state
from oxtask.task_runners import ConcurrentTaskRunner, TaskRunner, ThreadPoolTaskRunner
from oxtask.utilities.annotations import unmapped

PATIENCE = 10


@task
def add(x, y=1):
    return x + y


@task
def hold(started, gate):
    started.set()
    assert gate.wait(PATIENCE)
    return "held"


# --- the life of a runner ---


def test_the_name_and_the_logger_come_from_the_class():
    """TR-01"""
    runner = ThreadPoolTaskRunner()
    assert runner.name == "threadpool"
    assert runner.logger.name == "oxtask.task_runner.threadpool"
    assert ConcurrentTaskRunner is ThreadPoolTaskRunner
    assert isinstance(runner, TaskRunner)


def test_a_runner_that_is_not_started_refuses_work():
    """TR-02"""
    runner = ThreadPoolTaskRunner()
    with pytest.raises(RuntimeError, match="Task runner is not started"):
        runner.submit(add, {"x": 1})
    with pytest.raises(
        RuntimeError, match="The task runner must be started before submitting work"
    ):
        runner.map(add, {"x": [1]})
    with runner:
        pass
    with pytest.raises(RuntimeError, match="Task runner is not started"):
        runner.submit(add, {"x": 1})


def test_a_runner_is_entered_once_at_a_time():
    """TR-02"""
    runner = ThreadPoolTaskRunner()
    for _ in range(2):
        with runner:
            with pytest.raises(RuntimeError, match="already started"):
                runner.__enter__()
            assert add.submit(1).result() == 2


def test_a_runner_works_without_a_flow():
    """TR-05, TR-01"""
    with ThreadPoolTaskRunner(max_workers=2) as runner:
        assert runner.submit(add, {"x": 1, "y": 5}).result() == 6
        assert runner.map(add, {"x": [1, 2], "y": unmapped(3)}).result() == [4, 5]
        assert runner.submit(add, {"x": 1}, wait_for=[add.submit(1)]).result() == 2


def test_leaving_a_runner_waits_for_what_was_submitted():
    """FL-109"""
    started, gate = threading.Event(), threading.Event()
    with ThreadPoolTaskRunner(max_workers=1):
        first = hold.submit(started, gate)
        queued = [add.submit(number) for number in range(5)]
        assert started.wait(PATIENCE)
        gate.set()
    assert first.result() == "held"
    assert all(future.done() for future in queued)
    assert [future.result() for future in queued] == [1, 2, 3, 4, 5]


def test_leaving_a_runner_with_an_error_cancels_what_has_not_started():
    """FL-107, FL-109, W11"""
    started, gate = threading.Event(), threading.Event()
    with pytest.raises(ZeroDivisionError), ThreadPoolTaskRunner(max_workers=1):
        first = hold.submit(started, gate)
        assert started.wait(PATIENCE)
        queued, parked = add.submit(1), add.submit(first, "!")
        gate.set()
        raise ZeroDivisionError
    assert first.result() == "held"
    assert queued.state.is_cancelled() or queued.state.is_completed()
    assert parked.done()


def test_duplicates_are_equal_and_not_started():
    """TR-11"""
    runner = ThreadPoolTaskRunner(max_workers=7)
    with runner:
        twin = runner.duplicate()
        assert twin is not runner
        assert twin == runner
        with pytest.raises(RuntimeError, match="not started"):
            twin.submit(add, {"x": 1})
    assert runner != ThreadPoolTaskRunner(max_workers=8)
    assert runner != "something else"
    assert type(runner.duplicate()) is ThreadPoolTaskRunner
    assert repr(runner) == "ThreadPoolTaskRunner(max_workers=7)"
    assert hash(runner) == hash(runner)


def test_runners_can_be_pickled_and_copied_even_while_started():
    """TR-11"""
    runner = ThreadPoolTaskRunner(max_workers=7)
    with runner:
        assert pickle.loads(pickle.dumps(runner)) == runner
        assert copy.deepcopy(runner) == copy.copy(runner) == runner


def test_the_number_of_workers_comes_from_the_setting_if_it_is_not_given():
    """TR-10"""
    assert ThreadPoolTaskRunner()._max_workers is None
    with temporary_settings({"tasks.runner.thread_pool_max_workers": 3}):
        assert ThreadPoolTaskRunner()._max_workers == 3
        assert ThreadPoolTaskRunner(max_workers=5)._max_workers == 5


@pytest.mark.parametrize("bad", [0, -1])
def test_a_runner_needs_at_least_one_worker(bad):
    with pytest.raises(ValueError, match=f"'max_workers' must be 1 or more.*got {bad}"):
        ThreadPoolTaskRunner(max_workers=bad)


@pytest.mark.parametrize("bad", ["2", 2.0, True])
def test_the_number_of_workers_is_an_int(bad):
    with pytest.raises(TypeError, match=f"'max_workers' must be an int or None; got {bad!r}"):
        ThreadPoolTaskRunner(max_workers=bad)


def test_cancel_all_ends_what_runs_and_what_waits_and_refuses_more():
    """TR-12"""
    started, gate = threading.Event(), threading.Event()
    with ThreadPoolTaskRunner(max_workers=1) as runner:
        first = hold.submit(started, gate)
        assert started.wait(PATIENCE)
        others = [add.submit(1), add.submit(first, "!"), *add.map(range(100))]
        runner.cancel_all()
        gate.set()
        for future in (first, *others[:1], *others[2:]):
            assert future.state.is_cancelled()
            with pytest.raises(CancelledRun):
                future.result()
        others[1].wait()
        assert others[1].state.name in {"Cancelled", "NotReady"}
        with pytest.raises(RuntimeError):
            add.submit(1)
    with runner:
        assert add.submit(1).result() == 2
    runner.cancel_all()


def test_a_worker_thread_is_used_again():
    """TR-12"""
    seen, gate = set(), threading.Barrier(2)

    @task
    def note():
        seen.add(threading.get_ident())

    @task
    def meet():
        gate.wait(PATIENCE)

    with ThreadPoolTaskRunner(max_workers=2):
        for future in [meet.submit(), meet.submit()]:
            future.wait()
        for _ in range(50):
            note.submit().result()
    assert len(seen) <= 3


# --- submit ---


def test_submit_needs_a_flow_or_a_runner():
    """TR-03, 17.2"""
    with pytest.raises(RuntimeError, match="Unable to determine task runner to use for submission"):
        add.submit(1)

    @task
    def inner():
        return add.submit(1)

    with pytest.raises(RuntimeError, match="Unable to determine task runner"):
        inner()


def test_map_needs_a_flow_or_a_runner():
    """18.1"""
    with pytest.raises(RuntimeError, match=r"for mapping.*deferred=True"):
        add.map([1])


def test_a_thread_without_the_context_cannot_submit():
    """17.2, 26.6, CX-11"""
    with ThreadPoolTaskRunner(), ThreadPoolExecutor(2) as others:
        with pytest.raises(RuntimeError, match="Unable to determine task runner"):
            others.submit(add.submit, 1).result()
        assert others.submit(copy_context().run, add.submit, 1).result().result() == 2


def test_submit_returns_at_once_for_sync_and_async_tasks():
    """TR-03, 17.1"""
    started, gate = threading.Event(), threading.Event()

    @task
    async def double(x):
        return x * 2

    with ThreadPoolTaskRunner(max_workers=1):
        held = hold.submit(started, gate)
        future = double.submit(held)
        assert not future.done()
        gate.set()
        assert future.result() == "heldheld"


def test_with_return_state_submit_waits_and_gives_the_state():
    """TR-03, 17.4, 18.15"""

    @flow
    def main():
        state = add.submit(1, return_state=True)
        states = add.map([1, 2], return_state=True)
        assert type(states) is list
        return state.result(), [one.result() for one in states]

    assert main() == (2, [2, 3])


def test_arguments_are_shared_by_reference():
    """17.6, 38.10, W57"""
    values = [1]

    @task
    def same(x):
        return x

    with ThreadPoolTaskRunner():
        assert same.submit(values).result() is values
        assert same.submit(x=values).result() is values
        assert same.map([values, values]).result()[1] is values


def test_a_nested_submit_uses_the_runner_of_the_flow():
    """17.3, 26.1"""
    runners = []

    @task
    def child():
        runners.append(FlowRunContext.get().task_runner)

    @task
    def parent():
        child.submit().result()
        return [child.map is not None, TaskRunContext.get().task is parent]

    @flow
    def main():
        runners.append(FlowRunContext.get().task_runner)
        parent()
        return parent.submit().result()

    assert main() == [True, True]
    assert len(runners) == 3
    assert runners[0] is runners[1] is runners[2]


def test_the_context_of_a_run_is_the_one_at_its_submission():
    """TR-06, 17.7"""
    value = ContextVar("value", default="unset")
    gate, started = threading.Event(), threading.Event()

    @task
    def look(_):
        seen = value.get()
        value.set("changed by a run")
        return seen, sorted(TaskRunContext.get().task_run.tags)

    with ThreadPoolTaskRunner():
        held = hold.submit(started, gate)
        value.set("one")
        with tags("a"):
            one = look.submit(held)
        value.set("two")
        with tags("b"):
            two = look.map([held, held])
        value.set("three")
        gate.set()
        assert one.result() == ("one", ["a"])
        assert two.result() == [("two", ["b"])] * 2
        assert value.get() == "three"


def test_programs_may_look_at_the_size_of_a_pool():
    """TR-16"""
    runner = ThreadPoolTaskRunner(max_workers=3)
    assert runner._executor is None
    with runner:
        assert runner._executor._max_workers == 3
    assert runner._executor is None


# --- runners written in Python ---


class PlainFuture(Future):
    """A future of a runner that knows nothing of the core."""

    def __init__(self, inner):
        self._inner, self._id = inner, uuid4()

    @property
    def task_run_id(self):
        return self._id

    @property
    def state(self) -> State:
        if not self._inner.done():
            return Pending()
        error = self._inner.exception()
        if error is not None:
            return exception_to_failed_state(error)
        return Completed(data=self._inner.result())

    def wait(self, timeout=None):
        try:
            self._inner.exception(timeout)
        except TimeoutError:
            return

    def result(self, timeout=None, raise_on_failure=True):
        error = self._inner.exception(timeout)
        if error is None:
            return self._inner.result()
        if raise_on_failure:
            raise error
        return error

    def add_done_callback(self, fn):
        self._inner.add_done_callback(lambda _: fn(self))


class PlainRunner(TaskRunner):
    """A runner on the standard library's pool."""

    def duplicate(self):
        return PlainRunner()

    def submit(self, task, parameters, wait_for=None, dependencies=None):
        wait(wait_for or [])
        known = {
            name: value.result() if isinstance(value, Future) else value
            for name, value in parameters.items()
        }
        return PlainFuture(self._pool.submit(task.fn, **known))

    def __enter__(self):
        self._pool = ThreadPoolExecutor(2)
        return super().__enter__()

    def __exit__(self, *error):
        self._pool.shutdown()
        super().__exit__(*error)


def test_a_runner_written_in_python_plugs_in():
    """TR-01"""

    @flow(task_runner=PlainRunner())
    def main():
        one = add.submit(1)
        two = add.submit(one, y=one, wait_for=[one])
        many = add.map([1, 2, 3], y=one)
        assert isinstance(many, FutureList)
        assert set(as_completed([one, two])) == {one, two}
        assert wait(many, timeout=PATIENCE).not_done == set()
        return two.result(), many.result(), add(many[0])

    assert main() == (4, [3, 4, 5], 4)
    assert PlainRunner().name == "plainrunner".replace("taskrunner", "")


def test_futures_of_other_runners_fail_in_lists_as_the_core_s_do():
    """FU-10"""

    @task
    def fail(error):
        raise error

    errors = [ValueError("no")]

    @flow(task_runner=PlainRunner)
    def main():
        futures = fail.map(errors)
        futures.wait()
        assert futures.result(raise_on_failure=False) == errors
        with pytest.raises(ValueError, match="no"):
            futures.result()
        with pytest.raises(MappingMissingIterable):
            add.map(1)
        with pytest.raises(MappingLengthMismatch):
            add.map([1], [1, 2])
        return add.map([]).result()

    assert main() == []
