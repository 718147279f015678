"""Tasks whose results are kept in a home of the test."""

from __future__ import annotations

import pytest

from oxtask.settings import temporary_settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # storages may be relative folders
    with temporary_settings({"home": tmp_path / "home"}):
        yield tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def calls():
    return []
