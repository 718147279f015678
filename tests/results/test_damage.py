"""Result stores: a wrong value is never read, and a process that is killed loses nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import ExitStack

import pytest

from oxtask._internal.storage import record_format
from oxtask.exceptions import ConfigurationError, CorruptRecordError, ResultStoreError
from oxtask.results import ResultRecord, ResultStore
from oxtask.settings import temporary_settings

REWRITE = """
import os, sys
from oxtask.results import ResultStore
store = ResultStore(sys.argv[1])
print("ready", flush=True)
number, parent = 0, os.getppid()
while os.getppid() == parent:  # not when the test is gone
    number += 1
    store.write(bytes([number % 256]) * (4 << 20), key="k")
"""


class Canary:
    """Writes a file when it is read from a pickle."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_no_changed_bit_yields_a_wrong_value(folder, serializer):
    """RELIABILITY D5, Z1: 10,000 changes of each, of a record whose value is known."""
    store = ResultStore(folder, serializer=serializer)
    value = {"name": "value", "numbers": list(range(20))}
    blob = store.create_result_record(value, "k").serialize()
    random.seed(1)
    for turn in range(10_000):
        changed = bytearray(blob)
        kind = turn % 10
        if kind == 0:
            changed = changed[: random.randrange(len(blob))]
        elif kind == 1:
            changed += os.urandom(random.randrange(1, 9))
        else:
            changed[random.randrange(len(blob))] ^= 1 << random.randrange(8)
        try:
            read = ResultRecord.deserialize(bytes(changed)).result
        except ValueError:
            continue
        # A damaged signature is no signature, which JSON does not need.
        assert (serializer, read) == ("json", value)


@pytest.mark.parametrize(
    "content",
    [b"", b"oxtask", b"{}", b'{"result": 1}', b"\x80\x05.", b"\xff" * 100, None],
    ids=repr,
)
def test_what_is_no_record_is_a_miss_with_one_warning(store, folder, lines, content):
    """results.md X1, X4, RELIABILITY D5"""
    store.write("value", key="k")
    path = folder / "k"
    before = path.read_bytes()
    damaged = before[:-3] if content is None else content
    for _ in range(2):
        path.write_bytes(damaged)
        assert not store.exists("k") or content is None
        assert store.lookup("k") is None

    assert len(lines("WARNING")) == 1
    assert f"The stored result '{path}' is not used" in lines("WARNING")[0]
    assert (folder / "k.corrupt").read_bytes() == damaged
    store.write("new", key="k")
    assert store.read("k").result == "new"


def test_a_record_counts_under_its_own_key_only(store, folder):
    """RELIABILITY D5, Z1: records of two keys are swapped."""
    store.write("a", key="a")
    (folder / "a").rename(folder / "b")

    with pytest.raises(CorruptRecordError, match="it belongs to the key 'a'"):
        store.read("b")
    assert store.lookup("b") is None


def newer_record():
    """Return what a later version could write: all that is known is how it begins."""
    beginning = record_format.MAGIC + (2).to_bytes(2, "little")
    check = bytes.fromhex("59e19ab20aea893c")
    return beginning + check + b"\xff" * 100


def test_a_newer_record_is_left_alone(store, folder, lines):
    """RELIABILITY D7"""
    folder.mkdir()
    before = newer_record()
    (folder / "k").write_bytes(before)

    assert store.lookup("k") is None
    assert "newer format '2'" in lines("WARNING")[0]
    with pytest.raises(ResultStoreError, match=r"newer format '2'.*upgrade oxtask"):
        store.write("old", key="k")
    assert (folder / "k").read_bytes() == before


def test_what_is_no_result_is_put_aside_before_it_is_replaced(store, folder):
    """results.md X1: nothing that was stored is lost."""
    folder.mkdir()
    (folder / "k").write_text("notes of the user")
    store.write(1, key="k")
    assert (folder / "k.corrupt").read_text() == "notes of the user"


