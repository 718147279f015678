"""What type checkers make of `task` as a decorator and as a function (tasks.md 2 and 32.1)."""

from __future__ import annotations

from typing import Any, TypeVar

from typing_extensions import assert_type

from oxtask import State, Task, task

T = TypeVar("T")


def length(text: str, scale: int = 1) -> int:
    return len(text) * scale


async def fetch(page: int) -> str:
    return str(page)


# Used as a decorator


def a_bare_decorator_keeps_parameters_and_result() -> None:
    """32.1"""

    @task
    def shout(text: str) -> str:
        return text.upper()

    as_declared: Task[[str], str] = shout
    assert_type(as_declared("a"), str)
    assert_type(shout(text="a"), str)


def empty_parentheses_change_nothing() -> None:
    """32.1"""

    @task()
    def shout(text: str) -> str:
        return text.upper()

    assert_type(shout(text="a"), str)
    shout(text=1)  # type: ignore[call-overload]


def options_change_nothing() -> None:
    """32.1"""

    @task(name="shout", retries=2, retry_delay_seconds=[1, 2.5], tags={"loud"}, version="1")
    def shout(text: str) -> str:
        return text.upper()

    assert_type(shout(text="a"), str)
    shout(text=1)  # type: ignore[call-overload]


async def an_async_function_keeps_its_coroutine() -> None:
    """32.1"""

    @task
    async def read(page: int) -> str:
        return str(page)

    @task(timeout_seconds=1)
    async def read_within(page: int) -> str:
        return str(page)

    assert_type(await read(page=1), str)
    assert_type(await read_within(page=1), str)


def a_retry_condition_is_none_a_function_or_an_async_function() -> None:
    """32.1"""

    def sync(task: Task[..., Any], run: Any, state: State[Any]) -> bool:
        return state.is_failed()

    async def not_sync(task: Task[..., Any], run: Any, state: State[Any]) -> bool:
        return state.is_failed()

    assert_type(task(retry_condition_fn=None)(length)("a"), int)
    assert_type(task(retry_condition_fn=sync)(length)("a"), int)
    assert_type(task(retry_condition_fn=not_sync)(length)("a"), int)


def one_decorator_serves_functions_of_different_types() -> None:
    """2.2"""
    retrying = task(retries=3)

    @retrying
    def shout(text: str) -> str:
        return text.upper()

    @retrying
    def double(number: int) -> int:
        return 2 * number

    assert_type(shout("a"), str)
    assert_type(double(1), int)


def a_generic_function_stays_generic() -> None:
    """32.1"""

    @task
    def first(items: list[T]) -> T:
        return items[0]

    assert_type(first([1]), int)
    assert_type(first(["a"]), str)


def all_kinds_of_parameters_are_kept() -> None:
    """32.1"""

    @task
    def every(a: int, /, b: int = 0, *rest: int, c: str, **more: float) -> None: ...

    every(1, 2, 3, c="c", d=1.0)
    every(1, c="c")
    every(1)  # type: ignore[call-overload]
    every(a=1, c="c")  # type: ignore[call-overload]
    every(1, c="c", d="d")  # type: ignore[call-overload]


# Used as a function


def a_function_is_made_a_task_by_a_call() -> None:
    """2.1"""
    assert_type(task(length)("a"), int)
    assert_type(task(length, name="length")("a", 2), int)
    assert_type(task(len)("a"), int)


def the_class_takes_the_same_options_and_more() -> None:
    """2.5, 2.6"""
    made = Task(length, "length", on_commit=[print], on_rollback=[print])
    assert_type(made("a"), int)
    made(1)  # type: ignore[call-overload]


def the_function_can_be_read() -> None:
    """32.4"""
    made = task(length)
    assert_type(made.fn("a", scale=2), int)
    made.fn(1)  # type: ignore[arg-type]


def a_subclass_of_task_keeps_the_types() -> None:
    """10.1"""
    from typing import ParamSpec

    P = ParamSpec("P")
    R = TypeVar("R")

    class Audited(Task[P, R]):
        """A task of one's own."""

    assert_type(Audited(length)("a"), int)
    Audited(length)(1)  # type: ignore[call-overload]


def a_task_of_a_narrow_result_is_one_of_a_wide_result() -> None:
    """32.1"""
    wide: Task[[int], Any] = task(fetch)
    anything: Task[..., object] = task(length)
    narrow: Task[..., str] = task(length)  # type: ignore[arg-type]
    print(wide, anything, narrow)


# Mistakes


def an_unknown_option_is_an_error() -> None:
    """2.5"""
    task(length, retrys=1)  # type: ignore[call-overload]
    task(retrys=1)  # type: ignore[call-overload]
    Task(length, retrys=1)  # type: ignore[call-arg]


def an_option_of_a_wrong_type_is_an_error() -> None:
    """3.15, 3.3, 5.1"""
    task(length, retries="3")  # type: ignore[call-overload]
    task(length, tags=3)  # type: ignore[call-overload]
    task(length, on_failure=print)  # type: ignore[call-overload]
    task(length, retry_delay_seconds=(1, 2))  # type: ignore[call-overload]


def what_cannot_be_called_cannot_be_a_task() -> None:
    """2.4"""
    task("length")  # type: ignore[call-overload]
    Task(0)  # type: ignore[arg-type]
