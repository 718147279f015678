"""The fields of a state, its text, and what it takes to be equal, hashed, copied and pickled."""

import copy
import pickle
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

import cloudpickle
import pytest

from oxtask.results import ResultRecord
from oxtask.states import (
    Completed,
    Failed,
    Running,
    Scheduled,
    State,
    StateDetails,
    StateType,
    engine_state,
)

NOON = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


def test_a_state_has_an_id_of_version_7_and_the_time_it_was_made():
    """ST-11"""
    before = datetime.now(timezone.utc) - timedelta(microseconds=1)
    state = Completed(data=1)
    after = datetime.now(timezone.utc)
    assert state.id.version == 7
    assert state.id is state.id
    assert before <= state.timestamp <= after
    assert state.timestamp.tzinfo is timezone.utc
    assert (state.message, state.data, state.created, state.updated) == (None, 1, None, None)


def test_a_state_takes_every_field_and_text_in_place_of_ids_and_times():
    """ST-11"""
    id = uuid4()
    state = State(
        type="FAILED",
        id=str(id),
        timestamp="2030-01-31T12:00:00Z",
        state_details={"task_run_id": str(id)},
        created=NOON,
        updated=NOON,
    )
    assert (state.id, state.timestamp, state.created, state.updated) == (id, NOON, NOON, NOON)
    assert state.state_details.task_run_id == id


def test_a_misspelt_field_is_refused():
    """ST-11"""
    with pytest.raises(TypeError, match="mesage"):
        Completed(mesage="m")
    with pytest.raises(AttributeError, match="'State' object has no attribute 'mesage'"):
        Completed().mesage
    with pytest.raises(AttributeError):
        Completed().mesage = 1


def test_details_are_empty_unless_given():
    """ST-12"""
    assert StateDetails().model_dump() == {
        "flow_run_id": None,
        "task_run_id": None,
        "child_flow_run_id": None,
        "scheduled_time": None,
        "cache_key": None,
        "cache_expiration": None,
        "deferred": None,
        "untrackable_result": False,
        "pause_timeout": None,
        "pause_reschedule": False,
        "pause_key": None,
        "run_input_keyset": None,
        "refresh_cache": None,
        "retriable": None,
        "transition_id": None,
        "task_parameters_id": None,
        "traceparent": None,
        "deployment_concurrency_lease_id": None,
    }


def test_details_refuse_unknown_fields_and_values_that_do_not_fit():
    """ST-12"""
    with pytest.raises(TypeError, match="no field 'cash_key'"):
        StateDetails(cash_key="k")
    with pytest.raises(ValueError, match="'flow_run_id' must be a UUID; got 'x'"):
        StateDetails(flow_run_id="x")
    with pytest.raises(TypeError, match="'scheduled_time' must be a datetime; got 5"):
        StateDetails(scheduled_time=5)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (Completed(), "Completed()"),
        (Completed(message="m"), "Completed('m')"),
        (Completed(message=""), "Completed()"),
        (Failed(name="TimedOut", message="x"), "TimedOut('x', type=FAILED)"),
        (Running(name="RUNNING"), "RUNNING()"),
        (Running(name="Retrying"), "Retrying(type=RUNNING)"),
    ],
)
def test_a_state_as_text_shows_name_message_and_a_type_that_differs(state, text):
    """ST-14"""
    assert str(state) == text


def test_the_repr_of_a_state_shows_message_type_and_data():
    """ST-15"""
    assert repr(Completed(data=[1])) == "Completed(message=None, type=COMPLETED, result=[1])"
    state = Failed(name="TimedOut", message="x", data=ResultRecord(3))
    assert repr(state) == "TimedOut(message='x', type=FAILED, result=ResultRecord(result=3))"


def test_states_can_be_in_sets_and_be_keys():
    """ST-16"""
    first, second = Completed(timestamp=NOON), Completed(timestamp=NOON)
    assert hash(first) == hash(second)
    assert len({first, second}) == 1
    assert hash(first) != hash(Failed(timestamp=NOON))
    assert hash(first) != hash(Completed(timestamp=NOON, state_details={"flow_run_id": uuid4()}))


