"""Artifacts and variables as clients see them: to make one, to change one, and how one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.lazy_fields import Identity, Moment
from oxtask._internal.records import Record
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

MAX_VARIABLE_NAME_LENGTH = 255
"""Characters."""
_MAX_DEPTH = 100
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
MAX_ARTIFACT_KEY_LENGTH = 150
"""Characters: the key is part of the name of a file."""


def check_variable_name(value: Any, name: str = "name") -> str:  # noqa: ARG001 - of conversions
    """Return the name of a variable.

    Raises:
        ValueError: If it is no such name.
    """
    if not isinstance(value, str) or not value or set(value) - _NAME - {"_"}:
        raise ValueError(
            "Variable name must only contain lowercase letters, numbers, and dashes or "
            f"underscores; got {short_repr(value)}"
        )
    if len(value) > MAX_VARIABLE_NAME_LENGTH:
        raise ValueError(
            f"Variable name must have at most {MAX_VARIABLE_NAME_LENGTH} characters; "
            f"got {len(value)}"
        )
    return value


def check_artifact_key(value: Any, name: str = "key") -> str:  # noqa: ARG001 - of conversions
    """Return the key of an artifact.

    Raises:
        ValueError: If it is no such key.
    """
    if not isinstance(value, str) or not value or set(value) - _NAME:
        raise ValueError(
            "Artifact key must only contain lowercase letters, numbers, and dashes; "
            f"got {short_repr(value)}"
        )
    if len(value) > MAX_ARTIFACT_KEY_LENGTH:
        raise ValueError(
            f"Artifact key must have at most {MAX_ARTIFACT_KEY_LENGTH} characters; got {len(value)}"
        )
    return value


def check_json(value: Any, name: str = "value", depth: int = 0) -> Any:
    """Return a value that JSON brings back as it is.

    Raises:
        ValueError: If it would not: names the part that is the reason.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"`{name}` is nested too deeply, or contains itself")
    if value is None or type(value) in {bool, int, str}:
        return value
    if type(value) is float and value - value == 0:  # finite
        return value
    if isinstance(value, list):
        return [check_json(each, f"{name}[{at}]", depth + 1) for at, each in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {
            key: check_json(each, f"{name}[{short_repr(key, 40)}]", depth + 1)
            for key, each in value.items()
        }
    raise ValueError(
        f"`{name}` must be made of text, numbers, true, false, null, lists, and dicts with text as "
        f"keys; got {short_repr(value)} of type {type(value).__name__}"
    )


def _to_tags(value: Any, name: str) -> list[str]:
    if isinstance(value, str) or not all(isinstance(tag, str) for tag in value):
        raise ValueError(f"`{name}` must be a list of strings; got {short_repr(value)}")
    return list(value)


class _VariableFields(Record):
    __slots__ = _fields = ("name", "tags", "value")
    _conversions: ClassVar[Mapping[str, Any]] = {
        "name": check_variable_name,
        "tags": _to_tags,
        "value": check_json,
    }
    _constants: ClassVar[Mapping[str, Any]] = {"value": None}
    _factories: ClassVar[Mapping[str, Any]] = {"tags": lambda _: []}

    name: str
    value: Any
    tags: list[str]

    def __init__(self, *, name: str, value: Any = None, **fields: Any) -> None:
        super().__init__(name=name, value=value, **fields)


class VariableCreate(_VariableFields):
    """A variable that is to be made.

    Attributes:
        name: Its name: lowercase letters, digits, dashes and underscores.
        value: Its value, of what JSON knows.
        tags: Its tags.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = ()


class VariableUpdate(_VariableFields):
    """What a variable is to be; it is found by its name.

    Attributes:
        name: Its name.
        value: Its new value.
        tags: Its new tags.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = ()


class _Kept(Record):
    """Something that is kept in a file, with an id and times."""

    __slots__ = ("_created", "_id", "_updated")
    _fields: ClassVar[tuple[str, ...]] = ("id", "created", "updated")

    if TYPE_CHECKING:
        id: UUID
        created: datetime
        updated: datetime
    else:
        id, created, updated = Identity(), Moment(), Moment()


class Variable(_Kept):
    """A variable as it was when it was read.

    Attributes:
        id: Its id.
        created: When it was made.
        updated: When it was changed last.
        name: Its name.
        value: Its value.
        tags: Its tags.
    """

    __slots__ = _fields = ("name", "value", "tags")
    _constants: ClassVar[Mapping[str, Any]] = {"value": None}

    name: str
    value: Any
    tags: list[str]


def _to_id(value: Any, name: str) -> UUID:
    return to_uuid(value, name)


_ARTIFACT_CONVERSIONS: dict[str, Any] = {
    "data": check_json,
    "flow_run_id": _to_id,
    "key": check_artifact_key,
    "task_run_id": _to_id,
}


class ArtifactCreate(Record):
    """An artifact that is to be made.

    Attributes:
        key: What it is found by: lowercase letters, digits and dashes.
        type: What kind of artifact it is.
        description: What it is about, for people.
        data: What it holds, of what JSON knows.
        metadata_: Further text, by text.
        flow_run_id: The flow run that makes it.
        task_run_id: The task run that makes it.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = _fields = (
        "key",
        "type",
        "description",
        "data",
        "metadata_",
        "flow_run_id",
        "task_run_id",
    )
    _conversions: ClassVar[Mapping[str, Any]] = _ARTIFACT_CONVERSIONS
    _constants: ClassVar[Mapping[str, Any]] = dict.fromkeys(_fields)

    key: str | None
    type: str | None
    description: str | None
    data: Any
    metadata_: dict[str, str] | None
    flow_run_id: UUID | None
    task_run_id: UUID | None


class ArtifactUpdate(Record):
    """What is to change about an artifact; the rest stays as it is.

    Attributes:
        data: What it holds.
        description: What it is about.
        metadata_: Further text, by text.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = _fields = ("data", "description", "metadata_")
    _conversions: ClassVar[Mapping[str, Any]] = {"data": check_json}
    _constants: ClassVar[Mapping[str, Any]] = dict.fromkeys(_fields)

    data: Any
    description: str | None
    metadata_: dict[str, str] | None


class Artifact(_Kept):
    """An artifact as it was when it was read.

    Attributes:
        id: Its id.
        created: When it was made.
        updated: When it was changed last.
        key: What it is found by.
        type: What kind of artifact it is.
        description: What it is about.
        data: What it holds; tables are JSON in text.
        metadata_: Further text, by text.
        flow_run_id: The flow run that made it.
        task_run_id: The task run that made it.
    """

    __slots__ = _fields = ArtifactCreate._fields
    _conversions: ClassVar[Mapping[str, Any]] = {"flow_run_id": _to_id, "task_run_id": _to_id}
    _constants: ClassVar[Mapping[str, Any]] = dict.fromkeys(_fields)

    key: str | None
    type: str | None
    description: str | None
    data: Any
    metadata_: dict[str, str] | None
    flow_run_id: UUID | None
    task_run_id: UUID | None
