"""Records of task runs and flow runs, their inputs and policies."""

import copy
import itertools
import json
import pickle
import re
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxtask.client import schemas
from oxtask.client.schemas import objects
from oxtask.client.schemas.objects import (
    Constant,
    FlowRun,
    FlowRunPolicy,
    FlowRunResult,
    Parameter,
    RunInput,
    TaskRun,
    TaskRunPolicy,
    TaskRunResult,
)
from oxtask.states import Completed, Failed, Pending, Running, StateType, engine_state

NOON = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)
RUNS = pytest.mark.parametrize("kind", [TaskRun, FlowRun])
COMMON_DEFAULTS = {
    "tags": [],
    "labels": {},
    "state": None,
    "state_id": None,
    "state_type": None,
    "state_name": None,
    "run_count": 0,
    "expected_start_time": None,
    "next_scheduled_start_time": None,
    "start_time": None,
    "end_time": None,
    "total_run_time": timedelta(0),
    "estimated_run_time": timedelta(0),
    "estimated_start_time_delta": timedelta(0),
    "created": None,
    "updated": None,
}


def test_a_task_run_has_these_fields():
    """RR-01"""
    run = TaskRun(name="n")
    assert run.id.version == 7
    assert run.model_dump() == {
        **COMMON_DEFAULTS,
        "id": run.id,
        "name": "n",
        "flow_run_id": None,
        "task_key": "",
        "dynamic_key": "",
        "cache_key": None,
        "cache_expiration": None,
        "task_version": None,
        "empirical_policy": {"retries": None, "retry_delay": None, "retry_jitter_factor": None},
        "task_inputs": {},
        "flow_run_run_count": 0,
    }


def test_a_flow_run_has_these_fields():
    """RR-02"""
    run = FlowRun(name="n")
    assert run.model_dump() == {
        **COMMON_DEFAULTS,
        "id": run.id,
        "name": "n",
        "flow_id": None,
        "flow_version": None,
        "deployment_id": None,
        "work_queue_id": None,
        "work_queue_name": None,
        "work_pool_name": None,
        "parameters": {},
        "idempotency_key": None,
        "context": {},
        "empirical_policy": {
            "retries": None,
            "retry_delay": None,
            "pause_keys": set(),
            "resuming": False,
            "retry_type": None,
        },
        "parent_task_run_id": None,
        "job_variables": None,
        "auto_scheduled": False,
        "infrastructure_pid": None,
    }


@RUNS
def test_records_share_nothing_by_default(kind):
    """RR-01, RR-02"""
    first, second = kind(), kind()
    first.tags.append("t")
    first.labels["l"] = 1
    assert (first.tags, first.labels) == (["t"], {"l": 1})
    assert (second.tags, second.labels) == ([], {})
    assert first.id != second.id
    assert first.empirical_policy is first.empirical_policy


@RUNS
def test_a_misspelt_or_derived_field_is_refused(kind):
    """RR-01, RR-05"""
    with pytest.raises(TypeError, match="has no field 'flow_runid'"):
        kind(flow_runid=uuid4())
    with pytest.raises(TypeError, match="state_type follows from other fields"):
        kind(state_type="RUNNING")
    with pytest.raises(TypeError, match="state_name follows from other fields"):
        kind().model_copy(update={"state_name": "x"})
    with pytest.raises(AttributeError):
        kind().state_type = "RUNNING"
    with pytest.raises(AttributeError):
        kind().flow_runid = 1


@RUNS
def test_values_that_do_not_fit_a_field_are_refused(kind):
    """RR-01"""
    with pytest.raises(ValueError, match="'id' must be a UUID; got 'x'"):
        kind(id="x")
    with pytest.raises(TypeError, match="'tags' must be a list of tags; got the text 'abc'"):
        kind(tags="abc")
    with pytest.raises(TypeError, match="'total_run_time' must be a timedelta"):
        kind(total_run_time="1 s")
    with pytest.raises(TypeError, match="State needs a State or a dict of its fields; got 3"):
        kind(state=3)
    with pytest.raises(TypeError, match="'state' must be a State or None; got 3"):
        kind().state = 3


@RUNS
@pytest.mark.parametrize("name", [None, ""])
def test_a_run_without_a_name_gets_two_random_words(kind, name):
    """RR-03"""
    run = kind(name=name)
    assert re.fullmatch(r"[a-z]+-[a-z]+", run.name)
    assert run.name == run.name
    assert len({kind().name for _ in range(20)}) > 1


