"""Locks between processes."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oxtask.locking.filesystem import FileSystemLockManager

HOLD = """
import os, sys, time
from oxtask.locking.filesystem import FileSystemLockManager
manager = FileSystemLockManager(sys.argv[1])
hold = float(sys.argv[2]) if len(sys.argv) > 2 else None
manager.acquire_lock("k", "child", hold_timeout=hold)
print("held", flush=True)
time.sleep(60)
"""

COUNT = """
import sys
from oxtask.locking.filesystem import FileSystemLockManager
manager, file = FileSystemLockManager(sys.argv[1]), sys.argv[2]
for _ in range(50):
    manager.acquire_lock("k", sys.argv[3])
    with open(file) as opened:
        value = int(opened.read())
    with open(file, "w") as opened:
        opened.write(str(value + 1))
    manager.release_lock("k", sys.argv[3])
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def manager(folder):
    return FileSystemLockManager(folder)


@pytest.fixture
def holder(folder):
    """Return a function that starts a process which holds the lock on "k"."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder), *arguments], stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_folder_is_given_as_text_or_path_and_made_when_needed(folder):
    """results.md G20"""
    manager = FileSystemLockManager(str(folder))

    assert manager == FileSystemLockManager(folder)
    assert not manager.is_locked("k")
    assert not folder.exists()
    assert FileSystemLockManager("~/x").lock_files_directory == Path.home() / "x"
    with pytest.raises(TypeError, match="'lock_files_directory' must be a path; got 3"):
        FileSystemLockManager(3)


def test_locks_of_other_processes_count(manager, holder):
    """results.md G20"""
    holder()

    assert manager.is_locked("k")
    assert manager.is_lock_holder("k", "child")
    assert not manager.acquire_lock("k", "me", acquire_timeout=0)
    with pytest.raises(ValueError, match="No lock held by 'child'"):
        manager.release_lock("k", "child")


def test_a_lock_dies_with_its_holder(manager, holder):
    """results.md W-G6, RELIABILITY E3: the next one has it within a second."""
    for _ in range(5):
        process = holder()
        process.kill()
        process.wait()
        started = time.monotonic()

        assert not manager.is_locked("k")
        assert manager.acquire_lock("k", "me", acquire_timeout=5)
        assert time.monotonic() - started < 1
        manager.release_lock("k", "me")


def test_a_waiter_has_the_lock_within_a_second_of_the_holders_death(manager, holder):
    """RELIABILITY E3"""
    process = holder()
    os.kill(process.pid, signal.SIGKILL)
    started = time.monotonic()

    assert manager.acquire_lock("k", "me")
    assert time.monotonic() - started < 1


def test_a_stopped_holder_keeps_the_lock_until_its_time_is_over(manager, holder):
    """RELIABILITY E3"""
    process = holder("0.3")
    os.kill(process.pid, signal.SIGSTOP)

    assert not manager.acquire_lock("k", "me", acquire_timeout=0)
    assert manager.acquire_lock("k", "me", acquire_timeout=10)
    os.kill(process.pid, signal.SIGCONT)
    assert manager.is_lock_holder("k", "me")


def test_a_holder_that_was_replaced_holds_nothing(manager, folder, holder):
    """RELIABILITY E3: what it knows of its lock does not make it one."""
    manager.acquire_lock("k", "me", hold_timeout=0.5)
    token = manager.fencing_token("k", "me")
    assert manager.wait_for_lock("k")
    holder()

    assert manager.fencing_token("k", "me") is None
    assert manager.fencing_token("k", "child") == token + 1
    with pytest.raises(ValueError, match="No lock held by 'me'"):
        manager.release_lock("k", "me")
    assert not manager.acquire_lock("k", "me", acquire_timeout=0)


def test_a_forked_process_does_not_keep_the_lock_of_its_parent(manager):
    """results.md W-G6"""
    manager.acquire_lock("k", "a")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)

    manager.release_lock("k", "a")
    assert manager.acquire_lock("k", "b", acquire_timeout=0)

    os.close(write)
    assert os.waitpid(child, 0)[1] == 0


def test_processes_take_turns(folder, tmp_path):
    """RELIABILITY E1, E2"""
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNT, str(folder), str(counter), str(number)])
        for number in range(4)
    ]

    assert [process.wait() for process in processes] == [0] * 4
    assert counter.read_text() == "200"


def test_no_lock_files_are_left_and_all_files_are_private(manager, folder):
    """RELIABILITY Z12"""
    before = os.umask(0)
    try:
        for number in range(5):
            manager.acquire_lock(str(number), "a")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    finally:
        os.umask(before)
    for number in range(5):
        manager.release_lock(str(number), "a")

    assert not list(folder.glob("*.lock"))


@pytest.mark.parametrize("plant", [Path.symlink_to, lambda path, _: os.mkfifo(path)])
def test_what_is_planted_in_the_folder_is_refused(manager, folder, tmp_path, plant):
    """RELIABILITY Z11"""
    target = tmp_path / "target"
    target.write_text("mine")
    folder.mkdir()
    plant(Path(manager._path("k")), target)

    with pytest.raises(OSError):
        manager.acquire_lock("k", "a", acquire_timeout=0)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"ends": 0}', b"\xff" * 10])
def test_what_a_lock_file_says_does_not_matter_if_nobody_holds_it(manager, folder, content):
    """results.md W-G7"""
    folder.mkdir()
    Path(manager._path("k")).write_bytes(content)

    assert not manager.is_locked("k")
    assert manager.acquire_lock("k", "a", acquire_timeout=0)


def test_a_manager_can_be_sent_to_another_process(manager):
    """results.md G20"""
    manager.acquire_lock("k", "a")

    assert pickle.loads(pickle.dumps(manager)) == manager
    assert pickle.loads(pickle.dumps(manager)).is_lock_holder("k", "a")
