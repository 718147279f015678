"""Every test has a home of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_home(home):
    return home
