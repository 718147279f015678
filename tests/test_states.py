"""The types of states, and the functions that make states of them."""

import pickle
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxtask import states
from oxtask.client.schemas.objects import TERMINAL_STATES as EXPORTED_TERMINAL_STATES
from oxtask.results import ResultRecord
from oxtask.states import (
    TERMINAL_STATES,
    Completed,
    Failed,
    Paused,
    Pending,
    Scheduled,
    State,
    StateDetails,
    StateType,
    Suspended,
    engine_state,
    to_state_create,
)

TYPE_NAMES = [
    "SCHEDULED",
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "CRASHED",
    "PAUSED",
    "CANCELLING",
]
STATE_FUNCTIONS = {
    "Scheduled": "SCHEDULED",
    "Late": "SCHEDULED",
    "AwaitingRetry": "SCHEDULED",
    "AwaitingConcurrencySlot": "SCHEDULED",
    "Pending": "PENDING",
    "Submitting": "PENDING",
    "InfrastructurePending": "PENDING",
    "Running": "RUNNING",
    "Retrying": "RUNNING",
    "Paused": "PAUSED",
    "Suspended": "PAUSED",
    "Completed": "COMPLETED",
    "Failed": "FAILED",
    "Crashed": "CRASHED",
    "Cancelling": "CANCELLING",
    "Cancelled": "CANCELLED",
}
NOON = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


def test_there_are_nine_types_that_are_their_own_text():
    """ST-01"""
    assert [type.name for type in StateType] == TYPE_NAMES
    assert [type.value for type in StateType] == TYPE_NAMES
    assert StateType.RUNNING == "RUNNING"
    assert {StateType.RUNNING: 1}["RUNNING"] == 1
    assert repr(StateType.RUNNING) == "StateType.RUNNING"
    assert pickle.loads(pickle.dumps(StateType.FAILED)) is StateType.FAILED


def test_four_types_are_terminal():
    """ST-02"""
    assert set(TERMINAL_STATES) == {"COMPLETED", "CANCELLED", "FAILED", "CRASHED"}
    assert EXPORTED_TERMINAL_STATES is TERMINAL_STATES
    assert {type for type in StateType if State(type=type).is_final()} == TERMINAL_STATES


@pytest.mark.parametrize("type", TYPE_NAMES)
def test_a_state_without_a_name_is_named_after_its_type(type):
    """ST-03"""
    assert State(type=type).name == type.title()
    assert State(type=StateType(type)).name == type.title()
    assert engine_state(StateType(type)).name == type.title()


def test_an_unknown_type_is_refused_with_the_known_ones():
    """ST-01"""
    with pytest.raises(ValueError, match=r"'DONE'.*SCHEDULED, PENDING"):
        State(type="DONE")


@given(type=st.sampled_from(list(StateType)), name=st.text(min_size=1))
def test_predicates_look_at_the_type_and_never_at_the_name(type, name):
    """ST-04, ST-13"""
    state = State(type=type, name=name)
    holds = {other for other in StateType if getattr(state, f"is_{other.value.lower()}")()}
    assert holds == {type}
    assert state.is_final() == (type in TERMINAL_STATES)


@pytest.mark.parametrize(("name", "type"), STATE_FUNCTIONS.items())
def test_each_state_function_makes_a_state_of_its_name_and_type(name, type):
    """ST-05, ST-09"""

    class OwnState(State):
        pass

    make = getattr(states, name)
    assert (make().name, make().type) == (name, type)
    made = make(OwnState, message="m", data=1, name="Own")
    assert isinstance(made, OwnState)
    assert (made.name, made.message, made.data, made.type) == ("Own", "m", 1, type)


def test_a_message_in_place_of_the_class_is_refused_with_the_way_out():
    """ST-09"""
    with pytest.raises(TypeError, match=r"'no luck'.*message="):
        Failed("no luck")


def test_a_scheduled_state_is_scheduled_for_its_creation_unless_told_otherwise():
    """ST-06"""
    before = datetime.now(timezone.utc) - timedelta(microseconds=1)
    made = [Scheduled(), State(type="SCHEDULED"), Scheduled(state_details={"cache_key": "k"})]
    made.append(engine_state(StateType.SCHEDULED, "Late"))
    after = datetime.now(timezone.utc)
    for state in made:
        assert before <= state.state_details.scheduled_time <= after
        assert state.state_details.scheduled_time.tzinfo is timezone.utc
    assert Scheduled(scheduled_time=NOON).state_details.scheduled_time == NOON
    assert Pending().state_details.scheduled_time is None


