"""`ProcessPoolTaskRunner`: what it runs, where, and what the program sees of it."""

from __future__ import annotations

import os
import pickle

import process_tasks as tasks
import pytest

from oxtask import flow, task
from oxtask.context import tags
from oxtask.exceptions import TransferError, UnfinishedRun
from oxtask.futures import as_completed, wait
from oxtask.settings import temporary_settings
from oxtask.states import StateType
from oxtask.task_runners import ProcessPoolTaskRunner, TaskRunner
from oxtask.transactions import transaction


@pytest.fixture(scope="module")
def runner():
    with ProcessPoolTaskRunner(max_workers=2) as started:
        yield started


# --- the runner -----------------------------------------------------------------------------------


def test_there_is_one_worker_for_each_processor_unless_a_setting_says_otherwise():
    """TR-20"""
    assert ProcessPoolTaskRunner()._max_workers == os.cpu_count()
    with temporary_settings({"OXTASK_TASKS_RUNNER_PROCESS_POOL_MAX_WORKERS": 7}):
        assert ProcessPoolTaskRunner()._max_workers == 7
        assert ProcessPoolTaskRunner(max_workers=3)._max_workers == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "'max_workers' must be 1 or more"),
        ({"max_workers": "2"}, TypeError, "'max_workers' must be an int or None; got '2'"),
        ({"max_tasks_per_worker": 0}, ValueError, "'max_tasks_per_worker' must be 1 or more"),
        ({"initializer": 3}, TypeError, "'initializer' must be callable or None; got 3"),
        ({"start_method": "fork"}, ValueError, "'start_method' must be 'spawn' or 'forkserver'"),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    """STYLE.md: errors show the value"""
    with pytest.raises(error, match=message):
        ProcessPoolTaskRunner(**options)


def test_a_duplicate_has_the_same_options_and_equals_the_original():
    """TR-11, TR-29"""
    original = ProcessPoolTaskRunner(
        3, [list], print, ("x",), max_tasks_per_worker=5, start_method="forkserver"
    )
    for copy in (original.duplicate(), pickle.loads(pickle.dumps(original))):
        assert copy is not original
        assert copy == original
        for name, value in vars(original).items():
            assert name == "_opening" or getattr(copy, name) == value
    assert original != ProcessPoolTaskRunner(4)
    assert original.name == "processpool"
    assert repr(original) == "ProcessPoolTaskRunner(max_workers=3)"
    assert isinstance(original, TaskRunner)


def test_it_must_be_started_once_and_can_be_started_again():
    """TR-02"""
    runner = ProcessPoolTaskRunner(max_workers=1)
    with pytest.raises(RuntimeError, match="Task runner is not started"):
        runner.submit(tasks.add, {"x": 1})
    with pytest.raises(RuntimeError, match="must be started before submitting work"):
        runner.map(tasks.add, {"x": [1]})
    for number in range(2):
        with runner:
            with pytest.raises(RuntimeError, match="already started"):
                runner.__enter__()
            assert runner.submit(tasks.add, {"x": number}).result() == number


# --- runs -----------------------------------------------------------------------------------------


def test_functions_are_called_in_other_processes(runner):
    """TR-05, TR-20"""
    pids = {future.result() for future in runner.map(tasks.where, {"_": range(20)})}
    assert os.getpid() not in pids
    assert len(pids) <= 2


def test_futures_can_be_waited_for_in_all_ways(runner):
    """FU-08, FU-09, FU-10"""
    futures = runner.map(tasks.add, {"x": range(10)})
    assert wait(futures).not_done == set()
    assert sorted(future.result() for future in as_completed(futures)) == list(range(10))
    assert futures.result() == list(range(10))


def test_upstream_runs_are_waited_for_without_a_worker():
    """TR-17, TR-21"""
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        first = runner.submit(tasks.add, {"x": 1})
        for _ in range(20):
            first = runner.submit(tasks.add, {"x": first, "y": 1})
        assert runner.submit(tasks.gather, {"values": [first, first]}).result() == [21, 21]


