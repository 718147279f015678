"""Which runs and log lines a client returns.

A filter has a criterion for each thing it looks at; a run passes if it meets all of them. Criteria
may be given as dicts:

>>> runs = TaskRunFilter(name={"any_": ["add-1"]}, state={"type": {"any_": ["COMPLETED"]}})
>>> runs.name.any_
['add-1']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.records import Record
from oxtask._internal.state_types import to_state_type
from oxtask._internal.text import short_repr
from oxtask._internal.times import to_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from typing_extensions import Self

    from oxtask._internal.state_types import StateType
    from oxtask.client.schemas.logs import Log
    from oxtask.client.schemas.objects import Artifact, FlowRun, TaskRun

__all__ = [
    "ArtifactFilter",
    "FlowRunFilter",
    "IdFilter",
    "LevelFilter",
    "LogFilter",
    "NameFilter",
    "StateFilter",
    "StateTypeFilter",
    "TagsFilter",
    "TaskRunFilter",
    "TimeFilter",
]


def _list_of(convert: Callable[[Any, str], Any]) -> Callable[[Any, str], list[Any]]:
    def converted(values: Any, name: str) -> list[Any]:
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise TypeError(f"'{name}' must be a list; got {short_repr(values)}.")
        return [convert(value, name) for value in values]

    return converted


class _Criterion(Record):
    """One thing that a filter looks at; a field that is not given does not matter."""

    __slots__ = ()
    _not_given: ClassVar[None] = None

    def __init__(self, **fields: Any) -> None:
        for name in self._fields:
            object.__setattr__(self, name, None)
        super().__init__(**fields)

    @classmethod
    def of(cls, value: Any, name: str) -> Self:  # noqa: ARG003 - the form conversions have
        """Return a criterion, or the one that a dict describes."""
        if isinstance(value, dict):
            return cls(**value)
        return cls.model_validate(value)

    def is_met(self, value: Any) -> bool:
        """Tell whether a value meets the criterion."""
        raise NotImplementedError


class IdFilter(_Criterion):
    """Looks at an id.

    Attributes:
        any_: It is one of these.
        not_any_: It is none of these.
        is_null_: Whether there is none.
    """

    __slots__ = _fields = ("any_", "is_null_", "not_any_")
    _conversions: ClassVar[Mapping[str, Any]] = {
        "any_": _list_of(to_uuid),
        "not_any_": _list_of(to_uuid),
    }

    any_: list[UUID] | None
    not_any_: list[UUID] | None
    is_null_: bool | None

    def is_met(self, value: Any) -> bool:
        """Tell whether an id meets the criterion."""
        return (
            (self.any_ is None or value in self.any_)
            and (self.not_any_ is None or value not in self.not_any_)
            and (self.is_null_ is None or self.is_null_ == (value is None))
        )


class NameFilter(_Criterion):
    """Looks at a name.

    Attributes:
        any_: It is one of these.
        not_any_: It is none of these.
        like_: It contains this, in upper or lower case.
    """

    __slots__ = _fields = ("any_", "like_", "not_any_")

    any_: list[str] | None
    not_any_: list[str] | None
    like_: str | None

    def is_met(self, value: Any) -> bool:
        """Tell whether a name meets the criterion."""
        return (
            (self.any_ is None or value in self.any_)
            and (self.not_any_ is None or value not in self.not_any_)
            and (self.like_ is None or self.like_.lower() in str(value).lower())
        )


class TagsFilter(_Criterion):
    """Looks at tags.

    Attributes:
        all_: All of these are among them.
        any_: One of these is among them.
        is_null_: Whether there are none.
    """

    __slots__ = _fields = ("all_", "any_", "is_null_")

    all_: list[str] | None
    any_: list[str] | None
    is_null_: bool | None

    def is_met(self, value: Any) -> bool:
        """Tell whether tags meet the criterion."""
        tags = set(value)
        return (
            (self.all_ is None or tags >= set(self.all_))
            and (self.any_ is None or not tags.isdisjoint(self.any_))
            and (self.is_null_ is None or self.is_null_ == (not tags))
        )


class StateTypeFilter(_Criterion):
    """Looks at the type of a state.

    Attributes:
        any_: It is one of these.
        not_any_: It is none of these.
    """

    __slots__ = _fields = ("any_", "not_any_")
    _conversions: ClassVar[Mapping[str, Any]] = {
        name: _list_of(lambda value, _: to_state_type(value)) for name in ("any_", "not_any_")
    }

    any_: list[StateType] | None
    not_any_: list[StateType] | None

    def is_met(self, value: Any) -> bool:
        """Tell whether a type meets the criterion."""
        return (self.any_ is None or value in self.any_) and (
            self.not_any_ is None or value not in self.not_any_
        )


class StateFilter(_Criterion):
    """Looks at the state of a run.

    Attributes:
        type: A criterion for its type.
        name: A criterion for its name.
    """

    __slots__ = _fields = ("name", "type")
    _conversions: ClassVar[Mapping[str, Any]] = {"name": NameFilter.of, "type": StateTypeFilter.of}

    type: StateTypeFilter | None
    name: NameFilter | None

    def is_met(self, value: Any) -> bool:
        """Tell whether a state meets the criterion."""
        return (self.type is None or self.type.is_met(value and value.type)) and (
            self.name is None or self.name.is_met(value and value.name)
        )


class TimeFilter(_Criterion):
    """Looks at a time.

    Attributes:
        before_: It is not after this.
        after_: It is not before this.
        is_null_: Whether there is none.
    """

    __slots__ = _fields = ("after_", "before_", "is_null_")
    _conversions: ClassVar[Mapping[str, Any]] = {"before_": to_utc, "after_": to_utc}

    before_: Any
    after_: Any
    is_null_: bool | None

    def is_met(self, value: Any) -> bool:
        """Tell whether a time meets the criterion."""
        return (
            (self.before_ is None or (value is not None and value <= self.before_))
            and (self.after_ is None or (value is not None and value >= self.after_))
            and (self.is_null_ is None or self.is_null_ == (value is None))
        )


class LevelFilter(_Criterion):
    """Looks at the level of a log line.

    Attributes:
        ge_: It is this or above.
        le_: It is this or below.
    """

    __slots__ = _fields = ("ge_", "le_")

    ge_: int | None
    le_: int | None

    def is_met(self, value: Any) -> bool:
        """Tell whether a level meets the criterion."""
        return (self.ge_ is None or value >= self.ge_) and (self.le_ is None or value <= self.le_)


class _Filter(_Criterion):
    """A criterion for each field of a record."""

    __slots__ = ()

    def passes(self, record: Artifact | FlowRun | TaskRun | Log) -> bool:
        """Tell whether a record meets all criteria."""
        return all(
            criterion is None or criterion.is_met(getattr(record, name))
            for name, criterion in ((name, getattr(self, name)) for name in self._fields)
        )


_RUN_CONVERSIONS: dict[str, Any] = {
    "id": IdFilter.of,
    "name": NameFilter.of,
    "tags": TagsFilter.of,
    "state": StateFilter.of,
    "start_time": TimeFilter.of,
    "expected_start_time": TimeFilter.of,
    "end_time": TimeFilter.of,
}


class FlowRunFilter(_Filter):
    """Which flow runs are wanted.

    Attributes:
        id: A criterion for the id.
        name: A criterion for the name.
        tags: A criterion for the tags.
        state: A criterion for the state.
        start_time: A criterion for the start of the first attempt.
        expected_start_time: A criterion for when the run was to start.
        end_time: A criterion for the end.
        flow_id: A criterion for the flow.
        flow_version: A criterion for the version of the flow.
        parent_task_run_id: A criterion for the task run that stands for the run in another.
    """

    __slots__ = _fields = (*_RUN_CONVERSIONS, "flow_id", "flow_version", "parent_task_run_id")
    _conversions: ClassVar[Mapping[str, Any]] = {
        **_RUN_CONVERSIONS,
        "flow_id": IdFilter.of,
        "flow_version": NameFilter.of,
        "parent_task_run_id": IdFilter.of,
    }

    id: IdFilter | None
    name: NameFilter | None
    tags: TagsFilter | None
    state: StateFilter | None
    start_time: TimeFilter | None
    expected_start_time: TimeFilter | None
    end_time: TimeFilter | None
    flow_id: IdFilter | None
    flow_version: NameFilter | None
    parent_task_run_id: IdFilter | None


class TaskRunFilter(_Filter):
    """Which task runs are wanted.

    Attributes:
        id: A criterion for the id.
        name: A criterion for the name.
        tags: A criterion for the tags.
        state: A criterion for the state.
        start_time: A criterion for the start of the first attempt.
        expected_start_time: A criterion for when the run was to start.
        end_time: A criterion for the end.
        flow_run_id: A criterion for the flow run that the task was called in.
        task_key: A criterion for the task.
    """

    __slots__ = _fields = (*_RUN_CONVERSIONS, "flow_run_id", "task_key")
    _conversions: ClassVar[Mapping[str, Any]] = {
        **_RUN_CONVERSIONS,
        "flow_run_id": IdFilter.of,
        "task_key": NameFilter.of,
    }

    id: IdFilter | None
    name: NameFilter | None
    tags: TagsFilter | None
    state: StateFilter | None
    start_time: TimeFilter | None
    expected_start_time: TimeFilter | None
    end_time: TimeFilter | None
    flow_run_id: IdFilter | None
    task_key: NameFilter | None


class LogFilter(_Filter):
    """Which log lines are wanted.

    Attributes:
        level: A criterion for the level.
        timestamp: A criterion for the time.
        flow_run_id: A criterion for the flow run.
        task_run_id: A criterion for the task run.
    """

    __slots__ = _fields = ("flow_run_id", "level", "task_run_id", "timestamp")
    _conversions: ClassVar[Mapping[str, Any]] = {
        "level": LevelFilter.of,
        "timestamp": TimeFilter.of,
        "flow_run_id": IdFilter.of,
        "task_run_id": IdFilter.of,
    }

    level: LevelFilter | None
    timestamp: TimeFilter | None
    flow_run_id: IdFilter | None
    task_run_id: IdFilter | None


class ArtifactFilter(_Filter):
    """Which artifacts are wanted.

    Attributes:
        id: A criterion for the id.
        key: A criterion for the key.
        type: A criterion for the type.
        flow_run_id: A criterion for the flow run that made it.
        task_run_id: A criterion for the task run that did.
    """

    __slots__ = _fields = ("flow_run_id", "id", "key", "task_run_id", "type")
    _conversions: ClassVar[Mapping[str, Any]] = {
        "id": IdFilter.of,
        "key": NameFilter.of,
        "type": NameFilter.of,
        "flow_run_id": IdFilter.of,
        "task_run_id": IdFilter.of,
    }

    id: IdFilter | None
    key: NameFilter | None
    type: NameFilter | None
    flow_run_id: IdFilter | None
    task_run_id: IdFilter | None


# The names under which the criteria of each filter are known elsewhere.
FlowRunFilterId = FlowRunFilterParentTaskRunId = TaskRunFilterId = TaskRunFilterFlowRunId = IdFilter
LogFilterFlowRunId = LogFilterTaskRunId = IdFilter
FlowRunFilterName = FlowRunFilterFlowVersion = FlowRunFilterStateName = NameFilter
TaskRunFilterName = TaskRunFilterStateName = NameFilter
FlowRunFilterTags = TaskRunFilterTags = TagsFilter
FlowRunFilterState = TaskRunFilterState = StateFilter
FlowRunFilterStateType = TaskRunFilterStateType = StateTypeFilter
FlowRunFilterStartTime = FlowRunFilterExpectedStartTime = FlowRunFilterEndTime = TimeFilter
TaskRunFilterStartTime = TaskRunFilterExpectedStartTime = LogFilterTimestamp = TimeFilter
LogFilterLevel = LevelFilter
ArtifactFilterId = ArtifactFilterFlowRunId = ArtifactFilterTaskRunId = IdFilter
ArtifactFilterKey = ArtifactFilterType = NameFilter
