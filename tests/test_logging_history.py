"""Lines that runs log, as a client reads them back."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

from oxtask import flow, get_client, task
from oxtask._internal import run_history
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import MissingContextError
from oxtask.logging import flow_run_logger, get_logger, get_run_logger
from oxtask.logging.history import CUT_OFF
from oxtask.settings import temporary_settings

LIMIT = "logging.to_api.max_log_size"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(run_history, "_history", run_history._new_history())


def kept():
    return [line.message for line in get_client(sync_client=True).read_logs()]


def lines():
    return [
        (line.message, line.flow_run_id, line.task_run_id)
        for line in get_client(sync_client=True).read_logs()
    ]


def test_lines_have_the_ids_of_their_run():
    """LG-33"""

    @task
    def child():
        get_run_logger().warning("in a task")
        return TaskRunContext.get().task_run.id

    @flow
    def main():
        get_run_logger().warning("in a flow")
        return FlowRunContext.get().flow_run.id, child()

    flow_run_id, task_run_id = main()
    assert lines() == [
        ("in a flow", flow_run_id, None),
        ("in a task", flow_run_id, task_run_id),
    ]
    alone = child()
    assert lines()[-1] == ("in a task", None, alone)


@pytest.mark.parametrize("name", ["flow_runs", "task_runs", "flow_runs.mine"])
def test_lines_of_run_loggers_belong_to_the_run_that_they_are_logged_in(name):
    """LG-33"""

    @flow
    def main():
        get_logger(name).warning("by hand")
        return FlowRunContext.get().flow_run.id

    flow_run_id = main()
    assert lines() == [("by hand", flow_run_id, None)]

    @task
    def child():
        get_logger(name).warning("by hand")
        return TaskRunContext.get().task_run.id

    task_run_id = child()
    assert lines()[1:] == [("by hand", None, task_run_id)]


def test_other_lines_are_not_kept():
    """LG-33: neither of oxtask, nor of the program"""

    @flow
    def main():
        get_logger("mine").warning("of nobody")
        get_logger("flow_runs_of_mine").warning("of nobody")
        logging.getLogger("mine").warning("of nobody")

    main()
    assert kept() == []


def test_a_line_outside_of_a_run_is_told_of():
    """LG-33: where the program logs it"""
    with pytest.warns(UserWarning, match=r"'oxtask.flow_runs' belongs to no run") as caught:
        get_logger("flow_runs").warning("of nobody")
    assert "OXTASK_LOGGING_TO_API_WHEN_MISSING_FLOW=ignore" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert kept() == []


def test_a_line_outside_of_a_run_can_be_ignored_or_an_error():
    """LG-33"""
    with temporary_settings({"logging.to_api.when_missing_flow": "ignore"}):
        get_logger("flow_runs").warning("of nobody")
    with (
        temporary_settings({"logging.to_api.when_missing_flow": "error"}),
        pytest.raises(MissingContextError, match="belongs to no run"),
    ):
        get_logger("task_runs").warning("of nobody")
    with pytest.raises(ValueError, match="OXTASK_LOGGING_TO_API_WHEN_MISSING_FLOW"):
        temporary_settings({"logging.to_api.when_missing_flow": "shout"}).__enter__()


def test_a_line_with_an_id_needs_no_run_around_it():
    """LG-33, LG-04"""
    flow_run_id = flow(lambda: FlowRunContext.get().flow_run.id)()
    flow_run_logger(flow_run_id=flow_run_id).warning("later")
    assert lines() == [("later", flow_run_id, None)]


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("a" * 40, 40, "a" * 40),
        ("a" * 41, 40, "a" * 25 + CUT_OFF),
        ("\u20ac" * 14, 40, "\u20ac" * 8 + CUT_OFF),
        ("\ud800" * 14, 40, CUT_OFF),
        ("a" * 41, 0, CUT_OFF),
    ],
)
def test_a_line_that_is_too_long_is_cut_off(text, size, expected):
    """LG-33: measured in bytes, never in the middle of a character"""
    with temporary_settings({LIMIT: size}):
        flow(lambda: get_run_logger().warning(text))()
    assert kept() == [expected]


def test_a_million_bytes_are_kept():
    """LG-33"""
    flow(lambda: get_run_logger().warning("a" * 1_000_000))()
    flow(lambda: get_run_logger().warning("a" * 10_000_000))()
    whole, cut = kept()
    assert whole == "a" * 1_000_000
    assert len(cut) == 1_000_000
    assert cut.endswith("a... [truncated]")


def test_no_line_is_kept_where_that_is_switched_off():
    """LG-33: all, or a single one (LG-06)"""

    @flow
    def main():
        get_run_logger().warning("kept")
        get_run_logger().warning("not kept", extra={"send_to_api": False})
        with temporary_settings({"logging.to_api.enabled": False}):
            get_run_logger().warning("not kept")

    main()
    assert kept() == ["kept"]


def test_a_line_that_cannot_be_made_fails_no_run(capsys, monkeypatch):
    """LG-33"""
    monkeypatch.setattr(logging.getLogger("oxtask"), "propagate", False)  # pytest would raise it

    class Rude:
        def __str__(self):
            raise ValueError("no")

    @flow
    def main():
        get_run_logger().warning("%s", Rude())
        get_run_logger().warning("%d", "no number")
        get_run_logger().warning("after")

    main()
    assert kept() == ["after"]
    assert "Logging error" in capsys.readouterr().err


def test_lines_are_there_at_once():
    """LG-34: before the run has ended, from any thread"""

    @flow
    def main():
        seen = []
        for place in range(100):
            get_run_logger().warning("line %d", place)
            seen.append(kept()[-1])
        thread = threading.Thread(target=lambda: seen.append(len(kept())))
        thread.start()
        thread.join()
        return seen

    assert main() == [*(f"line {place}" for place in range(100)), 100]


def test_the_newest_lines_are_kept():
    """LG-34: memory does not grow with the number of lines"""
    with temporary_settings({"history.max_log_lines": 3}):
        flow(lambda: [get_run_logger().warning(str(place)) for place in range(10)] and None)()
        assert kept() == ["7", "8", "9"]


def test_lines_at_the_exit_of_the_interpreter_do_no_harm():
    """LG-33: nothing hangs, nothing is raised"""
    program = """
import atexit
from oxtask import flow
from oxtask.logging import flow_run_logger, get_run_logger

@flow
def main():
    get_run_logger().warning("in the run")
    return flow_run_logger(flow_run_id="00000000-0000-0000-0000-000000000001")

logger = main()
atexit.register(logger.warning, "at exit")
class Late:
    def __del__(self): logger.warning("very late")
late = Late()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert [line.split(" - ")[1] for line in done.stderr.splitlines()] == [
        "in the run",
        "at exit",
        "very late",
    ]
