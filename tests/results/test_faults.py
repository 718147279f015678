"""Result stores: the end of the process, or an error, at every single operation of a write."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from oxtask._internal.storage import local_files
from oxtask.exceptions import ResultStoreError
from oxtask.results import ResultStore

OPERATIONS = ("open", "write", "fsync", "replace", "link", "unlink", "mkdir", "close")

KILLED = """
import os, signal, sys
from oxtask._internal.storage import local_files
from oxtask.results import ResultStore

left = int(sys.argv[2])
store = ResultStore(sys.argv[1])

def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for name in sys.argv[3:]:
    setattr(local_files.os, name, counted(getattr(os, name)))
store.write("new" * 100_000, key="a/k")
print("written")
"""


def count_operations(store, monkeypatch, fail_at=None, error=errno.EIO):
    """Write a value, count the operations on files, and let one of them fail."""
    done = []

    def counted(name, function):
        def call(*arguments, **options):
            done.append(name)
            if len(done) == fail_at:
                if name == "close":
                    function(*arguments, **options)
                raise OSError(error, os.strerror(error))
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(local_files.os, name, counted(name, getattr(os, name)))
        local_files._cleaned.clear()
        try:
            store.write("new" * 100_000, key="a/k")
        finally:
            count = len(done)
    return count


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_at_any_operation_leaves_the_value_before(
    store, folder, monkeypatch, before, number
):
    """RELIABILITY D4, D8"""
    if before is None:
        (folder / "a").mkdir(parents=True)
    else:
        store.write(before, key="a/k")
    count = count_operations(ResultStore(folder.parent / "other"), monkeypatch)
    assert count > 8

    told = set()
    for failing in range(1, count + 1):
        try:
            count_operations(store, monkeypatch, failing, number)
        except ResultStoreError as error:
            told.add((error.errno, error.filename))
        found = store.lookup("a/k")
        value = None if found is None else found.result
        assert value in {before, "new" * 100_000}
        if value != before:  # all is there, and not certain to survive a power cut
            (folder / "a" / "k").unlink()
            if before is not None:
                store.write(before, key="a/k")
        assert {path.name for path in (folder / "a").iterdir()} <= {"k"}
    assert told == {(number, str(folder / "a" / "k"))}
    store.write("fine", key="a/k")
    assert store.read("a/k").result == "fine"


def test_a_process_that_ends_at_any_operation_leaves_the_value_before_or_after(store, folder, home):
    """RELIABILITY D2"""
    store.write("old", key="a/k")
    environment = {**os.environ, "OXTASK_HOME": str(home)}
    values = set()
    for number in range(1, 40):
        command = [sys.executable, "-c", KILLED, str(folder), str(number), *OPERATIONS]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        values.add(store.read("a/k").result[:3])
        if done.stdout == b"written\n":
            break
        assert done.returncode == -9, done.stderr
        store.write("old", key="a/k")
    assert number > 8
    assert values == {"old", "new"}
    # The process that wrote last has removed what the others left.
    assert [path.name for path in (folder / "a").iterdir()] == ["k"]


def test_a_full_disk_is_an_error_and_the_next_write_succeeds(store, folder):
    """RELIABILITY D8"""
    store.write("old", key="k")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ResultStoreError) as caught:
            store.write(os.urandom(3 << 20), key="k")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert caught.value.errno == errno.EFBIG
    assert [path.name for path in folder.iterdir()] == ["k"]
    assert store.read("k").result == "old"
    store.write("new", key="k")
    assert store.read("k").result == "new"