@pytest.mark.parametrize("how", ["parameters", "wait_for"])
def test_a_run_whose_upstream_failed_is_not_ready(runner, how):
    """TR-21, TR-22"""
    failed = runner.submit(tasks.fail, {"text": "no"})
    if how == "parameters":
        future = runner.submit(tasks.add, {"x": failed})
    else:
        future = runner.submit(tasks.add, {"x": 1}, wait_for=[failed])
    future.wait()
    assert future.state.name == "NotReady"
    with pytest.raises(UnfinishedRun):
        future.result()


def test_async_tasks_and_generators_run_to_their_end(runner):
    """TR-25"""
    assert runner.submit(tasks.doubled, {"x": 4}).result() == 8
    assert runner.submit(tasks.count_up, {"n": 3}).result() == [0, 1, 2]
    assert runner.submit(tasks.acount_up, {"n": 3}).result() == [0, 1, 2]


def test_a_deadline_interrupts_a_call_that_blocks(runner):
    """TR-27"""
    pid = runner.submit(tasks.where, {}).result()
    for slow in (tasks.sleep_too_long, tasks.asleep_too_long):
        future = runner.submit(slow, {"seconds": 30})
        future.wait(15)
        assert future.state.name == "TimedOut"
    assert pid in {each.result() for each in runner.map(tasks.where, {"_": range(50)})}


def test_all_attempts_have_the_same_function_and_arguments(runner):
    """Attempts share what they share with threads, however long the pause between them."""
    for delay in (0, 0.01):
        count = 0

        @task(retries=2, retry_delay_seconds=delay)
        def third_time_lucky(seen):
            nonlocal count
            count += 1
            seen.append(os.getpid())
            if count < 3:
                raise LookupError
            return count, seen

        futures = [runner.submit(third_time_lucky, {"seen": []}) for _ in range(4)]
        for future in futures:
            attempts, seen = future.result()
            assert attempts == 3
            assert len(seen) == 3
            assert len(set(seen)) == 1
            assert future.state.name == "Completed"


def test_hooks_are_called_in_the_program(runner):
    """Hooks see, and change, what is there."""
    heard = []

    def hear(hooked, run, state):
        heard.append((hooked is flaky, run.name, state.name, os.getpid()))

    @task(
        retries=1,
        task_run_name="number {x}",
        on_running=[hear],
        on_completion=[hear],
        on_failure=[hear],
    )
    def flaky(x):
        raise LookupError(x)

    runner.submit(flaky, {"x": 1}).wait()
    names = ["Running", "Retrying", "Failed"]
    assert heard == [(True, "number 1", name, os.getpid()) for name in names]


def test_the_history_of_a_run_is_kept_in_the_program(runner):
    """TR-07, TR-08"""
    from oxtask.client import get_client

    client = get_client(sync_client=True)
    future = runner.submit(tasks.sleep_too_long.with_options(retries=1), {"seconds": 30})
    assert client.read_task_run(future.task_run_id).id == future.task_run_id
    future.wait()
    states = client.read_task_run_states(future.task_run_id)
    assert [state.name for state in states] == ["Pending", "Running", "Retrying", "TimedOut"]
    assert future.state.type is StateType.FAILED


# --- where a run is from --------------------------------------------------------------------------


@flow(name="surroundings", task_runner=ProcessPoolTaskRunner(max_workers=2))
def surroundings(number):
    seen = []
    for name in ("a", "b"):
        with tags(name):
            seen.append(tasks.context.submit())
    return [future.result() | {"id": future.task_run_id} for future in seen]


def test_a_worker_sees_the_contexts_of_the_program():
    """TR-23, TR-24"""
    from oxtask.client import get_client

    for seen, tag in zip(surroundings(3), ("a", "b"), strict=True):
        run = get_client(sync_client=True).read_task_run(seen["id"])
        flow_run = get_client(sync_client=True).read_flow_run(run.flow_run_id)
        assert seen["pid"] != os.getpid()
        assert seen["flow_run_id"] == run.flow_run_id
        assert seen["flow_run_name"] == flow_run.name
        assert seen["detached"] is True
        assert seen["parameters"] == {"number": 3}
        assert (seen["task_run_id"], seen["task_run_name"]) == (run.id, run.name)
        assert seen["task_tags"] == seen["tags"] == run.tags == [tag]
        assert seen["task_parameters"] == {}
        assert seen["state"] == "Running"


