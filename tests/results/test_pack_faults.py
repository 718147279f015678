"""The pack: the end of the process, or an error, at every single operation of a write."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from oxtask.exceptions import ResultStoreError
from oxtask.results import ResultStore

HERE = Path(__file__).parent
SIZES = {"small": 10, "large": 50_000}

REWRITE = """
import os, sys
from oxtask.results import ResultStore
store = ResultStore()
size = int(sys.argv[1])
store.write(bytes(size), key="k")
print("ready", flush=True)
number, parent = 0, os.getppid()
while os.getppid() == parent:  # not when the test is gone
    number += 1
    store.write(bytes([number % 256]) * size, key="k")
"""


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


@pytest.mark.timeout(240)
@pytest.mark.parametrize("size", [100, 4 << 20])
def test_a_process_killed_at_any_time_leaves_a_whole_value(home, size):
    """RELIABILITY D1: 40 kills, and no file is left."""
    random.seed(3)
    environment = {**os.environ, "OXTASK_HOME": str(home)}
    store = ResultStore()
    store.write(bytes(size), key="k")
    command = [sys.executable, "-c", REWRITE, str(size)]
    for _ in range(8):
        with ExitStack() as ending:
            processes = [
                subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(5)
            ]
            for process in processes:
                ending.callback(process.stdout.close)
                ending.callback(process.wait)
                ending.callback(process.kill)  # called first, and whatever happens
            for process in processes:
                assert process.stdout.readline() == b"ready\n"
            for process in processes:
                for _ in range(random.randrange(3)):
                    assert len(set(store.read("k").result)) == 1
                process.kill()
                process.wait()
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
