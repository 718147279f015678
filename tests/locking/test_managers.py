"""What all lock managers do alike."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxtask.locking import LockManager
from oxtask.locking.filesystem import FileSystemLockManager
from oxtask.locking.memory import MemoryLockManager


@pytest.fixture(params=["memory", "files"])
def manager(request, tmp_path):
    if request.param == "memory":
        manager = MemoryLockManager()
        yield manager
        manager._reset()
    else:
        yield FileSystemLockManager(tmp_path / "locks")


def test_a_manager_is_one_by_what_it_does(manager):
    """results.md G1"""
    assert isinstance(manager, LockManager)
    assert not isinstance(object(), LockManager)


def test_a_lock_is_held_until_it_is_released(manager):
    """results.md G2, G3, G4"""
    assert not manager.is_locked("k")
    assert manager.wait_for_lock("k")
    assert manager.acquire_lock("k", "a")
    assert manager.acquire_lock("k", "a", acquire_timeout=0)
    assert (manager.is_locked("k"), manager.is_locked("other")) == (True, False)
    assert (manager.is_lock_holder("k", "a"), manager.is_lock_holder("k", "b")) == (True, False)

    manager.release_lock("k", "a")

    assert not manager.is_locked("k")
    assert not manager.is_lock_holder("k", "a")


def test_only_the_holder_releases(manager):
    """results.md G3, G21, RELIABILITY E6"""
    for prepare in (lambda: None, lambda: manager.acquire_lock("k", "a")):
        prepare()
        with pytest.raises(ValueError, match="No lock held by 'b' for transaction with key 'k'"):
            manager.release_lock("k", "b")
    assert manager.is_lock_holder("k", "a")
    manager.release_lock("k", "a")
    with pytest.raises(ValueError, match="No lock held by"):
        manager.release_lock("k", "a")


def test_no_time_is_one_attempt(manager):
    """results.md W-G5, RELIABILITY E8"""
    manager.acquire_lock("k", "a")

    assert manager.acquire_lock("k", "b", acquire_timeout=0) is False
    assert manager.wait_for_lock("k", timeout=0) is False
    assert asyncio.run(manager.aacquire_lock("k", "b", acquire_timeout=0)) is False
    assert asyncio.run(manager.await_for_lock("k", timeout=0)) is False
    assert manager.acquire_lock("free", "b", acquire_timeout=0) is True
    assert manager.wait_for_lock("other", timeout=0) is True


def test_waiting_ends_when_the_time_is_over(manager):
    """results.md W-G8, RELIABILITY E9"""
    manager.acquire_lock("k", "a")
    started = time.monotonic()

    assert not manager.acquire_lock("k", "b", acquire_timeout=0.1)
    assert not manager.wait_for_lock("k", timeout=0.1)
    assert not asyncio.run(manager.aacquire_lock("k", "b", acquire_timeout=0.1))

    assert 0.3 <= time.monotonic() - started < 2


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_a_time_that_is_none_is_refused(manager, wrong):
    """RELIABILITY E8"""
    with pytest.raises(ValueError, match="'acquire_timeout' must not be negative"):
        manager.acquire_lock("k", "a", acquire_timeout=wrong)
    with pytest.raises(ValueError, match="'timeout' must not be negative"):
        manager.wait_for_lock("k", timeout=wrong)
    with pytest.raises(TypeError, match="'hold_timeout' must be seconds"):
        manager.acquire_lock("k", "a", hold_timeout="1")


def test_a_lock_that_has_run_out_is_taken_by_another(manager):
    """results.md G3, RELIABILITY E3: the former holder can tell by its fencing token."""
    manager.acquire_lock("k", "a", hold_timeout=0.5)
    first = manager.fencing_token("k", "a")

    assert manager.acquire_lock("k", "b", acquire_timeout=5)

    assert manager.fencing_token("k", "a") is None
    assert not manager.is_lock_holder("k", "a")
    assert manager.fencing_token("k", "b") > first
    with pytest.raises(ValueError, match="No lock held by 'a'"):
        manager.release_lock("k", "a")
    assert manager.is_lock_holder("k", "b")


def test_a_lock_that_has_run_out_is_none(manager):
    """results.md G21"""
    manager.acquire_lock("k", "a", hold_timeout=0)

    assert not manager.is_locked("k")
    assert not manager.is_lock_holder("k", "a")
    assert manager.acquire_lock("k", "a", acquire_timeout=0)
    assert manager.is_lock_holder("k", "a")


def test_waiters_go_on_when_the_lock_is_released(manager):
    """results.md G2"""
    manager.acquire_lock("k", "a")
    got = []

    async def wait():
        got.append(await manager.aacquire_lock("k", "a", acquire_timeout=0))
        got.append(await manager.await_for_lock("k"))

    threads = [
        threading.Thread(target=lambda: got.append(manager.wait_for_lock("k"))),
        threading.Thread(target=lambda: asyncio.run(wait())),
    ]
    for thread in threads:
        thread.start()
    while not got:
        time.sleep(0.001)
    manager.release_lock("k", "a")
    for thread in threads:
        thread.join()

    assert got == [True, True, True]


def test_there_is_one_holder_at_a_time(manager):
    """results.md W-G1, RELIABILITY E2"""
    inside, overlaps, counter, tokens = set(), [], [0], []

    def work(name):
        for _ in range(40):
            assert manager.acquire_lock("k", name)
            inside.add(name)
            before = counter[0]
            if len(inside) > 1:
                overlaps.append(set(inside))
            tokens.append(manager.fencing_token("k", name))
            counter[0] = before + 1
            inside.remove(name)
            manager.release_lock("k", name)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (overlaps, counter) == ([], [240])
    assert tokens == sorted(set(tokens))


KEYS = st.text() | st.sampled_from(
    ["a.1", "a.2", "A", "a", "/x", "../x", "\0", "x" * 10_000, "é", "e\u0301", "CON", "\ud800", ""]
)


@settings(max_examples=50)
@given(keys=st.sets(KEYS, min_size=2, max_size=5))
def test_any_text_is_a_key_and_no_two_keys_share_a_lock(keys, tmp_path_factory):
    """results.md W-G3, W-G4, RELIABILITY E8, Z10"""
    folder = tmp_path_factory.mktemp("locks")
    for manager in (FileSystemLockManager(folder / "here"), MemoryLockManager()):
        for key in keys:
            assert manager.acquire_lock(key, "a", acquire_timeout=0)
        for key in keys:
            assert manager.is_lock_holder(key, "a")
            manager.release_lock(key, "a")
    assert [path.name for path in folder.iterdir()] == ["here"]
