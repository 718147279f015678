"""Transactions: how they begin and end, and what hooks run."""

from __future__ import annotations

import asyncio
import threading

import pytest

from oxtask.filesystems import NullFileSystem
from oxtask.results import ResultStore, get_result_store
from oxtask.transactions import (
    AsyncTransaction,
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)


def test_enums_are_their_names():
    """results.md X-1"""
    assert [*map(str, IsolationLevel)] == ["READ_COMMITTED", "SERIALIZABLE"]
    assert [*map(str, CommitMode)] == ["EAGER", "LAZY", "OFF"]
    assert [*map(str, TransactionState)] == (
        ["PENDING", "ACTIVE", "STAGED", "COMMITTED", "ROLLED_BACK"]
    )
    assert CommitMode.LAZY == "LAZY"


def test_a_new_transaction_is_pending():
    """results.md X-3"""
    txn = Transaction()

    assert (txn.is_pending(), txn.commit_mode) == (True, None)
    assert txn.isolation_level == IsolationLevel.READ_COMMITTED
    assert (txn.children, txn.on_commit_hooks, txn.on_rollback_hooks) == ([], [], [])
    assert (txn.overwrite, txn.write_on_commit, txn.get_parent()) == (False, True, None)
    assert txn == Transaction()
    assert txn != Transaction(key="k")
    assert txn != AsyncTransaction()


def test_the_current_transaction_is_the_innermost():
    """results.md X-4"""
    assert get_transaction() is None
    with transaction() as outer:
        assert get_transaction() is outer is Transaction.get_active()
        with transaction() as inner:
            assert (get_transaction(), inner.get_parent()) == (inner, outer)
            assert inner.is_active()
        assert get_transaction() is outer
    assert get_transaction() is None


def test_a_key_without_a_store_uses_that_of_the_run(home):
    """results.md X-5, W-X13, X-28"""
    with transaction("k") as txn:
        assert isinstance(txn.store, ResultStore)
        assert txn.read() is None
        txn.stage({"x": 1})
    assert get_result_store().read("k").result == {"x": 1}
    with transaction() as txn:
        assert (txn.store, txn.read()) == (None, None)
        txn.stage(1)
    assert [entry["key"] for entry in get_result_store()._pack.ls()] == ["k"]


def test_a_store_that_finds_nothing_is_replaced_by_one_that_does(folder):
    """results.md X-5"""
    store = ResultStore(folder, metadata_storage=NullFileSystem())
    for is_there in (False, True):
        with transaction("k", store) as txn:
            assert txn.store.metadata_storage is None
            assert txn.is_committed() is is_there


def test_entering_and_leaving_come_in_pairs():
    """results.md X-8, X-9, X-2"""
    txn = Transaction()
    with pytest.raises(RuntimeError, match="Asymmetric use"):
        txn.__exit__(None, None, None)
    with txn:
        with pytest.raises(RuntimeError, match="already entered"):
            txn.__enter__()
    assert txn.is_committed()
    with txn:
        assert txn.is_active()
    with pytest.raises(NotImplementedError):
        AsyncTransaction().__enter__()
    with pytest.raises(NotImplementedError):
        AsyncTransaction().__exit__(None, None, None)


def test_a_record_that_is_there_commits_from_the_start(store):
    """results.md X-12, X-7"""
    store.write("old", key="k")
    with transaction("k", store) as txn:
        assert (txn.is_committed(), txn.read().result) == (True, "old")
        txn.stage("new")
    assert store.read("k").result == "old"
    with transaction("k", store, overwrite=True) as txn:
        assert txn.is_active()
        txn.stage("newer")
        txn.stage("newest")
    assert store.read("k").result == "newest"


def test_what_is_written_is_the_staged_value(store):
    """results.md X-28"""
    with transaction("none", store):
        pass
    assert store.read("none").result is None
    with transaction("off", store, write_on_commit=False) as txn:
        txn.stage(1)
    assert not store.exists("off")
    with transaction("k", store) as txn:
        txn.stage(store.create_result_record(1, key="other"))
    assert (store.exists("k"), store.read("other").result) == (False, 1)


