"""Locks between machines, with a stand-in for the server."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType

import pytest

from oxtask.exceptions import ConfigurationError
from oxtask.locking import LockManager, redis

SERVER = {}


class FakeRedis:
    """As much of a Redis client as the manager uses."""

    def __init__(self, **settings):
        self.settings = settings

    def set(self, name, value, nx, px):
        if name in SERVER:
            return None
        SERVER[name] = value.encode()
        return True

    def get(self, name):
        return SERVER.get(name)

    def exists(self, name):
        return int(name in SERVER)

    def incr(self, name):
        SERVER[name] = SERVER.get(name, 0) + 1
        return SERVER[name]

    def eval(self, script, keys, name, holder, *more):
        current = SERVER.get(name)
        if script == redis._RENEW:
            return int(current == holder.encode())
        if current is not None and current != holder.encode():
            return 0
        SERVER.pop(name, None)
        return 1


@pytest.fixture
def manager(monkeypatch):
    module = ModuleType("redis")
    module.Redis = FakeRedis
    monkeypatch.setitem(sys.modules, "redis", module)
    monkeypatch.setattr(redis, "LEASE_SECONDS", 0.03)
    SERVER.clear()
    return redis.RedisLockManager(host="there", password="secret")


def test_the_lock_of_a_key_is_a_key_in_redis(manager):
    """results.md G30"""
    assert isinstance(manager, LockManager)
    assert manager.acquire_lock("k", "a")
    assert SERVER["lock:k"] == b"a"
    assert manager.acquire_lock("k", "a")
    assert not manager.acquire_lock("k", "b", acquire_timeout=0)
    assert (manager.is_lock_holder("k", "a"), manager.is_lock_holder("k", "b")) == (True, False)
    assert manager.fencing_token("k", "a") == 1


def test_a_lock_that_is_gone_is_released_already(manager):
    """results.md G31"""
    manager.acquire_lock("k", "a")
    with pytest.raises(ValueError, match="No lock held by 'b'"):
        manager.release_lock("k", "b")
    manager.release_lock("k", "a")
    manager.release_lock("k", "a")
    assert manager.wait_for_lock("k", timeout=0)


def test_a_lease_is_renewed_while_it_is_held(manager):
    """results.md W-G9"""
    manager.acquire_lock("k", "a")
    renewer = manager._renewer
    manager.release_lock("k", "a")
    renewer.join()
    assert manager._renewer is None


def test_a_pickle_holds_the_settings_of_the_connection(manager):
    """results.md G30"""
    manager.acquire_lock("k", "a", hold_timeout=1)

    copied = pickle.loads(pickle.dumps(manager))

    assert copied._client.settings == manager._client.settings
    assert copied.is_lock_holder("k", "a")


def test_without_the_package_there_is_a_hint(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match="pip install redis"):
        redis.RedisLockManager()
