"""Fixtures that tests of all kinds share."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines oxtask has logged, of one level or from INFO on."""
    caplog.set_level(logging.INFO, logger="oxtask")

    def logged(level=None):
        own = [record for record in caplog.records if record.name.split(".")[0] == "oxtask"]
        return [record.getMessage() for record in own if level in {None, record.levelname}]

    return logged
