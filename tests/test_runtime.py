"""`oxtask.runtime`: what is known of the current run, as attributes of modules."""

from __future__ import annotations

import asyncio
import datetime
import importlib
import uuid

import pytest

import oxtask.runtime
from oxtask import flow, get_client, tags, task
from oxtask.client.schemas.objects import TaskRun
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.runtime import deployment, flow_run, task_run

MODULES = {"flow_run": flow_run, "task_run": task_run, "deployment": deployment}
EMPTY = {"tags": [], "parameters": {}, "run_count": 0}

every_module = pytest.mark.parametrize("name", MODULES)


@every_module
def test_attributes_are_found_each_time_they_are_read(name, monkeypatch):
    """RT-01: `FIELDS` can be changed"""
    module = MODULES[name]
    assert getattr(oxtask.runtime, name) is module
    monkeypatch.setitem(module.FIELDS, "id", lambda: "other")
    assert module.id == "other"
    assert importlib.import_module(f"oxtask.runtime.{name}").id == "other"


def test_attributes_can_be_imported():
    """RT-01"""

    @flow
    def main():
        from oxtask.runtime.flow_run import id as run_id
        from oxtask.runtime.flow_run import name

        return run_id, name

    found = main.with_options(flow_run_name="mine")()
    assert found[1] == "mine"
    assert uuid.UUID(found[0])


@every_module
def test_unknown_attributes_are_refused(name):
    """RT-01"""
    with pytest.raises(AttributeError, match=f"runtime.{name} has no attribute 'other'; it has"):
        _ = MODULES[name].other
    with pytest.raises(ImportError):
        exec(f"from oxtask.runtime.{name} import other")


@every_module
def test_the_attributes_are_listed(name):
    """RT-01, RT-02"""
    expected = {
        "flow_run": "id tags scheduled_start_time name flow_name flow_version parameters "
        "parent_flow_run_id parent_deployment_id root_flow_run_id run_count api_url ui_url "
        "job_variables",
        "task_run": "id tags name parameters run_count task_name api_url ui_url",
        "deployment": "id name version flow_run_id parameters",
    }
    module = MODULES[name]
    assert dir(module) == sorted(expected[name].split()) == sorted(module.FIELDS)


@every_module
def test_nothing_raises_outside_of_runs(name):
    """RT-03, RT-09"""
    for attribute in dir(MODULES[name]):
        if attribute != "scheduled_start_time":
            assert getattr(MODULES[name], attribute) == EMPTY.get(attribute), attribute
    before = datetime.datetime.now(datetime.timezone.utc)
    assert flow_run.scheduled_start_time >= before


def test_what_a_flow_run_shows():
    """RT-02, RT-05, RT-07"""

    class Thing:
        pass

    thing = Thing()

    @flow(name="report", version="v", flow_run_name="of {year}", retries=1)
    def main(year: int, thing):
        record = FlowRunContext.get().flow_run
        seen.append(flow_run.run_count)
        if len(seen) == 1:
            raise ValueError
        assert flow_run.id == deployment.flow_run_id == str(record.id)
        assert flow_run.tags == ["a"]
        assert flow_run.name == "of 2024"
        assert flow_run.flow_name == "report"
        assert flow_run.flow_version == "v"
        assert flow_run.parameters == {"year": 2024, "thing": thing}
        assert flow_run.scheduled_start_time == record.expected_start_time
        assert flow_run.api_url is flow_run.ui_url is None
        assert task_run.id is None

    seen = []
    with tags("a"):
        main("2024", thing)
    assert seen == [1, 2]


def test_a_function_that_names_a_flow_run_can_ask_for_the_parameters():
    """RT-07, FL-03"""

    @flow(flow_run_name=lambda: f"of {flow_run.parameters['year'] + 1}")
    def main(year: int):
        return flow_run.name

    assert main("2024") == "of 2025"


def test_what_a_task_run_shows():
    """RT-02, RT-05, RT-07"""
    seen = []

    @task(name="load", task_run_name="load {x}", tags=["b"], retries=1)
    def load(x):
        seen.append(task_run.run_count)
        if len(seen) == 1:
            raise ValueError
        record = TaskRunContext.get().task_run
        assert task_run.id == str(record.id)
        assert task_run.tags == ["b"]
        assert task_run.name == "load 1"
        assert task_run.task_name == "load"
        assert task_run.parameters == {"x": 1}
        assert task_run.api_url is task_run.ui_url is None
        return flow_run.id

    @flow
    def main():
        return load.submit(1).result() == flow_run.id

    assert main()
    assert seen == [1, 2]
    assert load(1) is None