def test_environment_and_settings_are_those_at_the_time_of_the_submission(runner, monkeypatch):
    """TR-24"""
    futures, configured = [], []
    for value in ("one", "two"):
        monkeypatch.setenv("OXTASK_TEST_VARIABLE", value)
        futures += [runner.submit(tasks.environment, {"name": "OXTASK_TEST_VARIABLE"})]
    for value in (3, 4):
        with temporary_settings({"OXTASK_TASKS_DEFAULT_RETRIES": value}):
            configured.append(runner.submit(tasks.setting, {}))
    monkeypatch.delenv("OXTASK_TEST_VARIABLE")
    futures += [runner.submit(tasks.environment, {"name": "OXTASK_TEST_VARIABLE"})]
    assert [future.result() for future in futures] == ["one", "two", None]
    assert [future.result() for future in configured] == [3, 4]


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def nesting():
    return tasks.nested.submit(1).result()


def test_a_task_can_submit_tasks_where_it_runs(runner):
    """TR-23"""
    for answer in (nesting(), runner.submit(tasks.nested, {"x": 1}).result()):
        assert answer[0] == 2
        assert answer[1] != os.getpid()


def test_a_submission_in_a_transaction_warns(runner):
    """X-67"""
    with transaction(), pytest.warns(UserWarning, match="'add' is submitted .* in a transaction"):
        future = runner.submit(tasks.add, {"x": 1})
    assert future.result() == 1


def remember(value):
    tasks.remembered = value


@task
def remembered():
    return tasks.remembered, os.getpid()


def test_an_initializer_is_called_in_each_worker():
    """TR-29"""
    with ProcessPoolTaskRunner(
        max_workers=1, initializer=remember, initargs=(5,), max_tasks_per_worker=1
    ) as runner:
        (first, one), (second, other) = (runner.submit(remembered, {}).result() for _ in "ab")
    assert (first, second) == (5, 5)
    assert one != other


def test_an_initializer_that_raises_crashes_the_runs_and_is_shown():
    """TR-29"""
    with ProcessPoolTaskRunner(
        max_workers=1, initializer=tasks.end_process, initargs=("error",)
    ) as runner:
        futures = runner.map(tasks.add, {"x": [1, 2]})
        futures.wait()
        for future in futures:
            assert future.state.is_crashed()
            assert "initializer" in future.state.message
            assert "LookupError: on purpose" in future.state.message


def test_an_initializer_that_cannot_be_sent_is_refused_at_the_submission():
    """TR-29"""
    import threading

    with ProcessPoolTaskRunner(initializer=print, initargs=(threading.Lock(),)) as runner:
        with pytest.raises(TransferError, match="'initializer' or 'initargs' cannot be pickled"):
            runner.submit(tasks.add, {"x": 1})


def test_a_task_in_a_transaction_is_not_rolled_back_with_it(runner):
    """X-67"""
    undone = []
    work = tasks.add.with_options(on_rollback=[undone.append])

    def fails():
        with transaction():
            assert runner.submit(work, {"x": 1}).result() == 1
            raise LookupError

    with pytest.warns(UserWarning, match="in a transaction"), pytest.raises(LookupError):
        fails()
    assert undone == []


def test_results_are_cached_by_the_program(runner, tmp_path):
    """A hit needs no worker."""
    from oxtask.cache_policies import INPUTS
    from oxtask.filesystems import LocalFileSystem

    cached = tasks.where.with_options(
        cache_policy=INPUTS, persist_result=True, result_storage=LocalFileSystem(basepath=tmp_path)
    )
    first = runner.submit(cached, {"_": 1})
    pid = first.result()
    with ProcessPoolTaskRunner(max_workers=1) as other:
        second = other.submit(cached, {"_": 1})
        assert second.result() == pid != os.getpid()
        assert second.state.name == "Cached"
        assert other._pool._workers == set()


def test_a_stream_needs_threads():
    """Its window is a matter of the core."""

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def streaming():
        return list(tasks.add.stream([1, 2]))

    with pytest.raises(TypeError, match="needs a ThreadPoolTaskRunner; the flow has a Process"):
        streaming()
