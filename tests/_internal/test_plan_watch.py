"""Runs follow log levels and settings that change after the first run of their task."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import weakref

import pytest

from oxtask import Flow, task
from oxtask.logging import LogEavesdropper
from oxtask.settings import reload_settings, temporary_settings


@pytest.fixture
def heard():
    """Return what the run logger of tasks writes, whatever its level."""
    own, runs = logging.getLogger("oxtask"), logging.getLogger("oxtask.task_runs")
    before = own.level, runs.level
    with LogEavesdropper("oxtask.task_runs") as eavesdropper:
        yield eavesdropper
    own.setLevel(before[0])
    runs.setLevel(before[1])


def speaking():
    """Return a task that has run, and one that is bound to an object."""

    class Holder:
        @task
        def method(self):
            print("spoken")

    @task
    def function():
        print("spoken")

    method = Holder().method
    function()
    method()
    return function, method


def test_the_level_of_a_logger_can_change_after_the_first_run(heard):
    """12.2, LG-30: of the logger itself and of the one above it"""
    function, method = speaking()
    assert heard.text() == ""
    for name in ("oxtask", "oxtask.task_runs"):
        logging.getLogger(name).setLevel(logging.INFO)
        function()
        method()
        logging.getLogger(name).setLevel(logging.NOTSET if "." in name else logging.WARNING)
        function()
        method()
    assert heard.text().count("Finished in state Completed()") == 4


def test_the_level_of_the_settings_holds_while_its_block_lasts(heard):
    """LG-30"""
    logging.getLogger("oxtask").setLevel(logging.NOTSET)
    function, _ = speaking()
    with temporary_settings({"logging.level": "INFO"}):
        function()
        function()
    function()
    assert heard.text().count("Finished in state Completed()") == 2


def test_prints_are_logged_once_the_settings_say_so(lines):
    """LG-20"""
    function, method = speaking()
    assert "spoken" not in lines()
    with temporary_settings({"logging.log_prints": True}):
        function()
        method()
    assert lines().count("spoken") == 2
    function()
    assert lines().count("spoken") == 2


def test_prints_are_logged_once_the_environment_says_so(lines, monkeypatch):
    """LG-20"""
    function, _ = speaking()
    monkeypatch.setenv("OXTASK_LOGGING_LOG_PRINTS", "true")
    reload_settings()
    function()
    assert lines().count("spoken") == 1
    monkeypatch.undo()
    reload_settings()


def test_prints_are_logged_in_the_first_flow_that_wants_it():
    """LG-20: in a process in which no other has"""
    program = """
        import logging
        from oxtask import flow, task
        logging.getLogger("oxtask").setLevel("INFO")
        logging.getLogger("oxtask.task_runs").setLevel("WARNING")
        speak = task(lambda: print("spoken"))
        speak()
        logging.getLogger("oxtask.task_runs").setLevel("INFO")
        flow(speak.submit, log_prints=True)()
    """
    assert "spoken" in run(program).stderr


def test_a_level_counts_that_is_set_by_who_imports_logging_after_the_first_run():
    """LG-30"""
    program = """
        import sys
        from oxtask import task
        speak = task(lambda: None)
        speak()
        assert "logging" not in sys.modules
        import logging
        logging.getLogger("oxtask").setLevel("INFO")
        speak()
    """
    assert "Finished in state Completed()" in run(program).stderr


def run(program):
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_prints_of_a_flow_that_is_gone_are_not_expected():
    """3: runs are not slower than they need be, for the rest of the process"""
    program = """
        import gc
        from oxtask import flow, task
        from oxtask.settings import temporary_settings
        rich = lambda: (made := task(lambda: None))() or made._is_rich()
        assert not rich()
        main = flow(lambda: None, log_prints=True)
        assert rich()
        del main
        gc.collect()
        assert not rich()
        with temporary_settings({"logging.log_prints": True}):
            with temporary_settings({"logging.log_prints": False}):
                assert rich()
        assert not rich()
    """
    run(program)


def test_a_task_is_not_kept_because_its_plan_may_be_forgotten():
    """20, W27"""
    made = task(lambda: None)
    made()
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None


def test_a_flow_that_says_nothing_of_prints_changes_no_plan():
    """3: what is worked out once stays"""
    function, _ = speaking()
    plans = function._known_plans.copy()
    Flow(lambda: None)
    assert function._known_plans == plans
