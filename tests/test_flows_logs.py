"""What is logged of flow runs; the lines are of engine.md, sections 12 and 17."""

from __future__ import annotations

import builtins
import logging
import subprocess
import sys
import textwrap

import pytest
from flow_ways import WAYS, call, made

from oxtask import flow, get_run_logger, task
from oxtask.context import FlowRunContext
from oxtask.logging import print_as_log
from oxtask.settings import temporary_settings
from oxtask.states import Cancelled, Failed


@pytest.fixture
def records(caplog):
    """Return a function that returns the records of flow runs, as level and text."""
    caplog.set_level(logging.DEBUG, logger="oxtask")

    def logged():
        return [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if record.name == "oxtask.flow_runs"
        ]

    return logged


def failing(attempt):
    raise ValueError("no luck")


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_completes(records, way):
    """LG-10, LG-11, LG-12"""
    call(made(way, lambda attempt: 1, flow_run_name="mine"))
    assert records() == [
        ("INFO", "Beginning flow run 'mine' for flow 'main'"),
        ("DEBUG", "Executing flow 'main' as flow run 'mine'"),
        ("INFO", "Finished in state Completed()"),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_fails(records, caplog, way):
    """LG-12, LG-13, W32"""
    with pytest.raises(ValueError, match="no luck"):
        call(made(way, failing))
    assert records()[2:] == [
        ("ERROR", "Encountered exception during execution: ValueError('no luck')"),
        (
            "ERROR",
            "Finished in state Failed('Flow run encountered an exception: ValueError: no luck')",
        ),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_the_traceback_that_is_logged_begins_in_the_function(caplog, way):
    """LG-13, LG-16, EX-05"""
    error = None
    try:
        call(made(way, failing))
    except ValueError as raised:
        error = raised
    record = next(record for record in caplog.records if record.exc_info)
    assert record.exc_info[1] is error
    assert "_internal" not in record.exc_text
    assert record.exc_text.splitlines()[-1] == "ValueError: no luck"
    assert ", in failing" in record.exc_text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", [Failed, Cancelled])
def test_a_run_that_returns_a_bad_state(records, way, state):
    """LG-12, W32"""
    call(made(way, lambda attempt: state(message="on purpose")), return_state=True)
    assert records()[-1] == ("ERROR", f"Finished in state {state(message='on purpose')}")


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_is_tried_again(records, way):
    """LG-10, LG-13"""
    body = lambda attempt: failing(attempt) if attempt == 1 else 1  # noqa: E731
    call(made(way, body, retries=2, retry_delay_seconds=0.01, flow_run_name="mine"))
    infos = [text for level, text in records() if level == "INFO"]
    assert infos == [
        "Beginning flow run 'mine' for flow 'main'",
        "Flow run ended in state 'Failed' - Retry 1/2 will start 0.01 second(s) from now",
        "Beginning flow run 'mine' for flow 'main'",
        "Finished in state Completed()",
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_crashes(records, caplog, way):
    """LG-14"""

    def crash(attempt):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        call(made(way, crash))
    message = "Execution was aborted by Python system exit call."
    assert records()[-3:] == [
        ("ERROR", f"Crash detected! {message}"),
        ("DEBUG", "Crash details:"),
        ("ERROR", f"Finished in state Crashed('{message}')"),
    ]
    details = next(r for r in caplog.records if r.getMessage() == "Crash details:")
    assert isinstance(details.exc_info[1], SystemExit)


def test_a_subflow_says_that_it_is_one(records):
    """LG-10"""

    @flow(flow_run_name="inner")
    def child():
        pass

    @flow(flow_run_name="outer")
    def parent():
        child()

    parent()
    begun = [text for _, text in records() if text.startswith("Beginning")]
    assert begun == [
        "Beginning flow run 'outer' for flow 'parent'",
        "Beginning subflow run 'inner' for flow 'child'",
    ]


def test_in_debug_mode_the_whole_state_is_shown(records):
    """LG-15"""
    with temporary_settings({"debug_mode": True}):
        flow(lambda: 3)()
    assert records()[-1] == (
        "INFO",
        "Finished in state Completed(message=None, type=COMPLETED, result=ResultRecord(result=3))",
    )


def test_a_hook_that_raises_after_the_end_is_noted(records):
    """FL-82, FL-86"""

    class Torn(BaseException):
        pass

    def hook(flow, flow_run, state):
        raise Torn

    flow(on_completion=[hook])(lambda: 3)()
    assert ("DEBUG", "A hook raised after the run had ended: Torn") in records()


@pytest.mark.parametrize("way", WAYS)
def test_lines_of_the_function_carry_the_names_of_the_run(caplog, way):
    """LG-02, LG-03, LG-05"""
    caplog.set_level(logging.INFO, logger="oxtask")
    seen = []

    def body(attempt):
        get_run_logger().info("mine")
        seen.append(str(FlowRunContext.get().flow_run.id))

    call(made(way, body, flow_run_name="custom"))
    record = next(record for record in caplog.records if record.getMessage() == "mine")
    assert (record.flow_run_id, record.flow_run_name) == (seen[0], "custom")
    assert record.flow_name == "main"


# --- prints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_prints_become_lines(records, capsys, way):
    """LG-20, LG-21, LG-22"""
    original = builtins.print

    def body(attempt):
        assert builtins.print is print_as_log
        print("hello", "world")

    call(made(way, body, log_prints=True))
    assert builtins.print is original
    assert ("INFO", "hello world") in records()
    assert "hello world" not in capsys.readouterr().out


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [None, False])
def test_prints_of_flows_that_do_not_say_are_prints(capsys, way, said):
    """LG-20"""
    call(made(way, lambda attempt: print("hello"), log_prints=said))
    assert "hello" in capsys.readouterr().out


@pytest.mark.parametrize("way", WAYS)
def test_prints_follow_the_setting(records, way):
    """LG-20"""
    with temporary_settings({"logging.log_prints": True}):
        call(made(way, lambda attempt: print("hello")))
    assert ("INFO", "hello") in records()


def test_tasks_log_their_prints_if_their_flow_does(caplog):
    """LG-20"""
    caplog.set_level(logging.INFO, logger="oxtask")

    @task
    def says(word):
        print(word)

    @task(log_prints=False)
    def keeps(word):
        print(word)

    @flow(log_prints=True)
    def main():
        says("called")
        says.submit("submitted").result()
        keeps("kept")

    main()
    said = {r.getMessage() for r in caplog.records if r.name == "oxtask.task_runs"}
    assert {"called", "submitted"} <= said
    assert "kept" not in said


def test_a_quiet_run_loads_nothing_to_log_with():
    """LG-10: by default nothing below a warning is written, so nothing is formatted"""
    code = """
        import sys
        from oxtask import flow, task

        @task
        def one(x=1):
            return x

        @flow
        def main():
            return sum([one(), one.submit().result(), *one.map([1, 2]).result()])

        assert main() == 5
        assert not {"asyncio", "logging", "pydantic", "rich"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
