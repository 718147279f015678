"""The record of a run says which runs its arguments came from."""

from __future__ import annotations

import asyncio

import pytest

from oxtask import allow_failure, flow, task
from oxtask._internal import run_sources
from oxtask.client.schemas.objects import FlowRunResult, TaskRunResult
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.utilities.annotations import opaque, quote, unmapped


def own_inputs():
    return TaskRunContext.get().task_run.task_inputs


@task
def value(x=None):
    return [x]


@task
def inputs(x=None, y=None, *args, **kwargs):
    return own_inputs()


@task(on_running=[lambda *_: None])
def rich_inputs(x=None, y=None, *args, **kwargs):
    return own_inputs()


@task
async def async_inputs(x=None, y=None, *args, **kwargs):
    return own_inputs()


def result(future):
    return TaskRunResult(id=future.task_run_id)


NOTHING = {"x": [], "y": [], "args": [], "kwargs": []}


# --- futures and states ---------------------------------------------------------------------------


@pytest.mark.parametrize("function", [inputs, rich_inputs, async_inputs])
def test_futures_are_found_wherever_they_are(function):
    """25.1, 25.2, 25.3: also in plain runs, without a client"""

    @flow
    def main():
        a, b = value.submit(1), value.submit(2)
        found = function.submit(a, {"k": [a, (b, a)]}, b, z=[a]).result()
        assert found == {
            "x": [result(a)],
            "y": [result(a), result(b)],
            "args": [result(b)],
            "kwargs": [result(a)],
        }
        mapped = function.map([a, 5], y=unmapped(b)).result()
        assert [each["x"] for each in mapped] == [[result(a)], []]
        assert all(each["y"] == [result(b)] for each in mapped)

    main()


@pytest.mark.parametrize("function", [inputs, rich_inputs])
def test_direct_calls_know_their_inputs_as_well(function):
    """25.2"""

    @flow
    def main():
        a = value.submit(1)
        state = value(2, return_state=True)
        found = function(a, [state])
        return found == NOTHING | {
            "x": [result(a)],
            "y": [TaskRunResult(id=state.state_details.task_run_id)],
        }

    assert main()
    assert function(1) == NOTHING


def test_wait_for_is_an_input():
    """TE-11, 24.6"""

    @flow
    def main():
        a, b = value.submit(1), value.submit(2)
        found = [
            inputs.submit(wait_for=[a, b]).result(),
            rich_inputs.submit(wait_for=[a, b]).result(),
            inputs(wait_for=[a, b]),
        ]
        assert found == [NOTHING | {"wait_for": [result(a), result(b)]}] * 3

    main()


def test_annotations_say_what_is_looked_at():
    """25.3"""

    @flow
    def main():
        a = value.submit(1)
        assert inputs.submit(quote(a)).result()["x"] == []
        assert inputs.submit(opaque(a)).result()["x"] == [result(a)]
        assert inputs.submit(opaque([a])).result()["x"] == []
        assert inputs.submit(allow_failure([a])).result()["x"] == [result(a)]

    main()


def test_what_a_method_is_bound_to_is_no_input():
    """25.1"""

    class Box:
        @task
        def look(self, x):
            return own_inputs()

    assert Box().look(1) == {"x": []}


def test_a_client_reads_the_same_inputs(client):
    """25.9"""

    @flow
    def main():
        a = value.submit(1)
        b = rich_inputs.submit(a)
        assert client.read_task_run(b.task_run_id).task_inputs in ({}, b.result())
        return client.read_task_run(b.task_run_id).task_inputs == b.result()

    assert main()


# --- parents --------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_flow", [True, False])
def test_the_task_around_a_run_is_its_parent(in_flow):
    """TE-09, 25.7, 25.8"""

    @task
    def outer():
        own = TaskRunContext.get().task_run
        assert "__parents__" not in own.task_inputs
        return own.id, inputs(1), rich_inputs(1)

    own_id, *found = flow(lambda: outer(), name="main")() if in_flow else outer()
    assert found == [NOTHING | {"__parents__": [TaskRunResult(id=own_id)]}] * 2


def test_no_parent_is_known_across_a_called_flow():
    """TE-09, 25.7"""

    @flow
    def child():
        return inputs(1)

    @task
    def outer():
        return child()

    @flow
    def main():
        return child(), outer()

    assert main() == (NOTHING, NOTHING)


# --- values ---------------------------------------------------------------------------------------


def test_while_runs_are_recorded_values_are_inputs(opened):
    """TE-10, 25.2, 25.4: the object, and what is directly in it"""

    @task
    def make():
        return [[1_000, "text" * 10], {"k": 2.5}]

    @flow
    def main():
        future = make.submit()
        made = future.result()
        assert inputs(made)["x"] == [result(future)]
        assert inputs(made[0])["x"] == [result(future)]
        assert inputs({"deep": [made[1]]})["x"] == [result(future)]
        assert inputs(made[0][1])["x"] == []
        assert inputs([[1_000, "other"]])["x"] == []
        assert inputs(wait_for=[made])["wait_for"] == [result(future)]
        made.append("changed")
        assert inputs(made)["x"] == [result(future)]

    main()


def test_the_last_run_to_return_an_object_counts(opened):
    """25.6"""

    @task
    def same(x):
        return x

    @flow
    def main():
        thing = value(1)
        future = same.submit(thing)
        return inputs(future.result())["x"] == [result(future)]

    assert main()


@pytest.mark.parametrize("single", [None, True, ..., NotImplemented, 5, 256, -5])
def test_what_there_is_one_of_cannot_be_tracked(opened, single):
    """TE-10, 25.4"""

    @task
    def make():
        return single

    @flow
    def main():
        state = make(return_state=True)
        assert state.state_details.untrackable_result
        assert not value(return_state=True).state_details.untrackable_result
        return inputs(make())["x"]

    assert main() == []


def test_a_flow_s_result_is_the_flow_s(opened):
    """25.2"""

    @flow
    def child():
        return ["text" * 3], FlowRunContext.get().flow_run.id

    @flow
    def main():
        made = child()
        return inputs(made)["x"], inputs(made[0])["x"], made[1]

    whole, part, child_id = main()
    assert whole == part == [FlowRunResult(id=child_id)]


def test_items_of_a_generator_are_linked_while_it_is_under_way(opened):
    """TE-09, TE-95"""

    @task
    def produce():
        for number in range(2):
            yield [number, TaskRunContext.get().task_run.id]

    @flow
    def main():
        kept = []
        for item in produce():
            producer = [TaskRunResult(id=item[1])]
            assert inputs(item) == NOTHING | {"x": producer, "__parents__": producer}
            kept.append(item)
        assert inputs(kept[0]) == NOTHING | {"x": producer}

    main()


def test_async_flows_know_inputs_as_well(opened):
    """25.9"""

    @flow
    async def main():
        future = value.submit(1)
        made = await future.aresult()
        first = await async_inputs(made)
        second = await async_inputs.submit(future).aresult()
        return first["x"] == second["x"] == [result(future)]

    assert asyncio.run(main())


def test_a_walk_that_fails_does_no_harm(opened, monkeypatch):
    """25.3: a run never fails because of its record"""

    def fail(*_):
        raise RuntimeError("no")

    @flow
    def main():
        made = value(1)
        monkeypatch.setattr(run_sources, "_runs_by_walk", fail)
        return inputs(made), inputs.submit(made).result()

    assert main() == (NOTHING, NOTHING)
