"""Loggers and the console handler; the lines are of engine.md, section 12."""

from __future__ import annotations

import io
import logging
import sys
import threading
import uuid

import pytest
from fake_runs import FLOW_ID, TASK_ID, fake_runs, flow_context, task_context  # noqa: F401

from oxtask.exceptions import MissingContextError
from oxtask.logging import (
    LogEavesdropper,
    disable_logger,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    get_run_logger,
    handlers,
    messages,
    task_run_logger,
)
from oxtask.settings import temporary_settings

pytestmark = pytest.mark.usefixtures("fake_runs")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Logging as in a new process."""
    own = get_logger()
    monkeypatch.setattr(own, "handlers", [])
    monkeypatch.setattr(handlers, "_setup", handlers._Setup())
    level = own.level
    own.setLevel(logging.NOTSET)
    with temporary_settings(restore_defaults=["logging.level", "logging.colors", "debug_mode"]):
        yield
    own.setLevel(level)


@pytest.fixture
def alone(monkeypatch):
    """Return a function that takes pytest's own handlers, added after fixtures, off the root."""
    return lambda: monkeypatch.setattr(logging.getLogger(), "handlers", [])


@pytest.fixture
def info(caplog):
    caplog.set_level(logging.INFO, logger="oxtask")
    return caplog


def test_loggers_are_below_oxtask_and_the_same_each_time():
    """LG-01"""
    assert get_logger().name == get_logger("oxtask").name == "oxtask"
    assert get_logger("engine") is get_logger("oxtask.engine") is logging.getLogger("oxtask.engine")
    assert get_logger("oxtasked").name == "oxtask.oxtasked"


def test_get_run_logger_outside_runs_needs_a_run():
    """LG-02"""
    with pytest.raises(MissingContextError, match="There is no active flow or task run context"):
        get_run_logger()
    with pytest.raises(TypeError, match="not 'str'"):
        get_run_logger("flow")


def test_disabled_run_loggers_make_get_run_logger_work_anywhere(info):
    """LG-02"""
    with disable_run_logger():
        logger = get_run_logger()
        assert (logger.name, logger.disabled) == ("null", True)
        logger.error("lost")
        flow_run_logger(flow_run_id=FLOW_ID).error("lost")
    assert not info.records
    assert not get_logger("flow_runs").disabled
    assert not get_logger("task_runs").disabled


def test_overlapping_blocks_leave_no_logger_disabled():
    first, second = disable_logger("oxtask.x"), disable_logger("oxtask.x")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert get_logger("x").disabled
    second.__exit__(None, None, None)
    assert not get_logger("x").disabled


def test_records_of_a_task_run_carry_ids_and_names(info):
    """LG-03"""
    with flow_context(), task_context():
        get_run_logger(team="blue").info("hi", extra={"task_name": "mine"})
    record = info.records[0]
    assert record.name == "oxtask.task_runs"
    assert (record.task_run_id, record.task_run_name) == (str(TASK_ID), "load-0")
    assert (record.flow_run_id, record.flow_run_name) == (str(FLOW_ID), "red-fox")
    assert (record.flow_name, record.task_name, record.team) == ("etl", "mine", "blue")


def test_records_of_a_task_run_outside_flows_say_so(info):
    """LG-03"""
    with task_context(flow_run_id=None):
        get_run_logger(task="field").info("hi")
    record = info.records[0]
    assert (record.flow_run_id, record.task_name, record.task) == (None, "load", "field")
    assert record.flow_run_name == record.flow_name == "<unknown>"


def test_records_of_a_flow_run_carry_ids_and_names(info):
    """LG-03, LG-05"""
    with flow_context() as context:
        context.flow_run.name = "custom"
        get_run_logger().info("hi")
    record = info.records[0]
    assert record.name == "oxtask.flow_runs"
    assert (record.flow_run_id, record.flow_run_name) == (str(FLOW_ID), "custom")
    assert (record.flow_name, record.deployment_name) == ("etl", None)
    assert not hasattr(record, "task_run_id")


def test_a_flow_called_by_a_task_logs_as_the_flow():
    """LG-02 with CX-04"""
    with flow_context(), task_context() as outer_task:
        with flow_context(flow_run_id=uuid.UUID(int=9)):
            assert get_run_logger().logger.name == "oxtask.flow_runs"
            assert get_run_logger(outer_task).extra["flow_name"] == "<unknown>"
        assert get_run_logger().logger.name == "oxtask.task_runs"


def test_run_loggers_work_without_a_context(info):
    """LG-04"""
    with pytest.raises(ValueError, match="flow_run or flow_run_id"):
        flow_run_logger()
    assert flow_run_logger(flow_run_id=FLOW_ID).extra["flow_run_id"] == str(FLOW_ID)
    flow, task = flow_context(), task_context(flow_run_id=None)
    logger = task_run_logger(task.task_run, task.task, flow.flow_run, flow.flow, a=1)
    assert logger.extra["flow_run_id"] == str(FLOW_ID)
    assert (logger.extra["flow_name"], logger.extra["a"]) == ("etl", 1)
    logger.getChild("part", {"b": 2}).info("hi")
    record = info.records[0]
    assert (record.name, record.a, record.b) == ("oxtask.task_runs.part", 1, 2)


