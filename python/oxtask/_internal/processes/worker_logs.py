"""Log records on their way from a worker process to the handlers of the program."""

from __future__ import annotations

import copy
import logging
import pickle
import queue
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from oxtask._internal.processes.channel import LOG
from oxtask.logging.handlers import ROOT, OwnHandler, setup_logging

if TYPE_CHECKING:
    from oxtask._internal.processes.channel import Line

_PLAIN = (str, int, float, bool, type(None))


class Forwarding(OwnHandler):
    """Sends the records of the logger ``oxtask`` to the program.

    A thread sends them: what interrupts a body must not leave half a frame on the line.
    """

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self._waiting: queue.SimpleQueue[bytes | Event] = queue.SimpleQueue()
        self._sender: Thread | None = None
        self._level: int | None = None

    def install(self) -> None:
        """Take the place of the handlers that write to the console and keep the history."""
        setup_logging()
        own = logging.getLogger(ROOT)
        own.handlers[:] = [self]
        own.propagate = False

    def set_level(self, level: int) -> None:
        """Let the records pass that the program wants."""
        logging.getLogger(ROOT).setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, or what of it can be pickled."""
        try:
            self._waiting.put(pickle.dumps(_fields(self, record)))
        except Exception:  # noqa: BLE001 - a line that cannot be sent must not fail a run
            self.handleError(record)
            return
        if self._sender is None:
            self._sender = Thread(target=self._send, name="oxtask logs", daemon=True)
            self._sender.start()

    def _send(self) -> None:
        while True:
            waiting = self._waiting.get()
            if isinstance(waiting, Event):
                waiting.set()
            else:
                with suppress(OSError):  # the program is gone, and so is this process in a moment
                    self._line.send(LOG, waiting)

    def flush(self) -> None:
        """Wait until all records are sent."""
        if self._sender is not None:
            sent = Event()
            self._waiting.put(sent)
            sent.wait()


def _fields(handler: logging.Handler, record: logging.LogRecord) -> dict[str, Any]:
    """Return a record as a dict of plain values, with its message and traceback as text."""
    ready = copy.copy(record)
    ready.msg, ready.args = record.getMessage(), None
    if record.exc_info and not record.exc_text:
        formatter = handler.formatter or logging.Formatter()
        ready.exc_text = formatter.formatException(record.exc_info)
    ready.exc_info = None
    return {
        name: value if isinstance(value, _PLAIN) else _sendable(value)
        for name, value in ready.__dict__.items()
    }


def _sendable(value: Any) -> Any:
    """Return a field that the program gave with ``extra=``, as text if it cannot be pickled."""
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - shown, then
        return str(value)
    return value
