"""``print`` in runs that log what they print.

While any such run is active, in whatever thread, ``builtins.print`` is `print_as_log`, which looks
at the run of its caller for each call. Scopes are counted, because they overlap: the first puts
the dispatcher in place, the last puts back what was there. Whoever kept a reference to
`print_as_log` can call it for ever; without an active scope it only prints.
"""

from __future__ import annotations

import builtins
import logging
import sys
from contextlib import contextmanager
from io import StringIO
from threading import local
from typing import TYPE_CHECKING, Any, Protocol

from oxtask._internal.fork_locks import fork_lock
from oxtask.logging.loggers import OxtaskLogAdapter, current_run_context, get_run_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    class HasLogPrints(Protocol):
        """A flow or a task."""

        @property
        def log_prints(self) -> bool | None:
            """Whether it logs what it prints; ``None`` if it does not say."""


_python_print: Callable[..., None] = builtins.print


class _Patch:
    """What is in place of ``builtins.print``; changed under `_lock` only."""

    def __init__(self) -> None:
        self.scopes = 0
        self.original = _python_print


_patch = _Patch()
_lock = fork_lock()
_thread = local()  # `.inside`: this thread is in `print_as_log`


def should_log_prints(run_of: HasLogPrints) -> bool:
    """Tell whether a run of this flow or task logs what it prints.

    What it says itself counts; if it says nothing, what the current flow run does; outside flows,
    ``OXTASK_LOGGING_LOG_PRINTS``.
    """
    from oxtask.context import FlowRunContext  # noqa: PLC0415 - start-up time
    from oxtask.settings import get_current_settings  # noqa: PLC0415

    if run_of.log_prints is not None:
        return bool(run_of.log_prints)
    context = FlowRunContext.get()
    return bool(
        get_current_settings().logging.log_prints if context is None else context.log_prints
    )


@contextmanager
def patch_print() -> Generator[None, None, None]:
    """Let ``print`` be `print_as_log` for a block of code."""
    with _lock:
        if _patch.scopes == 0 and builtins.print is not print_as_log:
            _patch.original = builtins.print
            builtins.print = print_as_log
        _patch.scopes += 1
    try:
        yield
    finally:
        with _lock:
            _patch.scopes -= 1
            # A program that has replaced `print` meanwhile keeps its own.
            if _patch.scopes == 0 and builtins.print is print_as_log:
                builtins.print = _patch.original


def print_as_log(*args: Any, **kwargs: Any) -> None:
    """Log the text at level INFO if the current run logs what it prints, else print it.

    Text for another file than stdout or stderr is printed, and so is text that the run's logger
    would drop because of its level: a print is never lost.

    Args:
        *args: As for ``print``.
        **kwargs: As for ``print``.
    """
    # A handler or a `__str__` that prints would come back here without end; so would a `print` of
    # the program that calls the one it replaced, if that was this function.
    if getattr(_thread, "inside", False):
        _python_print(*args, **kwargs)
        return
    _thread.inside = True
    try:
        logger = _logger_for(kwargs.get("file"))
        if logger is None:
            _patch.original(*args, **kwargs)
            return
        buffer = StringIO()
        _python_print(*args, **{**kwargs, "file": buffer})
        text = buffer.getvalue().rstrip("\n")
        # Not through the adapter: Python 3.10 would count its frames in `stacklevel`.
        logger.logger.info(text, extra=logger.extra, stacklevel=2)
    finally:
        _thread.inside = False


def _logger_for(file: Any) -> OxtaskLogAdapter | None:
    if file is not None and file is not sys.stdout and file is not sys.stderr:
        return None
    context = current_run_context()
    if context is None or not context.log_prints:
        return None
    logger = get_run_logger(context)
    if isinstance(logger, OxtaskLogAdapter) and logger.isEnabledFor(logging.INFO):
        return logger
    return None
