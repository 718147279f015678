"""`Task.submit` (tasks.md 17, 20, 24 and 32)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from typing_extensions import assert_type

from oxtask import State, allow_failure, task, unmapped
from oxtask.futures import Future
from oxtask.states import Completed
from oxtask.utilities.annotations import opaque, quote


@task
def double(number: int, plus: int = 0) -> int:
    return 2 * number + plus


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
async def fetch(page: int) -> str:
    return str(page)


@task
def count(to: int) -> Generator[int, None, str]:
    yield from range(to)
    return "done"


@task
async def acount(to: int) -> AsyncGenerator[int, None]:
    for number in range(to):
        yield number


# What comes back


def a_future_of_the_result() -> None:
    """32.4"""
    future = double.submit(1)
    assert_type(future, Future[int])
    assert_type(future.result(), int)
    assert_type(future.result(timeout=1.5), int)


def a_future_of_what_the_coroutine_returns() -> None:
    """32.5 b"""
    assert_type(fetch.submit(1), Future[str])
    assert_type(fetch.submit(1).result(), str)


def a_future_of_the_list_of_what_a_generator_yields() -> None:
    """17.10"""
    assert_type(count.submit(3), Future[list[int]])
    assert_type(acount.submit(3), Future[list[int]])
    assert_type(count.submit(3, return_state=True), State[list[int]])


def a_submit_is_not_awaited() -> None:
    """17.1"""

    async def body() -> None:
        await fetch.submit(1)  # type: ignore[misc]

    print(body)


def a_future_is_not_the_result() -> None:
    """32.4"""
    number: int = double.submit(1)  # type: ignore[assignment]
    double.submit(1).result().upper()  # type: ignore[attr-defined]
    print(number)


def an_untyped_function_has_a_future_of_any(function: Callable[..., Any]) -> None:
    """32.5 f"""
    assert_type(task(function).submit(1), Future[Any])
    assert_type(task(function).submit(1).result(), Any)


# `return_state` and `wait_for`


def return_state_gives_the_state() -> None:
    """32.4"""
    assert_type(double.submit(1, return_state=True), State[int])
    assert_type(double.submit(1, return_state=False), Future[int])


def return_state_gives_the_state_of_async_tasks() -> None:
    """32.5 b"""
    assert_type(fetch.submit(1, return_state=True), State[str])
    assert_type(fetch.submit(1, return_state=False), Future[str])


def wait_for_needs_no_return_state(future: Future[str]) -> None:
    """32.5 a"""
    assert_type(double.submit(1, wait_for=[future]), Future[int])
    assert_type(fetch.submit(1, wait_for=[future]), Future[str])
    assert_type(count.submit(1, wait_for=[future]), Future[list[int]])


def wait_for_and_return_state_go_together(future: Future[str]) -> None:
    """32.5 a"""
    assert_type(double.submit(1, wait_for=[future], return_state=True), State[int])
    assert_type(double.submit(1, wait_for=[future], return_state=False), Future[int])
    assert_type(fetch.submit(1, wait_for=[future], return_state=True), State[str])


def wait_for_takes_one_run_and_nests_of_runs(future: Future[str], state: State[int]) -> None:
    """24.1"""
    double.submit(1, wait_for=future)
    double.submit(1, wait_for={"a": [future, (state,)]})
    double.submit(1, wait_for=[allow_failure(future)])


# Arguments: what stands for a value


def a_parameter_takes_a_value_or_a_future_of_it() -> None:
    """32.5 e"""
    assert_type(double.submit(double.submit(1)), Future[int])
    assert_type(double.submit(number=double.submit(1), plus=2), Future[int])
    assert_type(fetch.submit(double.submit(1)), Future[str])


def a_parameter_takes_a_state_of_a_value(state: State[int]) -> None:
    """22.8"""
    assert_type(double.submit(state), Future[int])
    assert_type(double.submit(Completed(data=3)), Future[int])


def a_parameter_takes_an_annotated_value(future: Future[int]) -> None:
    """20.10"""
    assert_type(double.submit(unmapped(1)), Future[int])
    assert_type(double.submit(allow_failure(future)), Future[int])
    assert_type(double.submit(quote(1), plus=opaque(future)), Future[int])


def a_collection_may_hold_futures(future: Future[int]) -> None:
    """22.1"""
    assert_type(total.submit([future, 1]), Future[int])
    assert_type(total.submit([future, future]), Future[int])


def what_is_submitted_has_the_methods_of_a_task_only() -> None:
    """32.4"""
    double.submitted(1)  # type: ignore[attr-defined]
