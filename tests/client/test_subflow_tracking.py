"""A flow called in a flow has a task run there that stands for it."""

from __future__ import annotations

import asyncio

import pytest

from oxtask import allow_failure, flow, task
from oxtask.client.schemas.objects import FlowRunResult, TaskRunResult
from oxtask.context import FlowRunContext


def names(states):
    return [state.name for state in states]


@flow(version="3")
def child(x=None, y=2):
    return FlowRunContext.get().flow_run


@task
def value(x):
    return [x]


def test_the_tracking_run_mirrors_the_called_flow(client):
    """FL-95"""

    @flow
    def main():
        child(1)
        child(2)
        return FlowRunContext.get().flow_run.id, child(3)

    main_id, run = main()
    child_run = client.read_flow_run(run.id)
    tracking = client.read_task_run(child_run.parent_task_run_id)
    assert (tracking.name, tracking.dynamic_key, tracking.task_version) == ("child-2", "2", "3")
    assert (tracking.flow_run_id, tracking.run_count) == (main_id, 1)
    states = client.read_task_run_states(tracking.id)
    own = client.read_flow_run_states(run.id)
    assert names(states) == names(own) == ["Pending", "Running", "Completed"]
    assert [state.timestamp for state in states] == [state.timestamp for state in own]
    assert {state.state_details.child_flow_run_id for state in states} == {run.id}
    assert {state.state_details.task_run_id for state in [*states, *own]} == {tracking.id}
    assert {state.state_details.flow_run_id for state in states} == {main_id}
    assert {state.state_details.flow_run_id for state in own} == {run.id}
    in_main = client.read_task_runs(flow_run_filter={"id": {"any_": [main_id]}})
    assert sorted(found.name for found in in_main) == ["child-0", "child-1", "child-2"]


def test_a_flow_called_by_nobody_has_none(client):
    """FL-95"""
    assert child().parent_task_run_id is None
    assert client.read_task_runs() == []


def test_it_is_read_while_the_flow_is_under_way(client):
    """FL-95"""

    @flow
    def inner():
        tracking_id = FlowRunContext.get().flow_run.parent_task_run_id
        assert tracking_id in {run.id for run in client.read_task_runs()}
        return client.read_task_run(tracking_id)

    assert flow(lambda: inner(), name="main")().state_name == "Running"


@pytest.mark.parametrize("is_async", [False, True])
def test_failures_and_retries_are_mirrored(client, is_async):
    """FL-95, FL-99"""

    def body():
        raise ValueError("no")

    async def abody():
        body()

    @flow
    def main():
        failing = flow(body, name="failing", retries=1)
        return failing(return_state=True).state_details.task_run_id

    @flow
    async def amain():
        failing = flow(abody, name="failing", retries=1)
        return (await failing(return_state=True)).state_details.task_run_id

    run_id = asyncio.run(amain()) if is_async else main()
    states = ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]
    assert names(client.read_task_run_states(run_id)) == states
    assert client.read_task_run(run_id).run_count == 2


def test_its_inputs_are_those_of_the_parameters(client):
    """FL-96"""

    @flow
    def main():
        future = value.submit(1)
        run = child(future, allow_failure([future]), wait_for=[future])
        return run.parent_task_run_id, TaskRunResult(id=future.task_run_id)

    tracking_id, source = main()
    assert client.read_task_run(tracking_id).task_inputs == {
        "x": [source],
        "y": [source],
        "wait_for": [source],
    }


def test_in_a_task_the_call_has_a_key_of_its_own_and_the_task_as_parent(client):
    """FL-68, TE-09"""

    @task
    def outer():
        return child().parent_task_run_id, child().parent_task_run_id

    @flow
    def main():
        future = outer.submit()
        return future.task_run_id, future.result()

    outer_id, (first, second) = main()
    runs = [client.read_task_run(run_id) for run_id in (first, second)]
    assert runs[0].dynamic_key != runs[1].dynamic_key
    assert all(run.name == f"child-{run.dynamic_key}" for run in runs)
    assert runs[0].task_inputs["__parents__"] == [TaskRunResult(id=outer_id)]


def test_the_state_of_a_called_flow_is_an_input_by_its_tracking_run(opened):
    """25.2"""

    @flow
    def main():
        state = child(return_state=True)
        future = value.submit([state])
        future.wait()
        made = child()
        return state, future.task_run_id, value.submit(made), made.id

    state, run_id, _, _ = main()
    source = TaskRunResult(id=state.state_details.task_run_id)
    assert opened.read_task_run(run_id).task_inputs == {"x": [source]}
    assert FlowRunResult(id=source.id) != source


def test_tracking_runs_go_with_the_runs_they_stand_for(client, history):
    """FL-95, 25.10"""
    from oxtask.settings import temporary_settings

    @flow
    def main():
        return [child().parent_task_run_id for _ in range(300)]

    with temporary_settings({"history.max_runs": 5}):
        ids = main()
        assert client.read_task_run(ids[-1]).name == "child-299"
        assert len(client.read_task_runs()) <= 5
        assert len(history.store()._called) < 300
