"""From values and exceptions to states, and from states to one state."""

import asyncio
import concurrent.futures
import dataclasses
import subprocess
import sys
from collections import Counter
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxtask.exceptions import FailedRun, TerminationSignal, UnfinishedRun
from oxtask.results import ResultRecord
from oxtask.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateGroup,
    StateType,
    engine_state,
    exception_to_crashed_state,
    exception_to_failed_state,
    format_exception,
    is_state,
    is_state_iterable,
    return_value_to_state,
    settled_return_state,
)

types = st.sampled_from(list(StateType))


def of_run(state):
    state.state_details.task_run_id = uuid4()
    return state


@pytest.mark.parametrize("make", [Completed, Failed, Cancelled, Paused, Running, Scheduled])
def test_a_state_the_user_made_becomes_the_state_of_the_run(make):
    """ST-40"""
    state = make(data=3, message="m", name="Own")
    assert return_value_to_state(state) is state
    assert (state.name, state.message, state.data) == ("Own", "m", ResultRecord(3))


def test_a_state_the_user_made_around_a_record_keeps_the_record():
    """ST-40"""
    record = ResultRecord(3)
    assert return_value_to_state(Completed(data=record)).data is record


def test_a_completed_state_the_user_made_without_data_results_in_none():
    """ST-40, ST-24"""
    assert return_value_to_state(Completed()).result() is None


@pytest.mark.parametrize("field", ["task_run_id", "flow_run_id"])
def test_the_state_of_another_run_is_summed_up(field):
    """ST-41, FL-52"""
    inner = Completed(data=3, state_details={field: uuid4()})
    state = return_value_to_state(inner)
    assert state is not inner
    assert state.data is inner
    assert str(state) == "Completed('All states completed.')"
    assert state.result() is inner
    assert inner.data == 3
    failed = return_value_to_state(Failed(data=KeyError(), state_details={field: uuid4()}))
    assert str(failed) == "Failed('1/1 states failed.')"
    with pytest.raises(KeyError):
        failed.result()


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_a_container_of_states_is_summed_up_and_kept_as_it_is(kind):
    """ST-41"""
    value = kind([of_run(Completed()), Failed()])
    state = return_value_to_state(value)
    assert state.data is value
    assert str(state) == "Failed('1/2 states failed.')"


@pytest.mark.parametrize(
    ("states", "type", "message"),
    [
        ([Completed(), Completed()], "COMPLETED", "All states completed."),
        ([Cancelled(), Failed(), Paused()], "CANCELLED", "1/3 states cancelled."),
        ([Paused(), Failed(), Paused()], "PAUSED", "2/3 states paused."),
        ([Failed(), Crashed(), Running()], "FAILED", "2/3 states failed."),
        ([Running(), Completed()], "FAILED", "1/2 states are not final."),
        ([Cancelling(), Pending(), Scheduled()], "FAILED", "3/3 states are not final."),
    ],
)
def test_the_type_and_message_of_a_sum(states, type, message):
    """ST-42, ST-43"""
    state = return_value_to_state(states)
    assert (state.type, state.message) == (type, message)
    assert state.name == type.title()


@given(st.lists(types, min_size=1, max_size=8))
def test_a_sum_is_completed_exactly_if_all_its_states_are(all_types):
    """ST-42"""
    state = return_value_to_state([State(type=type) for type in all_types])
    if set(all_types) == {StateType.COMPLETED}:
        expected = "COMPLETED"
    elif StateType.CANCELLED in all_types:
        expected = "CANCELLED"
    elif StateType.PAUSED in all_types:
        expected = "PAUSED"
    else:
        expected = "FAILED"
    assert state.type == expected


@dataclasses.dataclass
class Box:
    state: State


@pytest.mark.parametrize(
    "value",
    [
        [Failed(), 1],
        [1, Failed()],
        {"a": Failed()},
        Box(Failed()),
        frozenset({Failed()}),
        [],
        (),
        set(),
        ValueError("returned, not raised"),
        None,
        0,
    ],
)
def test_anything_else_is_the_value_of_a_completed_run(value):
    """ST-44, ST-48"""
    state = return_value_to_state(value)
    assert state.type == StateType.COMPLETED
    assert state.data.result is value
    assert state.result() is value


