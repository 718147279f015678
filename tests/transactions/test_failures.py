"""Transactions: all or nothing, whatever fails."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from oxtask._internal.storage.local_files import StagedFile
from oxtask.exceptions import SerializationError, TransactionCommitError
from oxtask.results import ResultStore
from oxtask.transactions import atransaction, get_transaction, transaction


def run_tree(store, hook, on_commit=None, values=None):
    """Commit three transactions, one in another; return them, the innermost last."""
    values = values or {}
    found = []
    with transaction("1", store) as one:
        found.append(one)
        with transaction("2", store) as two:
            found.append(two)
            with transaction("3", store) as three:
                found.append(three)
                three.stage(values.get("3", 3), [hook("r3")], [hook("c3")])
            two.stage(values.get("2", 2), [hook("r2")], [hook("c2", (on_commit or {}).get("2"))])
        one.stage(values.get("1", 1), [hook("r1")], [hook("c1", (on_commit or {}).get("1"))])
    return found


def test_a_value_that_cannot_be_written_undoes_all(store, hook, log, lines):
    """results.md X-50, W-X4, W-X6: before any commit hook has run."""
    found = run_tree(store, hook, values={"2": threading.Lock()})

    assert isinstance(found[0].error, SerializationError)
    assert all(txn.is_rolled_back() for txn in found)
    assert log == ["r1", "r2", "r3"]
    assert not any(store.exists(key) for key in "123")
    assert len(lines("WARNING")) == 1
    assert "error while serializing result for transaction '1'" in lines("WARNING")[0]


@pytest.mark.parametrize("failing", ["1", "2"])
def test_a_commit_hook_that_raises_undoes_all(store, hook, log, lines, failing):
    """results.md X-51, W-X4, W-X5, RELIABILITY E4"""
    store.write("old", key="x")
    found = run_tree(store, hook, on_commit={failing: KeyError("no")})

    assert isinstance(found[0].error, KeyError)
    assert all(txn.is_rolled_back() for txn in found)
    assert log == ["c3", "c2", *(["c1"] if failing == "1" else []), "r1", "r2", "r3"]
    assert not any(store.exists(key) for key in "123")
    assert "committing transaction '1'. The transaction will be" in lines("ERROR")[0]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_storage_that_fails_undoes_all(  # noqa: PLR0917
    store, folder, hook, log, monkeypatch, failing
):
    """RELIABILITY E4: values there before are there again, and nothing else is left."""
    store.write("old", key="2")
    os.utime(folder / "2", (0, 0))
    store.lookup("2")
    publish, calls = StagedFile.publish, []

    def fail(self, *arguments):
        calls.append(self)
        if len(calls) == failing + 1:
            raise OSError(28, "No space left on device")
        return publish(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StagedFile, "publish", fail)
        with transaction("1", store) as one:
            with transaction("2", store, overwrite=True) as two:
                two.stage("new", [hook("r2")])
            with transaction("3", store) as three:
                three.stage("new", [hook("r3")])
            one.stage("new", [hook("r1")])

    assert isinstance(one.error, OSError)
    assert log == ["r1", "r3", "r2"]
    assert sorted(path.name for path in folder.iterdir()) == ["2"]
    assert store.read("2").result == "old"


def test_every_rollback_hook_runs_even_if_one_raises(hook, log, lines):
    """results.md X-52, W-X7, RELIABILITY E4"""
    errors = [ValueError("first"), KeyError("second")]
    with pytest.raises(ZeroDivisionError):
        with transaction() as outer:
            outer.stage(0, [hook("o1"), hook("o2", errors[0]), hook("o3")])
            with transaction() as inner:
                inner.stage(0, [hook("i1"), hook("i2", errors[1])])
            raise ZeroDivisionError

    assert log == ["o3", "o2", "o1", "i2", "i1"]
    assert outer.rollback_errors == errors
    assert inner.rollback_errors == errors[1:]
    assert outer.is_rolled_back() and inner.is_rolled_back()
    assert len(lines("ERROR")) == 2
    assert "the rollback hook 'o2'" in lines("ERROR")[0]


def test_an_interrupt_in_a_hook_comes_through_when_all_have_run(hook, log):
    """results.md W-X7"""
    with pytest.raises(KeyboardInterrupt):
        with transaction() as txn:
            txn.stage(0, [hook("r1"), hook("r2", KeyboardInterrupt())])
            raise ValueError
    assert log == ["r2", "r1"]
    assert txn.is_rolled_back()
    with pytest.raises(KeyboardInterrupt):
        with transaction() as txn:
            txn.stage(0, [hook("r")], [hook("c", KeyboardInterrupt())])
    assert log == ["r2", "r1", "c", "r"]
    assert get_transaction() is None


def test_a_failed_commit_can_be_an_error(hook, store):
    """results.md W-X8"""
    with pytest.raises(TransactionCommitError, match="'k' was not committed: ValueError") as caught:
        with transaction("k", store, raise_on_commit_failure=True) as txn:
            txn.stage(0, on_commit_hooks=[hook("c", ValueError("no"))])
    assert caught.value.__cause__ is txn.error
    with transaction("k", store) as txn:
        txn.stage(0, on_commit_hooks=[hook("c", ValueError("no"))])
    assert isinstance(txn.error, ValueError)


def test_a_key_that_leads_out_of_the_storage_is_refused_at_once(store):
    """results.md W-X8, W-K3"""
    ran = []
    with pytest.raises(ValueError, match="outside of the base path"):
        with transaction("../x", store):
            ran.append(1)
    assert (ran, get_transaction()) == ([], None)


def test_a_child_of_a_parent_that_is_rolled_back_is_too(hook, log):
    """results.md W-X9"""
    with transaction() as outer:
        outer.rollback()
        with transaction() as late:
            late.stage(0, [hook("r")], [hook("c")])
        assert late.is_rolled_back()
    assert log == ["r"]


def test_nothing_is_staged_in_what_is_rolled_back(hook):
    """results.md W-X10"""
    with transaction() as txn:
        txn.rollback()
        with pytest.raises(RuntimeError, match="has been rolled back"):
            txn.stage(1)
    assert txn.is_rolled_back()


@pytest.mark.parametrize("is_rolled_back", [True, False])
def test_work_that_ends_late_does_what_the_tree_did(hook, log, is_rolled_back):
    """results.md W-X11"""
    entered, left = threading.Event(), threading.Event()
    late = []

    def work():
        with transaction() as txn:
            late.append(txn)
            txn.stage(0, [hook("r")], [hook("c")])
            entered.set()
            left.wait()

    from contextvars import copy_context

    with transaction(commit_mode="OFF" if is_rolled_back else "LAZY"):
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        entered.wait()
    assert late[0].is_staged()
    left.set()
    thread.join()

    assert log == (["r"] if is_rolled_back else ["c"])
    assert late[0].is_rolled_back() is is_rolled_back


def test_work_that_ends_while_the_tree_is_settled_waits_for_it(hook, log):
    """results.md W-X11"""
    entered, left = threading.Event(), threading.Event()
    late = []

    def work():
        with transaction() as txn:
            late.append(txn)
            txn.stage(0, [hook("r")], [hook("c")])
            entered.set()
            left.wait()

    def fail(txn):
        left.set()
        while not late[0]._is_leaving():
            pass
        raise ValueError

    from contextvars import copy_context

    with transaction() as outer:
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        entered.wait()
        late[0]._is_leaving = lambda: not late[0]._is_entered
        outer.stage(0, on_commit_hooks=[fail])
    thread.join()

    assert (outer.is_rolled_back(), late[0].is_rolled_back(), log) == (True, True, ["r"])


def test_hooks_can_have_transactions_of_their_own(hook, log, store):
    """results.md X-27"""

    def compensate(txn):
        with transaction("note", store) as own:
            own.stage("undone", on_commit_hooks=[hook("noted")])

    with transaction() as txn:
        txn.stage(0, [compensate])
        txn.rollback()
    assert (log, store.read("note").result) == (["noted"], "undone")


def test_async_transactions_fail_alike(store, hook, log):
    """results.md X-51, W-X4, X-52"""

    async def main():
        async with atransaction("1", store) as one:
            async with atransaction("2", store) as two:
                two.stage(2, [hook("r2"), hook("r2b", KeyError())], [hook("c2")])
            one.stage(1, [hook("r1")], [hook("c1", ValueError("no"))])
        return one, two

    one, two = asyncio.run(main())
    assert log == ["c2", "c1", "r1", "r2b", "r2"]
    assert one.is_rolled_back() and two.is_rolled_back()
    assert not store.exists("1") and not store.exists("2")


def test_a_cancelled_task_rolls_back(store, hook, log):
    """results.md X-20"""

    async def work():
        async with atransaction("k", store) as txn:
            txn.stage(1, [hook("r")])
            await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(work())
        while not log and not task.done():
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(main())
    assert not store.exists("k")


def test_records_on_a_remote_storage_are_taken_back_too(hook, monkeypatch):
    """RELIABILITY E4"""
    store = ResultStore(f"memory://txn/{os.urandom(4).hex()}")
    store.write("old", key="a")
    storage, writes = store.result_storage, []
    write = storage._write

    def fail(path, content):
        writes.append(path)
        if len(writes) == 2:
            raise OSError("down")
        return write(path, content)

    monkeypatch.setattr(storage, "_write", fail)
    with transaction("b", store) as outer:
        with transaction("a", store, overwrite=True) as inner:
            inner.stage("new")
    assert outer.is_rolled_back()
    assert (store.read("a").result, store.lookup("b")) == ("old", None)
