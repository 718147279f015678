"""Programs of the kind that tutorials show, written for Prefect, run unchanged.

What each of them must print is what Prefect 3.8.8 made it print.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from page_server import serving

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"

NAMES = [
    "async_scraper",
    "cached_by_inputs",
    "etl_pages",
    "generators",
    "hooks",
    "map_and_reduce",
    "retries_with_backoff",
    "subflows",
    "tags_and_names",
    "transactions",
]
NEED_PAGES = {"async_scraper", "etl_pages"}


@pytest.fixture
def site():
    with serving() as url:
        yield url


@pytest.mark.parametrize("name", NAMES)
def test_a_program_prints_what_it_prints_under_prefect(name, site, tmp_path):
    """engine.md 20, tasks.md 38"""
    program = [str(PROGRAMS / f"{name}.py"), *([site] if name in NEED_PAGES else [])]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "oxtask.compat", *program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "OXTASK_HOME": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == (PROGRAMS / "expected" / f"{name}.txt").read_text()
