"""Runs of tasks are transactions: hooks, nesting, retries, threads."""

from __future__ import annotations

import asyncio
import threading

import pytest
from kept_runs import WAYS, files_in, make, names_of, states_of
from ways import shown

from oxtask import flow, task
from oxtask._internal.task_runs import log_of
from oxtask.cache_policies import INPUTS, CachePolicy
from oxtask.exceptions import ConfigurationError
from oxtask.locking.memory import MemoryLockManager
from oxtask.results import ResultStore
from oxtask.settings import temporary_settings
from oxtask.task_runners import ThreadPoolTaskRunner
from oxtask.transactions import (
    AsyncTransaction,
    CommitMode,
    IsolationLevel,
    Transaction,
    get_transaction,
    transaction,
)


def noted(log, name, options=None, body=None, error=None):
    """Make a task whose hooks take note that they ran."""

    def function(x=0):
        log.append(name)
        if error is not None:
            raise error
        return x if body is None else body(x)

    made = task(function, name=name, **(options or {}))
    made.on_commit(lambda txn: log.append(f"{name} commit"))
    made.on_rollback(lambda txn: log.append(f"{name} rollback"))
    return made


@pytest.mark.parametrize("way", WAYS)
def test_each_attempt_is_in_a_transaction(way, folder):
    """X-60, X-4"""
    seen = []

    def look(x):
        txn = get_transaction()
        seen.append(txn)
        if len(seen) == 1:
            raise ValueError
        return x

    made = make(
        way,
        look,
        cache_key_fn=lambda *_: "k",
        result_storage=folder,
        retries=1,
        refresh_cache=True,
    )
    assert names_of(way, made, 1) == ["Completed"]
    first, second = seen
    assert first is not second
    is_async = way in {"await", "submit async", "map async"}
    assert type(first) is (AsyncTransaction if is_async else Transaction)
    assert (first.is_rolled_back(), second.is_committed()) == (True, True)
    assert (second.key, second.overwrite, second.write_on_commit) == ("k", True, True)
    assert second.isolation_level == IsolationLevel.READ_COMMITTED
    assert second.store.result_storage.basepath == str(folder)


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_run_has_one_when_its_body_asks(way):
    """X-60"""
    seen = []

    def look(x):
        seen.append((get_transaction(), get_transaction()))
        seen[-1][0].set("x", x)
        seen[-1][0].on_commit_hooks.append(lambda txn: seen.append(txn.get("x")))
        return x

    assert names_of(way, make(way, look), 5) == ["Completed"]
    (first, again), value = seen
    assert (first is again, first.is_committed(), value) == (True, True, 5)


@pytest.mark.parametrize("way", WAYS)
def test_hooks_run_after_the_state_and_before_completion(way, folder):
    """X-61, X-62, tasks.md 11.8, 11.10"""
    log = []

    def commit(txn):
        log.append(("commit", txn.state, txn.key, run_state()))

    def run_state():
        from oxtask.context import TaskRunContext

        context = TaskRunContext.get()
        return None if context is None else context.task_run.state_name

    made = make(
        way,
        lambda x: log.append("body"),
        cache_key_fn=lambda *_: "k",
        result_storage=folder,
        on_commit=[commit],
        on_completion=[lambda *_: log.append("completion")],
    )
    assert names_of(way, made, 1) == ["Completed"]
    assert log == ["body", ("commit", "STAGED", "k", "Completed"), "completion"]


def test_hooks_are_given_as_options_or_by_decorators():
    """X-62, tasks.md 5.4, W7"""
    log = []

    @task(on_commit=[lambda txn: log.append("option")])
    def work():
        return 1

    @work.on_commit
    def first(txn):
        log.append("first")

    @work.on_commit
    async def second(txn):
        await asyncio.sleep(0)
        log.append("second")

    @work.on_rollback
    def back(txn):
        log.append("back")

    assert callable(first)
    assert callable(back)
    assert work() == 1
    assert log == ["option", "first", "second"]
    copy = work.with_options(name="copy")
    assert copy.on_commit_hooks == work.on_commit_hooks
    assert copy.on_commit_hooks is not work.on_commit_hooks
    with pytest.raises(TypeError, match="on_commit"):
        task(lambda: 1, on_commit="hook")


