"""Limits for tests, and a way to know who waits for them."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

from oxtask.client._limits import ConcurrencyLimitClient
from oxtask.client.schemas.actions import GlobalConcurrencyLimitCreate

PATIENCE = 10

client = ConcurrencyLimitClient()


def make(name, limit=1, **fields):
    """Make a limit."""
    client.create_global_concurrency_limit(
        GlobalConcurrencyLimitCreate(name=name, limit=limit, **fields)
    )


def taken(name):
    """Return how many slots of a limit are taken."""
    return client.read_global_concurrency_limit_by_name(name).active_slots


def waited_for(name):
    """Return how many slots of a limit are waited for."""
    return client.read_global_concurrency_limit_by_name(name).denied_slots


def until(condition):
    """Wait for what another thread is about to do; fail if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def refused(error, function, *args):
    """Call a function that must raise."""
    with pytest.raises(error):
        function(*args)


@contextmanager
def thread(function, *args):
    """Run a function on a thread that has ended when the block is left."""
    errors = []

    def run():
        try:
            function(*args)
        except BaseException as error:
            errors.append(error)

    started = threading.Thread(target=run, daemon=True)
    started.start()
    yield started
    started.join(PATIENCE)
    assert not started.is_alive()
    if errors:
        raise errors[0]