class TestSigning:
    def forged(self, store, value, serializer="pickle"):
        """Return a record as somebody else would write it: right, but for the signature."""
        with temporary_settings({"home": store.result_storage.basepath + "-other"}):
            other = ResultStore(store.result_storage, serializer=serializer)
            other.write(value, key="k")

    @pytest.mark.parametrize("serializer", ["pickle", "compressed/pickle", "compressed/json"])
    def test_what_another_has_signed_is_not_decoded(self, store, tmp_path, serializer):
        """RELIABILITY Z1"""
        canary = tmp_path / "canary"
        self.forged(store, "text" if "json" in serializer else Canary(canary), serializer)

        with pytest.raises(CorruptRecordError, match="was not signed with the key of this user"):
            store.read("k")
        assert not canary.exists()

    def test_plain_json_needs_no_signature_where_json_is_asked_for(self, store, folder):
        self.forged(store, {"x": 1}, "json")
        assert ResultStore(folder, serializer="json").read("k").result == {"x": 1}
        self.forged(store, {"x": 1}, "json")
        assert store.lookup("k") is None
        with pytest.raises(ValueError, match="does not exist"):
            store.read("k")

    @pytest.mark.parametrize(
        "fields",
        [
            {"type": "json", "jsonlib": "this"},
            {"type": "pickle", "picklelib": "this"},
            {"type": "compressed", "compressionlib": "this", "serializer": {"type": "json"}},
        ],
    )
    def test_modules_that_a_record_names_are_not_imported(self, store, folder, fields, monkeypatch):
        """RELIABILITY Z2"""
        folder.mkdir()
        monkeypatch.delitem(sys.modules, "this", raising=False)
        metadata = json.dumps({"storage_key": "k", "serializer": fields}).encode()
        (folder / "k").write_bytes(record_format.seal("k", metadata, b"1", signed=False))
        assert store.lookup("k") is None
        assert not store.exists("k")
        assert "this" not in sys.modules

    def test_a_key_can_be_replaced(self, store, home):
        """RELIABILITY Z3"""
        store.write("old", key="k")
        path = home / "keys" / "results.key"
        old = path.read_text()
        path.write_text(f"{'ab' * 32}\n{old}")
        store.write("new", key="n")
        assert (store.read("k").result, store.read("n").result) == ("old", "new")
        path.write_text(f"{'ab' * 32}\n")
        assert store.lookup("k") is None
        assert store.read("n").result == "new"

    @pytest.mark.parametrize("wrong", ["mode", "link", "content", "folder"])
    def test_a_key_that_is_not_safe_is_refused(self, store, home, tmp_path, wrong):
        """RELIABILITY Z3, Z11"""
        store.write(1, key="k")
        path = home / "keys" / "results.key"
        if wrong == "mode":
            path.chmod(0o644)
        elif wrong == "content":
            path.write_text("secret")
        else:
            path.rename(tmp_path / "moved")
            path.symlink_to(tmp_path / "moved") if wrong == "link" else path.mkdir()
        with pytest.raises(ConfigurationError, match=r"results.key', cannot be used.* yours alone"):
            store.write(2, key="k")

    def test_processes_that_start_together_have_one_key(self, folder, home):
        """RELIABILITY Z3"""
        code = (
            "import sys; from oxtask.results import ResultStore\n"
            "ResultStore(sys.argv[1]).write(sys.argv[2], key=sys.argv[2])"
        )
        environment = {**os.environ, "OXTASK_HOME": str(home)}
        processes = [
            subprocess.Popen([sys.executable, "-c", code, str(folder), name], env=environment)
            for name in "abcd"
        ]
        assert [process.wait() for process in processes] == [0] * 4
        assert [ResultStore(folder).read(name).result for name in "abcd"] == list("abcd")


@pytest.mark.timeout(240)
def test_a_process_that_is_killed_while_it_writes_leaves_the_value_before_or_after(folder, home):
    """RELIABILITY D1: 40 kills while 4 MB are rewritten."""
    store = ResultStore(folder, cache_result_in_memory=False)
    random.seed(2)
    environment = {**os.environ, "OXTASK_HOME": str(home)}
    store.write(bytes(4 << 20), key="k")
    for _ in range(8):
        with ExitStack() as ending:
            processes = [
                subprocess.Popen(
                    [sys.executable, "-c", REWRITE, str(folder)],
                    stdout=subprocess.PIPE,
                    env=environment,
                )
                for _ in range(5)
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
                assert len(store.read("k").result) == 4 << 20

    code = (
        "import sys; from oxtask.results import ResultStore;"
        "ResultStore(sys.argv[1]).write(1, key='n')"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["k", "n"]


def test_metadata_of_another_kind_is_damage(store, folder):
    """results.md X1"""
    store.write(1, key="k")
    metadata = b'{"storage_key": 3, "serializer": {"type": "pickle"}}'
    (folder / "k").write_bytes(record_format.seal("k", metadata, b"1"))
    with pytest.raises(CorruptRecordError, match="its metadata is not valid"):
        store.read("k")
    unknown = record_format.seal("k", b'{"serializer": {"type": "gone"}}', b"1")
    (folder / "k").write_bytes(unknown)
    with pytest.raises(CorruptRecordError, match="'gone' cannot read it"):
        store.read("k")