def test_a_flow_run_knows_the_runs_around_it():
    """RT-06: also in tasks"""

    def look():
        return flow_run.id, flow_run.parent_flow_run_id, flow_run.root_flow_run_id

    @flow
    async def inner():
        return task(look).submit().result()

    @flow
    def middle():
        return look(), asyncio.run(inner()), asyncio.run(task(inner)())

    @flow
    def outer():
        return look(), *middle()

    top, second, third, fourth = outer()
    assert top == (top[0], None, top[0])
    assert second == (second[0], top[0], top[0])
    assert third[1:] == fourth[1:] == (second[0], top[0])


def test_the_body_of_a_subflow_is_in_no_task_run():
    """RT-10: and a task of it is"""

    @flow
    def inner():
        return task_run.id, task(lambda: task_run.name)()

    @task(name="calling")
    def calling():
        return task_run.name, inner(), task_run.name

    before, (in_flow, in_task), after = flow(calling)()
    assert before == after
    assert in_flow is None
    assert in_task not in {None, before}


def test_the_run_of_a_task_is_found_without_the_context_of_its_flow():
    """RT-04"""

    @flow(name="main", flow_run_name="mine")
    def main():
        own = FlowRunContext.get().flow_run.id
        record = TaskRun(task_key="k", dynamic_key="0", flow_run_id=own)
        variable = FlowRunContext.__var__
        token = variable.set(None)
        try:
            with TaskRunContext(task=task(len), task_run=record, parameters={}):
                return flow_run.id == str(own), flow_run.name, flow_run.flow_name
        finally:
            variable.reset(token)

    assert main() == (True, "mine", "main")


def test_the_environment_says_which_run_a_process_carries_on(monkeypatch):
    """RT-04"""
    run_id = str(uuid.uuid4())
    monkeypatch.setenv("OXTASK__FLOW_RUN_ID", run_id)
    assert flow_run.id == deployment.flow_run_id == run_id
    assert flow_run.name is None
    assert flow(lambda: flow_run.id)() != run_id
    monkeypatch.setenv("OXTASK__FLOW_RUN_ID", "no id")
    assert flow_run.tags == []


def test_the_run_that_the_environment_names_is_looked_up(monkeypatch):
    """RT-04, RT-05, RT-06: parameters are those that were recorded"""
    ids = {}

    @flow(name="child", version="v", flow_run_name="mine")
    def child(year: int):
        ids["child"] = flow_run.id
        return flow_run.scheduled_start_time

    @flow(name="main")
    def main():
        ids["main"] = flow_run.id
        with tags("a"):
            return child("2024")

    with get_client(sync_client=True):
        scheduled = main()
    assert flow_run.id is None
    monkeypatch.setenv("OXTASK__FLOW_RUN_ID", ids["child"])
    assert (flow_run.id, flow_run.name, flow_run.tags) == (ids["child"], "mine", ["a"])
    assert (flow_run.flow_name, flow_run.flow_version) == ("child", "v")
    assert (flow_run.parameters, flow_run.run_count) == ({"year": "2024"}, 1)
    assert flow_run.scheduled_start_time == scheduled
    assert flow_run.parent_flow_run_id == flow_run.root_flow_run_id == ids["main"]
    monkeypatch.setenv("OXTASK__FLOW_RUN_ID", ids["main"])
    assert (flow_run.parent_flow_run_id, flow_run.root_flow_run_id) == (None, ids["main"])


@pytest.mark.parametrize(
    ("real", "text", "value"),
    [
        (True, "false", False),
        (False, "TRUE", True),
        (3, "5", 5),
        (3.5, "5", 5.0),
        ("a", "b", "b"),
        (None, "b", "b"),
        (
            datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
            "2024-01-02T03:04:05",
            datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        ),
    ],
)
@every_module
def test_the_environment_can_replace_a_value(name, monkeypatch, real, text, value):
    """RT-08: as a value of the same type"""
    monkeypatch.setitem(MODULES[name].FIELDS, "name", lambda: real)
    monkeypatch.setenv(f"OXTASK__RUNTIME__{name.upper()}__NAME", text)
    assert MODULES[name].name == value
    assert type(MODULES[name].name) is type(value)


@pytest.mark.parametrize(
    ("real", "text", "message"),
    [
        (3, "x", "must be a number"),
        (True, "x", "must be true or false"),
        ([], "a", "cannot be mocked"),
        ({}, "a", "cannot be mocked"),
    ],
)
def test_the_environment_cannot_replace_a_value_by_what_does_not_fit(
    monkeypatch, real, text, message
):
    """RT-08"""
    monkeypatch.setitem(flow_run.FIELDS, "name", lambda: real)
    monkeypatch.setenv("OXTASK__RUNTIME__FLOW_RUN__NAME", text)
    with pytest.raises(ValueError, match=message):
        _ = flow_run.name


@every_module
def test_the_environment_can_add_an_attribute(name, monkeypatch):
    """RT-08"""
    monkeypatch.setenv(f"OXTASK__RUNTIME__{name.upper()}__OTHER", "5")
    assert MODULES[name].other == "5"
