"""What a run raised is kept with the frames of the user's code, not those of the engine."""

from __future__ import annotations

import traceback

import pytest
from ways import WAYS, run

from oxtask import flow, task

RICH = [
    {},
    {"retries": 1},
    {"timeout_seconds": 30},
    {"task_run_name": "named"},
    {"retry_condition_fn": lambda *args: False, "retries": 1},
]


def failing(attempt=1):
    return inner()


async def afailing():
    return inner()


def inner():
    raise LookupError("no")


def frames(error):
    return [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("options", RICH)
@pytest.mark.parametrize("function", [failing, afailing])
def test_an_error_that_a_run_keeps_begins_in_the_function(function, options):
    """EX-05, LG-16"""

    @flow
    def main():
        future = task(function, **options).submit()
        future.wait()
        return frames(future.result(raise_on_failure=False))

    assert [name for _, name in main()] == [function.__name__, "inner"]


@pytest.mark.parametrize("options", RICH)
@pytest.mark.parametrize("way", WAYS)
def test_an_error_is_raised_as_it_was(way, options):
    """EX-05: the very object, and its frames end where it was raised"""
    ran = run(way, failing, **options)
    assert ran.error is ran.state.data
    assert [name for _, name in frames(ran.error)][-2:] == ["failing", "inner"]


def test_an_error_of_the_engine_alone_keeps_its_frames():
    """EX-05: there is nothing else to show"""
    ran = run("submit", lambda attempt: None, task_run_name=lambda: 1, hooks=False)
    assert isinstance(ran.error, TypeError)
    assert frames(ran.error)
