"""Logging: loggers for runs, formatters, the console handler and the capture of ``print``.

All loggers are children of the standard library's logger ``oxtask``. oxtask adds one handler, to
that logger, and touches no other. See `oxtask.logging.handlers` for what it shows and when.
"""

from __future__ import annotations

from oxtask.logging.formatters import JsonFormatter, OxtaskFormatter
from oxtask.logging.loggers import (
    LogEavesdropper,
    disable_logger,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    get_run_logger,
    task_run_logger,
)
from oxtask.logging.prints import patch_print, print_as_log

__all__ = [
    "JsonFormatter",
    "LogEavesdropper",
    "OxtaskFormatter",
    "disable_logger",
    "disable_run_logger",
    "flow_run_logger",
    "get_logger",
    "get_run_logger",
    "patch_print",
    "print_as_log",
    "task_run_logger",
]
