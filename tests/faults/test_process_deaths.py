"""Worker processes that die: nobody but their own run notices."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time

import process_tasks as tasks
import pytest

from oxtask import task
from oxtask.exceptions import RemoteError, TransferError, WorkerDiedError
from oxtask.futures import wait
from oxtask.task_runners import ProcessPoolTaskRunner

pytestmark = pytest.mark.timeout(50)
# Makes new workers cheap, where they come from the fork server.
multiprocessing.set_forkserver_preload(["__main__", "oxtask._internal.processes.worker"])


@pytest.fixture(scope="module", params=["spawn", "forkserver"])
def runner(request):
    with ProcessPoolTaskRunner(max_workers=2, start_method=request.param) as started:
        yield started


KILLED = WorkerDiedError, r"worker process \d+ was killed by signal 9 \(SIGKILL\)"
LEFT = WorkerDiedError, r"worker process \d+ ended with exit code 7"
AT = {
    "unpickling the call": lambda runner, how: runner.submit(
        tasks.add, {"x": tasks.AtUnpickle(how)}
    ),
    "running": lambda runner, how: runner.submit(tasks.die, {"how": how}),
    "pickling the result": lambda runner, how: runner.submit(tasks.give_at_pickle, {"how": how}),
    "unpickling the result": lambda runner, how: runner.submit(
        tasks.give_at_unpickle, {"how": how}
    ),
}


@pytest.mark.parametrize(
    ("point", "how", "error", "message", "state"),
    [
        ("unpickling the call", "error", TransferError, "cannot be unpickled", "Failed"),
        ("unpickling the call", "exit", SystemExit, "7", "Crashed"),
        ("unpickling the call", "kill", *KILLED, "Crashed"),
        ("running", "error", LookupError, "on purpose", "Failed"),
        ("running", "exit", SystemExit, "7", "Crashed"),
        ("running", "interrupt", KeyboardInterrupt, None, "Crashed"),
        ("running", "leave", *LEFT, "Crashed"),
        ("running", "kill", *KILLED, "Crashed"),
        ("pickling the result", "error", TransferError, "cannot be sent", "Failed"),
        ("pickling the result", "exit", SystemExit, "7", "Crashed"),
        ("pickling the result", "kill", *KILLED, "Crashed"),
        ("unpickling the result", "error", TransferError, "cannot be unpickled", "Failed"),
        ("unpickling the result", "exit", TransferError, "SystemExit: 7", "Failed"),
    ],
)
def test_what_ends_a_run_leaves_the_others_and_the_pool_alone(  # noqa: PLR0917
    runner, point, how, error, message, state
):
    """C1, TR-26"""
    before = [runner.submit(tasks.add, {"x": number}) for number in range(4)]
    bad = AT[point](runner, how)
    after = [runner.submit(tasks.add, {"x": number}) for number in range(3)]
    assert [future.result(timeout=20) for future in before] == [0, 1, 2, 3]
    assert [future.result(timeout=20) for future in after] == [0, 1, 2]
    bad.wait(20)
    assert bad.state.name == state
    with pytest.raises(error, match=message):
        bad.result(timeout=1)
    assert runner.submit(tasks.add, {"x": 5}).result(timeout=20) == 5


def test_what_cannot_be_pickled_is_refused_at_once(runner):
    """C1, C10"""
    with pytest.raises(TransferError, match=r"argument 'x', .* of task 'add' cannot be sent"):
        runner.submit(tasks.add, {"x": tasks.AtPickle("error")})
    assert runner.submit(tasks.add, {"x": 5}).result(timeout=20) == 5


def test_a_worker_that_dies_is_told_with_its_number_and_signal(runner):
    """C1"""
    future = runner.submit(tasks.die, {"how": "kill"})
    error = future.result(timeout=20, raise_on_failure=False)
    assert isinstance(error, WorkerDiedError)
    assert error.exit_code == -signal.SIGKILL
    assert f"worker process {error.pid} was killed by signal 9 (SIGKILL)" in future.state.message
    assert "while it ran task 'die'" in future.state.message


def test_exceptions_and_results_that_cannot_travel_are_told_in_words(runner):
    """TR-25, N6"""
    for name, task_ in (
        ("NotPicklableError: no way out", tasks.raise_not_picklable),
        ("NotUnpicklableError: no way back", tasks.raise_not_unpicklable),
    ):
        future = runner.submit(task_, {})
        error = future.result(timeout=20, raise_on_failure=False)
        assert isinstance(error, RemoteError)
        assert name in str(error)
        assert name.partition(":")[0] == error.type_name
        assert "process_tasks.py" in error.traceback_text
        assert future.state.name == "Failed"
    future = runner.submit(tasks.unpicklable_result.with_options(retries=3), {})
    with pytest.raises(TypeError, match="result of task 'unpicklable_result', of type 'lock'"):
        future.result(timeout=20)
    assert future.state.name == "Failed"


# --- many deaths ----------------------------------------------------------------------------------


@task(retries=50)
def square(x):
    time.sleep(0.01)
    return x * x


class Killer(threading.Thread):
    """Kills a worker of a runner from time to time."""

    def __init__(self, runner, seconds, at_most):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.killed = []
        self._runner, self._seconds, self._at_most = runner, seconds, at_most
        self._random = random.Random(7)

    def run(self):
        while len(self.killed) < self._at_most and not self.over.wait(self._seconds):
            workers = sorted(self._runner._pool._workers, key=lambda worker: worker.pid)
            fresh = [worker.pid for worker in workers if worker.pid not in self.killed]
            if fresh:
                pid = self._random.choice(fresh)
                self.killed.append(pid)
                os.kill(pid, signal.SIGKILL)


def test_runs_with_retries_survive_the_death_of_any_worker():
    """C2"""
    with ProcessPoolTaskRunner(max_workers=4, start_method="forkserver") as runner:
        runner.map(tasks.where, {"_": range(8)}).wait()
        killer = Killer(runner, 0.05, 15)
        killer.start()
        futures = runner.map(square, {"x": range(300)})
        assert wait(futures, 40).not_done == set()
        killer.over.set()
        killer.join()
        assert [future.result() for future in futures] == [x * x for x in range(300)]
    assert len(killer.killed) >= 5


def test_without_retries_only_the_runs_that_were_killed_crash():
    """C2"""
    once = square.with_options(retries=0)
    with ProcessPoolTaskRunner(max_workers=4, start_method="forkserver") as runner:
        runner.map(tasks.where, {"_": range(8)}).wait()
        killer = Killer(runner, 0.1, 8)
        killer.start()
        futures = runner.map(once, {"x": range(200)})
        assert wait(futures, 40).not_done == set()
        killer.over.set()
        killer.join()
    crashed = [future for future in futures if future.state.is_crashed()]
    pids = [future.result(raise_on_failure=False).pid for future in crashed]
    assert len(pids) == len(set(pids))
    assert set(pids) <= set(killer.killed)
    assert len(pids) >= 1
    for x, future in enumerate(futures):
        assert future in crashed or future.result() == x * x


# --- in the middle of a frame ---------------------------------------------------------------------


def die_in_the_middle(share):
    """Make this process die when it has sent a part of its third frame."""
    from oxtask._internal.processes import channel

    sent = 0

    def send(line, kind, content=b""):
        nonlocal sent
        sent += 1
        frame = channel._HEADER.pack(len(content), kind) + content
        if sent == 3:
            line.connection.sendall(frame[: int(len(frame) * share)])
            os.kill(os.getpid(), signal.SIGKILL)
        line.connection.sendall(frame)

    channel.Line.send = send


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_a_worker_that_dies_in_the_middle_of_a_frame_holds_nobody_up(share):
    """C3"""
    with ProcessPoolTaskRunner(
        max_workers=2,
        start_method="forkserver",
        initializer=die_in_the_middle,
        initargs=(share,),
    ) as runner:
        futures = runner.map(
            tasks.add.with_options(retries=20), {"x": [b"x" * 100_000] * 6, "y": b"y"}
        )
        assert wait(futures, 30).not_done == set()
        assert {len(future.result()) for future in futures} == {100_001}


# --- workers that are replaced --------------------------------------------------------------------


def test_workers_that_are_used_up_are_replaced():
    """C9"""
    with ProcessPoolTaskRunner(
        max_workers=2, max_tasks_per_worker=1, start_method="forkserver"
    ) as runner:
        futures = runner.map(tasks.where, {"_": range(12)})
        assert wait(futures, 40).not_done == set()
        assert len({future.result() for future in futures}) == 12


@pytest.mark.parametrize("end", ["cancel_all", "exit", "drop"])
def test_no_future_is_left_behind_when_the_runner_ends_half_way(end):
    """C9"""
    runner = ProcessPoolTaskRunner(max_workers=2, max_tasks_per_worker=4, start_method="forkserver")
    try:
        with runner:
            futures = runner.map(square, {"x": range(40)})
            futures[5].wait()
            if end == "cancel_all":
                runner.cancel_all()
            elif end == "drop":
                raise LookupError
    except LookupError:
        pass
    assert wait(futures, 30).not_done == set()
    names = {future.state.name for future in futures}
    assert names == {"Completed"} if end == "exit" else names <= {"Completed", "Cancelled"}
