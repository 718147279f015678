"""Lines that runs logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.ids import to_uuid
from oxtask._internal.lazy_fields import Identity, Moment
from oxtask._internal.records import Record
from oxtask._internal.times import to_utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

__all__ = ["Log"]


class Log(Record):
    """A line that a run logged.

    Attributes:
        id: A UUID version 7, made when it is read.
        name: The logger.
        level: As in `logging`: 20 is ``INFO``.
        message: The text, with the traceback if there is one.
        timestamp: When it was logged.
        flow_run_id: The flow run that logged it, or whose task run did; ``None`` if there is none.
        task_run_id: The task run that logged it; ``None`` if a flow run did.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "id",
        "name",
        "level",
        "message",
        "timestamp",
        "flow_run_id",
        "task_run_id",
    )
    __slots__ = ("_id", "_timestamp", "flow_run_id", "level", "message", "name", "task_run_id")
    _constants: ClassVar[Mapping[str, Any]] = {
        "_id": None,
        "flow_run_id": None,
        "task_run_id": None,
    }
    _conversions: ClassVar[Mapping[str, Any]] = {
        "id": to_uuid,
        "timestamp": lambda value, name: value if type(value) is int else to_utc(value, name),
        "flow_run_id": to_uuid,
        "task_run_id": to_uuid,
    }
    _not_compared = ("id",)

    if TYPE_CHECKING:
        id: UUID
        timestamp: datetime
    else:
        id = Identity()
        timestamp = Moment()
    name: str
    level: int
    message: str
    flow_run_id: UUID | None
    task_run_id: UUID | None
