"""Locks within a process."""

from __future__ import annotations

import os
import pickle

import pytest

from oxtask.locking.memory import MemoryLockManager


@pytest.fixture
def manager():
    yield MemoryLockManager()
    MemoryLockManager()._reset()


def test_there_is_one_manager(manager):
    """results.md G10"""
    assert MemoryLockManager() is manager


def test_a_pickle_yields_the_manager_of_the_process(manager):
    """results.md G11"""
    assert pickle.loads(pickle.dumps(manager)) is manager
    manager.acquire_lock("k", "a")
    with pytest.warns(UserWarning, match="lock information will not be available after des"):
        blob = pickle.dumps(manager)
    assert pickle.loads(blob).is_locked("k")


def test_a_forked_process_starts_without_locks(manager):
    """results.md W-G2"""
    manager.acquire_lock("k", "a")
    child = os.fork()
    if child == 0:
        os._exit(0 if manager.acquire_lock("k", "b", acquire_timeout=0) else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert manager.is_lock_holder("k", "a")