def test_two_flow_runs_are_equal_if_only_their_estimates_differ():
    """RR-04"""
    id = uuid4()
    run = FlowRun(id=id, name="n")
    other = FlowRun(
        id=id,
        name="n",
        estimated_run_time=timedelta(1),
        estimated_start_time_delta=timedelta(2),
    )
    assert run == other
    assert run != other.model_copy(update={"total_run_time": timedelta(1)})
    assert run != FlowRun(name="n")
    assert run != TaskRun(id=id, name="n")


@RUNS
def test_id_type_and_name_of_the_state_follow_the_state(kind):
    """RR-05"""
    run = kind(state=Running())
    for state in (run.state, Completed(), engine_state(StateType.RUNNING, "Retrying")):
        run.state = state
        assert run.state is state
        assert (run.state_id, run.state_type, run.state_name) == (state.id, state.type, state.name)
    state.name = "Renamed"
    assert run.state_name == "Renamed"
    run.state = None
    assert (run.state_id, run.state_type, run.state_name) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "field", "value", "input_type"),
    [
        (TaskRunResult, "id", uuid4(), "task_run"),
        (FlowRunResult, "id", uuid4(), "flow_run"),
        (Parameter, "name", "x", "parameter"),
        (Constant, "type", "int", "constant"),
    ],
)
def test_an_input_is_frozen_and_known_by_its_type(kind, field, value, input_type):
    """RR-06"""
    source = kind(**{field: value})
    assert getattr(source, field) == value
    assert source.input_type == input_type
    assert source.model_dump() == {field: value, "input_type": input_type}
    assert source == kind(**{field: value}, input_type=input_type)
    assert len({source, kind(**{field: value})}) == 1
    assert source != kind(**{field: uuid4() if field == "id" else "other"})
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(source, field, value)
    with pytest.raises(TypeError, match=f"needs {field}"):
        kind()
    with pytest.raises(ValueError, match="input type"):
        kind(**{field: value}, input_type="other")
    for dumps in (pickle.dumps, cloudpickle.dumps):
        again = pickle.loads(dumps(source))
        assert (again, hash(again)) == (source, hash(source))
    assert copy.deepcopy(source) == source


def test_inputs_of_different_kinds_differ():
    """RR-06"""
    id = uuid4()
    assert TaskRunResult(id=id) != FlowRunResult(id=id)
    assert objects.TaskRunInput is RunInput


def test_the_inputs_of_a_task_run_can_be_given_as_dicts():
    """RR-06"""
    id = uuid4()
    inputs = [{"input_type": "task_run", "id": str(id)}, {"input_type": "constant", "type": "int"}]
    run = TaskRun(task_inputs={"x": inputs, "y": {Parameter(name="p")}})
    assert run.task_inputs == {
        "x": [TaskRunResult(id=id), Constant(type="int")],
        "y": [Parameter(name="p")],
    }
    with pytest.raises(ValueError, match="'task_run', 'flow_run', 'parameter', 'constant'; got"):
        TaskRun(task_inputs={"x": [{"id": str(id)}]})
    with pytest.raises(TypeError, match="A run input must be one of TaskRunResult"):
        TaskRun(task_inputs={"x": [3]})


def test_a_policy_has_at_most_fifty_delays():
    """RR-07"""
    assert TaskRunPolicy(retry_delay=[1] * 50).retry_delay == [1] * 50
    with pytest.raises(ValueError, match="Can not configure more than 50 retry delays per task"):
        TaskRunPolicy(retry_delay=[1] * 51)


@pytest.mark.parametrize("factor", [-0.1, float("nan")])
def test_a_negative_jitter_factor_is_refused(factor):
    """RR-07"""
    assert TaskRunPolicy(retry_jitter_factor=0).retry_jitter_factor == 0
    with pytest.raises(ValueError, match="`retry_jitter_factor` must be >= 0; got"):
        TaskRunPolicy(retry_jitter_factor=factor)


def test_a_run_takes_its_policy_as_a_dict():
    """RR-01, RR-02"""
    assert TaskRun(empirical_policy={"retries": 2}).empirical_policy == TaskRunPolicy(retries=2)
    policy = FlowRun(empirical_policy={"pause_keys": ["a"]}).empirical_policy
    assert policy == FlowRunPolicy(pause_keys={"a"})


def test_a_new_task_run_is_pending_and_expected_to_start_at_once():
    """RR-08, RR-10"""
    flow_run_id = uuid4()
    run = TaskRun.new_pending(name="n", flow_run_id=flow_run_id)
    assert str(run.state) == "Pending()"
    assert run.expected_start_time == run.state.timestamp
    details = run.state.state_details
    assert (details.task_run_id, details.flow_run_id) == (run.id, flow_run_id)


