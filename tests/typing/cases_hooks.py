"""Hooks, as options and as decorators (tasks.md 5 and 11)."""

from __future__ import annotations

from functools import partial
from typing import Any

from typing_extensions import assert_type

from oxtask import Flow, State, Task, flow, task
from oxtask.client.schemas.objects import FlowRun, TaskRun


@task
def double(number: int) -> int:
    return 2 * number


@flow
def main() -> int:
    return double(1)


def task_hook(task: Task[..., Any], run: TaskRun, state: State[Any]) -> None:
    print(task.name, run.name, state.message)


async def async_task_hook(task: Task[..., Any], run: TaskRun, state: State[Any]) -> None:
    print(task.name, run.name, state.message)


def flow_hook(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    print(flow.name, run.name, state.message)


def without_parameters() -> None: ...


def hooks_of_tasks_are_options() -> None:
    """5.1, 11.1"""
    task(
        double.fn,
        on_completion=[task_hook, async_task_hook],
        on_failure=(task_hook,),
        on_running=[lambda task, run, state: print(task, run, state)],
    )


def hooks_of_flows_are_options() -> None:
    """5.1"""
    flow(
        main.fn,
        on_completion=[flow_hook],
        on_failure=[flow_hook],
        on_cancellation=[flow_hook],
        on_crashed=[flow_hook],
        on_running=[flow_hook],
    )


def a_hook_may_have_more_parameters_than_it_is_given() -> None:
    """11.1, 38.5"""

    def hook(
        task: Task[..., Any], run: TaskRun, state: State[Any], channel: str = "alerts"
    ) -> None:
        print(task.name, run.name, state.message, channel)

    double.with_options(on_failure=[hook, partial(hook, channel="news")])


def a_hook_with_other_parameters_is_an_error() -> None:
    """5.1"""
    task(double.fn, on_failure=[without_parameters])  # type: ignore[list-item]
    task(double.fn, on_failure=[flow_hook])  # type: ignore[list-item]
    task(double.fn, on_failure=["hook"])  # type: ignore[list-item]
    flow(main.fn, on_crashed=[without_parameters])  # type: ignore[list-item]


def decorators_return_the_function_unchanged() -> None:
    """5.4"""

    @double.on_completion
    @double.on_failure
    @double.on_running
    def hook(task: Task[..., Any], run: TaskRun, state: State[Any]) -> str:
        return f"{task.name} {run.name} {state.name}"

    @main.on_completion
    @main.on_failure
    @main.on_cancellation
    @main.on_crashed
    @main.on_running
    def hook_of_flow(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> str:
        return f"{flow.name} {run.name} {state.name}"

    def call(run: TaskRun, flow_run: FlowRun, state: State[Any]) -> None:
        assert_type(hook(double, run, state), str)
        assert_type(hook_of_flow(main, flow_run, state), str)

    print(call)


def a_decorated_hook_with_other_parameters_is_an_error() -> None:
    """5.4"""
    double.on_failure(without_parameters)  # type: ignore[type-var]
    main.on_failure(without_parameters)  # type: ignore[type-var]


def hooks_of_transactions_take_the_transaction() -> None:
    """11.10"""

    @double.on_commit
    @double.on_rollback
    def hook(transaction: Any) -> None:
        print(transaction)

    hook(None)
    double.on_commit(without_parameters)  # type: ignore[type-var]


def hooks_are_lists_of_functions() -> None:
    """6.1"""
    double.on_failure_hooks.append(task_hook)
    main.on_crashed_hooks.append(flow_hook)
    double.on_failure_hooks.append(without_parameters)  # type: ignore[arg-type]
