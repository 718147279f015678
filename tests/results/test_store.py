"""Result stores: what is written is read."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from datetime import datetime, timedelta, timezone

import pytest

from oxtask.exceptions import ConfigurationError, ResultStoreError, SerializationError
from oxtask.filesystems import LocalFileSystem, NullFileSystem, PackedFileSystem
from oxtask.locking.memory import MemoryLockManager
from oxtask.results import (
    ResultRecord,
    ResultRecordMetadata,
    ResultStore,
    get_default_result_serializer,
    get_default_result_storage,
    get_result_store,
    resolve_result_storage,
    should_persist_result,
)
from oxtask.serializers import JSONSerializer, Serializer
from oxtask.settings import temporary_settings

NOW = datetime.now(timezone.utc)


class Raw(Serializer):
    type: str = "test-raw"

    def dumps(self, obj):
        return obj.to_bytes(4, "little")

    def loads(self, blob):
        return int.from_bytes(blob, "little")


class AsyncStorage:
    def __init__(self):
        self.blobs = {}

    async def read_path(self, path):
        await asyncio.sleep(0)
        return self.blobs[path]

    async def write_path(self, path, content):
        self.blobs[path] = content


@pytest.fixture(params=["folder", "pack", "fsspec", "async"])
def any_store(request, folder):
    storages = {
        "folder": folder,
        "pack": PackedFileSystem(folder),
        "fsspec": f"memory://results/{os.urandom(4).hex()}",
        "async": AsyncStorage(),
    }
    return ResultStore(storages[request.param])


@pytest.mark.parametrize("serializer", ["pickle", "json", "compressed/pickle", "compressed/json"])
@pytest.mark.parametrize("is_cached", [True, False])
def test_what_was_written_is_read(any_store, serializer, is_cached):
    """results.md R2, R4, F1"""
    store = any_store.model_copy(
        update={"serializer": serializer, "cache_result_in_memory": is_cached}
    )
    assert (store.exists("k"), store.lookup("k")) == (False, None)

    store.write({"x": [1, None]}, key="k")

    assert store.exists("k")
    assert store.read("k").result == store.lookup("k").result == {"x": [1, None]}
    assert store.read("k").metadata == ResultRecordMetadata(
        storage_key="k", serializer=Serializer(type=serializer)
    )
    assert store.read("k").is_persisted


async def use(store):
    await store.awrite(1, key="k")
    assert await store.aexists("k")
    assert (await store.alookup("k")).result == 1
    return (await store.aread("k")).result


def test_coroutines_do_the_same(any_store):
    """results.md R2"""
    assert asyncio.run(use(any_store)) == 1


def test_results_need_no_key_and_no_storage(home):
    """results.md R1, R5, L1, D1"""
    store = ResultStore()
    record = store.create_result_record(None)
    assert not record.is_persisted
    assert record != store.create_result_record(None)
    store.persist_result_record(record)
    assert record.is_persisted
    assert (home / "storage" / "results.db").is_file()
    assert get_default_result_storage() == PackedFileSystem(home / "storage")
    assert store.read(record.metadata.storage_key) == record
    assert ResultStore(storage_key_fn=lambda: "mine").create_result_record(1).metadata.storage_key

    with temporary_settings({"results.local_storage_path": home / "x"}):
        assert get_default_result_storage() == LocalFileSystem(str(home / "x"))
    with temporary_settings({"results.default_serializer": "json"}):
        assert get_default_result_serializer() == JSONSerializer()


def test_a_file_is_named_by_its_key(store, folder):
    """results.md L1, K6, R8"""
    for key in ("plain", "a/b/c", "with space", "star*", "é"):
        store.write(key, key=key)
        assert (folder / key).is_file()
        assert store.read(key).result == key
        assert store.read(str(folder / key)).result == key
    store.write(1, key="a/b/../d")
    assert store.read("a/d").result == 1


@pytest.mark.parametrize("key", ["../x", "/etc/x", "a/../../x", "", ".", "..", "\ud800"])
def test_a_key_that_leads_out_of_the_storage_is_refused(any_store, key):
    """results.md W-K3, RELIABILITY Z10"""
    for use in (any_store.lookup, any_store.read, lambda key: any_store.write(1, key=key)):
        with pytest.raises(ValueError, match=r"outside of the base path|is no text"):
            use(key)


@pytest.mark.parametrize(
    "key", ["x" * 300, "nul\0", "%2e", ".oxtask-x.tmp", "a.corrupt", "é" * 200]
)
def test_any_other_text_is_a_key(store, folder, key):
    """results.md W-K4, RELIABILITY Z10"""
    store.write(1, key=key)
    store.write(2, key=key + "2")
    assert (store.read(key).result, store.read(key + "2").result) == (1, 2)
    assert len(list(folder.iterdir())) == 2


def test_a_link_that_leads_out_of_the_folder_is_not_followed(store, folder, tmp_path):
    """RELIABILITY Z11"""
    folder.mkdir()
    (tmp_path / "target").write_text("mine")
    (folder / "k").symlink_to(tmp_path / "target")
    with pytest.raises(ValueError, match="outside of the base path"):
        store.write(1, key="k")
    assert (tmp_path / "target").read_text() == "mine"
    os.mkfifo(folder / "pipe")
    assert store.lookup("pipe") is None


def test_expired_records_do_not_count(store):
    """results.md E1, E3, R6, R7"""
    store.write(1, key="k", expiration=NOW - timedelta(seconds=1))
    assert (store.exists("k"), store.lookup("k"), store.read("k").result) == (False, None, 1)
    store.write(2, key="k", expiration=NOW + timedelta(hours=1))
    assert (store.exists("k"), store.lookup("k").result) == (True, 2)
    store.write(3, key="k", expiration=(NOW - timedelta(hours=1)).replace(tzinfo=None))
    assert not store.exists("k")


def test_a_missing_record_is_the_error_of_the_storage(store):
    """results.md R7"""
    with pytest.raises(ValueError, match="does not exist"):
        store.read("k")
    with pytest.raises(FileNotFoundError):
        ResultStore("memory://nothing/here").read("k")


def test_values_of_the_memory_cache_are_nobodys_but_the_readers(folder):
    """results.md W-M1, W-M2, M4"""
    store, other = ResultStore(folder), ResultStore(folder)
    store.write([1], key="k")
    store.read("k").result.append(2)
    assert store.read("k").result == [1]
    other.write([3], key="k")
    assert store.read("k").result == [3]
    assert len(store.cache) == 1
    (folder / "k").unlink()
    assert store.lookup("k") is None


def test_the_memory_cache_is_bounded():
    """results.md M1, W-M4"""
    from oxtask._internal.storage.memory_cache import MemoryCache

    cache = MemoryCache(max_records=2, max_bytes=100)
    for name in "abc":
        cache.put(name, 1, b"x")
    assert [cache.get(name, 1) for name in "abc"] == [None, b"x", b"x"]
    cache.put("d", 1, b"x" * 99)
    assert [cache.get(name, 1) for name in "bcd"] == [None, b"x", b"x" * 99]
    cache.put("e", 1, b"x" * 101)
    assert cache.get("e", 1) is None
    assert cache.get("c", 2) is None


def test_a_serializer_that_writes_any_bytes_can_be_used(folder):
    """results.md W-L3, S14"""
    ResultStore(folder, serializer="test-raw").write(255, key="k")
    assert ResultStore(folder).read("k").result == 255


def test_a_value_that_cannot_be_written_is_an_error_that_says_what_to_do(store, folder):
    """results.md L14"""
    store.write(1, key="k")
    for value, serializer in ((threading.Lock(), "pickle"), (object(), "json")):
        other = store.model_copy(update={"serializer": serializer})
        with pytest.raises(SerializationError, match=f"type .* by the serializer '{serializer}'"):
            other.write(value, key="k")
    assert store.read("k").result == 1
    assert [path.name for path in folder.iterdir()] == ["k"]


def test_what_describes_results_can_be_kept_apart(folder, tmp_path, lines):
    """results.md L7, R17, W-R3, X3"""
    store = ResultStore(folder, metadata_storage=tmp_path / "keys", serializer="json")
    store.write({"x": 1}, key="k")
    assert (folder / "k").read_bytes() == b'{"x": 1}'
    assert b'"storage_key":"k"' in (tmp_path / "keys" / "k").read_bytes()
    assert (store.exists("k"), store.read("k").result) == (True, {"x": 1})
    (folder / "k").write_bytes(b'{"x": 2}')
    assert store.lookup("k") is None
    assert len(lines("WARNING")) == 1
    store.write(1, key="k")
    (folder / "k").unlink()
    assert store.lookup("k") is None
    null = ResultStore(folder, metadata_storage=NullFileSystem())
    null.write(1, key="n")
    assert (null.exists("n"), null.lookup("n"), null.read("n").result) == (False, None, 1)


def test_files_are_private(store, folder, home):
    """RELIABILITY Z12"""
    before = os.umask(0)
    try:
        store.write(1, key="a/b")
    finally:
        os.umask(before)
    paths = [*folder.rglob("*"), folder, *home.rglob("*")]
    assert len(paths) == 5
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_storage_that_fails_says_where(store, folder):
    """RELIABILITY D4"""
    (folder / "k").mkdir(parents=True)
    with pytest.raises(ResultStoreError, match="cannot be stored") as caught:
        store.write(1, key="k")
    assert caught.value.errno
    assert caught.value.filename == str(folder / "k")
    assert [path.name for path in folder.iterdir()] == ["k"]
    assert store.lookup("k") is None


class TestLocks:
    @pytest.fixture
    def store(self, folder):
        yield ResultStore(folder, lock_manager=MemoryLockManager())
        MemoryLockManager()._reset()

    def test_writing_is_up_to_the_holder(self, store):
        """results.md R9, G5"""
        assert store.acquire_lock("k", holder="a")
        assert not store.acquire_lock("k", holder="b", timeout=0)
        assert (store.is_locked("k"), store.is_lock_holder("k", "a")) == (True, True)
        with pytest.raises(RuntimeError, match="key 'k' because it is locked by another holder"):
            store.write(1, key="k", holder="b")
        store.write(1, key="k", holder="a")
        assert store.exists("k")
        assert store.read("k", holder="a").result == 1
        store.release_lock("k", holder="a")
        assert store.wait_for_lock("k", timeout=0)
        assert store.read("k").result == 1

    def test_the_holder_is_the_thread_or_the_asyncio_task(self, store):
        """results.md R10"""

        async def other():
            assert await store.aacquire_lock("k")
            assert await store.await_for_lock("other", timeout=0)
            return store.generate_default_holder(), store.is_lock_holder("k")

        mine = store.generate_default_holder()
        assert f":{os.getpid()}:{threading.get_ident()}:" in mine
        theirs, is_held = asyncio.run(other())
        assert is_held
        assert theirs.startswith(f"{mine}:")
        assert not store.is_lock_holder("k")

    def test_without_a_manager_there_are_no_locks(self, folder):
        """results.md R11"""
        store = ResultStore(folder)
        for use in (store.acquire_lock, store.release_lock, store.is_locked, store.wait_for_lock):
            with pytest.raises(ConfigurationError, match="not configured with a lock manager"):
                use("k")


def test_storages_are_given_in_many_forms(folder):
    """results.md D2"""
    assert resolve_result_storage(folder) == LocalFileSystem(folder)
    assert resolve_result_storage("cache/keys") == LocalFileSystem("cache/keys")
    assert resolve_result_storage("memory://a/b").basepath == "memory://a/b"
    storage = AsyncStorage()
    assert resolve_result_storage(storage) is storage
    with pytest.raises(TypeError, match="must be one of the following types"):
        resolve_result_storage(3)


def test_a_record_can_be_sent_as_bytes(store):
    """results.md L10, L11"""
    record = store.create_result_record({"x": 1}, "k", NOW)
    assert ResultRecord.deserialize(record.serialize()) == record
    assert ResultRecordMetadata.load_bytes(record.metadata.dump_bytes()) == record.metadata
    assert record.expiration == NOW
    assert ResultRecord.deserialize(b"[1]", backup_serializer=JSONSerializer()).result == [1]
    with pytest.raises(ValueError, match="not written by oxtask"):
        ResultRecord.deserialize(b"[1]")


def test_outside_of_runs_there_is_a_store_all_the_same():
    """results.md R16, A23"""
    assert isinstance(get_result_store(), ResultStore)
    assert should_persist_result() is False
    with temporary_settings({"results.persist_by_default": True}):
        assert should_persist_result() is True
