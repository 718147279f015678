"""Fixtures of tests that read runs back."""

from __future__ import annotations

import pytest

from oxtask import get_client
from oxtask._internal import run_history


@pytest.fixture(autouse=True)
def history(monkeypatch):
    """Let each test begin without history."""
    monkeypatch.setattr(run_history, "_history", run_history._new_history())
    return run_history


@pytest.fixture
def client():
    """Return a sync client that is not open: plain runs that nobody looks at are not recorded."""
    return get_client(sync_client=True)


@pytest.fixture
def opened():
    """Return a sync client that is open: every run is recorded."""
    with get_client(sync_client=True) as client:
        yield client
