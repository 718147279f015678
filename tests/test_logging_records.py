"""The records of the lines of plain runs are those that `logging` makes."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest

from oxtask import task
from oxtask.logging.records import RecordMaker

CHANGING = {"created", "msecs", "relativeCreated"}
"""What differs between any two records."""


@task
def double(x):
    return 2 * x


@pytest.fixture
def record(caplog):
    """Return a function that calls a task and returns the record of its line."""
    caplog.set_level(logging.INFO, logger="oxtask")

    def record():
        caplog.clear()
        double(1)
        (found,) = (each for each in caplog.records if each.name == "oxtask.task_runs")
        return found

    return record


def test_a_record_has_the_fields_that_logging_gives_it():
    """LG-03, LG-12"""
    own = logging.getLogger("oxtask.task_runs")
    maker = RecordMaker(own, logging.INFO, "text", (__file__, "function"), {"extra": 1})
    maker.make(time.time_ns() - 10**9)
    before = time.time_ns()
    made = maker.make(before)
    usual = own.makeRecord(
        own.name, logging.INFO, __file__, 0, "text", (), None, "function", {"extra": 1}
    )
    assert type(made) is logging.LogRecord
    assert made.__dict__.keys() == usual.__dict__.keys()
    for name in made.__dict__.keys() - CHANGING:
        assert getattr(made, name) == getattr(usual, name), name
    assert made.created == before / 1e9
    assert made.msecs == int((made.created - int(made.created)) * 1000)
    passed = (usual.created - made.created) * 1000
    assert usual.relativeCreated - made.relativeCreated == pytest.approx(passed, abs=0.1)


def test_records_do_not_share_what_handlers_add_to_them(record):
    """LG-03"""
    first = record()
    first.mark = 1
    first.task_name = "another"
    second = record()
    assert not hasattr(second, "mark")
    assert second.task_name == "double"
    assert second.task_run_id != first.task_run_id


def test_a_factory_for_records_makes_those_of_runs_too(record):
    """LG-03"""

    class Own(logging.LogRecord):
        pass

    assert type(record()) is logging.LogRecord
    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Own)
    try:
        made = record()
    finally:
        logging.setLogRecordFactory(usual)
    assert type(made) is Own
    assert made.task_name == "double"
    assert type(record()) is logging.LogRecord


def test_names_that_change_are_those_of_the_moment(record):
    """LG-03"""
    record()
    thread = threading.current_thread()
    name = thread.name
    thread.name = "renamed"
    logging.addLevelName(logging.INFO, "NEWS")
    try:
        made = record()
    finally:
        thread.name = name
        logging.addLevelName(logging.INFO, "INFO")
    assert (made.threadName, made.levelname) == ("renamed", "NEWS")


def test_a_forked_process_logs_its_own_id(record):
    """LG-03"""
    assert record().process == os.getpid()
    child = os.fork()
    if not child:
        os._exit(int(record().process != os.getpid()))
    assert os.waitpid(child, 0)[1] == 0
