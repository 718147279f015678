"""The pack: many processes at once, and limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from oxtask._core import Pack
from oxtask.exceptions import ResultStoreError
from oxtask.results import ResultStore
from oxtask.settings import temporary_settings

KEY = bytes(range(32))

MIXED = """
import faulthandler, json, random, sys, threading, time
from oxtask._core import Pack
faulthandler.dump_traceback_later(50, exit=True)
pack = Pack(sys.argv[1], lambda: [bytes(range(32))])
wrong = []
def work(seed):
    random.seed(seed)
    source = random.Random(seed)
    for _ in range(int(sys.argv[3])):
        number = source.randrange(100)
        key = f"k{number}"
        what = source.random()
        if what < 0.4:
            size = 12_000 if source.random() < 0.1 else 3
            expires = time.time_ns() + source.randrange(10**7) if source.random() < 0.2 else None
            pack.keep(key, [number] * size, expires)
        elif what < 0.5:
            pack.delete(key)
        else:
            found = pack.lookup(key)
            if found is not None and set(found) != {number}:
                wrong.append((key, found[:3]))
threads = [threading.Thread(target=work, args=(int(sys.argv[2]) * 10 + i,)) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(wrong))
"""


def test_processes_and_threads_never_read_what_was_not_written(tmp_path):
    """RELIABILITY D9: 8 processes with 4 threads do 10,000 things; index and files agree."""
    folder = tmp_path / "pack"
    command = [sys.executable, "-c", MIXED, str(folder)]
    processes = [
        subprocess.Popen(
            [*command, str(number), "320"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in range(8)
    ]
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert json.loads(out) == []
    pack = Pack(str(folder), lambda: [KEY])
    stats = pack.stats()
    assert stats["damaged"] == 0
    assert pack.verify() == {"records": stats["records"], "damaged": 0}
    files = [path for path in (folder / "files").rglob("*") if path.is_file()]
    assert len(files) == stats["files"]
    assert list((folder / "new").iterdir()) == []
    assert pack.prune()["files"] == 0


def test_another_process_is_seen_at_once(home):
    """results.md W-M2"""
    store = ResultStore()
    store.write("old", key="k")
    assert store.read("k").result == "old"
    code = "import sys; from oxtask.results import ResultStore; s = ResultStore();"
    environment = {**os.environ, "OXTASK_HOME": str(home)}
    for action, expected in (("s.write('new', key='k')", "new"), ("s._pack.delete('k')", None)):
        subprocess.run([sys.executable, "-c", code + action], env=environment, check=True)
        assert store._pack.lookup("k") == expected


def test_the_size_limit_holds_and_readers_of_what_goes_finish(tmp_path):
    """RELIABILITY D12"""
    limit = 4 << 20
    pack = Pack(str(tmp_path / "pack"), lambda: [KEY], max_bytes=limit)
    stop = threading.Event()
    wrong = []

    def read():
        while not stop.is_set():
            for number in range(0, 60, 10):
                found = pack.lookup(f"k{number}")
                if found is not None and (len(found), len(set(found))) != (200_000, 1):
                    wrong.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        most = 0
        for number in range(400):
            size = 200_000 if number % 10 == 0 else 2000
            pack.keep(f"k{number % 60 if size > 2000 else number}", bytes([number % 256]) * size)
            paths = [tmp_path / "pack" / "results.db", *(tmp_path / "pack" / "files").rglob("*-*")]
            most = max(most, sum(size_of(path) for path in paths))
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert limit // 2 < most <= limit * 1.05
    assert pack.lookup("k399") is not None
    with pytest.raises(ResultStoreError, match="OXTASK_RESULTS_MAX_BYTES"):
        pack.keep("too large", bytes(limit))


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_what_has_expired_goes_when_the_pack_is_pruned(tmp_path):
    """results.md W-L5"""
    pack = Pack(str(tmp_path / "pack"), lambda: [KEY])
    pack.keep("old", 1, 1)
    pack.keep("large", bytes(100_000), 1)
    pack.keep("new", 1)
    assert (pack.lookup("old"), pack.contains("old"), pack.lookup("large")) == (None, False, None)
    assert pack.read("old").value() == 1
    assert {entry["key"] for entry in pack.ls()} == {"old", "large", "new"}
    assert [entry["key"] for entry in pack.ls("ne")] == ["new"]
    assert pack.prune() == {"records": 2, "files": 0}
    assert [entry["key"] for entry in pack.ls()] == ["new"]
    assert [path for path in (tmp_path / "pack" / "files").rglob("*") if path.is_file()] == []


def test_settings_say_how_the_default_storage_is_kept(home):
    """results.md 14"""
    with temporary_settings({"results.max_bytes": 100_000, "results.durability": "full"}):
        store = ResultStore()
        with pytest.raises(ResultStoreError):
            store.write(bytes(200_000), key="k")
        store.write(1, key="k")
    assert ResultStore().read("k").result == 1
