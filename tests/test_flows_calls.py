"""Calling flows, and the names of their runs; the lines are of engine.md, sections 4.1 and 4.2."""

from __future__ import annotations

import asyncio
import logging

import pytest
from flow_ways import WAYS, call, logs_fixture, made, shown  # noqa: F401

from oxtask import flow, task
from oxtask.client.schemas.objects import FlowRun, FlowRunPolicy
from oxtask.context import FlowRunContext, tags
from oxtask.exceptions import FailedRun, ParameterBindError, SignatureMismatchError
from oxtask.flow_engine import run_flow, run_flow_async, run_flow_sync
from oxtask.states import Completed, Failed, Pending, Scheduled


@flow
def add(x: int, y: int = 2) -> int:
    return x + y


@flow
async def aadd(x: int, y: int = 2) -> int:
    await asyncio.sleep(0)
    return x + y


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"z": 3}), ((1,), {"x": 3})],
)
@pytest.mark.parametrize("main", [add, aadd])
def test_arguments_that_do_not_fit_are_refused_before_there_is_a_run(logs, main, args, kwargs):
    """FL-20"""
    with pytest.raises(ParameterBindError, match="Error binding parameters for function"):
        main(*args, **kwargs)
    assert logs == []


def test_a_sync_flow_runs_here_even_if_an_event_loop_runs_here():
    """FL-21"""

    async def main():
        return add(1)

    assert add(1) == 3
    assert asyncio.run(main()) == 3


def test_an_async_flow_is_awaited(logs):
    """FL-21"""

    async def main():
        return await aadd(1), await aadd(1, return_state=True)

    coroutine = aadd(1)
    assert logs == [], "a run begins when it is awaited"
    assert asyncio.run(coroutine) == 3
    value, state = asyncio.run(main())
    assert value == 3
    assert state.is_completed()


def test_an_async_flow_may_be_a_task_of_the_loop():
    """FL-21"""

    async def main():
        runs = [asyncio.create_task(aadd(number)) for number in range(20)]
        return await asyncio.gather(*runs)

    assert asyncio.run(main()) == list(range(2, 22))


@pytest.mark.parametrize("way", WAYS)
def test_a_parameter_may_be_named_as_those_of_methods(way):
    """FL-36"""
    names = {}
    exec(
        "def fn(self, args, kwargs, fn, keys):\n    return [self, args, kwargs, fn, keys]\n", names
    )
    assert flow(names["fn"])(self=1, args=2, kwargs=3, fn=4, keys=5) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_waited_for_ends_first(way):
    """FL-20, FL-75, tasks.md 24.7"""
    order = []

    @task
    def first():
        order.append("first")

    child = made(way, lambda attempt: order.append("child"))

    @flow
    def parent():
        call(child, wait_for=[first.submit()])
        call(child, wait_for=iter([first.submit()]))
        call(child, wait_for=first.submit())

    parent()
    assert order == ["first", "child"] * 3


# --- names of runs --------------------------------------------------------------------------------


def name_of_run(**options):
    @flow(**options)
    def main(x: int = 1, y: int = 2):
        return FlowRunContext.get().flow_run.name

    return main


def test_a_run_has_a_name_of_two_words():
    """RR-03"""
    first, second = name_of_run()(), name_of_run()()
    assert len(first.split("-")) == 2
    assert first.islower()
    assert second


def test_a_template_sees_defaults_and_converted_values():
    """FL-03"""
    assert name_of_run(flow_run_name="{x}-{y:03}")("3") == "3-002"


def test_a_function_names_the_run():
    """FL-03"""

    def by_context():
        run = FlowRunContext.get()
        return f"{run.parameters['x']}-{run.flow_run.state_name}"

    def by_parameters(parameters):
        return f"y={parameters['y']}"

    assert name_of_run(flow_run_name=by_context)("7") == "7-Pending"
    assert name_of_run(flow_run_name=by_parameters)() == "y=2"


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_named_once_and_before_it_runs(logs, way):
    """FL-03"""
    seen = []

    def name():
        seen.append("named")
        return f"name {len(seen)}"

    def body(attempt):
        seen.append(FlowRunContext.get().flow_run.name)
        if attempt == 1:
            raise ValueError

    hook = lambda flow, flow_run, state: seen.append((state.name, flow_run.name))  # noqa: E731
    call(made(way, body, flow_run_name=name, retries=1, on_running=[hook]))
    assert seen == [
        "named",
        ("Running", "name 1"),
        "name 1",
        ("Retrying", "name 1"),
        "name 1",
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (lambda: 3, TypeError, "returned type int but a string is required"),
        (lambda: 1 / 0, ZeroDivisionError, "division"),
        ("{z}", KeyError, "z"),
        ("{x.__class__}", ValueError, "underscore"),
    ],
)
def test_a_name_that_cannot_be_made_fails_the_run(logs, way, name, error, message):
    """FL-03, W06"""
    hooks = []

    async def coroutine(x=1):
        raise AssertionError

    def plain(x=1):
        raise AssertionError

    main = flow(
        coroutine if way == "async" else plain,
        flow_run_name=name,
        on_failure=[lambda *_: hooks.append("failure")],
        on_running=[lambda *_: hooks.append("running")],
    )
    with pytest.raises(error, match=message):
        call(main)
    assert shown(logs[0]) == ["Pending", "Failed"]
    assert hooks == ["failure"]
    assert logs[0].record.run_count == 0


