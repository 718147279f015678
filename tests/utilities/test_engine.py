"""Resolving inputs and tracing results, as functions."""

from __future__ import annotations

import asyncio
import threading

import pytest

from oxtask import flow, task
from oxtask.client.schemas.objects import FlowRunResult, TaskRunResult
from oxtask.exceptions import OxtaskException, UpstreamTaskError
from oxtask.states import Completed, Failed
from oxtask.utilities import engine
from oxtask.utilities.annotations import allow_failure, quote
from oxtask.utilities.collections import StopVisiting, visit_collection
from oxtask.utilities.engine import (
    RunType,
    collect_task_run_inputs,
    collect_task_run_inputs_sync,
    get_state_for_result,
    link_state_to_flow_run_result,
    link_state_to_result,
    link_state_to_task_run_result,
    resolve_inputs,
    resolve_inputs_sync,
    resolve_to_final_result,
)


def ainputs(*args, **kwargs):
    return asyncio.run(resolve_inputs(*args, **kwargs))


both = pytest.mark.parametrize("resolve", [resolve_inputs_sync, ainputs])


def test_everything_in_all_exists():
    """1.6"""
    assert all(hasattr(engine, name) for name in engine.__all__)
    assert {type(None), bool} <= engine.UNTRACKABLE_TYPES
    assert [kind.value for kind in RunType] == ["FLOW_RUN", "TASK_RUN"]


@both
def test_parameters_are_resolved_by_name(resolve):
    """22.12"""
    given = {"x": [Completed(data=3)], "y": quote([1]), "z": "text"}
    assert resolve(given) == {"x": [3], "y": [1], "z": "text"}
    assert resolve({}) == {}
    assert resolve(given, return_data=False) == dict.fromkeys(given)


@both
def test_only_what_is_deep_enough_is_entered(resolve):
    """22.12: annotations that are not entered stay"""
    inner = [Completed(data=3)]
    found = resolve({"x": Completed(data=inner), "y": inner, "z": quote(1)}, max_depth=0)
    assert found == {"x": inner, "y": inner, "z": quote(1)}
    assert found["x"] is inner


@both
def test_errors_name_the_parameter_or_the_upstream(resolve):
    """22.12, 22.4, 23.1"""
    with pytest.raises(OxtaskException, match="resolve inputs in parameter 'x'") as caught:
        resolve({"x": {Completed(data=[]): 1}})
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(UpstreamTaskError):
        resolve({"x": Failed(message="no")})
    error = ValueError("no")
    assert resolve({"x": allow_failure([Failed(data=error)])}) == {"x": [error]}


def test_futures_are_awaited_without_blocking_the_event_loop():
    """22.12"""
    gate = threading.Event()

    @flow
    async def main():
        future = task(lambda: gate.wait(10)).submit()
        asyncio.get_running_loop().call_later(0.01, gate.set)
        return await resolve_inputs({"x": [future]})

    assert asyncio.run(main()) == {"x": [True]}


def test_the_visitor_can_be_used_alone():
    """1.6"""
    found = visit_collection(
        [Completed(data=3)], resolve_to_final_result, return_data=True, context={}
    )
    assert found == [3]
    with pytest.raises(StopVisiting):
        resolve_to_final_result(1, {"annotations": (quote(1),)})


def test_sources_are_collected():
    """1.6, 25.3"""

    @flow
    def main():
        future = task(lambda: 1).submit()
        value = [future, quote([future]), {"k": future}, 5]
        assert collect_task_run_inputs_sync(value) == {TaskRunResult(id=future.task_run_id)}
        assert collect_task_run_inputs_sync(value, max_depth=0) == set()
        return asyncio.run(collect_task_run_inputs(quote(value)))

    assert main() == set()


def test_results_are_linked_to_states_in_a_flow():
    """1.6, 25.4, 25.5"""
    state, value = Completed(data=[1]), [["inner"], 5]
    link_state_to_result(state, value, RunType.TASK_RUN)
    assert get_state_for_result(value) is None

    @flow
    def main():
        run = task(lambda: 3)(return_state=True)
        link_state_to_task_run_result(run, value)
        assert get_state_for_result(value)[1] is RunType.TASK_RUN
        assert get_state_for_result(value[0])[0].id == run.id
        assert run.state_details.untrackable_result
        task_run = TaskRunResult(id=run.state_details.task_run_id)
        assert collect_task_run_inputs_sync([value]) == {task_run}
        link_state_to_flow_run_result(run, value)
        flow_run = FlowRunResult(id=run.state_details.flow_run_id)
        assert collect_task_run_inputs_sync(value) == {flow_run}

    main()
