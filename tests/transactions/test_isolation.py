"""Transactions: those with one key run one after the other, if they are to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from oxtask import task
from oxtask.cache_policies import INPUTS, TASK_SOURCE
from oxtask.exceptions import ConfigurationError, LockTimeoutError
from oxtask.locking.filesystem import FileSystemLockManager
from oxtask.locking.memory import MemoryLockManager
from oxtask.results import ResultStore
from oxtask.transactions import IsolationLevel, atransaction, get_transaction, transaction

SERIALIZABLE = IsolationLevel.SERIALIZABLE

RACE = """
import sys
from oxtask.locking.filesystem import FileSystemLockManager
from oxtask.results import ResultStore
from oxtask.transactions import transaction
store = ResultStore(sys.argv[1], lock_manager=FileSystemLockManager(sys.argv[2]))
for number in range(50):
    with transaction(str(number), store, isolation_level="SERIALIZABLE") as txn:
        if not txn.is_committed():
            with open(sys.argv[3], "a") as ledger:
                ledger.write(f"{number}\\n")
            txn.stage(number)
"""

HOLD = """
import sys, time
from oxtask.locking.filesystem import FileSystemLockManager
from oxtask.results import ResultStore
from oxtask.transactions import transaction
store = ResultStore(sys.argv[1], lock_manager=FileSystemLockManager(sys.argv[2]))
with transaction("k", store, isolation_level="SERIALIZABLE") as txn:
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["memory", "files"])
def locked(request, folder, tmp_path):
    manager = (
        MemoryLockManager()
        if request.param == "memory"
        else FileSystemLockManager(tmp_path / "locks")
    )
    yield ResultStore(folder, lock_manager=manager)
    MemoryLockManager()._reset()


def test_locks_are_needed(store):
    """results.md X-10, G43"""
    with pytest.raises(ConfigurationError, match="SERIALIZABLE is not supported by provided"):
        with transaction("k", store, isolation_level=SERIALIZABLE):
            pass
    assert get_transaction() is None
    with transaction(isolation_level=SERIALIZABLE):
        with transaction() as inner:
            assert inner.isolation_level == SERIALIZABLE


@pytest.mark.parametrize("end", ["commit", "error", "found", "found and error", "by hand"])
def test_the_lock_is_held_from_begin_to_end(locked, end):
    """results.md X-11, G40, G42, W-G11, W-G12"""
    if end.startswith("found"):
        locked.write(1, key="k")
    try:
        with transaction("k", locked, isolation_level=SERIALIZABLE) as txn:
            assert locked.is_locked("k")
            if end == "by hand":
                assert txn.commit()
            if end.endswith("error"):
                raise KeyError
    except KeyError:
        pass
    assert not locked.is_locked("k")
    assert get_transaction() is None


def test_a_child_holds_its_lock_until_the_outermost_ends(locked):
    """results.md G40"""
    with transaction():
        with transaction("k", locked, isolation_level=SERIALIZABLE) as txn:
            txn.stage(1)
        assert locked.is_locked("k")
    assert not locked.is_locked("k")


@pytest.mark.parametrize("depth", ["sibling", "child", "child of a found one"])
def test_one_key_twice_in_a_tree_does_not_wait_for_itself(locked, depth):
    """results.md W-G10"""
    if depth == "child of a found one":
        locked.write(1, key="k")

    def again():
        with transaction("k", locked, isolation_level=SERIALIZABLE) as txn:
            return txn.is_committed(), txn.read()

    with transaction():
        with transaction("k", locked, isolation_level=SERIALIZABLE) as txn:
            txn.stage(1)
            if depth != "sibling":
                is_known, record = again()
        if depth == "sibling":
            is_known, record = again()
    assert (is_known, record.result, locked.read("k").result) == (True, 1, 1)
    assert not locked.is_locked("k")


