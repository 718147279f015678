"""Futures of single runs: `result`, `wait`, `state`, `add_done_callback`, `cancel`, `aresult`."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from uuid import UUID

import pytest

from oxtask import flow, task
from oxtask.context import TaskRunContext
from oxtask.exceptions import CancelledRun, UnfinishedRun
from oxtask.futures import Future, TaskRunFuture
from oxtask.states import Failed, StateType
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10


@pytest.fixture
def pool():
    with ThreadPoolTaskRunner() as runner:
        yield runner


@task
def add(x, y=1):
    return x + y


@task
def fail(error):
    raise error


@task
def hold(started, gate):
    started.set()
    assert gate.wait(PATIENCE)
    return "held"


class Held:
    """A run that is inside its body until `let_go`."""

    def __init__(self):
        self.started, self.gate = threading.Event(), threading.Event()
        self.future = hold.submit(self.started, self.gate)
        assert self.started.wait(PATIENCE)

    def let_go(self):
        self.gate.set()
        return self.future.result()


def test_the_id_is_the_id_of_the_run(pool):
    """FU-02, TR-07, 17.11"""

    @task
    def own_id():
        return TaskRunContext.get().task_run.id

    future = own_id.submit()
    assert isinstance(future.task_run_id, UUID)
    assert future.result() == future.task_run_id


def test_futures_are_hashable_and_equal_by_identity(pool):
    """FU-02"""
    one, two = add.submit(1), add.submit(1)
    assert {one: 1, two: 2}[one] == 1
    assert one != two
    assert isinstance(one, Future)
    assert one.wrapped_future is not None


def test_a_future_class_can_be_subscripted_for_annotations():
    assert TaskRunFuture[int] is not None
    assert Future[int] is not None


def test_the_state_follows_the_run(pool):
    """FU-03, TR-08"""
    held = Held()
    after = add.submit(held.future, "!")
    assert held.future.state.is_running()
    assert after.state.is_pending()
    assert after.state.name == "Pending"
    held.let_go()
    assert after.result() == "held!"
    assert held.future.state.is_completed()
    assert held.future.state.state_details.task_run_id == held.future.task_run_id


def test_the_state_of_a_run_between_attempts_is_awaiting_retry(pool):
    """FU-03"""
    failed = threading.Event()

    @task(retries=1, retry_delay_seconds=60)
    def flaky():
        failed.set()
        raise ValueError

    future = flaky.submit()
    assert failed.wait(PATIENCE)
    while (state := future.state).name == "Running":
        pass
    assert (state.type, state.name) == (StateType.SCHEDULED, "AwaitingRetry")
    assert future.cancel()


def test_wait_returns_nothing_and_is_silent_when_time_is_up(pool):
    """FU-04, 17.11"""
    held = Held()
    assert held.future.wait(timeout=0) is None
    assert held.future.wait(timeout=0.01) is None
    assert held.future.state.is_running()
    held.let_go()
    assert held.future.wait() is None
    assert held.future.wait(0) is None


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_wait_never_raises_for_the_run(pool, error):
    """FU-04, W19"""
    future = fail.submit(error)
    while not future.done():  # on a worker: nothing here waits for it
        pass
    future.wait()
    assert future.state.is_failed() or future.state.is_crashed()


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
@pytest.mark.parametrize("method", ["wait", "result"])
def test_a_timeout_must_not_be_negative(pool, method, timeout):
    held = Held()
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        getattr(held.future, method)(timeout=timeout)
    held.let_go()


def test_a_result_that_takes_too_long_is_a_timeout_error_that_names_the_run(pool):
    """FU-05, 17.11"""
    held = Held()
    expected = f"Task run {held.future.task_run_id} did not complete within 0.01 seconds"
    with pytest.raises(TimeoutError) as raised:
        held.future.result(timeout=0.01)
    assert str(raised.value) == expected
    with pytest.raises(TimeoutError):
        held.future.result(timeout=0)
    assert held.let_go() == "held"


def test_a_failure_is_raised_as_the_object_that_the_body_raised(pool):
    """FU-05, EX-05"""
    error = ValueError("no")
    future = fail.submit(error)
    for _ in range(2):
        with pytest.raises(ValueError, match="no") as raised:
            future.result()
        assert raised.value is error
    assert future.result(raise_on_failure=False) is error
    assert future.state.is_failed()


def test_a_timeout_error_of_the_body_is_no_timeout_of_the_wait(pool):
    """FU-05, FU-10"""
    error = TimeoutError("from the body")
    future = fail.submit(error)
    with pytest.raises(TimeoutError) as raised:
        future.result(timeout=PATIENCE)
    assert raised.value is error
    assert future.state.name == "TimedOut"


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt("x"), SystemExit(3), Stop(), GeneratorExit()])
def test_a_crash_ends_the_run_as_crashed_and_result_raises_its_cause(pool, error):
    """FU-06, W19, D8"""
    future = fail.submit(error)
    while not future.done():
        pass
    assert future.state.type == StateType.CRASHED
    with pytest.raises(type(error)) as raised:
        future.result()
    assert raised.value is error
    assert future.result(raise_on_failure=False) is error


def test_a_chosen_state_gives_its_own_result(pool):
    """FU-05"""

    @task
    def choose():
        return Failed(message="chosen")

    future = choose.submit()
    with pytest.raises(Exception, match="chosen"):
        future.result()
    assert str(future.result(raise_on_failure=False)) == "chosen"
    assert future.state.message == "chosen"


@pytest.mark.parametrize("raise_on_failure", [True, False])
def test_a_run_whose_input_failed_has_no_result(pool, raise_on_failure):
    """TE-61, 17.12, 23.3"""
    future = add.submit(fail.submit(ValueError()))
    after = add.submit(future)
    for one in (future, after):
        with pytest.raises(UnfinishedRun):
            one.result(raise_on_failure=raise_on_failure)
        assert (one.state.type, one.state.name) == (StateType.PENDING, "NotReady")
        assert one.done()


def test_a_callback_is_called_once_with_the_future_when_the_state_is_final(pool):
    """FU-07"""
    seen, called = [], threading.Event()

    def note(future):
        seen.append((future, future.state.name, threading.current_thread()))
        called.set()

    held = Held()
    held.future.add_done_callback(note)
    assert seen == []
    held.let_go()
    assert called.wait(PATIENCE)
    assert [(future, name) for future, name, _ in seen] == [(held.future, "Completed")]
    assert seen[0][2] is not threading.current_thread()


def test_a_callback_of_an_ended_run_is_called_at_once_by_the_caller(pool):
    """FU-07"""
    future = add.submit(1)
    future.wait()
    seen = []
    future.add_done_callback(lambda ended: seen.append((ended, threading.current_thread())))
    assert seen == [(future, threading.current_thread())]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_a_callback_that_raises_disturbs_nobody(pool, error):
    """FU-07"""
    seen, called = [], threading.Event()

    def bad(_):
        seen.append("bad")
        raise error

    held = Held()
    held.future.add_done_callback(bad)
    held.future.add_done_callback(lambda _: called.set())
    assert held.let_go() == "held"
    assert called.wait(PATIENCE)
    held.future.add_done_callback(bad)
    assert seen == ["bad", "bad"]
    assert add.submit(1).result() == 2


VARIABLE = contextvars.ContextVar("variable", default="unset")


def test_a_callback_runs_in_the_context_it_was_added_in(pool):
    """FU-07: it can submit, and keeps what it sets to itself"""
    seen, called = [], threading.Event()

    def more(future):
        seen.append((VARIABLE.get(), add.submit(future.result(), 0).result()))
        VARIABLE.set("callback")
        called.set()

    def body():
        held = Held()
        VARIABLE.set("then")
        held.future.add_done_callback(lambda future: more(add.submit(1)))
        VARIABLE.set("now")
        held.let_go()
        assert called.wait(PATIENCE)
        add.submit(1).add_done_callback(lambda future: None)
        done = add.submit(2)
        done.wait()
        done.add_done_callback(more)
        return VARIABLE.get()

    assert contextvars.copy_context().run(body) == "now"
    assert seen == [("then", 2), ("now", 3)]


def test_callbacks_are_called_in_the_order_in_which_they_were_added(pool):
    seen, called = [], threading.Event()
    held = Held()
    for number in range(10):
        held.future.add_done_callback(lambda _, number=number: seen.append(number))
    held.future.add_done_callback(lambda _: called.set())
    held.let_go()
    assert called.wait(PATIENCE)
    assert seen == list(range(10))


def test_a_callback_must_be_callable(pool):
    with pytest.raises(TypeError, match="function of one argument"):
        add.submit(1).add_done_callback(3)


def test_a_cancelled_run_that_has_not_started_never_does(pool):
    """W11, FL-107"""
    held, ran = Held(), []

    @task
    def after(_):
        ran.append(1)

    future = after.submit(held.future)
    below = add.submit(future)
    assert future.cancel()
    assert not future.cancel()
    assert future.state.is_cancelled()
    with pytest.raises(CancelledRun):
        future.result()
    assert isinstance(future.result(raise_on_failure=False), CancelledRun)
    held.let_go()
    below.wait()
    assert below.state.name == "NotReady"
    assert ran == []


def test_a_cancelled_run_under_way_is_told_to_stop_and_its_result_dropped(pool):
    started, stopped, seen = threading.Event(), threading.Event(), []

    @task
    def spin():
        started.set()
        try:
            while True:
                pass
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        finally:
            stopped.set()

    future = spin.submit()
    assert started.wait(PATIENCE)
    assert future.cancel()
    with pytest.raises(CancelledRun):
        future.result()
    assert stopped.wait(PATIENCE)
    assert seen == ["RunInterrupted"]
    assert future.state.is_cancelled()


def test_the_result_of_a_body_that_ignores_its_cancellation_is_dropped(pool):
    held, seen = Held(), []
    held.future.add_done_callback(lambda future: seen.append(future.state.name))
    assert held.future.cancel()
    assert seen == ["Cancelled"]
    held.gate.set()
    assert add.submit(1).result() == 2
    assert held.future.state.is_cancelled()


def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled(pool):
    """PW-02, TE-45"""
    failed, count = threading.Event(), []

    @task(retries=5, retry_delay_seconds=60)
    def flaky():
        count.append(1)
        failed.set()
        raise ValueError

    future = flaky.submit()
    assert failed.wait(PATIENCE)
    assert future.cancel()
    future.wait()
    assert future.state.is_cancelled()
    assert count == [1]


def test_an_ended_run_cannot_be_cancelled(pool):
    for future in (add.submit(1), fail.submit(ValueError())):
        future.wait()
        name = future.state.name
        assert not future.cancel()
        assert future.state.name == name


def test_a_future_cannot_be_awaited_itself(pool):
    """FU-14, D4"""

    async def main():
        with pytest.raises(TypeError):
            await add.submit(1)

    asyncio.run(main())


def test_aresult_leaves_the_event_loop_free(pool):
    """SA-01"""
    held = Held()

    async def main():
        waiter = asyncio.ensure_future(held.future.aresult())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiter.done()
        held.gate.set()
        return await waiter, await held.future.aresult()

    assert asyncio.run(main()) == ("held", "held")


def test_aresult_raises_as_result_does(pool):
    """SA-01"""
    error = ValueError("no")

    async def main():
        with pytest.raises(ValueError, match="no") as raised:
            await fail.submit(error).aresult()
        assert raised.value is error
        with pytest.raises(UnfinishedRun):
            await add.submit(fail.submit(error)).aresult()

    asyncio.run(main())


def test_a_cancelled_wait_does_not_cancel_the_run(pool):
    held = Held()

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(held.future.aresult(), 0.01)

    asyncio.run(main())
    assert held.let_go() == "held"  # and the loop that was closed meanwhile harms nobody


def test_many_waiters_in_threads_and_loops_all_hear_of_the_end(pool):
    held, heard = Held(), []
    waiting = threading.Barrier(17)

    def block():
        waiting.wait(PATIENCE)
        heard.append(held.future.result())

    def loop():
        waiting.wait(PATIENCE)
        heard.append(asyncio.run(held.future.aresult()))

    threads = [threading.Thread(target=target) for target in [block, loop] * 8]
    for thread in threads:
        thread.start()
    waiting.wait(PATIENCE)
    held.gate.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert heard == ["held"] * 16


def test_the_repr_tells_the_task_and_where_the_run_is(pool):
    held = Held()
    after = add.submit(held.future, "!")
    assert "'hold', running" in repr(held.future)
    assert "'add', pending" in repr(after)
    held.let_go()
    after.wait()
    assert "'add', completed" in repr(after)
    assert str(after.task_run_id) in repr(after)


def test_a_future_outlives_its_flow():
    kept = []

    @flow
    def main():
        kept.extend([add.submit(1), fail.submit(ValueError("no"))])

    main()
    assert kept[0].result() == 2
    with pytest.raises(ValueError, match="no"):
        kept[1].result()
