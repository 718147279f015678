"""Deadlines and cancellations that a worker does not hear, and programs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import process_tasks as tasks
import pytest

from oxtask import flow, task
from oxtask.task_runners import ProcessPoolTaskRunner

pytestmark = pytest.mark.timeout(50)
TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def runner():
    with ProcessPoolTaskRunner(max_workers=2) as started:
        yield started


@pytest.fixture
def ledger(tmp_path):
    return str(tmp_path / "ledger")


# --- deadlines and cancellations ------------------------------------------------------------------


@pytest.mark.parametrize("task_", [tasks.deaf, tasks.stop_itself, tasks.hold_the_interpreter])
def test_a_worker_that_does_not_hear_the_deadline_is_killed_and_replaced(runner, ledger, task_):
    """C5"""
    limit = 0.3
    future = runner.submit(task_.with_options(timeout_seconds=limit), {"path": ledger})
    pid = int(tasks.lines_of(ledger)[0])
    since = time.monotonic()
    future.wait(15)
    seconds = time.monotonic() - since
    assert future.state.name == "TimedOut"
    assert tasks.gone([pid]) == []
    assert seconds < limit + 0.5
    assert runner.submit(tasks.add, {"x": 1}).result(timeout=20) == 1


@pytest.mark.parametrize(
    "task_", [tasks.note_and_wait, tasks.deaf, tasks.stop_itself, tasks.hold_the_interpreter]
)
def test_a_cancelled_run_stops_with_all_it_has_started(runner, ledger, task_):
    """C6"""
    future = runner.submit(task_, {"path": ledger})
    pids = [int(pid) for pid in tasks.lines_of(ledger)[0].split()]
    since = time.monotonic()
    assert future.cancel()
    assert future.state.name == "Cancelled"
    assert tasks.gone(pids) == []
    assert time.monotonic() - since < 1
    assert runner.submit(tasks.add, {"x": 1}).result(timeout=20) == 1


def test_a_cancelled_body_can_clean_up(runner, ledger):
    """C6"""
    future = runner.submit(tasks.clean_up, {"path": ledger})
    tasks.lines_of(ledger)
    future.cancel()
    assert tasks.lines_of(ledger, 2) == ["began", "cleaned up"]


def test_cancel_all_stops_what_is_under_way(ledger):
    """TR-29"""
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        futures = [runner.submit(tasks.deaf, {"path": ledger}) for _ in range(3)]
        pid = int(tasks.lines_of(ledger)[0])
        runner.cancel_all()
        assert [future.state.name for future in futures] == ["Cancelled"] * 3
        assert tasks.gone([pid], 2) == []


def test_a_flow_that_is_interrupted_leaves_no_worker(ledger):
    """K2"""

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def interrupted():
        tasks.deaf.submit(ledger)
        tasks.lines_of(ledger)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tasks.gone([int(tasks.lines_of(ledger)[0])], 2) == []


# --- programs -------------------------------------------------------------------------------------

PROGRAM = """\
import sys
import process_tasks as tasks
from oxtask.task_runners import ProcessPoolTaskRunner

if __name__ == "__main__":
    with ProcessPoolTaskRunner(max_workers=2, start_method=sys.argv[2]) as runner:
        runner.submit(getattr(tasks, sys.argv[3]), {"path": sys.argv[1]}).wait()
"""


def started(script, tmp_path, *arguments):
    """Start a program in a session of its own."""
    path = tmp_path / "program.py"
    path.write_text(script)
    return subprocess.Popen(
        [sys.executable, str(path), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def descendants(pid):
    """Return the processes that a process has started, and those that they have."""
    children = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found, rest = [], [pid]
    while rest:
        rest += children.get(rest[0], [])
        found.append(rest.pop(0))
    return found[1:]


def temporary():
    """Return the shared memory and the temporary files that could be ours."""
    places = [Path("/dev/shm"), Path(tempfile.gettempdir())]
    return {path for place in places for path in place.glob("*oxtask*")}


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
@pytest.mark.parametrize("name", ["note_and_wait", "deaf", "stop_itself", "hold_the_interpreter"])
def test_nothing_is_left_of_a_program_that_is_killed(ledger, tmp_path, start_method, name):
    """C7"""
    before = temporary()
    with started(PROGRAM, tmp_path, ledger, start_method, name) as program:
        noted = [int(pid) for pid in tasks.lines_of(ledger)[0].split()]
        pids = {*descendants(program.pid), *noted}
        assert len(pids) >= len(noted) + 1
        os.kill(program.pid, signal.SIGKILL)
        assert tasks.gone(pids, 2) == []
        program.communicate()
    assert temporary() <= before


NO_GUARD = """\
from oxtask import flow, task
from oxtask.task_runners import ProcessPoolTaskRunner

@task
def add(x):
    return x + 1

@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def program():
    return [future.result() for future in add.map([1, 2, 3])]

program()
"""


def test_a_script_without_a_guard_is_told_so(tmp_path):
    """TR-30"""
    with started(NO_GUARD, tmp_path) as program:
        _, errors = program.communicate(timeout=40)
    assert program.returncode == 1
    assert "before it was ready" in errors
    assert "must stand under `if __name__ == '__main__':`" in errors
    assert "A worker process has imported the script of the program" in errors


NOT_CLOSED = """\
import process_tasks as tasks
from oxtask.task_runners import ProcessPoolTaskRunner

if __name__ == "__main__":
    runner = ProcessPoolTaskRunner(max_workers=2).__enter__()
    print(runner.submit(tasks.add, {"x": 1}).result())
    runner.submit(tasks.note_and_wait, {"path": __file__ + ".ledger"})
    tasks.lines_of(__file__ + ".ledger")
"""


def test_a_program_whose_runner_was_not_left_ends_at_once(tmp_path):
    """K6"""
    with started(NOT_CLOSED, tmp_path) as program:
        output, _ = program.communicate(timeout=30)
    assert (program.returncode, output) == (0, "1\n")
    pids = [int(pid) for pid in tasks.lines_of(tmp_path / "program.py.ledger")[0].split()]
    assert tasks.gone(pids, 2) == []


# --- leaks ----------------------------------------------------------------------------------------


def test_runners_leave_no_file_descriptor_thread_or_process_behind():
    """C11"""

    def used():
        return len(list(Path("/proc/self/fd").iterdir())), descendants(os.getpid())

    def cycle():
        with ProcessPoolTaskRunner(max_workers=2, start_method="forkserver") as runner:
            assert runner.map(tasks.add, {"x": [1, 2, 3]}).result() == [1, 2, 3]

    cycle()
    before = used()
    for _ in range(5):
        cycle()
    assert used() == before


@task
def keep_nothing(content):
    return content


def test_a_worker_keeps_nothing_of_runs_that_have_ended():
    """C11"""
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        retried = keep_nothing.with_options(retries=1)
        for task_ in (keep_nothing, retried):
            for _ in range(3):
                runner.submit(task_, {"content": b"x" * 1_000_000}).result()
        worker = next(iter(runner._pool._workers))
        size = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * 4096
        for _ in range(60):
            runner.submit(retried, {"content": b"x" * 1_000_000}).result()
        grown = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * 4096 - size
        assert worker.kept == set()
        assert grown < 20_000_000
