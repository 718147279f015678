"""What tests of the command line share."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from oxtask.cli.root import root
from oxtask.testing.utilities import oxtask_test_harness


@pytest.fixture(autouse=True)
def empty_home():
    """Let each test begin with no files."""
    with oxtask_test_harness():
        yield


@pytest.fixture
def oxtask():
    """Return a function that carries out a command, and returns what it prints."""

    def run(*words, code=0, as_json=False, given=None):
        result = CliRunner().invoke(root, list(words), prog_name="oxtask", input=given)
        assert result.exit_code == code, result.output
        if result.exception is not None:
            assert isinstance(result.exception, SystemExit), result.exc_info
        return json.loads(result.output) if as_json else result.output

    return run
