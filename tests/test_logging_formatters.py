"""Formatters; the lines are of engine.md, section 12."""

from __future__ import annotations

import builtins
import json
import logging
import sys
import uuid

import pytest

import oxtask.logging
from oxtask.logging import JsonFormatter, OxtaskFormatter
from oxtask.logging.formatters import format_exception
from oxtask.settings import temporary_settings

ENGINE_FILE = oxtask.logging.__file__
FLOW_ID = uuid.UUID(int=1)


def engine_function(source):
    """Compile a function that counts as part of oxtask."""
    names: dict = {}
    exec(compile(source, ENGINE_FILE, "exec"), names)
    return names["engine"]


def raised_through_engine():
    call = engine_function("def engine(function):\n    function()")

    def user_divides():
        1 / 0

    def user():
        try:
            call(user_divides)
        except ZeroDivisionError as error:
            raise ValueError("bad") from error

    try:
        call(lambda: call(user))
    except ValueError as error:
        return error


def record_of(error):
    return logging.makeLogRecord({"exc_info": (type(error), error, error.__traceback__)})


@pytest.mark.parametrize("debug", [False, True])
def test_tracebacks_show_user_frames_only(debug):
    """LG-16"""
    with temporary_settings({"debug_mode": debug}):
        text = OxtaskFormatter().format(record_of(raised_through_engine()))
    assert (ENGINE_FILE in text) is debug
    assert "in user_divides" in text  # the cause
    assert "in user\n" in text
    assert text.index("ZeroDivisionError") < text.index("ValueError: bad")
    assert text.endswith("ValueError: bad")


def test_tracebacks_in_an_exception_group_show_user_frames_only():
    """LG-16"""
    group = getattr(builtins, "ExceptionGroup", None)
    if group is None:  # Python 3.10 has none
        return
    text = format_exception(group("several", [raised_through_engine()]))
    assert "in user_divides" in text
    assert ENGINE_FILE not in text


def test_a_traceback_without_user_frames_is_whole_and_others_formatters_are_not_affected():
    """LG-16"""
    try:
        engine_function("def engine():\n    raise ValueError")()
    except ValueError as caught:
        record = record_of(caught.with_traceback(caught.__traceback__.tb_next))
    assert ENGINE_FILE in OxtaskFormatter().format(record)
    assert record.exc_text is None
    sent = logging.makeLogRecord({"msg": "m", "exc_text": "remote traceback"})
    assert OxtaskFormatter().format(sent) == "m\nremote traceback"


@pytest.mark.parametrize(
    ("style", "fmt", "flow", "task"),
    [
        ("%", "%(message)s", "F %(flow_run_name)s", "T %(task_name)s %(team)s"),
        ("{", "{message}", "F {flow_run_name}", "T {task_name} {team}"),
        ("$", "$message", "F $flow_run_name", "T $task_name $team"),
    ],
)
def test_a_formatter_picks_the_format_by_the_record_s_logger(style, fmt, flow, task):
    """LG-31"""
    formatter = OxtaskFormatter(
        fmt, style=style, defaults={"team": "blue"}, flow_run_fmt=flow, task_run_fmt=task
    )
    for name, line in (
        ("oxtask.flow_runs", "F <unknown>"),
        ("oxtask.task_runs.child", "T <unknown> blue"),
        ("oxtask.flow_runs_x", "m"),
        ("other.flow_runs", "m"),
    ):
        assert formatter.format(logging.makeLogRecord({"name": name, "msg": "m"})) == line
    with pytest.raises(ValueError):
        OxtaskFormatter(fmt, style=style, flow_run_fmt="no field")


def test_json_lines_hold_all_fields_and_survive_any_value():
    """LG-31"""
    cycle: list = []
    cycle.append(cycle)
    fields = {"id": FLOW_ID, "what": object(), "cycle": cycle, "keys": {(1, 2): 3}}
    record = logging.makeLogRecord({"msg": "a %s", "args": ("b",), "levelname": "ERROR", **fields})
    try:
        1 / 0
    except ZeroDivisionError:
        record.exc_info = sys.exc_info()
    line = JsonFormatter("default").format(record)
    assert "\n" not in line
    loaded = json.loads(line)
    assert (loaded["message"], loaded["severity"], loaded["id"]) == ("a b", "ERROR", str(FLOW_ID))
    assert loaded["what"] == "<not serializable: object>"
    assert loaded["cycle"] == "<not serializable: list>"
    assert loaded["keys"] == "<not serializable: dict>"
    assert loaded["exc_info"]["type"] == "ZeroDivisionError"
    assert loaded["exc_info"]["message"] == "division by zero"
    assert "Traceback" in loaded["exc_info"]["traceback"]
    assert json.loads(JsonFormatter("pretty").format(record)) == loaded
    assert "\n  " in JsonFormatter("pretty").format(record)
    with pytest.raises(ValueError, match="'default' or 'pretty'"):
        JsonFormatter("yaml")
