"""Log records of worker processes: they go to the handlers of the program."""

from __future__ import annotations

import logging

import process_tasks as tasks
import pytest

from oxtask import flow
from oxtask.client import get_client
from oxtask.logging import disable_run_logger
from oxtask.task_runners import ProcessPoolTaskRunner


def of_runs(caplog):
    return [record for record in caplog.records if record.name == "oxtask.task_runs"]


@pytest.fixture(scope="module")
def runner():
    with ProcessPoolTaskRunner(max_workers=1) as started:
        yield started


def test_lines_of_a_run_reach_the_handlers_and_the_history_of_the_program(runner, caplog):
    """TR-28"""
    future = runner.submit(tasks.log, {"text": "from afar"})
    assert future.result() == "from afar"
    record = next(each for each in of_runs(caplog) if each.getMessage() == "from afar")
    assert record.levelname == "WARNING"
    assert record.task_run_id == str(future.task_run_id)
    assert record.task_name == "log"
    assert record.funcName == "log"
    kept = get_client(sync_client=True).read_logs()
    assert "from afar" in [line.message for line in kept if line.task_run_id == future.task_run_id]


def test_prints_become_lines(runner, caplog):
    """TR-28"""
    caplog.set_level(logging.INFO, logger="oxtask")
    runner.submit(tasks.say, {"text": "hello"}).wait()
    assert "hello" in [record.getMessage() for record in of_runs(caplog)]


def test_the_level_is_that_of_the_program(runner, caplog):
    """TR-28"""
    caplog.set_level(logging.ERROR, logger="oxtask")
    runner.submit(tasks.log, {"text": "not wanted"}).wait()
    with disable_run_logger():
        caplog.set_level(logging.DEBUG, logger="oxtask")
        runner.submit(tasks.log, {"text": "nor this"}).wait()
    assert not {"not wanted", "nor this"} & {each.getMessage() for each in of_runs(caplog)}


def test_all_lines_come_before_the_end_of_the_run_and_in_order(runner, caplog):
    """TR-28"""
    caplog.set_level(logging.INFO, logger="oxtask")
    runner.submit(tasks.say_often, {"count": 500}).wait()
    numbers = [each.getMessage() for each in of_runs(caplog) if each.getMessage().isdigit()]
    assert numbers == [str(number) for number in range(500)]


def test_processors_change_and_drop_messages(caplog):
    """TR-28"""

    def make():
        def process(kind, fields):
            if fields["msg"] == "drop":
                return None
            if fields["msg"] == "spoil":
                return "nonsense"
            if fields["msg"] == "raise":
                raise LookupError
            return kind, {**fields, "msg": fields["msg"].upper()}

        return process

    def broken():
        raise LookupError("no processor")

    runner = ProcessPoolTaskRunner(1, [make])
    runner.set_subprocess_message_processor_factories([broken, make])
    assert runner.subprocess_message_processor_factories == (broken, make)

    @flow(task_runner=runner)
    def logging_flow():
        for text in ("keep", "drop", "spoil", "raise"):
            tasks.log.submit(text).wait()

    logging_flow()
    texts = [record.getMessage() for record in of_runs(caplog)]
    assert texts == ["KEEP"]
    told = [each for each in caplog.records if each.name == "oxtask.task_runner.processpool"]
    assert [record.levelname for record in told] == ["ERROR", "WARNING", "ERROR"]
    assert "'nonsense'" in told[1].getMessage()


def test_processors_can_only_be_set_before_the_start():
    """TR-28"""
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        with pytest.raises(RuntimeError, match="while task runner is started"):
            runner.subprocess_message_processor_factories = [list]
        with pytest.raises(RuntimeError, match="while task runner is started"):
            runner.set_subprocess_message_processor_factories([list])