def test_an_error_in_the_block_rolls_back_and_goes_on(hook, log, store):
    """results.md X-20"""
    for error in (ValueError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            with transaction("k", store) as txn:
                txn.stage(1, [hook("rollback")], [hook("commit")])
                raise error
        assert txn.is_rolled_back()
        assert get_transaction() is None
    assert log == ["rollback", "rollback"]
    assert not store.exists("k")


def test_children_are_committed_first_in_the_order_they_ended(hook, log):
    """results.md X-22, X-25"""
    with transaction() as outer:
        outer.stage(0, on_commit_hooks=[hook("outer 1"), hook("outer 2")])
        for name in ("a", "b"):
            with transaction() as child:
                with transaction() as grandchild:
                    grandchild.stage(0, on_commit_hooks=[hook(f"{name} inner")])
                child.stage(0, on_commit_hooks=[hook(name)])
            assert child.is_staged()
        assert outer.children[-1] is child
        assert log == []
    assert log == ["a inner", "a", "b inner", "b", "outer 1", "outer 2"]
    assert child.is_committed() and grandchild.is_committed() and outer.is_committed()
    assert outer.commit() is False


def test_rollback_is_in_reverse(hook, log):
    """results.md X-26"""
    with pytest.raises(ZeroDivisionError):
        with transaction() as parent:
            parent.stage(0, on_rollback_hooks=[hook("pr1"), hook("pr2")])
            with transaction() as child:
                child.stage(0, on_rollback_hooks=[hook("c1r1"), hook("c1r2")])
            with transaction() as child:
                child.stage(0, on_rollback_hooks=[hook("c2r")])
            raise ZeroDivisionError
    assert log == ["pr2", "pr1", "c2r", "c1r2", "c1r1"]
    assert parent.rollback() is False


def test_modes_say_when(hook, log):
    """results.md X-10, X-21, X-23, X-29, X-30"""
    with pytest.raises(ZeroDivisionError):
        with transaction(commit_mode=CommitMode.LAZY):
            with transaction(commit_mode=CommitMode.EAGER) as eager:
                eager.stage(0, [hook("undone")], [hook("eager")])
            assert (eager.is_committed(), log) == (True, ["eager"])
            raise ZeroDivisionError
    assert log == ["eager"]

    with transaction(commit_mode="OFF") as off:
        off.stage(0, [hook("off")])
        with transaction() as child:
            assert child.commit_mode == CommitMode.OFF
    assert (off.is_rolled_back(), child.is_rolled_back()) == (True, True)
    with transaction(commit_mode="OFF") as off:
        assert off.commit() is True
    assert off.is_committed()
    with transaction():
        with transaction(commit_mode="OFF") as off:
            off.stage(1)
    assert off.is_committed()


@pytest.mark.parametrize("is_by_hand", [True, False])
def test_a_child_that_is_rolled_back_takes_all_with_it(hook, log, is_by_hand):
    """results.md X-24"""
    with transaction() as outer:
        outer.stage(0, [hook("outer")], [hook("committed")])
        with transaction() as middle:
            middle.stage(0, [hook("middle")])
            try:
                with transaction() as inner:
                    inner.stage(0, [hook("inner")])
                    if is_by_hand:
                        assert inner.rollback()
                    else:
                        raise KeyError
            except KeyError:
                pass
            assert middle.is_rolled_back()
    assert outer.is_rolled_back()
    assert log == ["inner", "middle", "outer"]


def test_the_later_of_two_records_of_one_key_is_the_parents(store):
    """results.md X-31"""
    with transaction("k", store) as parent:
        with transaction("k", store) as child:
            child.stage("child")
        parent.stage("parent")
    assert store.read("k").result == "parent"


def test_hooks_get_the_transaction_before_it_is_committed(lines):
    """results.md X-27"""
    seen = []

    def see(txn):
        seen.append((txn.state, get_transaction()))

    async def later(txn):
        await asyncio.sleep(0)
        seen.append(txn)

    def quiet(txn):
        pass

    quiet.log_on_run = False
    with transaction() as txn:
        txn.stage(0, on_commit_hooks=[see, later, quiet])
    assert seen == [("STAGED", txn), txn]
    assert lines("INFO") == [
        "Running commit hook 'see'",
        "Commit hook 'see' finished running successfully",
        "Running commit hook 'later'",
        "Commit hook 'later' finished running successfully",
    ]


class TestValues:
    def test_values_are_found_in_transactions_around(self):
        """results.md X-40"""
        with transaction() as outer:
            with transaction() as inner:
                outer.set("x", [1])
                inner.get("x").append(2)
                assert inner.get("x") == [1]
                inner.set("x", 2)
                inner.set("y", 3)
                assert (inner.get("x"), outer.get("x")) == (2, [1])
            assert outer.get("y", None) is None
            with pytest.raises(ValueError, match="unknown key: 'y'"):
                outer.get("y")

    def test_what_cannot_be_copied_is_given_itself(self):
        """results.md W-X2"""
        lock = threading.Lock()
        with transaction() as txn:
            txn.set("lock", lock)
            assert txn.get("lock") is lock

    def test_hooks_find_the_values_of_the_transaction_around_theirs(self):
        """results.md W-X3"""
        found = []
        with transaction():
            with transaction() as middle:
                middle.set("x", 1)
                with transaction() as inner:
                    inner.stage(0, on_commit_hooks=[lambda txn: found.append(txn.get("x"))])
        assert found == [1]


class TestAsync:
    def test_hooks_of_both_kinds_run(self, log, store):
        """results.md X-2, X-27: plain functions in a thread."""

        async def main():
            async with atransaction("k", store) as txn:
                assert get_transaction() is txn
                assert await txn.read() is None

                def plain(txn):
                    log.append((threading.get_ident() != here, get_transaction() is txn))

                async def coroutine(txn):
                    await asyncio.sleep(0)
                    log.append("coroutine")

                here = threading.get_ident()
                txn.stage(1, on_commit_hooks=[plain, coroutine])
            assert txn.is_committed()
            async with atransaction("k", store) as txn:
                assert (txn.is_committed(), (await txn.read()).result) == (True, 1)

        asyncio.run(main())
        assert log == [(True, True), "coroutine"]

    def test_sync_and_async_transactions_nest(self, hook, log):
        """results.md X-69"""

        async def slow(txn):
            await asyncio.sleep(0)
            log.append("slow")

        async def main():
            with transaction() as outer:
                async with atransaction() as middle:
                    middle.stage(0, on_commit_hooks=[slow])
                    with transaction() as inner:
                        inner.stage(0, on_commit_hooks=[hook("inner")])
            assert outer.is_committed()
            with pytest.raises(ZeroDivisionError):
                async with atransaction() as outer:
                    outer.stage(0, [slow])
                    with transaction() as inner:
                        inner.stage(0, [hook("back")])
                        raise ZeroDivisionError
            assert await outer.rollback() is False
            assert await outer.commit() is False

        asyncio.run(main())
        assert log == ["inner", "slow", "back", "slow"]

    def test_transactions_of_tasks_are_their_own(self):
        """results.md X-4"""

        async def one(name):
            async with atransaction() as txn:
                await asyncio.sleep(0)
                return get_transaction() is txn and txn.get_parent() is None

        async def main():
            return await asyncio.gather(*(one(name) for name in range(10)))

        assert asyncio.run(main()) == [True] * 10
