"""Many runs and log lines: filters, orders, limits, and how much is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from oxtask import flow, get_run_logger, tags, task
from oxtask._core import begin_direct
from oxtask.client.schemas.filters import FlowRunFilter, TaskRunFilter, TaskRunFilterName
from oxtask.client.schemas.sorting import FlowRunSort, TaskRunSort
from oxtask.context import FlowRunContext
from oxtask.exceptions import ObjectNotFound
from oxtask.settings import temporary_settings


@task
def double(x):
    return 2 * x


@task
def fail(x):
    raise ValueError(f"no {x}")


@pytest.fixture(name="runs")
def runs_fixture(opened):
    """Make three runs of two flows, and return the client."""

    @flow(name="first", flow_run_name="one", version="1")
    def first():
        with tags("blue", "red"):
            double.with_options(name="a")(1)
        with tags("red"):
            fail.with_options(name="b")(1, return_state=True)

    @flow(name="second", flow_run_name="two", version="2")
    def second():
        double.with_options(name="c")(1)

    first()
    second()
    return opened


def names(runs):
    return "".join(sorted(run.name[0] for run in runs))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "abc"),
        ({"tags": {"any_": ["blue", "green"]}}, "a"),
        ({"tags": {"all_": ["red"]}}, "ab"),
        ({"tags": {"all_": ["blue", "red"]}}, "a"),
        ({"tags": {"is_null_": True}}, "c"),
        ({"state": {"type": {"any_": ["FAILED"]}}}, "b"),
        ({"state": {"name": {"any_": ["Completed"]}}}, "ac"),
        ({"state": {"type": {"not_any_": ["FAILED"]}}, "tags": {"is_null_": False}}, "a"),
        ({"name": {"like_": "B-"}}, "b"),
        ({"name": {"any_": ["nobody"]}}, ""),
        ({"end_time": {"is_null_": True}}, ""),
        ({"start_time": {"after_": "1970-01-01", "before_": "2970-01-01"}}, "abc"),
        ({"flow_run_id": {"is_null_": True}}, ""),
    ],
)
def test_task_runs_are_filtered(runs, wanted, expected):
    """CX-13"""
    assert names(runs.read_task_runs(task_run_filter=wanted)) == expected
    assert names(runs.read_task_runs(task_run_filter=TaskRunFilter(**wanted))) == expected


def test_filters_of_flow_runs_and_task_runs_work_together(runs):
    """CX-13"""
    first = FlowRunFilter(name={"any_": ["one"]}, flow_version={"any_": ["1"]})
    assert names(runs.read_task_runs(flow_run_filter=first)) == "ab"
    failed = TaskRunFilter(state={"type": {"any_": ["FAILED"]}})
    assert [run.name for run in runs.read_flow_runs(task_run_filter=failed)] == ["one"]
    (run,) = runs.read_flow_runs(
        flow_run_filter={
            "id": {"not_any_": [found.id for found in runs.read_flow_runs(flow_run_filter=first)]}
        }
    )
    assert run.name == "two"


def test_runs_come_in_order_and_in_pages(runs):
    """CX-13"""

    def ordered(sort, **page):
        return [run.name[0] for run in runs.read_task_runs(sort=sort, **page)]

    assert ordered(None) == ordered(TaskRunSort.ID_DESC) == ["c", "b", "a"]
    assert ordered("NAME_ASC", limit=2) == ["a", "b"]
    assert ordered("END_TIME_DESC", offset=1, limit=1) == ["b"]
    assert ordered("EXPECTED_START_TIME_ASC", offset=9) == []
    names = [run.name for run in runs.read_flow_runs(sort=FlowRunSort.START_TIME_ASC)]
    assert names == ["one", "two"]


def test_filters_that_make_no_sense_are_refused(client):
    """CX-13"""
    with pytest.raises(TypeError, match="no field 'nam'"):
        client.read_task_runs(task_run_filter={"nam": {}})
    with pytest.raises(TypeError, match="'any_' must be a list"):
        client.read_task_runs(task_run_filter={"id": {"any_": "x"}})
    with pytest.raises(ValueError, match="'any_' must be a UUID"):
        client.read_task_runs(task_run_filter={"id": {"any_": ["x"]}})
    with pytest.raises(ValueError, match="SIDEWAYS"):
        client.read_task_runs(sort="SIDEWAYS")
    with pytest.raises(ValueError, match="'limit' must be 0 or more; got -1"):
        client.read_flow_runs(limit=-1)
    assert TaskRunFilter(name=TaskRunFilterName(like_="x")).name.like_ == "x"


def test_times_bound_what_is_found(runs):
    """CX-13"""
    last = runs.read_task_runs(sort="END_TIME_DESC")[0]
    after = {"start_time": {"after_": last.start_time}}
    assert [run.id for run in runs.read_task_runs(task_run_filter=after)] == [last.id]
    later = {"start_time": {"after_": last.start_time + timedelta(hours=1)}}
    assert runs.read_task_runs(task_run_filter=later) == []


# --- many runs ------------------------------------------------------------------------------------


def test_only_the_newest_runs_are_kept(client):
    """CX-13, 25.10"""
    with temporary_settings({"history.max_runs": 3}):
        for number in range(10):
            double.with_options(name=f"d{number}")(1, return_state=True)
        assert sorted(run.name for run in client.read_task_runs()) == ["d7", "d8", "d9"]
        with temporary_settings({"history.max_runs": 0}):
            double(1, return_state=True)
        assert client.read_task_runs() == []


def test_runs_that_will_never_end_are_forgotten(client, history):
    """CX-13: a trace keeps nothing alive"""
    run = begin_direct(double, (1,), {})
    run_id = run.future.task_run_id
    assert client.read_task_run(run_id).state_name == "Running"
    del run
    with pytest.raises(ObjectNotFound):
        client.read_task_run(run_id)
    assert client.read_task_runs() == []
    assert history._history.traces == {}


# --- logs -----------------------------------------------------------------------------------------


def test_lines_are_read_back_by_run(client):
    """CX-13"""

    @task
    def speak(x):
        get_run_logger().warning("task %s", x)

    @flow
    def main():
        get_run_logger().error("flow")
        get_run_logger().debug("nobody hears this")
        futures = speak.map([1, 2])
        futures.wait()
        return FlowRunContext.get().flow_run.id, [future.task_run_id for future in futures]

    flow_run_id, task_run_ids = main()
    lines = client.read_logs({"flow_run_id": {"any_": [flow_run_id]}})
    assert sorted(line.message for line in lines) == ["flow", "task 1", "task 2"]
    assert [line.timestamp for line in lines] == sorted(line.timestamp for line in lines)
    (line,) = client.read_logs({"task_run_id": {"any_": task_run_ids[:1]}})
    assert (line.message, line.level, line.name) == ("task 1", 30, "oxtask.task_runs")
    assert (line.task_run_id, line.flow_run_id) == (task_run_ids[0], flow_run_id)
    (line,) = client.read_logs({"level": {"ge_": 40}})
    assert line.message == "flow"
    assert len(client.read_logs(limit=1, offset=1, sort="TIMESTAMP_DESC")) == 1


def test_a_line_has_the_traceback_of_its_error(client):
    """CX-13"""

    @task
    def broken():
        try:
            raise ZeroDivisionError("oh")
        except ZeroDivisionError:
            get_run_logger().exception("caught")

    broken()
    (line,) = client.read_logs()
    assert line.message.startswith("caught\nTraceback")
    assert line.message.endswith("ZeroDivisionError: oh")


def test_only_the_newest_lines_are_kept(client):
    """CX-13"""

    @task
    def speak():
        for number in range(10):
            get_run_logger().warning(number)

    with temporary_settings({"history.max_log_lines": 2}):
        speak()
        assert [line.message for line in client.read_logs()] == ["8", "9"]
