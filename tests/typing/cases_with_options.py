"""`with_options` of tasks and flows (tasks.md 10 and 32.4)."""

from __future__ import annotations

from typing import Any, ParamSpec, TypeVar

from typing_extensions import assert_type

from oxtask import Flow, Task, flow, task
from oxtask.futures import Future
from oxtask.tasks import exponential_backoff

P = ParamSpec("P")
R = TypeVar("R")


class Audited(Task[P, R]):
    """A task of one's own."""


class AuditedFlow(Flow[P, R]):
    """A flow of one's own."""


def length(text: str, scale: int = 1) -> int:
    return len(text) * scale


async def fetch(page: int) -> str:
    return str(page)


def a_task_keeps_its_types() -> None:
    """32.4"""
    other = task(length).with_options(name="other", retries=2, tags=["a"])
    assert_type(other("a", scale=2), int)
    assert_type(other.submit("a"), Future[int])
    other(1)  # type: ignore[call-overload]


async def an_async_task_keeps_its_types() -> None:
    """32.4"""
    assert_type(await task(fetch).with_options(timeout_seconds=1)(1), str)
    assert_type(task(fetch).with_options(log_prints=True).submit(1), Future[str])


def a_subclass_is_kept() -> None:
    """10.1"""
    task_of_mine: Audited[..., int] = Audited(length).with_options(name="other")
    flow_of_mine: AuditedFlow[..., int] = AuditedFlow(length).with_options(name="other")
    assert_type(task_of_mine("a"), int)
    assert_type(flow_of_mine("a"), int)


def options_are_cleared_by_none() -> None:
    """10.2"""
    task(length).with_options(
        name=None, retries=None, task_run_name=None, on_failure=None, retry_delay_seconds=None
    )


def options_take_all_their_forms() -> None:
    """3.14, 3.16"""

    def named(parameters: dict[str, Any]) -> str:
        return str(parameters["text"])

    made = task(length)
    made.with_options(task_run_name="{text}", retry_delay_seconds=1.5)
    made.with_options(task_run_name=lambda: "name", retry_delay_seconds=[1, 2.5])
    made.with_options(
        task_run_name=named,
        retry_delay_seconds=exponential_backoff(2),
    )


def an_unknown_option_is_an_error() -> None:
    """2.5"""
    task(length).with_options(retrys=1)  # type: ignore[call-arg]
    flow(length).with_options(retrys=1)  # type: ignore[call-arg]


def the_version_is_set_for_good() -> None:
    """10.9"""
    task(length).with_options(version="2")  # type: ignore[call-arg]


def an_option_of_a_wrong_type_is_an_error() -> None:
    """10.11"""
    task(length).with_options(retries="3")  # type: ignore[arg-type]
    task(length).with_options(retry_delay_seconds={})  # type: ignore[arg-type]
    flow(length).with_options(task_runner="threads")  # type: ignore[arg-type]


def options_are_given_by_name() -> None:
    """10.1"""
    task(length).with_options("other")  # type: ignore[call-arg]


def a_flow_keeps_its_types() -> None:
    """32.4"""
    other = flow(length).with_options(name="other", validate_parameters=False)
    assert_type(other("a", scale=2), int)
    other(1)  # type: ignore[call-overload]
