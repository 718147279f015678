"""Of those who want the same result at once, one makes it: processes, killed ones, forked ones."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from oxtask._internal import flights
from oxtask.settings import temporary_settings

LIMIT_SECONDS = 60

RACE = """
import os, random, sys
from pathlib import Path
from oxtask import _core

results, ledger, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
keys = [f"key-{number}" for number in range(200)]
random.Random(seed).shuffle(keys)
ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("ready", flush=True)
sys.stdin.readline()
for key in keys:
    result = results / key
    while not result.exists():
        flight = _core.lead_flight(key)
        if flight is None:
            continue
        with flight:
            if not result.exists():
                os.write(ledger, f"{key}\\n".encode())
                part = results / f"{key}.{os.getpid()}"
                part.write_text(key)
                part.rename(result)
"""

LEAD = """
import sys
from oxtask import _core
if "tell" in sys.argv:
    print("begins", flush=True)
flight = _core.lead_flight("key")
print("leads", flush=True)
sys.stdin.readline()
"""

CROSS = """
import sys
from oxtask import _core
mine, yours = sys.argv[1:]
with _core.lead_flight(mine):
    print("leads", flush=True)
    sys.stdin.readline()
    with _core.lead_flight(yours):
        pass
"""

FORK = """
import os, sys, time
from oxtask import _core
flight = _core.lead_flight("key")
child = os.fork()
if not child:
    assert _core.lead_flight("key", wait=False) is None  # the parent leads
    flight.end()  # a copy: the parent goes on
    del flight
    assert _core.lead_flight("key", wait=False) is None
    with _core.lead_flight("other"):
        pass
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
child = os.fork()
if not child:
    print("waits", flush=True)
    with _core.lead_flight("key"):
        print("leads", flush=True)
    os._exit(0)
sys.stdin.readline()
if "die" in sys.argv:
    os.kill(os.getpid(), 9)
flight.end()
os.waitpid(child, 0)
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a program which shares a home with the others."""
    started = []
    environment = {**os.environ, "OXTASK_HOME": str(tmp_path / "home")}

    def begin(program, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process):
    assert process.wait(LIMIT_SECONDS) == 0, process.stderr.read()


def test_eight_processes_that_want_200_keys_make_each_once(start, tmp_path):
    """Issue: each body once, by a ledger outside of the processes"""
    results, ledger = tmp_path / "results", tmp_path / "ledger"
    results.mkdir()
    processes = [start(RACE, results, ledger, seed) for seed in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        go(process)
    for process in processes:
        ended(process)
    made = ledger.read_text().split()
    assert sorted(made) == sorted({f"key-{number}" for number in range(200)})


def test_the_file_of_locks_is_for_its_owner_alone(start, tmp_path):
    """Issue: 0600, one permanent file"""
    leader = start(LEAD)
    assert leader.stdout.readline() == "leads\n"
    file = tmp_path / "home" / "locks" / "flights"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) & 0o077 == 0
    assert file.stat().st_size == 0
    go(leader)
    ended(leader)
    assert file.exists()


def test_a_leader_that_is_killed_is_followed_within_a_second(start):
    """Issue: the leader is killed"""
    leader = start(LEAD)
    assert leader.stdout.readline() == "leads\n"
    follower = start(LEAD, "tell")
    assert follower.stdout.readline() == "begins\n"
    leader.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert follower.stdout.readline() == "leads\n"
    assert time.monotonic() - killed < 1
    go(follower)
    ended(follower)


def test_who_waits_for_another_process_can_be_interrupted(start):
    """Issue: Ctrl-C"""
    leader = start(LEAD)
    assert leader.stdout.readline() == "leads\n"
    waits = start(LEAD, "tell")
    assert waits.stdout.readline() == "begins\n"
    waits.send_signal(signal.SIGINT)
    _, errors = waits.communicate(timeout=LIMIT_SECONDS)
    assert "KeyboardInterrupt" in errors


def test_processes_that_lead_what_the_other_wants_go_on(start):
    """Issue: no deadlock"""
    processes = [start(CROSS, "a", "b"), start(CROSS, "b", "a")]
    for process in processes:
        assert process.stdout.readline() == "leads\n"
    for process in processes:
        go(process)
    for process in processes:
        ended(process)


@pytest.mark.parametrize("ways", [[], ["die"]])
def test_a_forked_child_waits_for_its_parent(start, ways):
    """Issue: fork"""
    parent = start(FORK, *ways)
    assert parent.stdout.readline() == "waits\n", parent.stderr.read()
    go(parent)
    assert parent.stdout.readline() == "leads\n"
    assert parent.wait(LIMIT_SECONDS) == (-signal.SIGKILL if ways else 0)


def test_a_link_in_place_of_the_file_is_not_followed(start, tmp_path):
    """Issue: O_NOFOLLOW"""
    folder = tmp_path / "home" / "locks"
    folder.mkdir(parents=True)
    (folder / "flights").symlink_to(tmp_path / "elsewhere")
    leader = start(LEAD)
    assert leader.stdout.readline() == "leads\n"
    _, errors = leader.communicate("\n", timeout=LIMIT_SECONDS)
    assert not (tmp_path / "elsewhere").exists()
    assert "OXTASK_HOME" in errors


def test_a_home_that_cannot_be_made_is_told(tmp_path, caplog):
    """Issue: one process goes on alone"""
    (tmp_path / "file").write_text("")
    with temporary_settings({"home": tmp_path / "file" / "home"}):
        assert flights.lock_file() is None
    assert "OXTASK_HOME" in caplog.text