def test_the_wording_of_lines_about_runs():
    """LG-10, LG-12, LG-13, LG-15"""
    began = messages.flow_run_began
    assert began("x", "f") == "Beginning flow run 'x' for flow 'f'"
    assert began("x", "f", is_subflow=True) == "Beginning subflow run 'x' for flow 'f'"
    assert messages.retrying(1, 3, 2.5) == "Retry 1/3 will start 2.5 second(s) from now"
    assert messages.retrying(1, 3, 0) == "Retry 1/3 will start immediately"

    class Failed:
        def is_completed(self):
            return False

        def __str__(self):
            return "Failed('no')"

        def __repr__(self):
            return "Failed(message='no')"

    assert messages.finished(Failed()) == (logging.ERROR, "Finished in state Failed('no')")
    assert messages.finished(Failed(), debug_mode=True)[1].endswith("Failed(message='no')")


def test_console_lines_go_to_stderr_in_the_run_s_format(alone, capsys):
    """LG-30"""
    alone()
    get_logger("engine").warning("w %s", 1)
    with flow_context():
        get_run_logger().error("e")
        get_run_logger().info("not shown at the default level")
        with task_context():
            get_run_logger().critical("c")
    with pytest.warns(UserWarning, match="belongs to no run"):
        logging.getLogger("oxtask.flow_runs").warning("no names")
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line.split(" | ", 1) for line in err.splitlines()]
    assert [rest for _, rest in lines] == [
        "WARNING | oxtask.engine - w 1",
        "ERROR   | Flow run 'red-fox' - e",
        "CRITICAL | Task run 'load-0' - c",
        "WARNING | Flow run '<unknown>' - no names",
    ]
    assert all(len(time) == len("12:34:56.789") for time, _ in lines)


def test_the_console_is_silent_when_the_program_shows_records_itself(alone, capsys):
    """LG-30: no line twice, whenever the program configures logging; foreign loggers stay alone"""
    alone()
    root, own = logging.getLogger(), get_logger()
    stream = io.StringIO()
    theirs = logging.StreamHandler(stream)
    for logger in (root, own):
        logger.addHandler(theirs)
        get_logger("x").warning("theirs")
        logger.removeHandler(theirs)
    assert stream.getvalue() == "theirs\n" * 2
    assert capsys.readouterr().err == ""
    own.addHandler(logging.NullHandler())
    with LogEavesdropper("oxtask"):
        get_logger("x").warning("ours")
    assert capsys.readouterr().err.endswith("oxtask.x - ours\n")
    assert own.propagate
    assert root.handlers == []


def test_the_level_is_the_setting_s_unless_the_program_sets_one():
    """LG-30"""
    own = get_logger()
    assert own.level == logging.WARNING
    with temporary_settings({"logging.level": "INFO"}):
        assert get_logger("x").isEnabledFor(logging.INFO)
    assert not get_logger("x").isEnabledFor(logging.INFO)
    assert [type(each).__name__ for each in own.handlers] == ["ConsoleHandler", "HistoryHandler"]
    own.setLevel(logging.ERROR)
    with temporary_settings({"debug_mode": True}):
        assert get_logger().level == logging.ERROR
    own.handlers.clear()
    assert get_logger().handlers == []


def test_each_handler_is_added_once_by_many_threads():
    threads = [threading.Thread(target=get_logger) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(get_logger().handlers) == len({type(each) for each in get_logger().handlers})


def test_lines_are_coloured_on_a_terminal_only_if_wanted(alone, monkeypatch):
    """OXTASK_LOGGING_COLORS"""
    alone()

    def shown(**env):
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.setenv(name, env.get(name, ""))
        terminal = io.StringIO()
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", terminal)
        get_logger().warning("w")
        get_logger().setLevel(logging.INFO)
        get_logger().info("i")
        return terminal.getvalue()

    assert shown().startswith("\x1b[33m")
    assert shown().count("\x1b[0m\n") == 1
    assert "\x1b" not in shown(NO_COLOR="1")
    assert "\x1b" not in shown(TERM="dumb")
    with temporary_settings({"logging.colors": False}):
        assert "\x1b" not in shown()


def test_a_line_that_cannot_be_written_does_not_reach_user_code(alone, monkeypatch):
    alone()
    for stream in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        if stream is not None:
            stream.close()
        get_logger().error("lost")


def test_an_eavesdropper_hears_a_logger_and_leaves_it_as_it_was():
    """LG-35"""
    heard_logger = logging.getLogger("foreign.library")
    with LogEavesdropper("foreign", level=logging.INFO) as heard:
        heard_logger.info("one %d", 1)
        heard_logger.debug("too low")
        heard_logger.error("two")
    heard_logger.error("after")
    assert heard.text() == "one 1\ntwo"
    assert logging.getLogger("foreign").level == logging.NOTSET
    assert logging.getLogger("foreign").handlers == []
