"""Keeps the lines of runs, so that they can be read back through a client."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

from oxtask.logging.handlers import OwnHandler

MAX_MESSAGE_LENGTH = 100_000
_formatter = logging.Formatter("%(message)s")


class HistoryHandler(OwnHandler):
    """Keeps lines that belong to a run; those at the level of the logger ``oxtask`` and above."""

    def createLock(self) -> None:  # noqa: N802 - the base class's name
        """Make no lock: each line is kept by a single call."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, if it is a run's."""
        fields = record.__dict__
        flow_run_id, task_run_id = fields.get("flow_run_id"), fields.get("task_run_id")
        # A process that never imported the history has had no run.
        history = sys.modules.get("oxtask._internal.run_history")
        keep = getattr(history, "logged", None)
        if keep is None or (flow_run_id is None and task_run_id is None):
            return
        try:
            has_more = record.exc_info or record.exc_text or record.stack_info
            message = _formatter.format(record) if has_more else record.getMessage()
            if len(message) > MAX_MESSAGE_LENGTH:
                message = f"{message[:MAX_MESSAGE_LENGTH]}... [{len(message)} characters]"
            created = int(record.created * 1_000_000) * 1_000
            keep(record.name, record.levelno, message, created, flow_run_id, task_run_id)
        except RecursionError:
            raise  # as the standard handlers do: it is about to be a stack overflow
        except Exception:  # noqa: BLE001 - a line that cannot be kept must not fail a run
            with suppress(Exception):
                self.handleError(record)
