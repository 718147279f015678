"""Futures, and functions that take many of them (tasks.md 17.11, 19)."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from typing_extensions import assert_type

from oxtask import State, task
from oxtask.futures import Future, as_completed, wait


@task
def double(number: int) -> int:
    return 2 * number


def a_future_tells_of_its_run(future: Future[int]) -> None:
    """17.11"""
    assert_type(future.task_run_id, UUID)
    assert_type(future.state, State[int])
    assert_type(future.done(), bool)
    assert_type(future.cancel(), bool)


def waiting_for_a_future_returns_nothing(future: Future[int]) -> None:
    """17.11"""
    future.wait(timeout=1)
    done: bool = future.wait()  # type: ignore[assignment]
    print(done)


def a_result_that_may_be_a_failure_says_so(future: Future[int], flag: bool) -> None:
    """17.11"""
    assert_type(future.result(raise_on_failure=True), int)
    assert_type(future.result(raise_on_failure=False), int | BaseException)
    assert_type(future.result(raise_on_failure=flag), int | BaseException)


async def a_result_can_be_awaited_a_future_cannot(future: Future[int]) -> None:
    """17.11"""
    assert_type(await future.aresult(), int)
    await future  # type: ignore[misc]


def a_callback_takes_the_future(future: Future[int]) -> None:
    """17.11"""

    def callback(ended: Future[int]) -> None:
        print(ended.result())

    future.add_done_callback(callback)
    future.add_done_callback(print)
    future.add_done_callback("print")  # type: ignore[arg-type]


def a_future_of_a_narrow_result_is_one_of_a_wide_result(future: Future[int]) -> None:
    """32.4"""
    wide: Future[float | str] = future
    other: Future[str] = future  # type: ignore[assignment]
    print(wide, other)


def wait_returns_two_sets(futures: list[Future[int]]) -> None:
    """19.4"""
    done, not_done = wait(futures, timeout=1)
    assert_type(done, set[Future[int]])
    assert_type(not_done, set[Future[int]])
    assert_type(wait(double.map([1])).done, set[Future[int]])


def as_completed_yields_futures(futures: list[Future[int]]) -> None:
    """19.4"""
    assert_type(as_completed(futures), Iterator[Future[int]])
    for future in as_completed(futures, timeout=1):
        assert_type(future.result(), int)


def one_future_is_not_many(future: Future[int]) -> None:
    """19.4"""
    wait(future)  # type: ignore[arg-type]
    as_completed(future)  # type: ignore[arg-type]
