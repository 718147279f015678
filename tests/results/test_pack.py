"""The pack: what is kept is found, by all processes, with its type."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxtask._core import open_record, seal_value
from oxtask._internal.storage import record_format
from oxtask._internal.storage.packs import pack_in
from oxtask.exceptions import ResultStoreError, SerializationError
from oxtask.filesystems import PackedFileSystem
from oxtask.results import ResultStore
from oxtask.settings import temporary_settings
from oxtask.transactions import transaction

KEYS = [bytes(32)]

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**200), max_value=2**200)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner, max_size=4)
        | st.sets(st.integers() | st.text(), max_size=4)
        | st.frozensets(st.integers() | st.text(), max_size=4)
    ),
    max_leaves=20,
)


class MyInt(int):
    pass


def same(one, other):
    """Tell whether two values are equal in type and content, also of what is in them."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return one == other


def round_trip(value):
    envelope = open_record(seal_value("k", value, KEYS), "k", KEYS)
    return envelope.codec, envelope.value()


@pytest.fixture
def store():
    return ResultStore()


@settings(max_examples=300)
@given(plain)
def test_a_plain_value_is_what_a_pickle_of_it_would_be(value):
    """results.md 10"""
    _, found = round_trip(value)
    assert same(found, pickle.loads(pickle.dumps(value)))


def test_what_is_not_plain_is_pickled():
    shared, cycle = [1], []
    cycle.append(cycle)
    _, found = round_trip([shared, shared])
    assert found[0] is found[1]
    _, found = round_trip(cycle)
    assert found[0] is found
    deep = []
    for _ in range(200):
        deep = [deep]
    for value in (MyInt(3), "\ud800", [MyInt(3)], deep, {"a": {MyInt(1)}}):
        codec, found = round_trip(value)
        assert codec == record_format.PICKLE
        assert same(found, value)
    for value in (5, True, [(1, 2)] * 3, -(2**63), 2**63, "é", [True, {"k": 1.5}]):
        assert round_trip(value) == (record_format.PLAIN, value)
    assert round_trip(lambda x: x + 1)[1](1) == 2


def test_what_is_defined_in_the_main_program_is_pickled_by_value(home):
    """results.md 10: another program can read it."""
    code = """
from oxtask.results import ResultStore
class Point:
    def __init__(self, x): self.x = x
ResultStore().write(Point(3), key='k')
"""
    environment = {**os.environ, "OXTASK_HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert ResultStore().read("k").result.x == 3


def test_a_value_that_cannot_be_pickled_is_an_error(store):
    """results.md L14"""
    with pytest.raises(SerializationError, match="type lock cannot be written"):
        store._pack.keep("k", threading.Lock())
    assert store._pack.lookup("k") is None


def test_the_engine_and_the_store_find_what_the_other_has_written(store):
    """results.md R2, S14"""
    store._pack.keep("a", {"x": (1,)})
    assert store.read("a").result == {"x": (1,)}
    assert store.read("a").metadata.storage_key == "a"
    store.write({"x": [1]}, key="b")
    assert store._pack.lookup("b") == {"x": [1]}
    ResultStore(serializer="json").write([1, 2], key="c")
    ResultStore(serializer="compressed/pickle").write({1}, key="d")
    assert (store._pack.lookup("c"), store._pack.lookup("d")) == ([1, 2], {1})
    assert store._pack.lookup("none", "default") == "default"


def test_only_a_plain_store_has_a_pack_for_the_engine(folder, store):
    assert store._pack is not None
    assert ResultStore(folder)._pack is None
    assert ResultStore(serializer="json")._pack is None
    assert ResultStore(metadata_storage=folder)._pack is None
    with temporary_settings({"results.local_storage_path": folder}):
        assert ResultStore()._pack is None


def test_a_record_is_read_by_its_place(store, home):
    """results.md R8"""
    store.write(1, key="a/b")
    assert store.read(str(home / "storage" / "a" / "b")).result == 1
    with pytest.raises(ValueError, match="does not exist"):
        store.read("none")


def test_a_pack_is_a_storage_for_anything(folder):
    """results.md F1"""
    storage = PackedFileSystem(folder)
    assert storage.write_path("a", b"bytes") == str(folder / "a")
    assert storage.read_path("a") == b"bytes"
    with pytest.raises(ValueError, match="does not exist"):
        storage.read_path("b")
    apart = ResultStore(folder / "values", metadata_storage=storage, serializer="json")
    apart.write({"x": 1}, key="k")
    assert apart.read("k").result == {"x": 1}


def test_keys_of_any_form_stay_within_the_folder(store, home):
    """RELIABILITY Z10"""
    keys = [
        "x" * 3000,
        "nul\0",
        "%2e",
        "CON",
        "a.corrupt",
        "é",
        "e\u0301",
        "a\\..\\b",
        "~",
        "$HOME",
    ]
    for number, key in enumerate(keys):
        store.write(number, key=key)
        store.write(np.full(20_000, number), key=f"{key}-large")
    for number, key in enumerate(keys):
        assert store.read(key).result == number
        assert store.read(f"{key}-large").result[0] == number
    names = {path.name for path in home.rglob("*")}
    digits = set("0123456789abcdef-")
    assert all(
        set(name) <= digits or name.startswith(("results.", "keys", "storage", "new", "files"))
        for name in names
    )


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_are_the_users_alone(store, home, umask):
    """RELIABILITY Z12"""
    before = os.umask(umask)
    try:
        store.write(1, key="small")
        store.write(bytes(100_000), key="large")
        for path in home.rglob("*"):
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.lstat().st_mode) == expected, path
    finally:
        os.umask(before)