def test_a_template_that_was_changed_to_nonsense_is_refused_when_it_is_used():
    """FL-03"""
    main = name_of_run()
    main.flow_run_name = 3
    with pytest.raises(TypeError, match="Expected string or callable for 'flow_run_name'; got int"):
        main()


# --- runs by hand ---------------------------------------------------------------------------------


def test_a_run_can_be_made_of_parameters():
    """FL-22"""
    assert run_flow(add, parameters={"x": "1"}) == 3
    assert run_flow_sync(add, parameters={"x": 1, "y": 5}) == 6
    assert asyncio.run(run_flow(aadd, parameters={"x": 1})) == 3
    assert asyncio.run(run_flow_async(aadd, parameters={"x": 1})) == 3
    state = run_flow(add, parameters={"x": 1}, return_type="state")
    assert state.is_completed()


def test_a_run_can_be_made_of_a_record():
    """FL-22, FL-37"""
    record = FlowRun(name="mine", parameters={"x": "1"}, tags=["a"], state=Pending())

    @flow
    def main(x: int, y: int = 2):
        run = FlowRunContext.get().flow_run
        assert run is record
        with tags("b") as current:
            return x + y, run.name, sorted(current)

    assert run_flow(main, flow_run=record) == (3, "mine", ["a", "b"])
    assert record.state.is_completed()
    assert record.run_count == 1


@pytest.mark.parametrize("state", [None, Scheduled()])
def test_a_record_that_is_not_pending_becomes_so(logs, state):
    """FL-22"""
    record = FlowRun(parameters={"x": 1})
    if state is not None:
        record.set_state(state)
    run_flow(add, flow_run=record)
    assert shown(logs[0])[-3:] == ["Pending", "Running", "Completed"]


def test_a_record_that_has_ended_is_not_run_again():
    """FL-22"""
    for state, error in ((Completed(data=3), None), (Failed(message="no luck"), FailedRun)):
        record = FlowRun(parameters={"x": 1})
        record.set_state(state)
        assert run_flow(add, flow_run=record, return_type="state") is state
        if error is None:
            assert run_flow(add, flow_run=record) == 3
        else:
            with pytest.raises(error, match="no luck"):
                run_flow(add, flow_run=record)
        assert record.run_count == 0


def test_a_record_gets_the_retries_of_the_flow():
    """FL-24"""
    main = add.with_options(retries=3, retry_delay_seconds=0.5)
    record = FlowRun(parameters={"x": 1})
    run_flow(main, flow_run=record)
    assert record.empirical_policy == FlowRunPolicy(retries=3, retry_delay=0.5)
    told = FlowRun(parameters={"x": 1}, empirical_policy=FlowRunPolicy(retries=0, retry_delay=9))
    run_flow(main, flow_run=told)
    assert told.empirical_policy == FlowRunPolicy(retries=0, retry_delay=9)


def test_parameters_that_the_flow_does_not_have_are_refused(logs):
    """FL-22"""
    with pytest.raises(SignatureMismatchError, match="'z'"):
        run_flow(add, parameters={"x": 1, "z": 3})
    with pytest.raises(ValueError, match="'return_type' must be 'result' or 'state'; got 'both'"):
        run_flow(add, parameters={"x": 1}, return_type="both")
    assert logs == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), "Engine execution interrupted by base exception"),
        (ValueError("no"), "Engine execution exited with unexpected exception"),
    ],
)
def test_a_logger_can_be_told_of_what_is_raised(caplog, way, error, message):
    """FL-23"""

    def body(attempt):
        raise error

    with pytest.raises(type(error)):
        call(lambda: run_flow(made(way, body), error_logger=logging.getLogger("mine")))
    told = [record for record in caplog.records if record.name == "mine"]
    assert [record.message for record in told] == [message]
    assert told[0].exc_info[1] is error
