"""Times and counts of runs, as they go from state to state."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxtask.client.schemas.objects import FlowRun, TaskRun
from oxtask.states import Completed, Running, StateType, engine_state

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
RUNS = pytest.mark.parametrize("kind", [TaskRun, FlowRun])


def at(seconds):
    return EPOCH + timedelta(seconds=seconds)


def went_through(kind, *steps):
    """Make a run that went through states of these types at these seconds, pending since 0."""
    run = kind.new_pending(timestamp=0)
    for type, seconds in steps:
        run.enter_state(engine_state(StateType(type), timestamp=int(seconds * 1e9)))
    return run


@RUNS
def test_a_run_starts_with_its_first_attempt_and_ends_with_its_final_state(kind):
    """TE-25, TE-26, TE-27, FL-43"""
    run = went_through(kind, ("RUNNING", 1), ("COMPLETED", 4))
    assert (run.start_time, run.end_time) == (at(1), at(4))
    assert run.total_run_time == timedelta(seconds=3)
    assert run.expected_start_time == at(0)
    assert run.run_count == 1


@RUNS
def test_only_the_time_in_attempts_adds_up(kind):
    """TE-25, TE-27, TE-28"""
    run = went_through(
        kind, ("RUNNING", 1), ("SCHEDULED", 3), ("RUNNING", 10), ("RUNNING", 11), ("FAILED", 15)
    )
    assert (run.start_time, run.end_time) == (at(1), at(15))
    assert run.total_run_time == timedelta(seconds=7)
    assert run.run_count == 3


@RUNS
def test_a_run_under_way_has_no_end(kind):
    """TE-26, TE-28"""
    run = went_through(kind, ("RUNNING", 1))
    assert (run.run_count, run.start_time, run.end_time) == (1, at(1), None)
    assert run.total_run_time == timedelta(0)


def test_a_task_run_that_never_started_has_no_times():
    """TE-26"""
    run = went_through(TaskRun, ("CRASHED", 2))
    assert (run.start_time, run.end_time, run.run_count) == (None, None, 0)


def test_a_flow_run_that_never_started_starts_and_ends_at_once():
    """FL-32, FL-43"""
    run = went_through(FlowRun, ("FAILED", 2))
    assert (run.start_time, run.end_time, run.run_count) == (at(2), at(2), 0)


def test_a_later_final_state_does_not_move_the_end_of_a_task_run():
    """TE-26: rolled back after it completed."""
    run = went_through(TaskRun, ("RUNNING", 1), ("COMPLETED", 2), ("COMPLETED", 9))
    assert run.end_time == at(2)


def test_a_flow_run_that_leaves_a_final_state_has_no_end_any_more():
    """FL-43"""
    run = went_through(FlowRun, ("RUNNING", 1), ("FAILED", 2), ("RUNNING", 5))
    assert run.end_time is None
    run.enter_state(engine_state(StateType.COMPLETED, timestamp=int(7e9)))
    assert (run.start_time, run.end_time) == (at(1), at(7))
    assert run.total_run_time == timedelta(seconds=3)


@RUNS
def test_states_made_by_hand_count_like_those_of_the_engine(kind):
    """TE-27"""
    run = kind.new_pending(timestamp=0)
    run.enter_state(Running(timestamp=at(1)))
    state = Completed(timestamp=at(2.5))
    run.enter_state(state)
    run.enter_state(state)
    assert (run.start_time, run.end_time, run.run_count) == (at(1), at(2.5), 1)
    assert run.total_run_time == timedelta(seconds=1.5)


@RUNS
@given(start=st.integers(0, 10**10), length=st.integers(0, 10**10))
def test_the_time_of_a_single_attempt_is_exactly_from_start_to_end(kind, start, length):
    """TE-27, RR-09"""
    run = kind.new_pending(timestamp=0)
    run.enter_state(engine_state(StateType.RUNNING, timestamp=start))
    run.enter_state(engine_state(StateType.COMPLETED, timestamp=start + length))
    assert run.total_run_time == run.end_time - run.start_time > timedelta(0)