def test_a_quoted_state_is_a_value():
    """ST-45"""

    class Quote:
        def __init__(self, value):
            self.value = value

    quoted = Quote(Failed())
    assert return_value_to_state(quoted).result() is quoted


def test_a_generator_is_read_to_its_end():
    """ST-46"""
    assert return_value_to_state(i * i for i in range(3)).result() == [0, 1, 4]


def test_a_generator_of_states_is_a_list_of_values():
    """ST-44, ST-46"""
    state = return_value_to_state(state for state in [Failed()])
    assert state.type == StateType.COMPLETED
    assert [inner.type for inner in state.result()] == [StateType.FAILED]


def test_what_a_generator_raises_reaches_the_engine():
    """ST-46"""
    with pytest.raises(ZeroDivisionError):
        return_value_to_state(1 // i for i in [1, 0])


def test_a_record_is_taken_as_it_is():
    """ST-47"""
    record = ResultRecord(None)
    state = return_value_to_state(record, result_store=object(), key="k", write_result=True)
    assert state.type == StateType.COMPLETED
    assert state.data is record


@pytest.mark.parametrize("make", [Completed, Failed, Crashed, Cancelled, Paused])
def test_a_run_may_end_in_a_final_or_paused_state_of_the_users_making(make):
    """TE-20, W24"""
    state = make()
    assert settled_return_state(state) is state
    assert settled_return_state(state, "Flow run") is state


@pytest.mark.parametrize("make", [Running, Scheduled, Pending, Cancelling])
def test_a_run_fails_if_it_returns_a_state_it_would_not_leave(make):
    """TE-20, W24"""
    state = settled_return_state(return_value_to_state(make()))
    assert state.type == StateType.FAILED
    assert state.message.startswith(f"Task run returned {make().name}(")
    assert f"{make().type.value} is not a final type. Return a Completed" in state.message
    with pytest.raises(FailedRun, match="not a final type"):
        state.result()


def test_a_flow_run_may_return_that_it_is_being_cancelled():
    """FL-80"""
    state = Cancelling()
    assert settled_return_state(state, "Flow run") is state
    assert settled_return_state(Running(), "Flow run").message.startswith("Flow run returned")


def test_a_failed_state_tells_type_and_text_of_the_exception():
    """ST-50, TE-21, FL-42"""
    error = ValueError("no")
    state = exception_to_failed_state(error, "Task run encountered an exception")
    assert state.message == "Task run encountered an exception ValueError: no"
    assert (state.type, state.data) == (StateType.FAILED, error)
    assert state.state_details.retriable is False
    flow = exception_to_failed_state(error, message="Flow run encountered an exception:")
    assert flow.message == "Flow run encountered an exception: ValueError: no"
    assert exception_to_failed_state(error).message == "ValueError: no"


def test_a_failed_state_takes_name_time_and_ids_from_the_engine():
    """ST-50, TE-84"""
    state = exception_to_failed_state(
        TimeoutError("late"),
        name="TimedOut",
        timestamp=0,
        task_run_id=5,
        flow_run_id=6,
        details={"retriable": True},
    )
    assert (state.name, state.timestamp.year) == ("TimedOut", 1970)
    details = state.state_details
    assert (details.task_run_id.int, details.flow_run_id.int, details.retriable) == (5, 6, True)


@pytest.mark.parametrize("convert", [exception_to_failed_state, exception_to_crashed_state])
def test_the_exception_being_handled_is_taken_if_none_is_given(convert):
    """ST-50"""
    with pytest.raises(ValueError, match="no active exception"):
        convert()
    error = KeyError("k")
    try:
        raise error
    except KeyError:
        state = convert()
    assert state.data is error


def test_an_exception_that_is_false_is_an_exception():
    """ST-50"""

    class Empty(Exception):
        def __len__(self):
            return 0

    error = Empty()
    assert exception_to_failed_state(error).data is error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (asyncio.CancelledError(), "Execution was cancelled by the runtime environment."),
        (
            concurrent.futures.CancelledError(),
            "Execution was cancelled by the runtime environment.",
        ),
        (KeyboardInterrupt(), "Execution was aborted by an interrupt signal."),
        (TerminationSignal(15), "Execution was aborted by a termination signal."),
        (SystemExit(3), "Execution was aborted by Python system exit call."),
        (
            ValueError("no"),
            "Execution was interrupted by an unexpected exception: ValueError: no",
        ),
    ],
)
def test_a_crashed_state_tells_what_tore_the_run_down(error, message):
    """ST-51, ST-52: outside an event loop; below the same inside one."""

    async def inside_a_loop():
        return exception_to_crashed_state(error)

    for state in (exception_to_crashed_state(error), asyncio.run(inside_a_loop())):
        assert (state.type, state.name, state.message) == ("CRASHED", "Crashed", message)
        assert state.data is error


