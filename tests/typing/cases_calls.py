"""Direct calls of tasks (tasks.md 12 and 32)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import assert_type

from oxtask import State, task
from oxtask.futures import Future
from oxtask.tasks import FutureOrResult, OneOrManyFutureOrResult


@task
def length(text: str, scale: int = 1) -> int:
    return len(text) * scale


@task
async def fetch(page: int) -> str:
    return str(page)


@task
def say(text: str) -> None:
    print(text)


# What comes back


def a_call_returns_what_the_function_returns() -> None:
    """32.2"""
    assert_type(length("x"), int)
    assert_type(length(text="x", scale=2), int)


async def an_async_call_is_awaited() -> None:
    """32.2"""
    assert_type(await fetch(1), str)


async def the_result_of_an_awaited_call_need_not_be_used() -> None:
    """32.2"""
    await fetch(1)
    length("x")


async def an_async_call_that_nobody_awaits_is_an_error() -> None:
    """32.2"""
    fetch(1)  # type: ignore[unused-coroutine]


def a_task_that_returns_nothing_returns_none() -> None:
    """32.4"""
    say("x")
    nothing: int = say("x")  # type: ignore[assignment]
    print(nothing)


def the_result_cannot_be_used_as_something_else() -> None:
    """32.2"""
    length("x").upper()  # type: ignore[attr-defined]
    text: str = length("x")  # type: ignore[assignment]
    print(text)


async def a_sync_call_cannot_be_awaited() -> None:
    """32.2"""
    await length("x")  # type: ignore[misc]


# Arguments


def an_argument_of_a_wrong_type_is_an_error() -> None:
    """32.2"""
    length(1)  # type: ignore[call-overload]
    length("x", scale="2")  # type: ignore[call-overload]


def a_missing_argument_is_an_error() -> None:
    """32.2"""
    length()  # type: ignore[call-overload]


def an_argument_too_many_is_an_error() -> None:
    """32.2"""
    length("x", 1, 2)  # type: ignore[call-overload]
    length("x", size=2)  # type: ignore[call-overload]


def the_arguments_of_async_tasks_are_checked_alike() -> None:
    """32.2"""
    print(fetch("1"))  # type: ignore[call-overload]
    print(fetch())  # type: ignore[call-overload]


def a_future_fits_a_parameter_that_says_so(future: Future[int]) -> None:
    """32.5 e"""

    @task
    def double(number: FutureOrResult[int]) -> int:
        return 2 * number if isinstance(number, int) else number.result()

    @task
    def total(numbers: OneOrManyFutureOrResult[int]) -> object:
        return numbers

    double(future)
    double(1)
    total([future, 1])
    double("1")  # type: ignore[call-overload]
    length(future)  # type: ignore[call-overload]


# `return_state` and `wait_for`


def return_state_gives_the_state_of_the_result() -> None:
    """32.3"""
    assert_type(length("x", return_state=True), State[int])
    assert_type(length("x", return_state=False), int)


async def return_state_of_an_async_task_is_awaited() -> None:
    """32.5 c"""
    state = await fetch(1, return_state=True)
    assert_type(state, State[str])
    assert_type(await fetch(1, return_state=False), str)


def wait_for_keeps_the_result(future: Future[str]) -> None:
    """32.3, 32.5 g"""
    assert_type(length("x", wait_for=[future]), int)
    assert_type(length("x", wait_for=[future], return_state=True), State[int])
    assert_type(length("x", wait_for=future, return_state=False), int)


async def wait_for_keeps_the_result_of_async_tasks(future: Future[str]) -> None:
    """32.3, 32.5 g"""
    assert_type(await fetch(1, wait_for=[future]), str)
    assert_type(await fetch(1, wait_for=[future], return_state=True), State[str])


def a_state_is_not_a_result() -> None:
    """32.3"""
    number: int = length("x", return_state=True)  # type: ignore[assignment]
    print(number)


# Functions of which nothing is known


def the_result_of_an_untyped_function_is_any(function: Callable[..., Any]) -> None:
    """32.5 f"""
    assert_type(task(function)(1), Any)
    assert_type(task(function)(1, wait_for=[]), Any)


def an_untyped_function_is_not_taken_for_async(function: Callable[..., Any]) -> None:
    """32.5 f"""
    # No checker may ask for an `await` here; what else it says of the state is up to it.
    task(function)(1, return_state=True).is_completed()
    task(function).submit(1, return_state=True).is_completed()
