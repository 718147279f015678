"""Every test has a home of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_home(home):
    return home


@pytest.fixture
def log():
    return []


@pytest.fixture
def hook(log):
    """Return a function that makes a hook which logs its name, and may raise."""

    def make(name, error=None):
        def hook(txn):
            log.append(name)
            if error is not None:
                raise error

        hook.__name__ = name
        return hook

    return make
