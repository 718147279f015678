"""States and their results (tasks.md 29, engine.md 3)."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from oxtask import State, flow
from oxtask.states import (
    Cancelled,
    Completed,
    Failed,
    Paused,
    StateType,
    get_state_exception,
    is_state,
    is_state_iterable,
)


def a_state_has_the_result_of_its_run(state: State[int]) -> None:
    """32.3"""
    assert_type(state.result(), int)
    assert_type(state.result(raise_on_failure=True), int)


def a_result_that_may_be_a_failure_says_so(state: State[int], flag: bool) -> None:
    """32.3"""
    assert_type(state.result(raise_on_failure=False), int | BaseException)
    assert_type(state.result(raise_on_failure=flag), int | BaseException)


async def a_result_can_be_awaited(state: State[int]) -> None:
    """29.6"""
    assert_type(await state.aresult(), int)
    assert_type(await state.aresult(raise_on_failure=False), int | BaseException)


def the_result_cannot_be_used_as_something_else(state: State[int]) -> None:
    """32.3"""
    state.result().upper()  # type: ignore[attr-defined]
    text: str = state.result()  # type: ignore[assignment]
    print(text)


def a_state_of_a_narrow_result_is_one_of_a_wide_result(state: State[bool]) -> None:
    """32.3"""
    wide: State[int | str] = state
    other: State[str] = state  # type: ignore[assignment]
    print(wide, other)


def a_state_made_by_hand_is_of_any_result() -> None:
    """29.2"""
    assert_type(Completed(data=1), State[Any])
    assert_type(Failed(message="no luck"), State[Any])
    assert_type(Paused(timeout_seconds=60), State[Any])
    number: State[int] = Completed(data=1)
    print(number)


def a_state_made_by_hand_can_be_what_a_flow_returns() -> None:
    """29.2"""

    @flow
    def main() -> State[int]:
        return Cancelled(message="not today")

    assert_type(main(), State[int])


def a_state_tells_what_it_is(state: State[int]) -> None:
    """29.1"""
    assert_type(state.type, StateType)
    assert_type(state.name, str)
    assert_type(state.message, str | None)
    assert_type(state.is_completed(), bool)
    assert_type(get_state_exception(state), BaseException)


def a_value_can_be_asked_whether_it_is_a_state(value: object) -> None:
    """29.3"""
    if is_state(value):
        assert_type(value, State[Any])
    if is_state_iterable(value):
        for state in value:
            assert_type(state, State[Any])


def unknown_fields_are_errors() -> None:
    """29.2"""
    State(type=StateType.COMPLETED, dat=1)  # type: ignore[call-arg]
    State()  # type: ignore[call-arg]
    Failed("no luck")  # type: ignore[arg-type]
