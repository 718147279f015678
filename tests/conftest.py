"""Fixtures that tests of all kinds share."""

from __future__ import annotations

import atexit
import logging
import os
import tempfile

import hypothesis
import pytest

# The machine may be busy: what takes too long is up to the timeout of each test.
hypothesis.settings.register_profile("oxtask", deadline=None)
hypothesis.settings.load_profile("oxtask")

# Nothing that tests store may be in the home of whoever runs them, nor come from there.
_HOME = tempfile.TemporaryDirectory(prefix="oxtask-tests-")
os.environ["OXTASK_HOME"] = _HOME.name
atexit.register(_HOME.cleanup)

from oxtask.settings import temporary_settings  # noqa: E402 - it reads the environment


@pytest.fixture
def home(tmp_path):
    """Let a test have a home of its own."""
    with temporary_settings({"home": tmp_path / "home"}):
        yield tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def store(folder):
    """Return a store in `folder` that keeps nothing in memory."""
    from oxtask.results import ResultStore

    return ResultStore(folder, cache_result_in_memory=False)


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines oxtask has logged, of one level or from INFO on."""
    caplog.set_level(logging.INFO, logger="oxtask")

    def logged(level=None):
        own = [record for record in caplog.records if record.name.split(".")[0] == "oxtask"]
        return [record.getMessage() for record in own if level in {None, record.levelname}]

    return logged


@pytest.fixture
def no_limits():
    """Remove the concurrency limits that a test makes."""
    from limit_tools import client

    def remove_all():
        for limit in client.read_global_concurrency_limits(limit=1000):
            client.delete_global_concurrency_limit_by_name(limit.name)

    remove_all()
    yield
    remove_all()
