"""Futures around those of other libraries: `WrappedFuture`. The lines are of engine.md."""

from __future__ import annotations

import concurrent.futures
import threading
from uuid import uuid4

import pytest

from oxtask import flow, task
from oxtask.exceptions import CancelledRun
from oxtask.futures import Future, FutureList, WrappedFuture, as_completed, wait
from oxtask.states import Completed, Failed
from oxtask.task_engine import run_task_sync
from oxtask.task_runners import TaskRunner

PATIENCE = 10


def around(outcome=None):
    """Return a future around one that has ended, or has not if ``outcome`` is ``None``."""
    inner = concurrent.futures.Future()
    if isinstance(outcome, BaseException):
        inner.set_exception(outcome)
    elif outcome is not None:
        inner.set_result(outcome)
    return WrappedFuture(uuid4(), inner)


def test_it_is_the_future_of_a_run_and_not_equal_to_others():
    """FU-01, FU-02"""
    run_id, inner = uuid4(), concurrent.futures.Future()
    future = WrappedFuture(run_id, inner)
    assert isinstance(future, Future)
    assert future.task_run_id == run_id
    assert future.wrapped_future is inner
    assert future != WrappedFuture(run_id, inner)
    assert len({future, future}) == 1
    assert str(run_id) in repr(future)
    with pytest.raises(ValueError, match="task_run_id"):
        WrappedFuture("no id", inner)


def test_its_state_is_final_when_the_other_future_is_done():
    """FU-03, FU-06"""
    assert around().state.is_pending()
    assert not around().done()
    assert around(3).state.is_completed()
    assert around(ValueError("no")).state.is_failed()
    assert around(KeyboardInterrupt()).state.is_crashed()
    own = Failed(message="chosen")
    assert around(own).state is own
    future = around()
    assert future.cancel()
    assert future.state.is_cancelled()


def test_the_result_is_that_of_the_state_or_what_the_other_future_came_to():
    """FU-05"""
    assert around(3).result() == 3
    assert around(Completed(data=[4])).result() == [4]
    for error in (ValueError("no"), KeyboardInterrupt("no")):
        with pytest.raises(type(error)) as caught:
            around(error).result()
        assert caught.value is error
        assert around(error).result(raise_on_failure=False) is error
    cancelled = around()
    cancelled.cancel()
    with pytest.raises(CancelledRun):
        cancelled.result()


def test_who_does_not_wait_long_enough_is_told():
    """FU-04, FU-05"""
    future = around()
    assert future.wait(timeout=0) is None
    with pytest.raises(TimeoutError, match=f"Task run {future.task_run_id} did not complete"):
        future.result(timeout=0)
    for call in (future.wait, future.result):
        with pytest.raises(ValueError, match="timeout"):
            call(timeout=-1)
    assert around(ValueError("no")).wait() is None
    with pytest.raises(TimeoutError, match="its own"):
        around(TimeoutError("its own")).result(timeout=PATIENCE)


def test_callbacks_get_the_future_once_and_do_not_harm_each_other(lines):
    """FU-07: at that time its state is final"""
    future, seen = around(), []

    def raises(_):
        raise SystemExit(3)

    future.add_done_callback(raises)
    future.add_done_callback(lambda one: seen.append((one, one.state.name)))
    future.wrapped_future.set_result(1)
    assert seen == [(future, "Completed")]
    future.add_done_callback(lambda one: seen.append(threading.current_thread()))
    assert seen[1:] == [threading.current_thread()]
    assert "A callback of a future raised" in lines("ERROR")


class PoolRunner(TaskRunner):
    """A runner on the standard library's pool."""

    def duplicate(self):
        return PoolRunner()

    def submit(self, task, parameters, wait_for=None, dependencies=None):
        run_id = uuid4()
        inner = self._pool.submit(
            run_task_sync,
            task,
            task_run_id=run_id,
            parameters=parameters,
            wait_for=wait_for,
            return_type="state",
        )
        return WrappedFuture(run_id, inner)

    def __enter__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(2)
        return super().__enter__()

    def __exit__(self, *error):
        self._pool.shutdown()
        super().__exit__(*error)


def test_a_runner_may_return_it():
    """TR-01, FU-08, FU-09, FU-10"""

    @task
    def add(x, y=1):
        return x + y

    @flow(task_runner=PoolRunner())
    def main():
        one = add.submit(1)
        two = add.submit(one, y=one)
        many = add.map([1, 2, 3], y=one)
        assert isinstance(many, FutureList)
        assert set(as_completed([one, two], timeout=PATIENCE)) == {one, two}
        assert wait(many, timeout=PATIENCE).not_done == set()
        assert one.state.state_details.task_run_id == one.task_run_id
        return two.result(), many.result()

    assert main() == (4, [3, 4, 5])
