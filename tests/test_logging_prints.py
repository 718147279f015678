"""The capture of ``print``; the lines are of engine.md, section 12."""

from __future__ import annotations

import builtins
import contextvars
import io
import logging
import sys
import threading
import types

import pytest
from fake_runs import fake_runs, flow_context, task_context  # noqa: F401

from oxtask.logging import disable_run_logger, get_logger, patch_print, print_as_log, prints
from oxtask.settings import temporary_settings

ORIGINAL = builtins.print

pytestmark = pytest.mark.usefixtures("fake_runs")


@pytest.fixture(autouse=True)
def original_print_afterwards():
    yield
    assert builtins.print is ORIGINAL
    assert prints._patch.scopes == 0


@pytest.fixture
def info(caplog):
    caplog.set_level(logging.INFO, logger="oxtask")
    return caplog


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("inherited", [True, False])
def test_who_says_nothing_inherits_from_the_flow_run_and_then_from_the_setting(said, inherited):
    """LG-20"""
    silent, explicit = (
        types.SimpleNamespace(log_prints=None),
        types.SimpleNamespace(log_prints=said),
    )
    with temporary_settings({"logging.log_prints": inherited}):
        assert prints.should_log_prints(silent) is inherited
        assert prints.should_log_prints(explicit) is said
        with flow_context(log_prints=not inherited):
            assert prints.should_log_prints(silent) is not inherited
            assert prints.should_log_prints(explicit) is said


def test_print_is_replaced_in_a_scope_and_restored_after_it():
    """LG-21"""
    with patch_print():
        assert builtins.print is print_as_log
        with pytest.raises(KeyError), patch_print():
            raise KeyError
        assert builtins.print is print_as_log
    assert builtins.print is ORIGINAL


def test_a_print_is_one_info_record_that_names_its_caller(info, capsys):
    """LG-22"""
    with flow_context(log_prints=True), patch_print():
        print("a", 1, sep="-")
        print("50%s", end="!\n\n")
        print("err", file=sys.stderr)
        print()
        with task_context(log_prints=True):
            print("in the task", file=sys.stdout)
    assert [record.getMessage() for record in info.records] == [
        *("a-1", "50%s!", "err", "", "in the task")
    ]
    assert {record.levelno for record in info.records} == {logging.INFO}
    assert {record.filename for record in info.records} == {"test_logging_prints.py"}
    assert {record.funcName for record in info.records} == {
        "test_a_print_is_one_info_record_that_names_its_caller"
    }
    assert [record.name for record in info.records][3:] == ["oxtask.flow_runs", "oxtask.task_runs"]
    assert info.records[-1].task_run_name == "load-0"
    assert capsys.readouterr() == ("", "")


def test_prints_that_no_run_wants_are_printed(info, capsys):
    """LG-22"""
    file = io.StringIO()
    with patch_print():
        print("no run")
        with flow_context(log_prints=False):
            print("not wanted")
        with flow_context(log_prints=True):
            print("other file", file=file)
            with task_context(log_prints=False):
                print("not wanted by the task")
    print_as_log("no scope", end=".\n")
    assert not info.records
    assert file.getvalue() == "other file\n"
    assert capsys.readouterr().out.splitlines() == [
        *("no run", "not wanted", "not wanted by the task", "no scope.")
    ]


def test_a_print_that_the_level_would_drop_is_printed(caplog, capsys):
    """LG-22: nothing is lost at the default level"""
    with flow_context(log_prints=True), patch_print():
        with caplog.at_level(logging.WARNING, logger="oxtask"):
            print("level")
        with caplog.at_level(logging.INFO, logger="oxtask"), disable_run_logger():
            print("disabled")
    assert not caplog.records
    assert capsys.readouterr().out == "level\ndisabled\n"


def test_bad_arguments_fail_as_in_print(info):
    with flow_context(log_prints=True), patch_print():
        with pytest.raises(TypeError):
            print("a", sep=3)
        with pytest.raises(TypeError):
            print("a", nonsense=1)
        print("still works")
    assert info.messages == ["still works"]


def test_overlapping_scopes_of_many_threads_restore_print_and_keep_lines_apart(info):
    """LG-23, W33, and line 9 of section 20"""
    threads_count, lines = 50, 20
    barrier = threading.Barrier(threads_count)

    def run(index):
        with task_context(log_prints=True, flow_run_id=None, name=f"run-{index}"):
            barrier.wait(30)
            for line in range(lines):
                with patch_print():
                    print(index, line)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(threads_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builtins.print is ORIGINAL
    assert len(info.records) == threads_count * lines
    assert all(r.task_run_name == f"run-{r.getMessage().split()[0]}" for r in info.records)


def test_scopes_may_end_in_another_order_than_they_began():
    """LG-23, W33"""
    first, second = patch_print(), patch_print()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert builtins.print is print_as_log
    second.__exit__(None, None, None)
    assert builtins.print is ORIGINAL


def test_a_handler_that_prints_does_not_recurse(info, capsys):
    class Printing(logging.Handler):
        def emit(self, record):
            print("handled", record.getMessage())

    handler = Printing()
    get_logger().addHandler(handler)
    try:
        with flow_context(log_prints=True), patch_print():
            print("x")
    finally:
        get_logger().removeHandler(handler)
    assert info.messages == ["x"]
    assert capsys.readouterr().out == "handled x\n"


def test_a_program_s_own_print_is_kept_and_cannot_recurse(monkeypatch, capsys):
    mine = []
    with patch_print():
        kept = builtins.print

        def wrapper(*args, **kwargs):
            mine.append(args)
            kept(*args, **kwargs)

        monkeypatch.setattr(builtins, "print", wrapper)
    assert builtins.print is wrapper
    with patch_print():
        print("x")
    assert builtins.print is wrapper
    monkeypatch.undo()
    builtins.print = ORIGINAL
    assert mine == [("x",)]
    assert capsys.readouterr().out == "x\n"


def test_a_dispatcher_that_was_left_in_place_goes_with_the_next_scope(monkeypatch, capsys):
    monkeypatch.setattr(prints._patch, "original", ORIGINAL)
    monkeypatch.setattr(builtins, "print", print_as_log)
    with patch_print():
        print("x")
    assert builtins.print is ORIGINAL
    assert capsys.readouterr().out == "x\n"
    monkeypatch.undo()


def test_a_user_s_thread_logs_only_with_the_context_of_the_run(info, capsys):
    """CX-11"""
    with flow_context(log_prints=True), patch_print():
        for target in (print, contextvars.copy_context().run):
            args = ("bare",) if target is print else (print, "copied")
            thread = threading.Thread(target=target, args=args)
            thread.start()
            thread.join()
    assert info.messages == ["copied"]
    assert capsys.readouterr().out == "bare\n"
