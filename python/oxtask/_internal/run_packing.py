"""Runs as flat tuples: what a store keeps of them.

Packed are the fields of the record, the states, and where the result is stored if it is; not what
the run was given and came to. The tuples hold plain values where they can, so that ten thousand of
them are nothing to the garbage collector.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Generic, TypeVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.run_inputs import Sources
from oxtask._internal.state import State, engine_state
from oxtask._internal.state_types import StateDetails, StateType
from oxtask._internal.subflow_tracking import Tracking
from oxtask._internal.task_runs import RunLog
from oxtask._internal.times import nanoseconds_from
from oxtask.client.schemas.objects import FlowRun, TaskRun

RunT = TypeVar("RunT", TaskRun, FlowRun)
Packed = tuple[Any, ...]

_UNSET = ...
_OWN = {"_state", "__weakref__"}
_IDS = {"deployment_id", "flow_id", "flow_run_id", "parent_task_run_id", "work_queue_id"}
_TIMES = {
    "_end_time",
    "_estimated_run_time",
    "_estimated_start_time_delta",
    "_expected_start_time",
    "_next_scheduled_start_time",
    "_start_time",
    "_total_run_time",
}
_MADE_ON_FIRST_READ = {"context", "empirical_policy", "labels", "parameters"}


class _Layout(Generic[RunT]):
    """The order of the fields of a kind of record.

    Attributes:
        settled: Slots that are always filled, or have a default that is nothing to make.
        settled_values: Returns what is in them.
        rest: The others.
    """

    def __init__(self, kind: type[RunT]) -> None:
        names = (name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ()))
        known = [name for name in dict.fromkeys(names) if name not in _OWN]
        self.settled = [name for name in known if name not in _MADE_ON_FIRST_READ]
        self.settled_values = attrgetter(*self.settled)
        self.rest = [name for name in known if name in _MADE_ON_FIRST_READ]
        self.times = [place for place, name in enumerate(self.settled) if name in _TIMES]
        self.ids = [place for place, name in enumerate(self.settled) if name in _IDS]
        self.id_place = self.settled.index("_id")
        self.tags_place = self.settled.index("tags")
        self.inputs_place = self.settled.index("_task_inputs") if kind is TaskRun else -1

    def values(self, record: RunT) -> list[Any]:
        """Return what is in a record, as plain as it can be made."""
        values = list(self.settled_values(record))
        values[self.id_place] = number_of(record)
        values[self.tags_place] = tuple(values[self.tags_place])
        for place in self.ids:
            value = values[place]
            if value is not None and type(value) is not int:
                values[place] = value.int
        for place in self.times:
            value = values[place]
            if value is not None and type(value) is not int:
                values[place] = nanoseconds_from(value)
        if self.inputs_place >= 0:
            inputs = values[self.inputs_place]
            sources = inputs if type(inputs) is Sources else Sources.of(inputs)
            values[self.inputs_place] = sources.pack()
        for name in self.rest:
            try:
                values.append(object.__getattribute__(record, name))
            except AttributeError:
                values.append(_kept(record, name))
        return values

    def fill(self, record: RunT, values: Packed) -> None:
        """Put into a record what was in another."""
        write = object.__setattr__
        for name, value in zip((*self.settled, *self.rest), values, strict=False):
            if value is not _UNSET:
                write(record, name, _restored(name, value))


def _restored(name: str, value: Any) -> Any:
    """Return a value of a record as it was, and not shared with what is kept."""
    if name in _IDS:
        return to_uuid(value, name) if isinstance(value, int) else value
    if name == "tags":
        return list(value)
    if name == "_task_inputs":
        return Sources.unpack(value)
    if name == "empirical_policy":
        return value.model_copy()
    return dict(value) if name in _MADE_ON_FIRST_READ else value


def _kept(record: TaskRun | FlowRun, name: str) -> Any:
    """Return what is kept of a field that nobody has read."""
    is_flow = isinstance(record, FlowRun) and name == "parameters"
    return record._kept_parameters() if is_flow else _UNSET  # type: ignore[union-attr]


_LAYOUT: dict[type, _Layout[Any]] = {TaskRun: _Layout(TaskRun), FlowRun: _Layout(FlowRun)}


def number_of(record: TaskRun | FlowRun) -> int:
    """Return the id of a run as an integer."""
    number = record._id
    return number if isinstance(number, int) else record.id.int


def pack(run: RunLog[Any], kind: type[TaskRun | FlowRun]) -> Packed:
    """Return what is kept of a run.

    Args:
        run: The run.
        kind: The class of the record that it is to have when it is unpacked.
    """
    values = _LAYOUT[kind].values(run.record)
    values.append(run.stored)
    values.append(None if run.tracking is None else tuple(run.tracking))
    values.append(tuple(map(_pack_state, run.history)))
    return tuple(values)


def unpack(packed: Packed, kind: type[RunT]) -> RunLog[RunT]:
    """Return the run that was packed, with a record of class ``kind``."""
    record = object.__new__(kind)
    _LAYOUT[kind].fill(record, packed)
    record._state = None
    run: RunLog[RunT] = RunLog(record)
    if packed[-2] is not None:
        run.tracking = Tracking(*packed[-2])
    ids = record._run_ids()
    for state in packed[-1]:
        run.append(_unpack_state(state, *ids))
    state = record._state = run.history[-1] if run.history else None
    run.stored = packed[-3]
    if state is not None and run.stored is not None and state.is_final():
        from oxtask._internal.stored_links import metadata_of  # noqa: PLC0415 - start-up time

        state.data = metadata_of(run.stored)
    return run


def copied(run: RunLog[Any], kind: type[RunT]) -> RunLog[RunT]:
    """Return a copy of a run without what it was given and came to."""
    return unpack(pack(run, kind), kind)


def _pack_state(state: State[Any]) -> Packed:
    details, number = state._state_details, state._id
    further: Any = None
    if isinstance(details, StateDetails):
        further = details.model_dump(exclude_none=True)
    elif details is not None:
        further = details[2]
    if further:
        further = tuple(
            item for item in further.items() if item[0] not in {"task_run_id", "flow_run_id"}
        )
    if number is not None and not isinstance(number, int):
        number = number.int
    time = state._timestamp
    if not isinstance(time, int):
        time = nanoseconds_from(time)
    return state.type.value, state.name, time, state.message, number, further or None


def _unpack_state(packed: Packed, task_run_id: Any, flow_run_id: Any) -> State[Any]:
    type_, name, timestamp, message, number, further = packed
    state = engine_state(
        StateType(type_),
        name,
        timestamp,
        message,
        None,
        task_run_id,
        flow_run_id,
        dict(further) if further else None,
    )
    state._id = number
    return state
