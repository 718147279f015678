"""Log records from worker processes, for the handlers of the program."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from oxtask._internal.processes.orders import loads

if TYPE_CHECKING:
    from collections.abc import Iterable

LOG_TYPE = "log"


class MessageProcessor(Protocol):
    """Sees each message of a worker process on its way to the handlers of the program."""

    def __call__(self, message_type: str, message_payload: Any, /) -> tuple[str, Any] | None:
        """Return the message, the same or another; ``None`` to drop it.

        Args:
            message_type: ``"log"``.
            message_payload: The fields of a `logging.LogRecord`, by name.
        """


class MessageProcessorFactory(Protocol):
    """Makes a `MessageProcessor`, when the first message comes."""

    def __call__(self) -> MessageProcessor:
        """Return a processor."""
        ...


class Messages:
    """Takes the messages of the workers of a runner.

    Args:
        factories: Make the processors; one that raises is left out.
        logger: Where problems are told.
    """

    def __init__(
        self, factories: Iterable[MessageProcessorFactory], logger: logging.Logger
    ) -> None:
        self._logger = logger
        self._factories = tuple(factories)
        self._lock = Lock()
        self._made: list[MessageProcessor] | None = None

    def _processors(self) -> list[MessageProcessor]:
        """Return the processors, made when the first message comes."""
        with self._lock:
            if self._made is None:
                self._made = []
                for factory in self._factories:
                    try:
                        self._made.append(factory())
                    except Exception:
                        text = "A message processor could not be made by %r; left out"
                        self._logger.exception(text, factory)
            return self._made

    def take(self, content: bytes) -> None:
        """Hand a log record to the logger whose name it bears."""
        message: Any = LOG_TYPE, loads(content)
        for processor in self._processors():
            message = self._processed(processor, message)
            if message is None:
                return
        kind, fields = message
        if kind != LOG_TYPE or not isinstance(fields, dict) or "name" not in fields:
            self._logger.warning("Dropped a message of type %r: it is no log record", kind)
            return
        record = logging.makeLogRecord(fields)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)

    def _processed(self, processor: MessageProcessor, message: tuple[str, Any]) -> Any:
        try:
            processed: Any = processor(*message)
        except Exception:
            self._logger.exception("Dropped a message: the message processor %r raised", processor)
            return None
        if processed is None:
            return None
        if isinstance(processed, tuple) and len(processed) == 2 and isinstance(processed[0], str):
            return processed
        self._logger.warning(
            "Dropped a message: the message processor %r returned %r, which is neither a pair of "
            "type and payload nor None",
            processor,
            processed,
        )
        return None