@RUNS
def test_a_new_run_may_be_expected_at_another_time(kind):
    """RR-08"""
    run = kind.new_pending(timestamp=0, expected_start_time=NOON)
    assert run.state.timestamp == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert run.expected_start_time == NOON


@RUNS
@given(st.lists(st.integers(0, 5), min_size=2, max_size=8))
def test_the_states_of_a_run_are_in_strict_order_of_time(kind, microseconds):
    """RR-09"""
    run = kind.new_pending(timestamp=0)
    seen = [run.state.timestamp]
    for moment in microseconds:
        run.set_state(engine_state(StateType.RUNNING, timestamp=moment * 1000))
        seen.append(run.state.timestamp)
    steps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    assert min(steps) >= timedelta(microseconds=1)


@RUNS
def test_a_tie_is_decided_by_one_microsecond(kind):
    """RR-09"""
    run = kind()
    run.set_state(Pending(timestamp=NOON))
    state = Running(timestamp=NOON)
    run.set_state(state)
    assert state.timestamp == NOON + timedelta(microseconds=1)
    run.set_state(state)
    assert state.timestamp == NOON + timedelta(microseconds=1)
    later = Completed(timestamp=NOON + timedelta(seconds=1))
    run.set_state(later)
    assert later.timestamp == NOON + timedelta(seconds=1)


def test_every_state_of_a_task_run_knows_its_runs():
    """RR-10"""
    run = TaskRun(flow_run_id=uuid4())
    alone = TaskRun()
    for owner in (run, alone):
        for state in (Pending(), engine_state(StateType.RUNNING), Completed(data=1)):
            owner.set_state(state)
            assert state.state_details.task_run_id == owner.id
            assert state.state_details.flow_run_id == owner.flow_run_id
    assert alone.flow_run_id is None


def test_every_state_of_a_flow_run_knows_its_run_and_the_task_run_it_stands_for():
    """RR-10, FL-95"""
    run = FlowRun(parent_task_run_id=uuid4())
    run.set_state(Failed())
    details = run.state.state_details
    assert (details.flow_run_id, details.task_run_id) == (run.id, run.parent_task_run_id)


def full_runs():
    yield TaskRun.new_pending(
        name="n",
        tags=["a"],
        cache_expiration=NOON,
        task_inputs={"x": [TaskRunResult(id=uuid4())]},
        empirical_policy=TaskRunPolicy(retries=1, retry_delay=[1, 2.5]),
        total_run_time=timedelta(seconds=1.5),
    )
    yield FlowRun.new_pending(
        parameters={"x": [1, {"y": None}]},
        flow_id=UUID(int=1),
        empirical_policy=FlowRunPolicy(pause_keys={"a"}),
    )


@pytest.mark.parametrize("run", list(full_runs()), ids=lambda run: type(run).__name__)
def test_a_run_survives_pickling_copying_and_dumping(run):
    """RR-01, RR-02"""
    for dumps in (pickle.dumps, cloudpickle.dumps):
        assert pickle.loads(dumps(run)) == run
    assert copy.copy(run) == run
    assert copy.deepcopy(run) == run
    assert run.model_copy() == run
    assert type(run).model_validate(run) is run
    assert type(run).model_validate(run.model_dump()) == run
    assert type(run).model_validate(json.loads(json.dumps(run.model_dump(mode="json")))) == run


def test_a_copy_can_differ_and_shares_values_unless_it_is_deep():
    """RR-01"""
    run = TaskRun(name="n", tags=["a"])
    other = run.model_copy(update={"name": "m", "cache_expiration": "2030-01-31T12:00:00Z"})
    assert (other.name, other.id, other.cache_expiration) == ("m", run.id, NOON)
    assert other.tags is run.tags
    assert run.model_copy(deep=True).tags is not run.tags
    assert run.name == "n"


def test_the_repr_of_a_run_shows_id_name_and_state():
    """RR-01"""
    run = TaskRun(id=UUID(int=1), name="n", state=Completed())
    assert repr(run) == (
        "TaskRun(id=UUID('00000000-0000-0000-0000-000000000001'), name='n', state=Completed())"
    )


def test_the_names_programs_import_are_there():
    """RR-06"""
    assert all(hasattr(objects, name) for name in objects.__all__)
    assert all(getattr(schemas, name) is getattr(objects, name) for name in schemas.__all__)
