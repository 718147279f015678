"""Where arguments come from: the `task_inputs` of task runs while every run is recorded."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from oxtask import flow, task
from oxtask._internal import result_links
from oxtask._internal.task_runs import log_of
from oxtask.client.schemas.objects import FlowRunResult, TaskRunResult
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.settings import temporary_settings
from oxtask.states import Completed
from oxtask.utilities.annotations import allow_failure, opaque, quote, unmapped
from oxtask.utilities.engine import get_state_for_result

WAYS = ("call", "submit", "map", "await", "submit async")


@pytest.fixture(autouse=True)
def tracked():
    with temporary_settings({"history.every_run": True}):
        yield


@task
def make(value=None):
    return value


@task
def look(x, y=3, *args, **kw):
    return dict(TaskRunContext.get().task_run.task_inputs)


@task
async def alook(x, y=3, *args, **kw):
    return dict(TaskRunContext.get().task_run.task_inputs)


def seen(way, argument, **kwargs):
    """Return the inputs that a run sees of itself when it is given an argument in some way."""
    if way == "call":
        return look(argument, **kwargs)
    if way == "submit":
        return look.submit(argument, **kwargs).result()
    if way == "map":
        return look.map([argument], **kwargs)[0].result()
    if way == "await":
        return asyncio.run(alook(argument, **kwargs))
    return alook.submit(argument, **kwargs).result()


def from_(*futures):
    return [TaskRunResult(id=future.task_run_id) for future in futures]


each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_every_parameter_has_its_inputs(way):
    """25.1, 25.9, TE-10"""

    @flow
    def main():
        future, other = make.submit([1]), make.submit("text")
        found = seen(way, [future, {"k": future}], a=other, b=5)
        assert found == {"x": from_(future), "y": [], "args": [], "kw": from_(other)}

    main()


@each_way
def test_runs_that_are_waited_for_are_inputs_too(way):
    """24.6, 25.1, TE-11"""

    @flow
    def main():
        future = make.submit([1])
        value = future.result()
        assert seen(way, 1, wait_for=[future])["wait_for"] == from_(future)
        assert seen(way, 1, wait_for=value)["wait_for"] == from_(future)
        assert "wait_for" not in seen(way, 1, wait_for=[])

    main()


@each_way
def test_states_and_results_are_traced_to_their_runs(way):
    """25.2, 25.4"""

    @flow
    def main():
        future = make.submit({"k": [1]})
        future.wait()
        assert seen(way, future.state)["x"] == from_(future)
        assert seen(way, future.result())["x"] == from_(future)
        assert seen(way, [future.result()["k"]])["x"] == from_(future)
        assert seen(way, Completed(data=[1]))["x"] == []

    main()


def test_results_of_direct_calls_are_traced():
    """25.2"""
    runs = []

    @task
    def noted():
        runs.append(TaskRunResult(id=TaskRunContext.get().task_run.id))
        return [1, 2]

    @flow
    def main():
        assert look(noted())["x"] == runs
        assert look(noted(return_state=True))["x"] == runs[1:]

    main()


def test_results_of_flows_are_traced_to_the_flow_run():
    """25.2"""

    @flow
    def child():
        return ["value"], FlowRunContext.get().flow_run.id

    @flow
    async def achild():
        return ["value"], FlowRunContext.get().flow_run.id

    @flow
    def main():
        value, run = child()
        assert look(value)["x"] == [FlowRunResult(id=run)]
        value, run = child(return_state=True).result(_sync=True)
        assert look(value)["x"] == [FlowRunResult(id=run)]

    @flow
    async def amain():
        value, run = await achild()
        assert (await alook(value))["x"] == [FlowRunResult(id=run)]

    main()
    asyncio.run(amain())


@each_way
def test_annotations_decide_what_is_looked_at(way):
    """25.3"""

    @flow
    def main():
        future, failed = make.submit([1]), task(lambda: 1 / 0).submit()
        assert seen(way, quote(future))["x"] == []
        assert seen(way, [quote([future])])["x"] == []
        assert seen(way, opaque(future))["x"] == from_(future)
        assert seen(way, opaque([future]))["x"] == []
        assert seen(way, allow_failure([failed]))["x"] == from_(failed)
        assert seen(way, unmapped(future))["x"] == from_(future)

    main()


@pytest.mark.parametrize("value", [True, None, ..., NotImplemented, 0, -5, 256])
def test_values_that_are_the_same_everywhere_are_not_traced(value):
    """25.4"""

    @flow
    def main():
        state = make(value, return_state=True)
        assert state.state_details.untrackable_result
        assert look(state.result(_sync=True))["x"] == []
        return get_state_for_result(value)

    assert main() is None


def test_only_one_layer_of_a_result_is_traced():
    """25.4"""

    @flow
    def main():
        deep = ["deep"]
        result = make([{"k": deep}, 10**6, "text"])
        assert get_state_for_result(result) is not None
        assert [get_state_for_result(item) is not None for item in result] == [True] * 3
        assert get_state_for_result(deep) is None

    main()


def test_what_was_yielded_comes_from_a_run_under_way():
    """25.7, 27.7, TE-95"""

    @task
    def items():
        run = TaskRunResult(id=TaskRunContext.get().task_run.id)
        yield [run]
        yield [run]

    @task
    async def aitems():
        for item in items.fn():
            yield item

    @flow
    def main():
        for item in items():
            found = look(item)
            assert (found["x"], found["__parents__"]) == (item, item)

    @flow
    async def amain():
        async for item in aitems():
            found = await alook(item)
            assert (found["x"], found["__parents__"]) == (item, item)

    main()
    asyncio.run(amain())


def test_a_state_is_found_by_the_object_itself():
    """25.5"""

    @flow
    def main():
        one, same = [1], [1]
        state = make(one, return_state=True)
        found, kind = get_state_for_result(one)
        assert found.id == state.id
        assert found.data is None
        assert kind is result_links.RunType.TASK_RUN
        assert get_state_for_result(same) is None

    main()
    assert get_state_for_result([1]) is None


class Thing:
    pass


def test_an_object_that_can_be_referred_to_weakly_is_not_kept():
    """25.5, 25.10, W39"""

    @flow
    def main():
        thing = make(Thing())
        gone = weakref.ref(thing)
        assert get_state_for_result(thing) is not None
        count = len(FlowRunContext.get().run_results)
        del thing
        gc.collect()
        assert gone() is None
        assert len(FlowRunContext.get().run_results) == count - 1

    main()


def test_a_new_object_in_the_place_of_an_old_one_comes_from_nowhere():
    """W39, engine.md TE-10: an address alone tells nothing"""

    @flow
    def main():
        for _ in range(200):
            make([1])
            assert get_state_for_result([2]) is None

    main()


def test_the_last_run_that_returns_an_object_has_produced_it():
    """25.6"""

    @flow
    def main():
        value = []
        first, second = make.submit(value), make.submit(value)
        first.wait()
        second.wait()
        third = make.submit(value)
        third.wait()
        value.append(1)
        assert look(value)["x"] == from_(third)

    main()


def test_old_results_are_forgotten(monkeypatch):
    """25.10"""
    monkeypatch.setattr(result_links, "MAX_LINKS", 3)

    @flow
    def main():
        values = [make([number]) for number in range(5)]
        known = [get_state_for_result(value) is not None for value in values]
        assert known == [False, False, True, True, True]
        assert len(FlowRunContext.get().run_results) == 3

    main()


@pytest.mark.parametrize("is_async", [False, True])
def test_old_items_of_a_generator_are_forgotten(monkeypatch, is_async):
    """TE-99, TE-95"""
    monkeypatch.setattr(result_links, "MAX_LINKS", 3)

    @task
    def items():
        for number in range(20):
            yield [number]

    @task
    async def aitems():
        for number in range(20):
            yield [number]

    @flow
    async def main():
        received = [item async for item in aitems()] if is_async else list(items())
        known = [get_state_for_result(item) is not None for item in received]
        assert known == [False] * 17 + [True] * 3
        assert len(FlowRunContext.get().run_results) == 3

    asyncio.run(main())


@pytest.mark.parametrize("in_flow", [False, True])
def test_a_run_in_a_run_has_a_parent(in_flow):
    """25.7, 25.8, TE-09"""

    @task
    def outer():
        own = TaskRunContext.get().task_run.id
        called = [look(1)]
        if in_flow:
            called += [look.submit(1).result(), *look.map([1]).result()]
        return own, [found["__parents__"] for found in called]

    own, parents = flow(outer)() if in_flow else outer()
    assert parents == [[TaskRunResult(id=own)]] * len(parents)
    assert "__parents__" not in look(1)


def test_a_flow_in_between_has_no_parent_to_give():
    """25.7, TE-09"""

    @flow
    def child():
        return quote([look(1), look.submit(1).result()])

    found = task(child)().unquote()
    assert ["__parents__" in inputs for inputs in found] == [False, False]


def test_outside_of_a_flow_results_are_not_traced():
    """25.8"""
    assert look(make([1]))["x"] == []


def test_inputs_of_a_map_are_those_of_each_item():
    """18.17"""

    @flow
    def main():
        whole = make.submit(["a", "b"])
        items = make.map(["c", "d"])
        static = make.submit("e")
        found = look.map(whole, items, k=static, deep=[{"i": items[1]}, 0]).result()
        assert [inputs["x"] for inputs in found] == [from_(whole)] * 2
        assert [inputs["y"] for inputs in found] == [from_(items[0]), from_(items[1])]
        assert [set(inputs["kw"]) for inputs in found] == [
            *({*from_(static, items[1])}, {*from_(static)}),
        ]
        assert look.map(allow_failure(whole))[0].result()["x"] == from_(whole)

    main()


def test_inputs_are_known_to_hooks_and_of_runs_that_never_started():
    """25.9"""
    known = []

    @task(on_completion=[lambda t, run, state: known.append(run.task_inputs)])
    def hooked(x):
        return x

    @flow
    def main():
        future, failed = make.submit([1]), task(lambda: 1 / 0).submit()
        hooked.submit(future).wait()
        assert known == [{"x": from_(future)}]
        for given in ({"x": failed}, {"x": 1, "wait_for": [failed]}):
            blocked = hooked.submit(**given)
            blocked.wait()
            record = log_of(blocked).record
            assert record.state_name == "NotReady"
            assert from_(failed) in record.task_inputs.values()

    main()


@each_way
def test_values_and_runs_are_the_same_as_without(way):
    """25.9"""
    value = [1]

    @flow
    def main():
        made = [
            make(value),
            make.submit(value).result(),
            make.map([value])[0].result(),
            make.submit(make.submit(value)).result(),
            make.submit(value=quote(value)).result(),
        ]
        assert all(one is value for one in made)
        future = make.submit([make.submit(1), 2])
        assert future.result() == [1, 2]
        return [state.name for state in log_of(future).history]

    assert main() == ["Pending", "Running", "Completed"]


def test_an_object_that_cannot_be_walked_has_no_known_origin():
    """25.1, N5"""

    class HashesOnce:
        count = 0

        def __hash__(self):
            self.count += 1
            if self.count > 1:
                raise ValueError("no")
            return 1

    @flow
    def main():
        return look({HashesOnce(): 1})["x"]

    assert main() == []


def test_a_task_that_was_used_before_is_tracked_in_flows_that_track():
    """25.9: with submit and map"""
    with temporary_settings({"history.every_run": False}):
        used = look.with_options(name="used")
        assert not any(used(1).values())
        assert not any(flow(lambda: used.submit(1).result())().values())

    @flow
    def main():
        future = make.submit([1])
        return used.submit(future).result()["x"] == used.map([future])[0].result()["x"] != []

    assert main()


@pytest.mark.parametrize("way", WAYS)
def test_plain_values_have_no_origin_where_that_is_switched_off(way):
    """25.10: opt-out; futures tell their run all the same"""

    @flow
    def main():
        future, value = make.submit([1]), make([2])
        return from_(future), seen(way, future)["x"], seen(way, value)["x"]

    with temporary_settings({"tasks.track_inputs": False}):
        future, of_future, of_value = main()
    assert of_future == future
    assert of_value == []


def test_results_of_flows_have_no_origin_where_that_is_switched_off():
    """25.10"""
    child = flow(lambda: [1])

    @flow
    def main():
        return look(child())["x"], len(FlowRunContext.get().run_results)

    assert main()[0]
    with temporary_settings({"tasks.track_inputs": False}):
        assert main() == ([], 0)


def test_nothing_is_remembered_of_results_while_runs_are_not_recorded():
    """25.10: what nobody can read costs nothing"""

    @flow
    def main():
        make.submit([1]).result(), make([2]), make.map([[3]]).result()
        return len(FlowRunContext.get().run_results)

    assert main() > 0
    with temporary_settings({"history.every_run": False}):
        assert main() == 0
