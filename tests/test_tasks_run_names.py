"""The names of runs: derived, from templates, from functions."""

from __future__ import annotations

import asyncio
import datetime
import logging

import pytest
from ways import WAYS, run

from oxtask import flow, task
from oxtask._internal.task_runs import log_of
from oxtask.context import TaskRunContext

each_way = pytest.mark.parametrize("way", WAYS)


def name_of(made, *args, **kwargs):
    """Return the name of a run of a task."""

    @flow
    def main():
        future = made.submit(*args, **kwargs)
        future.wait()
        return log_of(future).record.name

    return main()


def test_outside_of_a_flow_a_run_has_the_name_of_its_task():
    """16.1, TE-05"""

    @task(name="fancy task")
    def named():
        run = TaskRunContext.get().task_run
        return run.name, run.flow_run_id, run.dynamic_key.split("-")[0], run.task_key

    assert named()[:3] == ("fancy task", None, "named")
    assert named()[3] == named.task_key


def test_inside_of_a_flow_three_characters_tell_runs_apart():
    """16.1, TE-06"""

    @task
    def named():
        run = TaskRunContext.get().task_run
        return run.name, run.dynamic_key

    name, key = flow(named)()
    assert name == f"named-{key[:3]}"


@each_way
def test_a_template_is_filled_in(way):
    """16.3, TE-07"""
    ran = run(way, lambda count: None, task_run_name="run {_}")
    assert ran.task_run.name == ("run 0" if way.startswith("map") else "run None")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{x}-{y}", "1-2"),
        ("{args[0]}", "3"),
        ("{kw[z]}", "4"),
        ("{x!r:>3}", "  1"),
        ("{when:%Y}", "2024"),
        ("plain", "plain"),
        ("{{x}}", "{x}"),
        ("{when.year}", "2024"),
    ],
)
def test_a_template_knows_parameters_attributes_and_formats(template, expected):
    """16.3"""

    @task(task_run_name=template)
    def named(x, y=2, *args, when=datetime.date(2024, 1, 1), **kw):
        return TaskRunContext.get().task_run.name

    assert named(1, 2, 3, z=4) == expected


def test_a_template_sees_results_in_place_of_futures():
    """16.3, 22.9"""

    @flow
    def main():
        x = task(lambda: 5).submit()
        future = task(lambda x: x, task_run_name="got {x}").submit(x)
        future.wait()
        return log_of(future).record.name

    assert main() == "got 5"


def test_a_template_does_not_reach_into_the_inside_of_objects():
    """16.3: no way to globals through a name, nor through a format within a format"""
    for template in ("{x.__class__}", "{x.real._private}", "{x[0].__init__}", "{x:{x.__doc__}}"):
        with pytest.raises(ValueError, match="begins with an underscore"):
            task(lambda x: x, task_run_name=template)(1)


@pytest.mark.parametrize("template", ["{_x}", "{y[_k]}", "{y[a._k]}"])
def test_parameters_and_keys_may_begin_with_an_underscore(template):
    """16.3: they are the program's own"""

    @task(task_run_name=template)
    def named(_x, y):
        return TaskRunContext.get().task_run.name

    assert named("1", {"_k": "1", "a._k": "1"}) == "1"


def test_an_unknown_field_fails_the_run():
    """16.3, W21"""
    made = task(lambda: pytest.fail("ran"), task_run_name="{unknown}")
    with pytest.raises(KeyError, match="unknown"):
        made()
    assert made(return_state=True).is_failed()

    @flow
    def main():
        future = made.submit()
        future.wait()
        return future.state.name, type(future.result(raise_on_failure=False))

    assert main() == ("Failed", KeyError)


def test_a_function_is_asked_for_the_name():
    """16.4"""
    assert name_of(task(lambda x: x, task_run_name=lambda: "made"), 1) == "made"


def test_a_function_may_have_the_parameters():
    """16.4"""

    def by_name(parameters):
        return f"x is {parameters['x']}"

    def keyword_only(*, parameters):
        return by_name(parameters)

    def with_default(extra="!", parameters=None):
        return by_name(parameters) + extra

    for function in (by_name, keyword_only):
        assert name_of(task(lambda x: x, task_run_name=function), 1) == "x is 1"
    assert name_of(task(lambda x: x, task_run_name=with_default), 1) == "x is 1!"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'other'"):
        task(lambda x: x, task_run_name=lambda other: "")(1)


def test_a_function_sees_the_run():
    """16.4"""

    def by_context():
        context = TaskRunContext.get()
        return f"{context.task.name} {context.parameters['x']}"

    assert name_of(task(lambda x: x, name="t", task_run_name=by_context), 1) == "t 1"


@pytest.mark.parametrize("value", [None, 5, b"x"])
def test_a_function_must_return_a_text(value):
    """16.5, TE-07, 42.2"""
    made = task(lambda: None, task_run_name=lambda: value)
    kind = type(value).__name__
    text = f"for 'task_run_name' returned type {kind} but a string is required"
    with pytest.raises(TypeError, match=text):
        made()
    with pytest.raises(TypeError, match=text):
        flow(lambda: made.submit().result())()


def test_an_async_function_is_no_name():
    """16.5: and leaves no coroutine that was never awaited"""

    async def name():
        return "name"

    with pytest.raises(TypeError, match="returned type coroutine"):
        task(lambda: None, task_run_name=name)()


def test_an_empty_name_is_a_name():
    """16.5"""
    assert name_of(task(lambda: None, task_run_name=lambda: "")) == ""


def test_an_empty_template_is_none():
    """3.14"""
    assert name_of(task(lambda: None, name="t", task_run_name="")).startswith("t-")


@each_way
def test_a_name_is_made_once_for_all_attempts(way):
    """16.6"""
    asked = []

    def name():
        asked.append(1)
        return "name"

    def body(count):
        if count < 3:
            raise ValueError

    ran = run(way, body, task_run_name=name, retries=2, retry_delay_seconds=[0, 0.005])
    assert asked == [1]
    assert ran.task_run.name == "name"


def test_a_mutated_option_is_checked_when_it_is_used():
    """3.14"""
    made = task(lambda: None)
    made.task_run_name = 5
    with pytest.raises(TypeError, match="Expected string or callable for 'task_run_name'; got int"):
        made()


def test_the_new_name_is_logged(caplog):
    """16.7, 26.8"""
    caplog.set_level(logging.DEBUG, logger="oxtask")
    task(lambda: None, name="t", task_run_name="fancy")()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:3] == [
        "Created task run 't' for task 't'",
        "Renamed task run 't' to 'fancy'",
        "Executing task 't' as task run 'fancy'",
    ]
    assert caplog.records[-1].task_run_name == "fancy"


def test_async_tasks_are_named_too():
    """16.3"""

    @task(task_run_name="{x}!")
    async def named(x):
        return TaskRunContext.get().task_run.name

    assert asyncio.run(named(1)) == "1!"