@pytest.mark.parametrize("planted", ["link", "pipe", "folder link", "writable"])
@pytest.mark.parametrize("name", ["results.db", "results.lock", "results.generations"])
def test_what_somebody_has_planted_is_not_used(home, tmp_path, name, planted):
    """RELIABILITY Z11: it is refused with what to do, and nothing blocks."""
    store, folder = ResultStore(), home / "storage"
    (tmp_path / "target").mkdir()
    if planted == "folder link":
        home.mkdir()
        folder.symlink_to(tmp_path / "target")
    else:
        folder.mkdir(parents=True, mode=0o700)
    if planted == "link":
        (tmp_path / "file").write_bytes(b"mine")
        (folder / name).symlink_to(tmp_path / "file")
    elif planted == "pipe":
        os.mkfifo(folder / name)
    elif planted == "writable":
        folder.chmod(0o777)
    with pytest.raises(ResultStoreError) as caught:
        store.write(1, key="k")
    assert caught.value.filename.startswith(str(folder))
    assert store.lookup("k") is None
    assert not store.exists("k")
    assert list((tmp_path / "target").iterdir()) == []
    if planted == "link":
        assert (tmp_path / "file").read_bytes() == b"mine"


def test_results_of_one_commit_appear_together(store, home):
    """RELIABILITY E4, E5: who looks all the time sees both or none."""
    stop, wrong = threading.Event(), []
    other = ResultStore()

    def watch():
        while not stop.is_set():
            first, second = other.exists("a"), other.exists("b")  # in the order that can be wrong
            if first and not second:
                wrong.append((first, second))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with transaction("a", store=store) as parent:
        with transaction("b", store=store) as child:
            child.stage("b" * 100_000)
        assert (store.exists("a"), store.exists("b")) == (False, False)
        parent.stage("a")
    stop.set()
    watcher.join()
    assert wrong == []
    assert (store.read("a").result, len(store.read("b").result)) == ("a", 100_000)


def test_a_commit_that_fails_in_another_storage_takes_back_what_is_in_the_pack(store, folder):
    """RELIABILITY E4"""
    store.write("before", key="a")
    (folder / "b").mkdir(parents=True)  # nothing can be written there
    with transaction("a", store=store, overwrite=True) as parent:
        with transaction("b", store=ResultStore(folder), overwrite=True) as child:
            child.stage("b")
        parent.stage("a")
    assert store.read("a").result == "before"


def test_a_forked_process_uses_the_pack_and_harms_nobody(store):
    """RELIABILITY rule 8"""
    store.write("parent", key="k")
    stop = threading.Event()
    failures = []

    def use():
        while not stop.is_set():
            with contextlib.suppress(KeyError):
                store._pack.keep("busy", os.urandom(10))
                if store._pack.lookup("busy") is None:
                    failures.append("gone")

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            process = os.fork()
            if process == 0:
                signal.alarm(20)  # ends a child that hangs
                found = store._pack.lookup("k")
                store._pack.keep("k", number)
                os._exit(0 if found in {"parent", number - 1} else 1)
            assert os.waitpid(process, 0)[1] == 0
            assert store._pack.lookup("k") == number
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert store._pack.verify()["damaged"] == 0


def test_packs_that_are_being_opened_and_closed_do_not_harm_a_forked_process(tmp_path):
    """RELIABILITY rule 8"""
    pack_in(str(tmp_path)).keep(
        "k", "v"
    )  # a module that is being imported when it forks is Python's own
    stop = threading.Event()
    opened = [0, 0]

    def use(number):
        while not stop.is_set():
            place = tmp_path / f"{number}-{opened[number] % 3}"
            pack_in(str(place)).keep("k", "v")
            opened[number] += 1
            gc.collect(0)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(50):
            process = os.fork()
            if process == 0:
                signal.alarm(20)  # ends a child that hangs
                pack = pack_in(str(tmp_path / f"child-{number}"))
                pack.keep("k", number)
                os._exit(0 if pack.lookup("k") == number else 1)
            assert os.waitpid(process, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert min(opened) > 0


def test_a_folder_that_was_removed_is_made_again(store, home):
    """results.md W-M2"""
    store.write(1, key="k")
    assert store.lookup("k").result == 1
    (home / "storage").rename(home / "moved")
    # Whether the folder is still there is looked at ten times a second.
    for _ in range(1_000_000):
        if store._pack.lookup("k") is None:
            break
    store.write(2, key="k")
    assert store.lookup("k").result == 2
    assert (home / "storage" / "results.db").is_file()
