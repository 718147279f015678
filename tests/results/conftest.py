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
