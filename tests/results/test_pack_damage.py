"""The pack: a wrong value is never read, and what newer versions have written is left alone."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from oxtask._core import Pack, open_record, seal_record, seal_value
from oxtask._internal.storage.metadata import unpack_envelope
from oxtask.exceptions import CorruptRecordError, NewerRecordError
from oxtask.results import ResultStore

GOLDEN = Path(__file__).parent / "golden_records.json"
KEY = bytes(range(32))

BOMBS = """
import json, sys
from oxtask._core import Pack, open_record
from oxtask.exceptions import CorruptRecordError
key = bytes(range(32))
for record in json.loads(sys.stdin.read()):
    record = bytes.fromhex(record)
    try:
        open_record(record, None, [key]).value()
    except (CorruptRecordError, RecursionError):
        continue
    sys.exit("not refused: %r" % record[:80])
# What `getrusage` says is at least what the program had that started this one.
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]))
"""


@pytest.fixture
def pack(tmp_path):
    return Pack(str(tmp_path / "pack"), lambda: [KEY], memory_records=0)


def changed_at(blob, turn):
    """Return a record of which something was changed."""
    changed = bytearray(blob)
    if turn % 10 == 0:
        return bytes(changed[: random.randrange(len(blob))])
    if turn % 10 == 1:
        return bytes(changed) + os.urandom(random.randrange(1, 9))
    changed[random.randrange(len(blob))] ^= 1 << random.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("value", [{"name": "value", "numbers": list(range(20))}, {1, 2, 3j}])
def test_no_changed_record_yields_a_value(value):
    """RELIABILITY D5, Z1: 10,000 changes of a plain record and of a pickle."""
    random.seed(4)
    blob = seal_value("k", value, [KEY])
    for turn in range(10_000):
        with pytest.raises((CorruptRecordError, NewerRecordError)):
            open_record(changed_at(blob, turn), "k", [KEY])
    for length in range(len(blob)):
        with pytest.raises(CorruptRecordError):
            open_record(blob[:length], "k", [KEY])
    with pytest.raises(CorruptRecordError, match="it belongs to the key 'k'"):
        open_record(blob, "other", [KEY])


def test_a_changed_record_in_a_pack_is_a_miss_and_is_put_aside(pack, lines):
    """RELIABILITY D5: one warning, one recomputation."""
    random.seed(5)
    blob = seal_value("k", list(range(20)), [KEY])
    count = 0
    for turn in range(300):
        changed = changed_at(blob, turn)
        if not changed.startswith(blob[:16]):
            continue  # which would be taken for a newer one when it is replaced
        pack.put("k", changed)
        assert pack.lookup("k") is None
        count += 1
    assert len(lines("WARNING")) == 1
    assert "is not used: its content is not what was written" in lines("WARNING")[0]
    pack.keep("k", "again")
    assert pack.lookup("k") == "again"
    assert pack.stats()["damaged"] > 0.9 * count


def test_any_change_of_the_database_yields_no_wrong_value(tmp_path, lines):
    """RELIABILITY D5: bits of the database and of files are flipped."""
    random.seed(6)
    folder = tmp_path / "pack"
    first = Pack(str(folder), lambda: [KEY], memory_records=0)
    values = {f"k{number}": [number] * (number * 100) for number in range(60)}
    for key, value in values.items():
        first.keep(key, value)
    first.prune()
    del first
    paths = [folder / "results.db", *(path for path in folder.rglob("*-*") if path.is_file())]
    paths = [path for path in paths if not path.name.endswith(("-wal", "-shm"))]
    before = {path: path.read_bytes() for path in paths}
    found = 0
    for _ in range(40):
        for path, content in before.items():
            changed = bytearray(content)
            for _ in range(8):
                changed[random.randrange(len(content))] ^= 1 << random.randrange(8)
            path.write_bytes(changed)
        again = Pack(str(folder), lambda: [KEY], memory_records=0)
        for key, value in values.items():
            read = again.lookup(key)
            assert read in (None, value)
            found += read is not None
        del again
        for path, content in before.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name in ("results.db-wal", "results.db-shm"):
            (folder / name).unlink(missing_ok=True)
    assert found > 100


@pytest.mark.parametrize("damage", ["no database", "inside"])
def test_a_damaged_database_is_put_aside_by_who_has_it_alone(tmp_path, lines, damage):
    """RELIABILITY D5: one recomputation, not an error for ever."""
    folder = tmp_path / "pack"
    pack = Pack(str(folder), lambda: [KEY])
    for number in range(300):
        pack.keep(f"k{number}", "x" * 100)
    pack.prune()
    del pack
    path = folder / "results.db"
    content = path.read_bytes()
    kept = 0 if damage == "no database" else 4096
    path.write_bytes(content[:kept] + b"\xff" * (len(content) - kept))

    again = Pack(str(folder), lambda: [KEY])
    assert [again.lookup("k1"), again.lookup("k1")] == [None, None]
    again.keep("k1", "new")
    assert again.lookup("k1") == "new"
    assert len((folder / "results.db.corrupt").read_bytes()) == len(content)
    assert len(lines("WARNING")) <= 1


def test_bombs_are_refused_before_they_are_decoded():
    """RELIABILITY D6: less than 256 MiB for all of them."""
    own = seal_value("k", [1, 2], [KEY])
    start = own.index(b"\x09\x02")  # a list of two

    def sealed(payload, codec):
        # Signed by this user, so that the decoder itself is what must hold.
        raw = seal_record("k", b"", payload, [KEY], raw=True)
        with pytest.raises(CorruptRecordError):
            open_record(raw[:16] + bytes([codec]) + raw[17:], "k", [KEY])
        return raw[:16] + bytes([codec]) + raw[17:]

    bombs = [
        sealed(b"\x09\xff\xff\xff\xff\x7f", 1),
        sealed(b"\x09\x01" * 100_000, 1),
        sealed(b"cbuiltins\nexit\n(tR.", 2),
        own[:52] + (10**10).to_bytes(8, "little") + own[60:],
        own[:44] + (10**10).to_bytes(8, "little") + own[52:],
        own[:start] + b"\x09\xff\x7f" + own[start + 3 :],
    ]
    done = subprocess.run(
        [sys.executable, "-c", BOMBS],
        input=json.dumps([bomb.hex() for bomb in bombs]),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (30, 30)),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 256 << 10


def test_records_of_this_version_stay_readable():
    """RELIABILITY D7"""
    golden = json.loads(GOLDEN.read_text())
    for record in golden["records"]:
        envelope = open_record(bytes.fromhex(record["bytes"]), record["key"], [KEY])
        assert envelope.codec == record["codec"]
        assert repr(unpack_envelope(envelope)[0]) == record["value"]
        assert (envelope.created, envelope.expires) == (record["created"], record["expires"])


def test_a_newer_record_is_told_from_a_damaged_one(pack, lines):
    """RELIABILITY D7"""
    newer = bytes.fromhex(json.loads(GOLDEN.read_text())["newer"])
    with pytest.raises(NewerRecordError, match=r"newer format '2'.*upgrade oxtask"):
        open_record(newer, "k", [KEY])
    pack.put("k", newer)
    assert pack.lookup("k") is None
    assert "newer format '2'" in lines("WARNING")[0]
    with pytest.raises(OSError, match=r"newer format '2'.*upgrade oxtask"):
        pack.keep("k", 1)
    assert pack.raw("k") == newer
    pack.prune()
    assert pack.raw("k") == newer


def test_what_another_user_has_signed_is_not_decoded(tmp_path, lines):
    """RELIABILITY Z1, Z3: and keys can be replaced while a pack is open."""
    other = bytes(32)
    keys = [other]
    pack = Pack(str(tmp_path / "pack"), lambda: keys)
    pack.keep("k", {1})
    assert pack.lookup("k") == {1}
    keys[:] = [KEY, other]
    assert Pack(pack.path, lambda: keys).lookup("k") == {1}
    keys[:] = [KEY]
    assert Pack(pack.path, lambda: keys).lookup("k") is None
    assert "was not signed with the key of this user" in lines("WARNING")[0]
    for _ in range(1_000_000):  # keys are looked at ten times a second
        if pack.lookup("k") is None:
            break
    pack.keep("k", "new")
    assert pack.lookup("k") == "new"


def test_a_key_that_is_not_safe_fails_the_write(home):
    """RELIABILITY Z3"""
    store = ResultStore()
    store.write(1, key="k")
    (home / "keys" / "results.key").chmod(0o644)
    with pytest.raises(Exception, match=r"results.key', cannot be used.* yours alone"):
        ResultStore().write(2, key="k")
