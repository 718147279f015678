"""Formatters: lines for people, JSON for machines, and tracebacks that begin in user code."""

from __future__ import annotations

import logging
import os
import traceback
from typing import TYPE_CHECKING, Any, Literal

from oxtask._internal.text import MAX_REPORT, short_repr, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    ExceptionInfo = (
        tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    )

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120

_LINE = "%(asctime)s.%(msecs)03d | %(levelname)-7s | "
DEFAULT_FORMAT = _LINE + "%(name)s - %(message)s"
FLOW_RUN_FORMAT = _LINE + "Flow run '%(flow_run_name)s' - %(message)s"
TASK_RUN_FORMAT = _LINE + "Task run '%(task_run_name)s' - %(message)s"
DATE_FORMAT = "%H:%M:%S"

UNKNOWN = "<unknown>"
_NAMES = ("flow_run_name", "flow_name", "task_run_name", "task_name")


def format_exception(error: BaseException) -> str:
    """Return the traceback of ``error`` and of its causes without frames of oxtask itself.

    All frames stay if none belongs to the user, and in debug mode (``OXTASK_DEBUG_MODE``).
    """
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    report = traceback.TracebackException.from_exception(error, lookup_lines=False)
    if not get_current_settings().debug_mode:
        pending: list[traceback.TracebackException | None] = [report]
        while pending:
            part = pending.pop()
            if part is not None:
                frames = [f for f in part.stack if not f.filename.startswith(_PACKAGE)]
                if frames:
                    part.stack = traceback.StackSummary.from_list(frames)
                pending += (part.__cause__, part.__context__)
                pending += getattr(part, "exceptions", None) or ()  # a group's, Python 3.11
    return shortened("".join(report.format()).rstrip("\n"), MAX_REPORT)


class OxtaskFormatter(logging.Formatter):
    """Formats records of flow runs, of task runs and all others each in their own way.

    Args:
        format: The format of records that belong to no run.
        datefmt: The format of times, as in ``time.strftime``.
        style: ``"%"``, ``"{"`` or ``"$"``, for all three formats.
        validate: Refuse formats that do not fit the style.
        defaults: Values of fields that a record may lack.
        flow_run_fmt: The format of records of flow runs; by default ``format``.
        task_run_fmt: The format of records of task runs; by default ``format``.

    Raises:
        ValueError: If a format does not fit the style.
    """

    def __init__(
        self,
        format: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
        *,
        defaults: Mapping[str, Any] | None = None,
        flow_run_fmt: str | None = None,
        task_run_fmt: str | None = None,
    ) -> None:
        # A record that did not come through `get_run_logger` has no names.
        known = {**dict.fromkeys(_NAMES, UNKNOWN), **(defaults or {})}
        super().__init__(format, datefmt, style, validate, defaults=known)
        make_style = type(self._style)
        self._styles = {
            name: self._style if fmt is None else make_style(fmt, defaults=known)
            for name, fmt in (("flow_runs", flow_run_fmt), ("task_runs", task_run_fmt))
        }
        if validate:
            for each in self._styles.values():
                each.validate()

    def usesTime(self) -> bool:  # noqa: N802 - the base class's name
        """Tell whether any of the formats shows the time."""
        return super().usesTime() or any(each.usesTime() for each in self._styles.values())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the record's line, without traceback."""
        root, _, rest = (record.name or "").partition(".")
        style = self._styles.get(rest.partition(".")[0]) if root == "oxtask" else None
        return (style or self._style).format(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line and its traceback."""
        # The base class keeps the traceback's text in the record, for all other formatters.
        kept, record.exc_text = record.exc_text, None
        try:
            # A record that crossed a process has lost its exception but for this text.
            if not record.exc_info:
                record.exc_text = kept
            return super().format(record)
        finally:
            record.exc_text = kept

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802
        """Return the traceback without oxtask's own frames; see `format_exception`."""
        return format_exception(ei[1]) if ei[1] is not None else super().formatException(ei)


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: its fields, ``message`` and ``severity``.

    ``exc_info`` becomes ``{"type", "message", "traceback"}``. A value that JSON cannot hold becomes
    its text (ids, times, paths, errors) or a placeholder that names its type.

    Args:
        fmt: ``"default"`` for one line, ``"pretty"`` for indented text.
        datefmt: Not used; there because `logging.config` passes it.
        style: Not used, as ``datefmt``.

    Raises:
        ValueError: If ``fmt`` is something else.
    """

    def __init__(
        self,
        fmt: str | None = "default",
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
    ) -> None:
        super().__init__(datefmt=datefmt, style=style)
        if fmt not in (None, "default", "pretty"):
            raise ValueError(f"fmt={short_repr(fmt)} is not valid: use 'default' or 'pretty'.")
        self._indent = 2 if fmt == "pretty" else None

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        import json  # noqa: PLC0415 - start-up time

        fields = record.__dict__.copy()
        fields["message"] = record.getMessage()
        fields["severity"] = record.levelname
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["exc_info"] = {
                "type": type(error).__name__,
                "message": _text(error),
                "traceback": format_exception(error),
            }

        def dump(value: Any) -> str:
            return json.dumps(value, indent=self._indent, default=_jsonable, allow_nan=False)

        def dumpable(value: Any) -> Any:
            try:
                dump(value)
            except (TypeError, ValueError, RecursionError):
                return _placeholder(value)
            return value

        try:
            return dump(fields)
        except (TypeError, ValueError, RecursionError):
            # A key that is no text, a cycle, nan: only the field it is in is lost.
            return dump({key: dumpable(value) for key, value in fields.items()})


def _jsonable(value: Any) -> str:
    import datetime as dt  # noqa: PLC0415 - start-up time
    import uuid  # noqa: PLC0415

    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, os.PathLike, BaseException)):
        return _text(value)
    return _placeholder(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a hostile __str__ must not hide the line
        return _placeholder(value)


def _placeholder(value: Any) -> str:
    return f"<not serializable: {type(value).__name__}>"
