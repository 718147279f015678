"""Records of lines that are all alike, made without working out anew what they have in common."""

from __future__ import annotations

import logging
import os
import sys
from threading import current_thread, get_ident
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

_process = [os.getpid()]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _process.__setitem__(0, os.getpid()))

_TASK_NAME = "taskName"
"""A field from Python 3.12 on."""


class RecordMaker:
    """Makes records that differ in their time, their thread and what the caller adds.

    They are what `logging` would make: it is left to do so where a program has changed how records
    are made.

    Args:
        logger: The logger that is to handle them.
        level: Their level.
        text: Their text.
        place: The file and the function that log them.
        fields: Fields that `logging` does not know, as with ``extra=``; the caller may fill in
            others in a record, and takes least time for those that are among these.
    """

    __slots__ = ("_fields", "_given", "_known", "_level", "_logger")

    def __init__(
        self,
        logger: logging.Logger,
        level: int,
        text: str,
        place: tuple[str, str],
        fields: Mapping[str, Any],
    ) -> None:
        path, function = place
        self._logger = logger
        self._level = level
        self._given = (logger.name, level, path, 0, text, (), None, function)
        self._fields = dict(fields)
        self._known: dict[str, Any] | None = None

    def make(self, now: int) -> logging.LogRecord:
        """Return a record of this moment, `now` in Unix nanoseconds."""
        if not _are_made_as_usual(self._logger):
            return self._first()
        known = self._known
        if known is None:
            known = self._known = self._first().__dict__
        created = now / 1e9
        processes = sys.modules.get("multiprocessing")
        record: logging.LogRecord = _new(logging.LogRecord)
        record.__dict__ = fields = known.copy()
        fields["levelname"] = logging.getLevelName(self._level)
        fields["created"] = created
        fields["msecs"] = created % 1 * 1000 // 1
        fields["relativeCreated"] += (created - known["created"]) * 1000
        fields["thread"] = get_ident()
        fields["threadName"] = current_thread().name
        fields["process"] = _process[0]
        fields["processName"] = (
            "MainProcess" if processes is None else processes.current_process().name
        )
        if _TASK_NAME in known:
            fields[_TASK_NAME] = _task_name()
        return record

    def _first(self) -> logging.LogRecord:
        record = self._logger.makeRecord(*self._given)
        record.__dict__.update(self._fields)
        return record


_new = cast("Any", logging.LogRecord.__new__)
_usual = logging.Logger.makeRecord


def _are_made_as_usual(logger: logging.Logger) -> bool:
    return (
        logging.getLogRecordFactory() is logging.LogRecord
        and type(logger).makeRecord is _usual
        and logging.logThreads
        and logging.logProcesses
        and logging.logMultiprocessing
    )


def _task_name() -> str | None:
    """Return the name of the asyncio task that this code is in."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or not getattr(logging, "logAsyncioTasks", True):
        return None
    try:
        return cast("str", asyncio.current_task().get_name())
    except Exception:  # noqa: BLE001 - no event loop, or no task: as `logging` has it
        return None
