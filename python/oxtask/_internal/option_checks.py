"""Checks of options that tasks and flows have in common."""

from __future__ import annotations

from os import PathLike
from typing import Any

from oxtask._internal.text import short_repr

RESERVED = ("return_state", "wait_for")
"""Names that a function cannot have for a parameter: calls take them for themselves."""


def function(fn: Any) -> tuple[Any, type | None]:
    """Return the function to call, and `classmethod` or `staticmethod` if it was given as one."""
    descriptor = type(fn) if isinstance(fn, (classmethod, staticmethod)) else None
    inner = fn.__func__ if descriptor else fn
    if not callable(inner):
        msg = f"'fn' must be callable; got {short_repr(fn)}"
        raise TypeError(msg)
    return inner, descriptor


def hooks(option: str, given: Any, decorator: str = "task") -> list[Any]:
    """Return the hooks of an option as a list of its own."""
    if given is None:
        return []
    hint = (
        f"Please provide a list of hooks to '{option}':\n\n"
        f"@{decorator}({option}=[hook1, hook2])\ndef my_{decorator}():\n\tpass"
    )
    try:
        functions = list(given)
    except TypeError:
        kind = type(given).__name__
        msg = f"Expected iterable for '{option}'; got {kind} instead. {hint}"
        raise TypeError(f"{msg}\n\nIt was given {short_repr(given)}.") from None
    for hook in functions:
        if not callable(hook):
            kind = type(hook).__name__
            msg = f"Expected callables in '{option}'; got {kind} instead. {hint}"
            raise TypeError(f"{msg}\n\nIt was given {short_repr(hook)}.")
    return functions


def run_name(option: str, name: Any) -> None:
    """Check a template for the names of runs."""
    if name is not None and not isinstance(name, str) and not callable(name):
        kind = type(name).__name__
        msg = (
            f"Expected string or callable for '{option}'; got {kind} instead. "
            f"It was given {short_repr(name)}."
        )
        raise TypeError(msg)


def retries(given: Any) -> int:
    """Return a number of retries."""
    if isinstance(given, bool) or not isinstance(given, int):
        msg = f"'retries' must be an int; got {short_repr(given)}"
        raise TypeError(msg)
    if given < 0:
        msg = f"'retries' must be 0 or more; got {given}"
        raise ValueError(msg)
    return given


def retry_delay(seconds: Any) -> float:
    """Return a delay before a retry, in seconds."""
    if not _is_number(seconds):
        msg = f"Invalid `retry_delay_seconds`: {short_repr(seconds)} is not a number of seconds"
        raise TypeError(msg)
    if not 0 <= seconds < float("inf"):
        msg = f"Invalid `retry_delay_seconds`: {seconds} must be 0 or more and finite"
        raise ValueError(msg)
    delay: float = seconds
    return delay


def timeout(seconds: Any) -> float | None:
    """Return ``timeout_seconds`` as a float; ``None`` for no limit."""
    if seconds is None:
        return None
    try:
        limit = float(seconds)
    except (TypeError, ValueError) as error:
        msg = f"'timeout_seconds' must be a number of seconds; got {short_repr(seconds)}"
        raise type(error)(msg) from None
    if not limit >= 0:
        msg = (
            "'timeout_seconds' must be positive, or 0 or None for no limit; "
            f"got {short_repr(seconds)}"
        )
        raise ValueError(msg)
    return limit or None


def jitter(factor: Any) -> None:
    """Check a ``retry_jitter_factor``."""
    if factor is None:
        return
    if not _is_number(factor):
        msg = f"`retry_jitter_factor` must be a number; got {short_repr(factor)}"
        raise TypeError(msg)
    if not 0 <= factor < float("inf"):
        msg = f"`retry_jitter_factor` must be >= 0 and finite; got {factor}"
        raise ValueError(msg)


def storage(given: Any) -> None:
    """Check a ``result_storage``: a folder, a URL or a file system."""
    if given is None or isinstance(given, (str, PathLike)):
        return
    if isinstance(given, type) or not (
        hasattr(given, "read_path") and hasattr(given, "write_path")
    ):
        msg = (
            "Result storage configuration must be persisted server-side, or be a folder, a URL or "
            "an object with `read_path` and `write_path` such as a `LocalFileSystem`; "
            f"`result_storage` was given {short_repr(given)}"
        )
        raise TypeError(msg)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