def test_equality_ignores_id_created_and_updated_only():
    """ST-17"""
    fields = {"timestamp": NOON, "data": 1, "message": "m", "state_details": {"cache_key": "k"}}
    state = Completed(**fields)
    assert state == Completed(**fields, id=uuid4(), created=NOON, updated=NOON)
    for name, other in [
        ("timestamp", NOON + timedelta(microseconds=1)),
        ("data", 2),
        ("message", "n"),
        ("name", "Other"),
        ("state_details", {"cache_key": "l"}),
    ]:
        assert state != Completed(**{**fields, name: other})
    assert state != Failed(**fields, name="Completed")
    assert state != "Completed('m')"


def test_two_freshly_made_states_differ():
    """ST-17"""
    first = Completed()
    while (second := Completed()).timestamp == first.timestamp:
        pass  # the clock ticks in microseconds
    assert first != second


def test_data_that_cannot_be_compared_makes_states_unequal_instead_of_failing():
    """ST-17"""

    class Hostile:
        def __eq__(self, other):
            raise RuntimeError

    assert Completed(timestamp=NOON, data=Hostile()) != Completed(timestamp=NOON, data=Hostile())


def test_a_copy_has_the_same_id_and_a_new_time():
    """ST-18"""
    state = Completed(timestamp=NOON, data=[1], state_details={"cache_key": "k"})
    copied = state.model_copy()
    assert copied.id == state.id
    assert copied.timestamp > NOON - timedelta(days=36500)
    assert copied.timestamp != NOON
    assert copied.data is state.data
    assert state.model_copy(update={"timestamp": NOON}) == state
    assert state.model_copy(deep=True).data is not state.data


def test_a_copy_has_details_of_its_own():
    """ST-18"""
    state = Completed()
    state.model_copy().state_details.cache_key = "changed"
    assert state.state_details.cache_key is None


def test_a_copy_with_an_unknown_field_is_refused():
    """ST-18"""
    with pytest.raises(TypeError, match="State has no field 'mesage'"):
        Completed().model_copy(update={"mesage": "m"})


def test_a_fresh_copy_is_a_state_of_its_own():
    """ST-18"""
    state = Completed(timestamp=NOON, data=[1])
    fresh = state.fresh_copy(update={"message": "m"})
    assert fresh.id != state.id
    assert fresh.timestamp != NOON
    assert fresh.created == fresh.updated == fresh.timestamp
    assert (fresh.message, fresh.data) == ("m", [1])
    assert state.fresh_copy(deep=True).data is not state.data


def test_the_name_of_a_state_can_be_changed_without_changing_its_type():
    """ST-19"""
    state = Running()
    state.name = "Completed"
    assert (state.name, state.type) == ("Completed", StateType.RUNNING)
    assert not state.is_completed()


def test_what_the_engine_keeps_as_numbers_is_converted_when_it_is_read():
    """ST-11, ST-12"""
    nanoseconds = 1_900_000_000_123_456_789
    state = engine_state(
        StateType.SCHEDULED,
        "AwaitingRetry",
        nanoseconds,
        "m",
        None,
        5,
        6,
        {"retriable": True, "scheduled_time": nanoseconds + 2_000_000_000},
    )
    assert state.timestamp == datetime(2030, 3, 17, 17, 46, 40, 123456, tzinfo=timezone.utc)
    details = state.state_details
    assert (details.task_run_id, details.flow_run_id) == (UUID(int=5), UUID(int=6))
    assert details.scheduled_time - state.timestamp == timedelta(seconds=2)
    assert details.retriable is True
    assert (state.name, state.message, state.type) == ("AwaitingRetry", "m", "SCHEDULED")
    assert state.state_details is details


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_states_survive_pickling_with_their_ids(dumps):
    """EX-03, ST-11"""
    made = [
        Completed(data=ResultRecord({"a": 1}), message="m"),
        engine_state(StateType.RUNNING, "Retrying", 10**18, task_run_id=5),
        Scheduled(scheduled_time=NOON),
    ]
    for state in made:
        again = pickle.loads(dumps(state))
        assert again == state
        assert again.id == state.id
        assert hash(again) == hash(state)


def test_states_can_be_copied_with_the_copy_module():
    """ST-18"""
    state = Completed(data=[1])
    for again in (copy.copy(state), copy.deepcopy(state)):
        assert (again, again.id) == (state, state.id)
    assert copy.copy(state).data is state.data
    assert copy.deepcopy(state).data is not state.data