@pytest.mark.parametrize("way", WAYS)
def test_a_failing_run_rolls_back_what_is_around_it_but_not_itself(way, folder):
    """X-63"""
    log = []
    good = noted(log, "good")
    bad = make(
        way,
        lambda x: 1 / 0,
        on_rollback=[lambda txn: log.append("bad rollback")],
        on_commit=[lambda txn: log.append("bad commit")],
    )

    @flow
    def main():
        with transaction() as txn:
            good()
            if way == "call":
                bad()
            elif way == "await":
                asyncio.run(_awaited(bad))
            else:
                (bad.map([0])[0] if way.startswith("map") else bad.submit()).result()
        return txn

    with pytest.raises(ZeroDivisionError):
        main()
    assert log == ["good", "good rollback"]


async def _awaited(made, *arguments):
    return await made(*arguments)


def test_a_run_that_is_rolled_back_says_so(folder, lines):
    """X-64, engine.md 3.1"""
    futures = []

    @task(persist_result=True, result_storage=folder)
    def work():
        return 1

    @flow
    def main():
        with pytest.raises(KeyError), transaction():
            futures.append(work.submit())
            futures[0].wait()
            raise KeyError

    main()
    assert shown(log_of(futures[0]).history) == (
        ["Pending", "Running", "Completed", "RolledBack:COMPLETED"]
    )
    assert files_in(folder) == []
    assert not [line for line in lines() if "rollback hook" in line]


def test_hooks_are_logged(lines):
    """X-27, engine.md TE-58"""
    log = []
    work = task(lambda: 1, name="work")

    @work.on_commit
    def save(txn):
        log.append(txn)

    work()
    found = [line for line in lines("INFO") if "hook" in line]
    assert found == [
        "Running commit hook 'save'",
        "Commit hook 'save' finished running successfully",
    ]


def test_hooks_of_tasks_in_tasks_wait_for_the_outermost(folder):
    """X-65, tasks.md 11.10, 26.7"""
    log = []
    options = {"cache_policy": INPUTS, "result_storage": folder}
    inner = noted(log, "inner", options)

    def twice(x):
        states = [inner(x, return_state=True) for _ in range(2)]
        log.append([state.name for state in states])
        assert files_in(folder) == []
        return x

    outer = noted(log, "outer", body=twice)
    assert outer(1) == 1
    bodies = ["outer", "inner", "inner", ["Completed", "Completed"]]
    assert log == [*bodies, "inner commit", "inner commit", "outer commit"]
    assert len(files_in(folder)) == 1
    log.clear()
    assert (inner(1), log) == (1, [])


def test_in_a_transaction_the_same_holds(folder):
    """X-65, W-X14: the default follows the reference"""
    log = []
    work = noted(log, "work", {"cache_policy": INPUTS, "result_storage": folder})
    with transaction():
        names = [work(1, return_state=True).name for _ in range(2)]
    assert names == ["Completed", "Completed"]
    with transaction():
        assert work(1, return_state=True).name == "Cached"
    with transaction(commit_mode=CommitMode.EAGER):
        names = [work(2, return_state=True).name for _ in range(2)]
    assert names == ["Completed", "Cached"]


@pytest.mark.parametrize("is_around", [True, False])
def test_a_flow_has_no_transaction(is_around):
    """X-66"""
    log = []
    work = noted(log, "work")
    seen = []

    @flow
    def main():
        seen.append(get_transaction())
        work()
        log.append("flow")

    if is_around:
        with transaction() as txn:
            main()
        assert (seen, log) == ([txn], ["work", "flow", "work commit"])
    else:
        main()
        assert (seen, log) == ([None], ["work", "work commit", "flow"])


@pytest.mark.parametrize("fails", [True, False])
def test_submitted_runs_are_in_the_transaction_too(fails, folder):
    """X-67"""
    log = []
    work = noted(log, "work", {"cache_policy": INPUTS, "result_storage": folder})

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def main():
        with transaction() as txn:
            futures = work.map([1, 2, 3])
            futures.wait()
            assert len(txn.children) == 3
            assert files_in(folder) == []
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            main()
        assert log == ["work"] * 3 + ["work rollback"] * 3
    else:
        main()
        assert log == ["work"] * 3 + ["work commit"] * 3
    assert len(files_in(folder)) == (0 if fails else 3)


