"""Keeps the lines of runs, so that they can be read back through a client.

A line is there for readers as soon as the call that logged it has returned.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any

from oxtask.logging.handlers import OwnHandler
from oxtask.settings import get_current_settings

CUT_OFF = "... [truncated]"
_RUN_LOGGERS = ("oxtask.flow_runs", "oxtask.task_runs")
_formatter = logging.Formatter("%(message)s")


class HistoryHandler(OwnHandler):
    """Keeps lines that belong to a run; those at the level of the logger ``oxtask`` and above.

    That are lines with the ids of a run, as run loggers make them, and other lines of the loggers
    of runs, ``oxtask.flow_runs`` and ``oxtask.task_runs``, from inside of a run. A line with
    ``extra={"send_to_api": False}`` is not kept.
    """

    def createLock(self) -> None:  # noqa: N802 - the base class's name
        """Make no lock: each line is kept by a single call."""
        setattr(self, "lock", None)  # noqa: B010 - checkers take an assignment for an override

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep the record, if it is a run's."""
        if self.filters:
            return super().handle(record)
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, if it is a run's.

        Raises:
            MissingContextError: If it is of a run logger and belongs to no run, and
                ``OXTASK_LOGGING_TO_API_WHEN_MISSING_FLOW`` is ``error``.
        """
        fields = record.__dict__
        flow_run_id, task_run_id = fields.get("flow_run_id"), fields.get("task_run_id")
        has_run = flow_run_id or task_run_id
        if not has_run and not _is_of_run_logger(record.name):
            return
        settings = get_current_settings().logging.to_api
        if not settings.enabled or not fields.get("send_to_api", True):
            return
        if not has_run:
            flow_run_id, task_run_id = _current_ids()
            if not flow_run_id and not task_run_id:
                _tell_of_missing_run(record.name, settings.when_missing_flow)
                return
        # A process that never imported the history has had no run.
        history: Any = sys.modules.get("oxtask._internal.run_history")
        if history is None:
            return
        try:
            formatter: logging.Formatter | None = self.formatter
            if formatter is None and (record.exc_info or record.exc_text or record.stack_info):
                formatter = _formatter
            message = record.getMessage() if formatter is None else formatter.format(record)
            if len(message) > settings.max_log_size // 4:  # a character takes four bytes at most
                message = cut_off(message, settings.max_log_size)
            created = int(record.created * 1_000_000) * 1_000
            history.logged(
                (record.name, record.levelno, message, created, flow_run_id, task_run_id)
            )
        except RecursionError:
            raise  # as the standard handlers do: it is about to be a stack overflow
        except Exception:  # noqa: BLE001 - a line that cannot be kept must not fail a run
            with suppress(Exception):
                self.handleError(record)


def cut_off(text: str, size: int) -> str:
    """Return a text of at most ``size`` bytes of UTF-8, or what says that it was longer."""
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= size:
        return text
    room = max(0, size - len(CUT_OFF))
    # The last character may be cut in two; what a lone surrogate becomes counts as cut, too.
    return encoded[:room].decode("utf-8", "ignore") + CUT_OFF


def _is_of_run_logger(name: str) -> bool:
    return name in _RUN_LOGGERS or name.startswith(tuple(f"{each}." for each in _RUN_LOGGERS))


def _current_ids() -> tuple[str | None, str | None]:
    """Return the ids of the flow run and the task run that this code is in."""
    from oxtask.context import TaskRunContext  # noqa: PLC0415 - start-up time
    from oxtask.logging.loggers import current_run_context  # noqa: PLC0415 - circular

    context: Any = current_run_context()
    if context is None:
        return None, None
    if isinstance(context, TaskRunContext):
        flow_run_id = context.task_run.flow_run_id
        return None if flow_run_id is None else str(flow_run_id), str(context.task_run.id)
    return str(context.flow_run.id), None


def _tell_of_missing_run(name: str, answer: str) -> None:
    if answer == "ignore":
        return
    message = (
        f"A line of the logger {name!r} belongs to no run and is not kept. Use `get_run_logger` in "
        "a flow or a task, or `oxtask.logging.get_logger` elsewhere."
    )
    if answer == "error":
        from oxtask.exceptions import MissingContextError  # noqa: PLC0415 - start-up time

        raise MissingContextError(message)
    import warnings  # noqa: PLC0415 - start-up time

    warnings.warn(
        f"{message} OXTASK_LOGGING_TO_API_WHEN_MISSING_FLOW=ignore silences this warning.",
        stacklevel=_frames_of_logging(),
    )


def _frames_of_logging() -> int:
    """Return the ``stacklevel`` at which the caller of `logging` is, seen from the caller."""
    level, frame = 2, sys._getframe(2)
    inside = (logging.__file__, __file__)
    while frame is not None and frame.f_code.co_filename in inside:
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level
