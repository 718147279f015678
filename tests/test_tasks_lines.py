"""The line of a run that needs nothing but its function, no matter who carries the run out."""

from __future__ import annotations

import asyncio
import logging
import threading
from operator import attrgetter

import pytest

from oxtask import flow, task
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.logging import disable_run_logger, get_run_logger
from oxtask.settings import temporary_settings
from oxtask.states import Completed, Paused

LINE = "Finished in state Completed()"


@pytest.fixture
def records(caplog):
    """Return a function that returns what the run logger of tasks has logged from INFO on."""
    caplog.set_level(logging.INFO, logger="oxtask")
    return lambda: [each for each in caplog.records if each.name == "oxtask.task_runs"]


@task
def one(x=1):
    return x


@task
async def aone(x=1):
    return x


WAYS = {
    "call": lambda: one(return_state=True),
    "submit": lambda: one.submit(return_state=True),
    "map": lambda: one.map([1], return_state=True)[0],
    "async submit": lambda: aone.submit(return_state=True),
    "async map": lambda: aone.map([1], return_state=True)[0],
    "stream": lambda: next(iter(one.stream([1]))),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_completes_writes_one_line_with_its_fields(records, way):
    """LG-12, LG-03"""

    @flow(name="main")
    def main():
        return WAYS[way](), FlowRunContext.get().flow_run

    state, flow_run = main()
    (record,) = records()
    assert (record.getMessage(), record.levelno) == (LINE, logging.INFO)
    assert record.task_name in {"one", "aone"}
    assert record.task_run_name.startswith(f"{record.task_name}-")
    assert (record.flow_run_id, record.flow_run_name) == (str(flow_run.id), flow_run.name)
    assert record.flow_name == "main"
    if way != "stream":
        assert record.task_run_id == str(state.state_details.task_run_id)


@pytest.mark.parametrize("call", [one, lambda: asyncio.run(aone())])
def test_a_run_outside_of_flows_writes_its_line(records, call):
    """LG-03: the run is called like its task, and its flow is not known"""
    call()
    (record,) = records()
    assert record.getMessage() == LINE
    assert record.task_run_name == record.task_name
    assert record.flow_run_id is None
    assert {record.flow_run_name, record.flow_name} == {"<unknown>"}


def test_the_line_names_the_run_as_its_record_does(records):
    """LG-03: and as what the function itself logs"""

    @task
    def speaks():
        get_run_logger().info("spoken")
        return TaskRunContext.get().task_run

    task_run = flow(speaks)()
    spoken, ended = records()
    names = ("task_run_id", "task_run_name", "task_name", "flow_run_id", "flow_run_name")
    fields = attrgetter(*names, "flow_name")
    assert fields(ended) == fields(spoken)
    assert ended.task_run_name == task_run.name


def test_a_state_that_the_function_chose_is_in_the_line(records):
    """LG-12"""
    task(lambda: Completed(message="well done"))()
    task(lambda: Paused())(return_state=True)
    lines = [(record.levelname, record.getMessage()) for record in records()]
    assert lines == [
        ("INFO", "Finished in state Completed('well done')"),
        ("ERROR", "Finished in state Paused()"),
    ]


def test_the_line_shows_the_state_in_full_in_debug_mode(records):
    """LG-15"""
    with temporary_settings({"debug_mode": True}):
        one()
    (record,) = records()
    assert record.getMessage().startswith("Finished in state Completed(message=None, ")


def test_a_run_that_was_cancelled_in_its_function_writes_no_line(records):
    """LG-12: it has not completed"""
    begun, release = threading.Event(), threading.Event()

    @task
    def waits():
        begun.set()
        release.wait(20)

    @flow
    def main():
        future = waits.submit()
        begun.wait(20)
        assert future.cancel()
        release.set()
        return future.state.name

    assert main() == "Cancelled"
    assert [record.getMessage() for record in records() if record.levelno == logging.INFO] == []


def test_a_task_that_first_ran_while_run_loggers_were_disabled_is_heard_afterwards(records):
    """LG-02"""
    made = task(lambda: 1)
    with disable_run_logger():
        made()
    assert records() == []
    made()
    assert [record.getMessage() for record in records()] == [LINE]


def test_a_line_that_a_filter_refuses_to_take_raises_where_the_task_is_called(records):
    """12.2"""

    def refuse(record):
        raise ValueError("no lines today")

    logger = logging.getLogger("oxtask.task_runs")
    logger.addFilter(refuse)
    try:
        with pytest.raises(ValueError, match="no lines today"):
            one()

        @flow
        def main():
            return one.submit()

        with pytest.raises(ValueError, match="no lines today"):
            main()
    finally:
        logger.removeFilter(refuse)