@pytest.mark.parametrize("persists", [None, True, False])
@pytest.mark.parametrize("way", ["called", "submitted", "mapped"])
def test_runs_of_a_flow_in_a_transaction_are_in_it_too(way, persists):
    """The flow decides about results for itself, not whether there is a transaction."""

    @task(cache_policy=INPUTS)
    def double(x):
        return 2 * x

    @flow(persist_result=persists)
    def inner(x):
        match way:
            case "called":
                return double(x)
            case "submitted":
                return double.submit(x).result()
        return double.map([x]).result()[0]

    @flow(persist_result=persists)
    def main():
        with pytest.raises(KeyError), transaction():
            assert inner(1) == 2
            raise KeyError
        undone = double(1, return_state=True).name
        with transaction():
            inner(2)
        return [undone, double(2, return_state=True).name, get_transaction()]

    assert main() == ["Completed", "Cached", None]


def test_a_task_in_a_task_is_in_its_transaction_wherever_it_runs():
    """X-67, X-65"""
    log = []
    inner = noted(log, "inner")

    @task
    def outer():
        inner.submit().wait()
        inner()
        log.append("outer")

    @flow
    def main():
        outer()
        outer.submit().wait()

    main()
    once = ["inner", "inner", "outer", "inner commit", "inner commit"]
    assert log == once + once


def test_a_store_inside_has_the_locks_of_the_one_around(folder):
    """X-68, R14"""
    locks, seen = MemoryLockManager(), []

    @task(cache_policy=INPUTS, result_storage=folder)
    def work(x):
        seen.append(get_transaction().store.lock_manager)
        return x

    @task(cache_policy=INPUTS.configure(lock_manager=locks), result_storage=folder)
    def outer(x):
        return work(x)

    with transaction("k", ResultStore(folder, lock_manager=locks)):
        work(1)
    outer(2)
    work(3)
    assert seen == [locks, locks, None]


def test_runs_of_both_kinds_nest():
    """X-69"""
    log = []

    @task
    async def inner(x):
        await asyncio.sleep(0)
        log.append("inner")
        return x

    @inner.on_commit
    async def committed(txn):
        await asyncio.sleep(0)
        log.append("inner commit")

    plain = noted(log, "plain")

    @task
    async def outer(x):
        await inner(x)
        plain(x)
        log.append("outer")
        return x

    async def main():
        with transaction():
            await outer(1)
            log.append("end")

    asyncio.run(main())
    assert log == ["inner", "plain", "outer", "end", "inner commit", "plain commit"]
    log.clear()

    @task
    def driving(x):
        return asyncio.run(inner(x))

    assert driving(3) == 3
    assert log == ["inner", "inner commit"]


def test_each_attempt_rolls_back_what_is_in_it():
    """X-60"""
    log = []
    inner = noted(log, "inner")
    count = []

    @task(retries=1)
    def outer():
        inner()
        count.append(1)
        if len(count) == 1:
            raise ValueError
        return "done"

    assert outer() == "done"
    assert log == ["inner", "inner rollback", "inner", "inner commit"]


@pytest.mark.parametrize("way", WAYS)
def test_attempts_in_a_transaction_are_tried_again(way):
    """X-60, X-24: a failed attempt that is followed by another does not doom what is around"""
    attempts = []

    def fail_once(x):
        attempts.append(x)
        if len(attempts) == 1:
            raise ValueError
        return x

    made = make(way, fail_once, retries=1)
    states = []

    @flow
    def main():
        with transaction() as txn:
            if way == "call":
                states.append(made(1))
            elif way == "await":
                states.append(asyncio.run(_awaited(made, 1)))
            else:
                future = made.map([1])[0] if way.startswith("map") else made.submit(1)
                states.append(future.result())
        return txn.state

    main()
    assert (states, attempts) == ([1], [1, 1])


@pytest.mark.parametrize("way", WAYS)
def test_serializable_runs_of_one_key_run_once(way, folder, log):
    """G41, G43, X-60"""
    policy = INPUTS.configure(
        isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=MemoryLockManager()
    )
    made = make(way, lambda x: log.append(x), cache_policy=policy, result_storage=folder)
    assert names_of(way, made, 1, 1) == ["Completed", "Cached"]
    bare = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE)
    made = make(way, lambda x: log.append(x), cache_policy=bare, result_storage=folder)
    (state,) = states_of(way, made, 9)
    with pytest.raises(ConfigurationError, match="SERIALIZABLE is not supported"):
        state.result()
    assert log == [1]