def test_a_time_without_a_zone_is_taken_to_be_utc():
    """ST-06"""
    assert Scheduled(scheduled_time=NOON.replace(tzinfo=None)).state_details.scheduled_time == NOON
    east = NOON.astimezone(timezone(timedelta(hours=5)))
    assert State(type="RUNNING", timestamp=east).timestamp.isoformat() == NOON.isoformat()


@pytest.mark.parametrize("name", ["Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot"])
def test_a_scheduled_time_given_twice_is_refused(name):
    """ST-07"""
    with pytest.raises(ValueError, match="given twice"):
        getattr(states, name)(scheduled_time=NOON, state_details={"scheduled_time": NOON})


def test_the_details_a_caller_passes_in_stay_untouched():
    """ST-07"""
    details = StateDetails(cache_key="k")
    state = Scheduled(scheduled_time=NOON, state_details=details)
    assert (state.state_details.cache_key, state.state_details.scheduled_time) == ("k", NOON)
    Scheduled(state_details=details)
    Paused(timeout_seconds=5, state_details=details)
    assert details == StateDetails(cache_key="k")


def test_a_pause_ends_after_a_time_or_at_a_time_or_never():
    """ST-08"""
    before = datetime.now(timezone.utc)
    timeout = Paused(timeout_seconds=60).state_details.pause_timeout
    assert timedelta(0) <= timeout - before - timedelta(seconds=60) < timedelta(seconds=30)
    assert Paused(pause_expiration_time=NOON).state_details.pause_timeout == NOON
    assert Paused().state_details.pause_timeout is None


def test_a_pause_keeps_its_key_and_whether_it_reschedules():
    """ST-08"""
    details = Paused(reschedule=True, pause_key="p").state_details
    assert (details.pause_reschedule, details.pause_key) == (True, "p")
    suspended = Suspended(timeout_seconds=1, pause_key="s")
    assert (suspended.name, suspended.type) == ("Suspended", StateType.PAUSED)
    assert suspended.state_details.pause_reschedule is False
    assert suspended.state_details.pause_key == "s"


@pytest.mark.parametrize("make", [Paused, Suspended])
def test_two_ends_of_a_pause_are_refused(make):
    """ST-08"""
    with pytest.raises(ValueError, match="'timeout_seconds' and as 'pause_expiration_time'"):
        make(timeout_seconds=1, pause_expiration_time=NOON)
    with pytest.raises(ValueError, match="state_details"):
        make(state_details={"pause_timeout": NOON})


def test_what_is_stored_of_a_state_leaves_the_value_out():
    """ST-10"""
    record = ResultRecord(1, metadata="where")
    assert to_state_create(Completed(data=record)).data is None
    record.mark_persisted()
    stored = to_state_create(Completed(data=record, message="m"))
    assert (stored.type, stored.name, stored.message) == ("COMPLETED", "Completed", "m")
    assert stored.data == "where"
    assert to_state_create(Failed(data=ValueError())).data is None


def test_every_helper_is_exported():
    """ST-10"""
    names = [
        "get_state_exception",
        "aget_state_exception",
        "raise_state_exception",
        "araise_state_exception",
        "is_state_iterable",
        "StateGroup",
        "return_value_to_state",
        "exception_to_failed_state",
        "exception_to_crashed_state",
        "format_exception",
        "to_state_create",
    ]
    assert set(names) <= set(states.__all__)
    assert all(hasattr(states, name) for name in states.__all__)


def test_importing_states_imports_nothing_slow():
    """The start-up budget of `from oxtask import flow, task`."""
    code = """if True:
        import sys, typing, enum, functools
        before = set(sys.modules)
        import oxtask.states, oxtask.exceptions, oxtask.client.schemas.objects
        slow = "pydantic rich asyncio logging inspect dataclasses traceback datetime uuid copy"
        print(sorted((set(sys.modules) - before) & set(slow.split())))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
