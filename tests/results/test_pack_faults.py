"""The pack: the end of the process, or an error, at every single operation of a write."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from oxtask.exceptions import ResultStoreError
from oxtask.results import ResultStore

HERE = Path(__file__).parent
SIZES = {"small": 10, "large": 50_000}


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "fault_shim.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", library, HERE / "fault_shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return library


def run(shim, folder, size, how, durability):
    """Run the program; it opens the folder, which must not exist."""
    command = [sys.executable, HERE / "pack_faults.py", folder, size, how, durability]
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, env=environment, timeout=55
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("durability", ["default", "durable"])
@pytest.mark.parametrize("size", SIZES)
def test_a_process_killed_at_any_operation_leaves_one_of_the_two_values(
    shim, folder, size, durability
):
    """RELIABILITY D2: and nothing that belongs to nobody."""
    outcome = run(shim, folder, SIZES[size], "kill", durability)
    assert outcome["seen"] == ["new", "old"]
    assert outcome["count"] > 5


def test_a_process_killed_in_the_commit_of_tasks_leaves_all_their_results_or_none(shim, home):
    """RELIABILITY E5: three runs, one in the other"""
    done = subprocess.run(
        [sys.executable, HERE / "task_faults.py", home],
        capture_output=True,
        env={**os.environ, "LD_PRELOAD": str(shim)},
        timeout=55,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    outcome = json.loads(done.stdout)
    assert outcome["seen"] == ["", "inner middle outer"]
    assert outcome["count"] > 5


@pytest.mark.parametrize("durability", ["default", "durable"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "EDQUOT", "EROFS"])
def test_an_error_at_any_operation_is_told_and_leaves_the_value(
    shim, folder, size, name, durability
):
    """RELIABILITY D4: the next write succeeds."""
    number = getattr(errno, name)
    outcome = run(shim, folder, SIZES[size], number, durability)
    assert outcome["count"] > 2
    assert {kind for _, kind in outcome["told"]} == {"ResultStoreError"}
    assert number in {told for told, _ in outcome["told"]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["short", errno.EINTR])
def test_writes_that_are_cut_short_or_interrupted_do_no_harm(shim, folder, size, how):
    """RELIABILITY D4"""
    outcome = run(shim, folder, SIZES[size], how, "default")
    assert set(outcome["seen"]) <= {"new", "old"}


def rewriter(size):
    """Return a forked process that has begun to rewrite a value again and again."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        signal.alarm(30)  # should the test fail, and not kill it
        try:
            store = ResultStore()
            for number in count():
                store.write(bytes([number % 256]) * size, key="k")
                if number == 1:
                    os.write(writing, b".")
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"."
    os.close(reading)
    return process


@pytest.mark.parametrize("size", [100, 4 << 20])
def test_a_process_killed_at_any_time_leaves_a_whole_value(home, size):
    """RELIABILITY D1: 40 kills, and no file is left."""
    random.seed(3)
    store = ResultStore()
    store.write(bytes(size), key="k")
    for _ in range(20):
        for process in [rewriter(size), rewriter(size)]:
            for _ in range(random.randrange(3)):
                assert len(set(store.read("k").result)) == 1
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            value = store.read("k").result
            assert (len(value), len(set(value))) == (size, 1)
    store._pack.prune()
    assert store._pack.verify() == {"records": 1, "damaged": 0}
    files = [path for path in (home / "storage").rglob("*-*") if path.parent.name != "storage"]
    assert len(files) == (size > 1000)


def test_a_full_disk_is_an_error_and_the_next_write_succeeds(home):
    """RELIABILITY D8"""
    store = ResultStore()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for key, size, room in (("large", 3 << 20, 1 << 20), ("small", 10, 4096)):
        store.write("old", key=key)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with pytest.raises(ResultStoreError) as caught:
                store.write(os.urandom(size), key=key)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert caught.value.errno == errno.EFBIG
        assert caught.value.filename.startswith(str(home / "storage"))
        assert store.read(key).result == "old"
        assert list((home / "storage" / "new").iterdir()) == []
        store.write("new", key=key)
        assert store.read(key).result == "new"