def test_serializable_runs_on_threads_run_once(folder):
    """G41"""
    calls, barrier = [], threading.Barrier(4)
    policy = CachePolicy.from_cache_key_fn(lambda *_: "k").configure(
        isolation_level="SERIALIZABLE", lock_manager=MemoryLockManager()
    )

    @task(
        cache_policy=policy,
        result_storage=folder,
        on_running=[lambda *_: barrier.wait(30)],
    )
    def work(x):
        calls.append(x)
        return x

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main():
        futures = work.map(range(4))
        futures.wait()
        return sorted(future.state.name for future in futures), futures.result()

    names, values = main()
    assert names == ["Cached", "Cached", "Cached", "Completed"]
    assert values == calls * 4


def test_the_same_key_twice_in_one_tree_does_not_wait_for_itself(folder, log):
    """W-G10"""
    policy = INPUTS.configure(
        isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=MemoryLockManager()
    )
    work = make("call", lambda x: log.append(x), cache_policy=policy, result_storage=folder)

    @task
    def outer():
        return [work(1, return_state=True).name for _ in range(2)]

    assert outer() == ["Completed", "Cached"]
    assert log == [1]
    with transaction():
        assert [work(2, return_state=True).name for _ in range(2)] == ["Completed", "Cached"]


def test_a_setting_does_not_make_hooks_of_a_run_that_keeps_nothing_wait():
    """X-65"""
    log = []
    work = noted(log, "work")
    with temporary_settings({"results.persist_by_default": True}):
        work()
    work()
    assert log == ["work", "work commit"] * 2


class TestFailuresInside:
    def test_an_attempt_that_is_followed_by_another_dooms_nothing_around_it(self):
        """X-60, X-24: the attempt failed, not the run"""
        log, count = [], []

        def fail_once(x):
            count.append(1)
            if len(count) == 1:
                raise ValueError

        good, flaky = noted(log, "good"), noted(log, "flaky", {"retries": 1}, fail_once)
        with transaction() as txn:
            good()
            flaky()
        assert txn.is_committed()
        assert log == ["good", "flaky", "flaky", "good commit", "flaky commit"]

    def test_a_run_that_fails_for_good_dooms_all_around_it(self):
        """X-24, X-63"""
        log = []
        good = noted(log, "good")
        bad = noted(log, "bad", {"retries": 1}, error=KeyError())
        with transaction() as txn:
            good()
            with pytest.raises(KeyError):
                bad()
            assert log == ["good", "bad", "bad", "good rollback"]
        assert txn.is_rolled_back()

    @pytest.mark.parametrize("way", WAYS)
    def test_a_run_that_gets_over_a_failure_completes_and_is_rolled_back(self, way, folder, lines):
        """X-24, W-X10, X-64"""
        log = []
        good = noted(log, "good")
        bad = noted(log, "bad", {"persist_result": False}, error=KeyError())

        def get_over(x):
            good()
            try:
                bad()
            except KeyError:
                return "fallback"

        outer = make(
            way,
            get_over,
            cache_policy=INPUTS,
            result_storage=folder,
            on_rollback=[lambda txn: log.append("outer rollback")],
            on_commit=[lambda txn: log.append("outer commit")],
        )
        (state,) = states_of(way, outer, 1)
        assert (state.type, state.result()) == ("COMPLETED", "fallback")
        assert log == ["good", "bad", "good rollback", "outer rollback"]
        assert files_in(folder) == []
        assert len([line for line in lines("WARNING") if "rolled back" in line]) == 1

    def test_a_plain_run_that_gets_over_a_failure_completes(self):
        """X-24"""
        log = []
        bad = noted(log, "bad", error=KeyError())

        @task
        def outer():
            with pytest.raises(KeyError):
                bad()
            return "fallback"

        assert outer() == "fallback"
        assert log == ["bad"]

    def test_a_body_that_is_out_of_time_leaves_the_transaction_of_the_next_attempt_alone(
        self, folder
    ):
        """X-60, RELIABILITY B8, E6"""
        is_late, has_ended, transactions = threading.Event(), threading.Event(), []
        policy = INPUTS.configure(
            isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=MemoryLockManager()
        )

        @task(cache_policy=policy, result_storage=folder, timeout_seconds=0.5, retries=1)
        def work(x):
            transactions.append(get_transaction())
            if len(transactions) == 1:
                try:
                    is_late.wait(30)
                finally:
                    has_ended.set()
                return "late"
            is_late.set()
            assert has_ended.wait(30)
            return "in time"

        @flow
        def main():
            future = work.submit(1)
            return future.result(), future.state.name

        assert main() == ("in time", "Completed")
        first, second = transactions
        assert (first.is_rolled_back(), second.is_committed()) == (True, True)
        assert work(1, return_state=True).name == "Cached"
