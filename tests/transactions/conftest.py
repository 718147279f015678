"""Stores in a folder of the test, with a home of their own."""

from __future__ import annotations

import pytest

from oxtask.results import ResultStore
from oxtask.settings import temporary_settings


@pytest.fixture(autouse=True)
def home(tmp_path):
    with temporary_settings({"home": tmp_path / "home"}):
        yield tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def store(folder):
    return ResultStore(folder, cache_result_in_memory=False)


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
