"""The handler that shows lines on stderr, from the logger ``oxtask``.

It is silent as soon as somebody else shows these lines, so that none appears twice: a handler on
the root logger or on ``oxtask`` that is not oxtask's own. This is decided for each line, so it does
not matter whether a program configures logging before or after the first run.

The level of the logger ``oxtask`` is ``OXTASK_LOGGING_LEVEL``, unless the program has set one.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from oxtask._internal.fork_locks import fork_lock
from oxtask.logging.formatters import (
    DATE_FORMAT,
    DEFAULT_FORMAT,
    FLOW_RUN_FORMAT,
    TASK_RUN_FORMAT,
    OxtaskFormatter,
)
from oxtask.settings import get_current_settings
from oxtask.settings.table import listeners

if TYPE_CHECKING:
    from typing import TextIO

    from oxtask.settings import Settings

ROOT = "oxtask"

_COLORS = {  # ANSI: grey, yellow, red, bold red; INFO stays as it is
    logging.DEBUG: "\x1b[90m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_RESET = "\x1b[0m"


class OwnHandler(logging.Handler):
    """A handler of oxtask itself; it does not count as the program's own configuration."""


class ConsoleFormatter(OxtaskFormatter):
    """The format of lines on the console, in colour if ``colors`` is true."""

    def __init__(self, *, colors: bool = False) -> None:
        super().__init__(
            DEFAULT_FORMAT,
            DATE_FORMAT,
            flow_run_fmt=FLOW_RUN_FORMAT,
            task_run_fmt=TASK_RUN_FORMAT,
        )
        self._colors = _COLORS if colors else {}

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the record's line, without traceback."""
        line = super().formatMessage(record)
        color = self._colors.get(record.levelno)
        return f"{color}{line}{_RESET}" if color else line


class ConsoleHandler(OwnHandler):
    """Writes lines to whatever ``sys.stderr`` is at that time."""

    def __init__(self) -> None:
        super().__init__()
        self._plain = ConsoleFormatter()
        self._colored = ConsoleFormatter(colors=True)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record, unless the program shows records itself: then it costs no lock."""
        return not _is_shown_by_program() and super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless there is no stderr."""
        stream = sys.stderr
        if stream is None:
            return
        try:
            formatter: logging.Formatter | None = self.formatter
            if formatter is None:
                formatter = self._colored if _wants_colors(stream) else self._plain
            stream.write(formatter.format(record) + "\n")
            stream.flush()
        except RecursionError:
            raise  # as the standard handlers do: it is about to be a stack overflow
        except Exception:  # noqa: BLE001 - a line that cannot be written must not fail a run
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Report a line that could not be written; not even a closed stderr raises."""
        with suppress(Exception):  # nowhere left to report to
            super().handleError(record)


# Asking for a logger takes the lock of `logging`; there is one of a name for as long as a process.
_own, _root = logging.getLogger(ROOT), logging.getLogger()
_NOT_THE_PROGRAM_S = (OwnHandler, logging.NullHandler)


def _is_shown_by_program() -> bool:
    # Asked for each line: a generator, or a list of them all, would take its time.
    for each in _own.handlers:
        if not isinstance(each, _NOT_THE_PROGRAM_S):
            return True
    if _own.propagate:
        for each in _root.handlers:
            if not isinstance(each, _NOT_THE_PROGRAM_S):
                return True
    return False


def _wants_colors(stream: TextIO) -> bool:
    return (
        get_current_settings().logging.colors
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


class _Setup:
    """What `setup_logging` has done in this process."""

    def __init__(self) -> None:
        self.console: ConsoleHandler | None = None
        self.level = logging.NOTSET


_setup = _Setup()
_setup_lock = fork_lock()


def setup_logging() -> None:
    """Give the logger ``oxtask`` its level and, the first time, its handlers.

    Called for every logger that oxtask hands out. A level that the program has set stays, and so
    does the program's decision to remove the handler. The level of a logger is one per process: a
    temporary ``OXTASK_LOGGING_LEVEL`` holds for all threads while its block lasts.
    """
    own = logging.getLogger(ROOT)
    level = getattr(logging, get_current_settings().logging.level)
    if _setup.console is not None and own.level not in (logging.NOTSET, _setup.level):
        return  # the program's level
    if _setup.console is not None and own.level == level:
        return
    with _setup_lock:
        if own.level in (logging.NOTSET, _setup.level):
            own.setLevel(level)
            _setup.level = level
        if _setup.console is None:
            from oxtask.logging.history import HistoryHandler  # noqa: PLC0415 - circular

            _setup.console = ConsoleHandler()
            own.addHandler(_setup.console)
            own.addHandler(HistoryHandler())
            listeners.append(_settings_changed)


def _settings_changed(_: Settings, *, is_begin: bool) -> None:  # noqa: ARG001
    setup_logging()
