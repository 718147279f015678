"""A direct call of a task in a flow, and what a flow itself costs."""

import logging

import pytest

from oxtask import flow


@pytest.mark.parametrize("peer", ["plain", "oxtask"])
def test_call(do, peer):
    do(peer, "call", 10_000)


class Kept(logging.Handler):
    """Keeps records, which is the least that a handler can do."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.mark.parametrize("level", ["WARNING", "INFO"])
def test_call_at_level(do, level):
    """The difference is what a call costs more whose line is read: not more than 15 us."""
    logger, kept = logging.getLogger("oxtask"), Kept()
    before = logger.level
    logger.addHandler(kept)  # the console is silent where a program shows the lines itself
    logger.setLevel(level)
    try:
        do("oxtask", "call", 10_000)
    finally:
        logger.setLevel(before)
        logger.removeHandler(kept)
    assert bool(kept.records) == (level == "INFO")


def test_empty_flow(benchmark):
    @flow
    def empty():
        return 1

    assert benchmark(empty) == 1
