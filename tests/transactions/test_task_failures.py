"""Runs of tasks in one another: all their results or none, whatever fails in their commit."""

from __future__ import annotations

import asyncio
import os

import pytest

from oxtask import task
from oxtask._internal.storage.local_files import StagedFile
from oxtask.exceptions import ResultPersistenceError, ResultStoreError
from oxtask.results import ResultStore

NAMES = ("outer", "middle", "inner")


@pytest.fixture(params=["call", "await"])
def tree(request, folder, log):
    """Return a function that runs three tasks, one in the other, and returns the outermost state.

    Args:
        **errors: What the hook ``<name>_commit`` or ``<name>_rollback`` raises, or the function
            of the task ``<name>``.
    """

    def run(**errors):
        def noted(what):
            def hook(txn):
                log.append(what)
                if errors.get(what) is not None:
                    raise errors[what]

            return hook

        def made(name, inner):
            def function():
                if inner is not None:
                    inner()
                return end()

            async def afunction():
                if inner is not None:
                    await inner()
                return end()

            def end():
                if name in errors:
                    raise errors[name]
                return f"new {name}"

            return task(
                afunction if request.param == "await" else function,
                name=name,
                cache_key_fn=lambda *_: name,
                refresh_cache=True,
                result_storage=folder,
                on_commit=[noted(f"{name}_commit")],
                on_rollback=[noted(f"{name}_rollback")],
            )

        outer = made("outer", made("middle", made("inner", None)))
        if request.param == "await":
            return asyncio.run(awaited(outer))
        return outer(return_state=True)

    return run


async def awaited(outer):
    return await outer(return_state=True)


def found(folder):
    """Return what is read under the keys; nothing else is in the folder but the run's error."""
    store = ResultStore(folder, cache_result_in_memory=False)
    records = {name: store.lookup(name) for name in NAMES}
    there = {name: record.result for name, record in records.items() if record is not None}
    files = {path.name for path in folder.iterdir()} if folder.exists() else set()
    errors = [store.read(name).result for name in files - there.keys()]
    assert [str(error) for error in errors] in ([], ["the error of the run"])
    return there


ROLLED_BACK = [f"{name}_rollback" for name in NAMES]


def test_all_are_there_when_nothing_fails(tree, folder, log):
    """RELIABILITY E4"""
    assert tree().is_completed()
    assert found(folder) == {name: f"new {name}" for name in NAMES}
    assert log == ["inner_commit", "middle_commit", "outer_commit"]


@pytest.mark.parametrize("failing", NAMES)
def test_a_commit_hook_of_a_task_that_raises_undoes_all(tree, folder, log, failing):
    """RELIABILITY E4, X-51"""
    ResultStore(folder).write("old", key="middle")
    state = tree(**{f"{failing}_commit": KeyError("no")})
    assert state.name in {"Completed", "RolledBack"}
    assert found(folder) == {"middle": "old"}
    commits = ["inner_commit", "middle_commit", "outer_commit"]
    assert log == [*commits[: 3 - NAMES.index(failing)], *ROLLED_BACK]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_result_that_cannot_be_published_undoes_all(tree, folder, log, monkeypatch, failing):
    """RELIABILITY E4: the value of another run before is there again"""
    ResultStore(folder).write("old", key="middle")
    os.utime(folder / "middle", (0, 0))
    publish, calls = StagedFile.publish, []

    def fail(self, *arguments):
        calls.append(self)
        if len(calls) == failing + 1:
            raise ResultStoreError(28, "No space left on device")
        return publish(self, *arguments)

    monkeypatch.setattr(StagedFile, "publish", fail)
    state = tree()
    assert state.is_failed()
    assert isinstance(state.data, ResultPersistenceError)
    assert found(folder) == {"middle": "old"}
    assert log[3:] == ROLLED_BACK


@pytest.mark.parametrize("failing", NAMES)
def test_every_rollback_hook_of_a_task_runs_even_if_another_raises(tree, folder, log, failing):
    """RELIABILITY E4, X-52: each once"""
    tree(outer=ValueError("the error of the run"), **{f"{failing}_rollback": KeyError("no")})
    assert found(folder) == {}
    assert log == ["middle_rollback", "inner_rollback"]