def test_a_crash_is_told_without_importing_asyncio():
    """ST-52"""
    code = """if True:
        import sys
        from oxtask.states import exception_to_crashed_state
        print(exception_to_crashed_state(KeyboardInterrupt()).message)
        print("asyncio" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["Execution was aborted by an interrupt signal.", "False"]


def test_own_exceptions_are_shown_without_their_module():
    """ST-53"""
    assert format_exception(UnfinishedRun("x")) == "UnfinishedRun: x"
    assert format_exception(dataclasses.FrozenInstanceError("x")) == (
        "dataclasses.FrozenInstanceError: x"
    )
    assert format_exception(ValueError()) == "ValueError"


def test_an_exception_is_shown_with_a_traceback_if_one_is_given():
    """ST-53"""
    try:
        raise UnfinishedRun("x")
    except UnfinishedRun as error:
        text = format_exception(error, error.__traceback__)
    assert text.startswith("Traceback (most recent call last)")
    assert text.endswith("\nUnfinishedRun: x")


def test_an_exception_without_readable_text_still_makes_a_state():
    """ST-50"""

    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError

    assert "__str__ raised RuntimeError" in exception_to_failed_state(Hostile()).message


@given(st.lists(types, max_size=12))
def test_a_group_counts_its_states(all_types):
    """ST-60"""
    states = [State(type=type) for type in all_types]
    group = StateGroup(states)
    counts = Counter(all_types)
    final = sum(state.is_final() for state in states)
    assert group.states is states
    assert all(group.type_counts[type] == counts[type] for type in StateType)
    assert group.total_count == len(states)
    assert (group.final_count, group.not_final_count) == (final, len(states) - final)
    assert group.cancelled_count == counts["CANCELLED"]
    assert group.paused_count == counts["PAUSED"]
    assert group.fail_count == counts["FAILED"] + counts["CRASHED"]
    assert group.all_completed() == all(state.is_completed() for state in states)
    assert group.any_cancelled() == any(state.is_cancelled() for state in states)
    assert group.any_failed() == any(state.is_failed() or state.is_crashed() for state in states)
    assert group.any_paused() == any(state.is_paused() for state in states)
    assert group.all_final() == all(state.is_final() for state in states)


def test_a_group_tells_its_counts():
    """ST-60"""
    group = StateGroup([Completed(), Failed(), Completed(), Running()])
    assert group.counts_message() == (
        "total=4, not_final=1, 'COMPLETED'=2, 'FAILED'=1, 'RUNNING'=1"
    )
    assert StateGroup([Completed()]).counts_message() == "total=1, 'COMPLETED'=1"


def test_states_are_told_from_other_values():
    """ST-10, ST-41"""
    state = engine_state(StateType.COMPLETED)
    assert is_state(state)
    assert not is_state(StateType.COMPLETED)
    assert all(is_state_iterable(kind([state])) for kind in (list, tuple, set))
    for other in ([], [state, 1], {"a": state}, frozenset([state]), state, iter([state]), "s"):
        assert not is_state_iterable(other)
