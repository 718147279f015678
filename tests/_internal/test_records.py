"""What states and run records have in common."""

import os
import pickle
import signal
import threading
import warnings
from datetime import datetime, timedelta, timezone
from enum import Enum
from uuid import UUID

import pydantic
import pytest

from oxtask._internal import records
from oxtask._internal.records import Record
from oxtask.client.schemas.objects import TaskRun
from oxtask.states import Completed, State, StateDetails

NOON = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


class Point(Record):
    _fields = ("x", "y", "more")
    __slots__ = _fields
    _constants = {"x": 0, "y": 0}
    _factories = {"more": lambda _: []}
    _conversions = {"x": lambda value, name: int(value)}


class Place(Point):
    _fields = ("z",)
    __slots__ = _fields
    _constants = {"z": 1}
    _not_compared = ("z",)


class NamedPoint(Point):
    """Without slots, as a user may write it."""


def test_a_kind_of_record_adds_to_what_its_base_declares():
    place = Place(x="2")
    assert (place.x, place.y, place.z, place.more) == (2, 0, 1, [])
    assert place == Place(x=2, z=3)
    assert place != Place(x=3)
    assert Point(x=2) != place


def test_none_stands_for_the_default():
    assert Point(x=None, more=None).model_dump() == {"x": 0, "y": 0, "more": []}


def test_a_record_equal_by_content_has_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point())


def test_the_repr_shows_what_was_given_bounded():
    assert repr(Point(y=1)) == "Point(y=1, more=[])"
    assert len(repr(Point(y="x" * 10_000))) < 1000


def test_a_subclass_with_attributes_of_its_own_keeps_them():
    point = NamedPoint(x=1)
    point.label = "here"
    for again in (pickle.loads(pickle.dumps(point)), point.model_copy()):
        assert (again.x, again.label) == (1, "here")


def test_a_field_of_a_newer_version_is_left_out_when_a_record_is_read_back():
    point = Point.__new__(Point)
    point.__setstate__({"x": 1, "added_later": 2})
    assert point == Point(x=1)


def test_all_threads_that_ask_first_get_the_same_object():
    both_made_one = threading.Barrier(2, timeout=30)

    class Slow(Record):
        _fields = ("value",)
        __slots__ = _fields
        _factories = {"value": lambda _: (both_made_one.wait(), object())[1]}

    slow, seen = Slow(), []
    threads = [threading.Thread(target=lambda: seen.append(slow.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0] is seen[1] is slow.value


def test_a_child_forked_while_a_value_is_put_in_place_does_not_hang():
    state = Completed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        held, forked = threading.Event(), threading.Event()

        def hold():
            with records._fill_lock:
                held.set()
                forked.wait(30)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(30)
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            os._exit(0 if state.id.version == 7 else 1)
        forked.set()
        holder.join()
    assert os.waitpid(pid, 0)[1] == 0


def test_a_dump_can_be_limited_and_leave_out_what_is_none():
    details = StateDetails(cache_key="k", flow_run_id=UUID(int=1))
    assert details.model_dump(include={"cache_key", "deferred"}) == {
        "cache_key": "k",
        "deferred": None,
    }
    assert details.model_dump(exclude_none=True, exclude=["flow_run_id"]) == {
        "cache_key": "k",
        "untrackable_result": False,
        "pause_reschedule": False,
    }


def test_a_dump_turns_records_inside_values_into_dicts():
    inner = Point(x=1)
    dumped = {"x": 1, "y": 0, "more": []}
    assert Point(y=[inner, (inner,), {"a": inner}]).model_dump()["y"] == [
        dumped,
        (dumped,),
        {"a": dumped},
    ]
    assert Point(y={1, 2}).model_dump()["y"] == {1, 2}


def test_a_dump_for_json_holds_only_what_json_knows():
    class Colour(Enum):
        RED = "red"

    value = {
        Colour.RED: Colour.RED,
        "id": UUID(int=1),
        "when": NOON,
        "span": timedelta(seconds=1.5),
        "many": (1, 2.5, None, True, "s"),
        "else": object(),
    }
    assert Point(y=value).model_dump(mode="json")["y"] == {
        "red": "red",
        "id": "00000000-0000-0000-0000-000000000001",
        "when": "2030-01-31T12:00:00+00:00",
        "span": 1.5,
        "many": [1, 2.5, None, True, "s"],
        "else": "<object>",
    }


def test_a_dict_is_read_back_and_what_is_not_a_field_is_ignored():
    assert Point.model_validate({"x": "3", "unknown": 1}) == Point(x=3)
    with pytest.raises(TypeError, match="Point needs a Point or a dict of its fields; got 3"):
        Point.model_validate(3)


def test_pydantic_models_can_have_fields_that_are_records():
    class Model(pydantic.BaseModel):
        state: State
        typed: State[int] | None = None
        run: TaskRun | None = None

    state = Completed(data=1)
    model = Model(state=state, typed=state, run=TaskRun())
    assert model.state is state
    with pytest.raises(pydantic.ValidationError):
        Model(state=3)
