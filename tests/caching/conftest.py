"""Tasks whose results are kept in a home of the test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_home(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # storages may be relative folders
    return home


@pytest.fixture
def calls():
    return []
