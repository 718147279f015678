"""What is different from the reference on purpose, of tasks: engine.md 17, one test for each."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
import time
import weakref

import pytest
from ways import history, run

from oxtask import flow, tags, task
from oxtask.context import TagsContext
from oxtask.exceptions import CancelledRun, TaskRunTimeoutError, UpstreamTaskError
from oxtask.states import Completed, Pending, Running, Scheduled
from oxtask.task_runners import ThreadPoolTaskRunner


def fail(*_):
    raise ValueError("no")


@task
def failing():
    raise ValueError("no")


@pytest.mark.parametrize("way", ["call", "submit"])
def test_a_crash_calls_no_hook_twice(way):
    """W01"""

    def interrupt(attempt):
        raise KeyboardInterrupt

    ran = run(way, interrupt)
    assert ran.hooks == ["running"]
    assert ran.history == ["Pending", "Running", "Crashed"]


def test_a_run_that_has_ended_stays_as_it_is_whatever_its_hooks_do():
    """W01"""

    def interrupt(*_):
        raise KeyboardInterrupt

    ran = run("call", lambda attempt: 1, hooks=False, on_completion=[interrupt])
    assert isinstance(ran.error, KeyboardInterrupt)
    assert ran.history == ["Pending", "Running", "Completed"]


class Condition:
    def __call__(self, task, task_run, state):
        return True

    def method(self, task, task_run, state):
        return True

    async def amethod(self, task, task_run, state):
        return True


@pytest.mark.parametrize(
    "condition",
    [
        Condition(),
        Condition().method,
        Condition().amethod,
        functools.partial(lambda more, *_: more, True),
    ],
)
def test_a_retry_condition_is_anything_that_can_be_called(condition):
    """W02"""
    ran = run("submit", fail, retries=2, retry_condition_fn=condition)
    assert ran.bodies == 3


def test_a_declined_retry_is_logged_as_a_failure(lines):
    """W03"""
    run("call", fail, retries=2, retry_condition_fn=lambda *_: False)
    assert any(
        "Task run failed with exception: ValueError('no')" in line for line in lines("ERROR")
    )


def test_a_call_with_a_failed_upstream_raises():
    """W04, D7: and its state is NotReady"""

    @flow
    def main():
        upstream = failing.submit()
        identity = task(lambda x: x)
        with pytest.raises(UpstreamTaskError):
            identity(upstream)
        return identity(upstream, return_state=True).name

    assert main() == "NotReady"


def test_waiting_for_an_upstream_leaves_the_event_loop_free():
    """W05"""
    release = threading.Event()
    ticks = []

    @task
    def upstream():
        release.wait(20)
        return 1

    @task
    async def downstream(x):
        return x

    async def tick():
        for number in range(5):
            ticks.append(number)
            await asyncio.sleep(0)
        release.set()

    @flow
    async def main():
        value, _ = await asyncio.gather(downstream(upstream.submit()), tick())
        return value

    assert asyncio.run(main()) == 1
    assert len(ticks) == 5


def test_an_error_before_the_function_runs_fails_the_run():
    """W06"""

    def name():
        raise LookupError("no name")

    ran = run("submit", lambda attempt: 1, task_run_name=name)
    assert ran.history == ["Pending", "Failed"]
    assert ran.hooks == ["failure"]
    assert isinstance(ran.error, LookupError)


def test_a_run_on_a_thread_ends_at_its_deadline():
    """W07: and a worker takes the place of the one that is stuck"""
    release = threading.Event()

    @task(timeout_seconds=0.05)
    def stuck():
        release.wait(20)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        future = stuck.submit()
        future.wait(10)
        state = future.state
        other = task(lambda: 1).submit().result(timeout=10)
        release.set()
        return state.name, other

    assert main() == ("TimedOut", 1)


def test_deadlines_nest():
    """W08"""

    @task(timeout_seconds=0.05)
    def inner():
        time.sleep(20)

    @flow(timeout_seconds=20)
    def main():
        began = time.monotonic()
        with pytest.raises(TaskRunTimeoutError):
            inner()
        return time.monotonic() - began < 5

    assert main()


def test_a_deadline_belongs_to_the_run_that_has_it():
    """W09: and the flow does not outlive its own"""
    after = []

    @task(timeout_seconds=50)
    def inner():
        time.sleep(20)

    @flow(timeout_seconds=0.05)
    def main():
        try:
            inner()
        except Exception:
            pytest.fail("the flow went on")
        after.append("the flow went on")

    assert main(return_state=True).message == "Flow run exceeded timeout of 0.05 second(s)"
    assert after == []


def test_a_function_cannot_swallow_its_deadline():
    """W10"""

    def swallow(attempt):
        try:
            time.sleep(20)
        except BaseException:
            return 1

    ran = run("call", swallow, timeout_seconds=0.05)
    assert ran.history[-1] == "TimedOut:FAILED"


def test_what_has_not_started_when_a_flow_fails_is_cancelled():
    """W11"""
    futures = []
    release = threading.Event()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        blocker = task(release.wait).submit(20)
        futures.extend(task(lambda: 1).submit() for _ in range(3))
        threading.Timer(0.05, release.set).start()
        assert not blocker.done()
        raise ValueError

    with pytest.raises(ValueError):
        main()
    assert [future.state.name for future in futures] == ["Cancelled"] * 3
    with pytest.raises(CancelledRun):
        futures[0].result()


def test_a_retry_that_waits_is_interrupted():
    """W11"""
    futures = []

    @flow
    def main():
        slow = failing.with_options(retries=1, retry_delay_seconds=60)
        futures.append(slow.submit())
        while futures[0].state.name != "AwaitingRetry":
            time.sleep(0.001)
        raise ValueError

    began = time.monotonic()
    with pytest.raises(ValueError):
        main()
    assert time.monotonic() - began < 20
    assert futures[0].state.name == "Cancelled"


def test_two_tasks_of_a_method_keep_their_objects():
    """W13"""

    class Holder:
        def __init__(self, name):
            self.name = name

        @task
        def look(self):
            return self.name

    first, second = Holder("first").look, Holder("second").look
    assert (first(), second(), first()) == ("first", "second", "first")
    assert Holder.look(Holder("third")) == "third"


def test_a_crash_in_a_worker_ends_the_run():
    """W19, D8: waiting for it does not raise, its result does"""

    @flow
    def main():
        future = task(lambda: exec("raise SystemExit(3)")).submit()
        future.wait()
        with pytest.raises(SystemExit):
            future.result()
        return future.state.name

    assert main() == "Crashed"


def test_a_generator_that_is_returned_comes_as_a_list():
    """W20"""
    assert run("call", lambda attempt: (x for x in range(3))).value == [0, 1, 2]


def test_runs_that_wait_for_each_other_need_one_worker():
    """W22"""

    @task
    def nested(depth):
        return 0 if depth == 0 else nested.submit(depth - 1).result() + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return nested.submit(20).result()

    assert main() == 20


def test_each_submit_has_its_own_context():
    """W23"""

    @task
    def look():
        return TagsContext.get().current_tags

    @flow
    def main():
        with tags("first"):
            first = look.submit()
        with tags("second"):
            second = look.submit()
        return first.result(), second.result()

    assert main() == ({"first"}, {"second"})


@pytest.mark.parametrize("state", [Running, Pending, Scheduled])
@pytest.mark.parametrize("way", ["call", "submit"])
def test_a_state_that_is_not_final_fails_the_run(way, state):
    """W24"""
    ran = run(way, lambda attempt: state())
    assert ran.bodies == 1
    assert ran.history[-1] == "Failed"


def test_delays_that_are_worked_out_follow_the_number_of_retries():
    """W25"""
    asked = []

    def delays(retries):
        asked.append(retries)
        return [0.0] * retries

    made = task(retries=1, retry_delay_seconds=delays)(lambda: 1)
    assert made.with_options(retries=3).retry_delay_seconds == [0.0] * 3
    assert asked[-1] == 3


def test_what_runs_have_returned_is_not_kept():
    """W26, W27: nothing is remembered by an address that may be used again"""

    class Thing:
        pass

    references = []

    @task
    def make():
        return Thing()

    @flow
    def main():
        for _ in range(10):
            references.append(weakref.ref(make.submit().result()))
        gc.collect()
        return sum(reference() is not None for reference in references)

    assert main() <= 1


def test_async_runs_share_an_event_loop():
    """W28"""

    @task
    async def look():
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop()), threading.get_ident()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return {look.submit().result() for _ in range(20)}

    assert len(main()) == 1


def test_a_run_goes_on_as_soon_as_it_can():
    """W29, PW-01: nobody looks again every now and then"""

    @flow
    def main():
        future = task(lambda: 0).submit()
        for _ in range(200):
            future = task(lambda x: x + 1).submit(future)
        return future.result()

    began = time.monotonic()
    assert main() == 200
    assert time.monotonic() - began < 2


def test_a_result_is_read_once():
    """W31: what is not there is not there a moment later"""
    began = time.monotonic()
    with pytest.raises(Exception, match="result"):
        Completed().result(_sync=True)
    assert time.monotonic() - began < 1


def test_prints_of_overlapping_runs_leave_print_as_it_was(caplog):
    """W33, 20.9: 50 threads, every line with its run"""
    caplog.set_level(logging.INFO, logger="oxtask")
    before = print

    @task(log_prints=True, task_run_name="run {number}")
    def speak(number):
        for _ in range(10):
            print(f"of {number}")

    @flow
    def main(start):
        speak.map(range(start, start + 25)).wait()

    threads = [threading.Thread(target=main, args=[start]) for start in (0, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert print is before
    spoken = [record for record in caplog.records if record.getMessage().startswith("of ")]
    assert len(spoken) == 500
    for record in spoken:
        assert record.task_run_name == f"run {record.getMessage().removeprefix('of ')}"


def test_waits_and_histories_are_those_of_the_run():
    """W05, 20.1: a submitted run that waits for another has not started"""

    @flow
    def main():
        release = threading.Event()
        first = task(release.wait).submit(20)
        second = task(lambda x: x).submit(first)
        before = second.state.name
        release.set()
        second.wait()
        return before, history(second)

    assert main() == ("Pending", ["Pending", "Running", "Completed"])
