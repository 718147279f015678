"""What can be sent to worker processes, and what is said of the rest."""

from __future__ import annotations

import subprocess
import sys
import threading
import types

import process_tasks as tasks
import pytest

from oxtask import allow_failure, task, unmapped
from oxtask.exceptions import TransferError
from oxtask.task_runners import ProcessPoolTaskRunner
from oxtask.utilities.annotations import quote


@pytest.fixture(scope="module")
def runner():
    with ProcessPoolTaskRunner(max_workers=2) as started:
        yield started


def test_functions_need_not_have_a_name_that_can_be_imported(runner):
    """C10, TR-30"""
    factor = 3

    @task
    def times(x):
        return factor * x

    class Point:
        def __init__(self, x):
            self.x = x

        @task
        def moved(self, by):
            return Point(self.x + by)

    lambda_ = task(lambda x: x * factor)
    assert runner.submit(times, {"x": 2}).result() == 6
    assert runner.submit(lambda_, {"x": 2}).result() == 6
    moved = runner.submit(Point(1).moved, {"by": 2}).result()
    assert type(moved) is Point
    assert moved.x == 3


def test_large_and_circular_arguments_travel(runner):
    """C10"""
    content = bytes(100_000_000)

    @task
    def size():
        return len(content)

    assert runner.submit(size, {}).result() == 100_000_000
    circle = [1]
    circle.append(circle)
    back = runner.submit(tasks.add.with_options(name="circle"), {"x": quote(circle), "y": []})
    result = back.result(raise_on_failure=False)
    assert isinstance(result, TypeError) or result[1] is not None


def test_what_arguments_share_is_still_shared(runner):
    """C10"""

    @task
    def same(x, y):
        return x is y

    shared = [1]
    assert runner.submit(same, {"x": shared, "y": shared}).result() is True


def test_arguments_are_sent_as_they_are_at_the_submission(runner):
    """C10"""
    values = [1]
    future = runner.submit(tasks.gather, {"values": values})
    values.append(2)
    assert future.result() == [1]


def test_annotations_are_resolved_before_arguments_are_sent(runner):
    """TR-21"""
    failed = runner.submit(tasks.fail, {"text": "no"})
    seen = runner.submit(tasks.gather, {"values": [allow_failure(failed)]}).result()
    assert isinstance(seen[0], LookupError)
    sums = runner.map(tasks.add, {"x": [1, 2], "y": unmapped(10)})
    assert sums.result() == [11, 12]


@pytest.mark.parametrize("with_future", [False, True])
def test_an_argument_that_cannot_be_pickled_is_named_at_the_submission(runner, with_future):
    """C10"""
    x = runner.submit(tasks.add, {"x": 1}) if with_future else 1
    with pytest.raises(TransferError) as caught:
        runner.submit(tasks.add, {"x": x, "y": threading.Lock()})
    message = str(caught.value)
    assert "argument 'y', <unlocked _thread.lock object" in message
    assert "of task 'add' cannot be sent to a worker process: TypeError" in message
    assert isinstance(caught.value.__cause__, TypeError)


def test_an_item_of_a_map_that_cannot_be_pickled_is_named(runner):
    """C10"""
    with pytest.raises(TransferError, match="argument 'x', <unlocked"):
        runner.map(tasks.add, {"x": [1, threading.Lock()]})


def test_a_task_that_cannot_be_pickled_is_refused_at_the_submission(runner):
    """C10"""
    lock = threading.Lock()

    @task
    def locked():
        return lock

    with pytest.raises(TransferError, match="the task 'locked' cannot be sent"):
        runner.submit(locked, {})


def test_what_only_becomes_an_argument_later_fails_the_run(runner):
    """C10"""

    @task
    def lock():
        return 1

    upstream = runner.submit(lock, {})
    deep = [upstream, threading.Lock()]
    future = runner.submit(tasks.gather, {"values": deep})
    error = future.result(raise_on_failure=False)
    assert isinstance(error, TransferError)
    assert "argument 'values'" in str(error)
    assert future.state.name == "Failed"


def test_an_object_that_is_nested_too_deeply_is_refused(runner):
    """C10"""

    class Link:
        def __init__(self, behind):
            self.behind = behind

    chain = None
    for _ in range(100_000):
        chain = Link(chain)
    with pytest.raises(TransferError, match="argument 'x'"):
        runner.submit(tasks.add, {"x": chain})
    while chain is not None:
        chain = chain.behind


def test_a_module_that_a_worker_cannot_import_is_named(runner, monkeypatch):
    """C10"""
    module = types.ModuleType("module_that_is_not_there")
    exec("def add(x): return x + 1", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.add = task(module.add)
    future = runner.submit(module.add, {"x": 1})
    error = future.result(raise_on_failure=False)
    assert isinstance(error, TransferError)
    assert "No module named 'module_that_is_not_there'" in str(error)


SCRIPT = """\
from dataclasses import dataclass
from oxtask import flow, task
from oxtask.task_runners import ProcessPoolTaskRunner
from oxtask.utilities.annotations import quote

FACTOR = 2

@dataclass
class Point:
    x: int

class OwnError(Exception):
    pass

def scaled(point):
    return Point(point.x * FACTOR)

@task(retries=1)
def grow(point):
    assert isinstance(point, Point)
    return scaled(point)

@task
def fail():
    raise OwnError("mine")

@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def program():
    grown = grow.map([Point(1), Point(2)]).result()
    lambdas = task(lambda x: x + FACTOR).map([1, 2]).result()
    try:
        fail.submit().result()
    except OwnError as error:
        return grown == [Point(2), Point(4)], lambdas, str(error)

if __name__ == "__main__":
    FACTOR = 2
    print(program())
"""


def test_a_script_can_use_what_it_defines(tmp_path):
    """C10, TR-30"""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=40)
    assert done.stdout == "(True, [3, 4], 'mine')\n", done.stderr
