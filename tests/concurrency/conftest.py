"""A watchdog for tests in which threads could block each other for ever."""

from __future__ import annotations

import faulthandler
import os
import random

import pytest

LIMIT_SECONDS = 50
SOAK_LIMIT_SECONDS = 1_800


def pytest_collection_modifyitems(items):
    """Give soak tests the time that they need."""
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.timeout(SOAK_LIMIT_SECONDS))


@pytest.fixture(scope="session")
def terminal(request):
    """Return a file descriptor of the real standard error, past the capturing of output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        duplicate = os.dup(2)
    yield duplicate
    os.close(duplicate)


@pytest.fixture(autouse=True)
def watchdog(terminal, request):
    """End the process with the stacks of all threads if a test hangs.

    The interpreter lock may be part of the deadlock, so the timer must not need it: this one is a
    thread of the C library.
    """
    limit = SOAK_LIMIT_SECONDS if request.node.get_closest_marker("soak") else LIMIT_SECONDS
    faulthandler.dump_traceback_later(limit, exit=True, file=terminal)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def seed():
    """Return a seed, printed with a failure; set ``OXTASK_TEST_SEED`` to use it again."""
    chosen = int(os.environ.get("OXTASK_TEST_SEED", random.randrange(1 << 32)))
    print(f"OXTASK_TEST_SEED={chosen}")
    return chosen


@pytest.fixture
def ledger(tmp_path):
    """Return a function that appends a line to a file, and one that reads all lines."""
    path = tmp_path / "ledger"
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    yield (lambda line: os.write(file, f"{line}\n".encode())), lambda: path.read_text().split()
    os.close(file)
