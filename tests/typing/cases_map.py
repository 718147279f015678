"""`Task.map` and the list of futures it returns (tasks.md 18, 19 and 32)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from typing_extensions import assert_type

from oxtask import State, allow_failure, task, unmapped
from oxtask.futures import Future, FutureList


@task
def double(number: int, plus: int = 0) -> int:
    return 2 * number + plus


@task
async def fetch(page: int) -> str:
    return str(page)


@task
def count(to: int) -> Generator[int, None, None]:
    yield from range(to)


@task
async def acount(to: int) -> AsyncGenerator[int, None]:
    for number in range(to):
        yield number


def a_list_of_futures_of_the_result() -> None:
    """32.4"""
    futures = double.map([1, 2])
    assert_type(futures, FutureList[int])
    assert_type(futures.result(), list[int])
    assert_type(futures.result(timeout=1), list[int])


def a_list_of_futures_of_what_the_coroutine_returns() -> None:
    """32.5 b"""
    assert_type(fetch.map([1, 2]), FutureList[str])
    assert_type(fetch.map([1, 2]).result(), list[str])


def a_list_of_futures_of_what_generators_yield() -> None:
    """17.10, 27.10"""
    assert_type(count.map([1, 2]).result(), list[list[int]])
    assert_type(acount.map([1, 2]).result(), list[list[int]])


def return_state_gives_a_list_of_states() -> None:
    """18.15, 32.4"""
    assert_type(double.map([1, 2], return_state=True), list[State[int]])
    assert_type(double.map([1, 2], return_state=False), FutureList[int])


def return_state_gives_a_list_of_states_of_async_tasks() -> None:
    """32.5 b"""
    assert_type(fetch.map([1, 2], return_state=True), list[State[str]])
    assert_type(count.map([1, 2], return_state=True), list[State[list[int]]])


def wait_for_goes_with_both(future: Future[str]) -> None:
    """18.15"""
    assert_type(double.map([1, 2], wait_for=[future]), FutureList[int])
    assert_type(double.map([1, 2], wait_for=[future], return_state=True), list[State[int]])


def arguments_are_iterables_annotations_and_futures(future: Future[list[int]]) -> None:
    """18.3, 18.4, 18.13"""
    assert_type(double.map(range(3), plus=unmapped(1)), FutureList[int])
    assert_type(double.map(number=future), FutureList[int])
    assert_type(double.map(allow_failure(future)), FutureList[int])
    assert_type(double.map(double.map([1, 2])), FutureList[int])


def the_list_is_a_list_of_futures() -> None:
    """19.1"""
    futures = double.map([1, 2])
    for future in futures:
        assert_type(future, Future[int])
    assert_type(futures[0], Future[int])
    assert_type(futures[:1], list[Future[int]])
    assert_type(len(futures), int)


def waiting_returns_nothing() -> None:
    """19.2"""
    double.map([1, 2]).wait(timeout=1)
    double.map([1, 2]).wait("1")  # type: ignore[arg-type]


def failures_may_stand_among_the_results() -> None:
    """19.3"""
    results = double.map([1, 2]).result(raise_on_failure=False)
    assert_type(results, list[int | BaseException])


def results_cannot_be_used_as_something_else() -> None:
    """32.4"""
    texts: list[str] = double.map([1, 2]).result()  # type: ignore[assignment]
    number: int = double.map([1, 2]).result()  # type: ignore[assignment]
    states: list[State[int]] = double.map([1, 2])  # type: ignore[assignment]
    print(texts, number, states)


def an_untyped_function_has_futures_of_any(function: Callable[..., Any]) -> None:
    """32.5 f"""
    assert_type(task(function).map([1]), FutureList[Any])
    assert_type(task(function).map([1]).result(), list[Any])
