"""What of a task makes its key: what its function does."""

from __future__ import annotations

from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from oxtask import _core
from oxtask._internal.keys import key_of

_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, partial, type)


def source_key(task: Any) -> str:
    """Return the key of what a task, or anything that looks like one, does.

    Raises:
        HashError: If a value that its function closes over cannot be hashed.
    """
    fn = getattr(task, "fn", None)
    if type(fn) is FunctionType and isinstance(task, _core.TaskBase):
        return kept_key(task).key()
    if isinstance(fn, _FUNCTIONS):
        return key_of(fn, fn_name(fn))
    if isinstance(task, _FUNCTIONS):
        return key_of(task, fn_name(task))
    text = getattr(task, "source_code", None)
    if isinstance(text, str):
        return key_of(("text", text))
    # An object that can be called: what its class does, and its state.
    return key_of((type(fn), fn), type(fn).__name__)


def kept_key(task: Any) -> _core.SourceKey:
    """Return the key of what a task does whose ``fn`` is a function: kept while it holds.

    All tasks bound from one share it.
    """
    known: _core.SourceKey | None = task._known_plans.get("source")
    if known is None:
        known = task._known_plans["source"] = _core.SourceKey(task.fn)
    return known


def fn_name(fn: Any) -> str:
    """Return what errors call a function."""
    return getattr(fn, "__name__", None) or type(fn).__name__


def task_input_hash(context: Any, arguments: dict[str, Any]) -> str | None:
    """Return a key made of a task and the arguments of a run: for ``cache_key_fn``.

    Args:
        context: The `TaskRunContext` of the run.
        arguments: Its parameters by name.

    Returns:
        The key, or ``None`` if something cannot be hashed.
    """
    from oxtask.exceptions import HashError  # noqa: PLC0415 - start-up time

    try:
        source = source_key(context.task)
        return _core.hash_value((context.task.task_key, source, arguments))
    except HashError:
        return None
