"""Flows and subflows (tasks.md 32 for flows)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import assert_type

from oxtask import Flow, State, flow, task
from oxtask.futures import Future, FutureList
from oxtask.states import Completed
from oxtask.task_runners import ThreadPoolTaskRunner


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubles(count: int, plus: int = 0) -> list[int]:
    return [number + plus for number in double.map(range(count)).result()]


@flow(name="adoubles", retries=1, task_runner=ThreadPoolTaskRunner(max_workers=2))
async def adoubles(count: int) -> list[int]:
    return double.map(range(count)).result()


def a_flow_keeps_parameters_and_result() -> None:
    """32.1"""
    as_declared: Flow[[int], list[int]] = flow(doubles.fn)
    assert_type(as_declared(3), list[int])
    assert_type(doubles(3), list[int])
    assert_type(doubles(count=3, plus=1), list[int])


async def an_async_flow_is_awaited() -> None:
    """32.1"""
    assert_type(await adoubles(3), list[int])
    assert_type(await adoubles(count=3), list[int])


async def an_async_flow_that_nobody_awaits_is_an_error() -> None:
    """32.2"""
    adoubles(3)  # type: ignore[unused-coroutine]


def the_arguments_of_a_flow_are_checked() -> None:
    """32.2"""
    doubles("3")  # type: ignore[call-overload]
    doubles()  # type: ignore[call-overload]
    doubles(3, size=1)  # type: ignore[call-overload]
    print(adoubles("3"))  # type: ignore[call-overload]


def return_state_gives_the_state() -> None:
    """32.3"""
    assert_type(doubles(3, return_state=True), State[list[int]])
    assert_type(doubles(3, return_state=False), list[int])
    assert_type(doubles(3, return_state=True).result(), list[int])


async def return_state_of_an_async_flow_is_awaited() -> None:
    """32.5 c"""
    assert_type(await adoubles(3, return_state=True), State[list[int]])
    assert_type(await adoubles(3, return_state=False), list[int])


def wait_for_keeps_the_result(future: Future[int]) -> None:
    """24.7"""
    assert_type(doubles(3, wait_for=[future]), list[int])
    assert_type(doubles(3, wait_for=[future], return_state=True), State[list[int]])


async def wait_for_keeps_the_result_of_async_flows(future: Future[int]) -> None:
    """24.7"""
    assert_type(await adoubles(3, wait_for=[future]), list[int])
    assert_type(await adoubles(3, wait_for=[future], return_state=True), State[list[int]])


def a_subflow_is_called_as_a_function() -> None:
    """26.1"""

    @flow(validate_parameters=False, on_failure=[print])
    def main(count: int) -> int:
        return sum(doubles(count))

    assert_type(main(3), int)
    main("3")  # type: ignore[call-overload]


async def an_async_flow_awaits_subflows_and_calls_tasks() -> None:
    """26.1"""

    @flow(on_crashed=[print], on_cancellation=None)
    async def main(count: int) -> int:
        assert_type(double.submit(1), Future[int])
        assert_type(double.map([1]), FutureList[int])
        return sum(await adoubles(count)) + double(1)

    assert_type(await main(3), int)


def a_flow_is_made_by_a_call() -> None:
    """2.1"""

    def function(text: str) -> int:
        return len(text)

    assert_type(flow(function)("a"), int)
    assert_type(flow(function, name="f")("a"), int)
    assert_type(Flow(function, name="f", task_runner=ThreadPoolTaskRunner)("a"), int)
    assert_type(flow(function).fn("a"), int)


def one_decorator_serves_functions_of_different_types() -> None:
    """2.2"""
    quiet = flow(log_prints=False)

    @quiet
    def texts() -> str:
        return "a"

    @quiet
    def numbers(number: int) -> int:
        return number

    assert_type(texts(), str)
    assert_type(numbers(1), int)


def an_unknown_or_wrong_option_is_an_error() -> None:
    """2.5"""
    flow(doubles.fn, retrys=1)  # type: ignore[call-overload]
    flow(retries="1")  # type: ignore[call-overload]
    flow(doubles.fn, task_runner="threads")  # type: ignore[call-overload]
    flow("doubles")  # type: ignore[call-overload]


def the_result_of_an_untyped_function_is_any(function: Callable[..., Any]) -> None:
    """32.5 f"""
    assert_type(flow(function)(1), Any)
    flow(function)(1, return_state=True).is_completed()


def a_flow_may_return_a_state_or_nothing() -> None:
    """29.2"""

    @flow
    def choosing() -> State[int]:
        return Completed(data=1)

    @flow
    def silent() -> None: ...

    assert_type(choosing(), State[int])
    assert_type(choosing(return_state=True), State[State[int]])
    nothing: int = silent()  # type: ignore[assignment]
    print(nothing)