@pytest.mark.parametrize("is_async", [False, True])
def test_who_waits_too_long_for_a_lock_does_not_run(locked, is_async):
    """results.md W-G13"""
    ran = []
    options = {"isolation_level": SERIALIZABLE, "lock_timeout": 0.01}

    def block():
        with transaction("k", locked, **options):
            ran.append(1)

    async def ablock():
        async with atransaction("k", locked, **options):
            ran.append(1)

    locked.acquire_lock("k", "other")
    with pytest.raises(LockTimeoutError, match="'k' was not free within"):
        asyncio.run(ablock()) if is_async else block()
    assert (ran, get_transaction()) == ([], None)
    assert locked.is_lock_holder("k", "other")
    locked.release_lock("k", "other")
    asyncio.run(ablock()) if is_async else block()
    assert ran == [1]
    assert not locked.is_locked("k")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_waits_as_long_as_its_policy_says(folder, is_async):
    """results.md W-G13: the run fails, and may be tried again"""
    manager, ran = MemoryLockManager(), []
    policy = INPUTS.configure(isolation_level=SERIALIZABLE, lock_manager=manager, lock_timeout=0.01)

    def body(x):
        ran.append(x)
        return x

    async def abody(x):
        return body(x)

    def run(made):
        if is_async:
            return asyncio.run(made(1, return_state=True))
        return made(1, return_state=True)

    made = task(abody if is_async else body, cache_policy=policy, result_storage=folder)
    key = INPUTS.compute_key(None, {"x": 1}, {})
    store = ResultStore(folder, lock_manager=manager)
    store.acquire_lock(key, "other")
    state = run(made)
    assert state.is_failed()
    with pytest.raises(LockTimeoutError):
        state.result(_sync=True)
    released = []

    def release(*_):
        released.append(store.release_lock(key, "other"))
        return True

    again = made.with_options(retries=1, retry_condition_fn=release)
    assert run(again).is_completed()
    assert (ran, len(released)) == ([1], 1)
    MemoryLockManager()._reset()


def test_lock_timeouts_are_checked_and_added():
    """results.md W-G13"""
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="'lock_timeout' must not be negative"):
            INPUTS.configure(lock_timeout=wrong)
    with pytest.raises(TypeError, match="'lock_timeout' must be seconds"):
        transaction(lock_timeout="1").__enter__()
    one, two = INPUTS.configure(lock_timeout=1), TASK_SOURCE.configure(lock_timeout=2)
    assert (one + TASK_SOURCE).lock_timeout == 1
    with pytest.raises(ValueError, match="different lock timeouts"):
        one + two


def test_one_of_many_threads_runs_the_body(locked):
    """results.md G41, 26: 32 threads, one key, one execution."""
    ran, found = [], []

    def work():
        with transaction("k", locked, isolation_level=SERIALIZABLE) as txn:
            if not txn.is_committed():
                ran.append(1)
                txn.stage("value")
            else:
                found.append(txn.read().result)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(ran), found) == (1, ["value"] * 31)


def test_one_of_many_asyncio_tasks_runs_the_body(locked):
    """results.md G41"""
    ran = []

    async def work():
        async with atransaction("k", locked, isolation_level=SERIALIZABLE) as txn:
            if not txn.is_committed():
                ran.append(1)
                await asyncio.sleep(0)
                txn.stage("value")

    async def main():
        await asyncio.gather(*(work() for _ in range(20)))

    asyncio.run(main())
    assert ran == [1]


def test_processes_run_each_body_once(folder, tmp_path, home, monkeypatch):
    """RELIABILITY E1"""
    monkeypatch.setenv("OXTASK_HOME", str(home))
    arguments = [str(folder), str(tmp_path / "locks"), str(tmp_path / "ledger")]
    processes = [subprocess.Popen([sys.executable, "-c", RACE, *arguments]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    ledger = (tmp_path / "ledger").read_text().split()
    assert sorted(ledger, key=int) == [str(number) for number in range(50)]


def test_the_next_runs_when_the_holder_is_killed(folder, tmp_path):
    """RELIABILITY E3"""
    locks = tmp_path / "locks"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(locks)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    process.kill()
    process.wait()
    process.stdout.close()
    store = ResultStore(folder, lock_manager=FileSystemLockManager(locks))
    with transaction("k", store, isolation_level=SERIALIZABLE) as txn:
        assert not txn.is_committed()


def test_a_holder_whose_lock_was_taken_does_not_commit(locked):
    """RELIABILITY E3: refused by the fencing token."""
    with transaction("k", locked, isolation_level=SERIALIZABLE) as txn:
        locked.lock_manager.release_lock(txn._lock, txn._holder)
        locked.acquire_lock("k", "other")
        txn.stage("late")
    assert txn.is_rolled_back()
    assert "has run out" in str(txn.error)
    assert not locked.exists("k")
    assert locked.is_lock_holder("k", "other")
    locked.release_lock("k", "other")
