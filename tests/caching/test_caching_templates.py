"""`result_storage_key`: a template of the place where a result goes."""

from __future__ import annotations

import asyncio

import pytest
from kept_runs import WAYS, files_in, make, names_of, states_of

from oxtask import flow, task


def place_of(template, folder, *inputs, flow_name="whole"):
    """Return the key of a run in a flow whose task has a template."""

    @task(name="load", result_storage_key=template, result_storage=folder)
    def load(x=1, day="mon"):
        return x

    @flow(name=flow_name, flow_run_name="today", version="v1")
    def whole():
        return load(*inputs)

    whole()
    (key,) = files_in(folder)
    return key


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("plain", "plain"),
        ("{parameters[x]}-{parameters[day]}", "7-mon"),
        ("{parameters[x]:03d}.json", "007.json"),
        ("{flow_run.flow_name}/{flow_run.name}/{task_run.task_name}", "whole/today/load"),
        ("{flow_run.flow_version}", "v1"),
        ("{{literal}}", "{literal}"),
        ("{prefect.runtime.flow_run.name}", "today"),
        ("{oxtask.runtime.flow_run.name}", "today"),
        ("{deployment.id}", "None"),
        ("{parameters[day][0]}", "m"),
    ],
)
def test_a_template_is_filled_in(template, key, folder):
    """T1, T2, T3, T6"""
    assert place_of(template, folder, 7) == key


def test_runs_can_be_named_by_what_they_are(folder):
    """T2"""
    ids = []

    @task(result_storage_key="{flow_run.id}/{task_run.name}", result_storage=folder)
    def load():
        return 1

    @flow
    def whole():
        state = load(return_state=True)
        ids.append(str(state.state_details.flow_run_id))

    whole()
    (key,) = files_in(folder)
    assert key.startswith(f"{ids[0]}/load-")


def test_what_there_is_not_is_none(folder):
    """T3"""

    @task(result_storage_key="{flow_run.name}-{parameters[x]}", result_storage=folder)
    def load(x):
        return x

    load(1)
    assert files_in(folder) == ["None-1"]


@pytest.mark.parametrize("way", WAYS)
def test_a_template_is_filled_in_for_each_attempt(way, folder, calls):
    """T4"""

    def fail_once(x):
        calls.append(x)
        if len(calls) == 1:
            raise ValueError
        return x

    made = make(
        way,
        fail_once,
        retries=1,
        result_storage_key="{task_run.run_count}-{parameters[x]}",
        result_storage=folder,
    )
    assert names_of(way, made, 5) == ["Completed"]
    assert files_in(folder) == ["2-5"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("template", ["{nobody}", "{parameters[nobody]}", "{flow_run.nobody}"])
def test_an_unknown_field_fails_the_attempt(way, template, folder, calls):
    """T5"""
    delays = []
    made = make(
        way,
        lambda x: calls.append(x),
        retries=2,
        retry_condition_fn=lambda task, run, state: not delays.append(run.run_count),
        result_storage_key=template,
        result_storage=folder,
    )
    (state,) = states_of(way, made, 1)
    with pytest.raises(KeyError, match="nobody"):
        state.result()
    assert (calls, delays) == ([], [1, 2])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", ["../../out", "/etc/out", ".."])
def test_a_parameter_cannot_lead_out_of_the_storage(way, value, folder, calls):
    """T6, W-K3, RELIABILITY Z13"""
    made = make(
        way,
        lambda x: calls.append(x),
        result_storage_key="{parameters[x]}",
        result_storage=folder,
    )
    (state,) = states_of(way, made, value)
    with pytest.raises(ValueError, match="outside of the base path"):
        state.result()
    assert calls == []


@pytest.mark.parametrize(
    "template",
    [
        "{parameters.__class__}",
        "{parameters[x].__class__}",
        "{flow_run.__dict__}",
        "{flow_run.__loader__}",
        "{task_run.os}",
        "{flow_run.FIELDS}",
        "{oxtask.settings}",
        "{prefect.__name__}",
        "{oxtask.runtime.__class__}",
        "{0.__globals__}",
        "{deployment.__init__.__globals__}",
        "{parameters[x]._secret}",
        "{parameters[x]:{parameters.__class__}}",
    ],
)
def test_a_template_reaches_nothing_but_its_fields(template, folder, calls):
    """W-T1, RELIABILITY Z13"""
    made = make(
        "call", lambda x: calls.append(x), result_storage_key=template, result_storage=folder
    )
    (state,) = states_of("call", made, object)
    assert (state.is_failed(), calls) == (True, [])
    assert isinstance(
        state.result(raise_on_failure=False), (KeyError, ValueError, AttributeError, IndexError)
    )


def test_async_tasks_have_the_same_templates(folder):
    """T2"""

    @task(name="load", result_storage_key="{task_run.task_name}/{parameters[x]}")
    async def load(x):
        return x

    async def main():
        made = load.with_options(result_storage=folder)
        return await made(3), await made(3)

    assert asyncio.run(main()) == (3, 3)
    assert files_in(folder) == ["load/3"]
