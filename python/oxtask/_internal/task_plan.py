"""What is worked out once per task instead of once per run."""

from __future__ import annotations

import sys
from types import MethodType
from typing import TYPE_CHECKING, Any

from oxtask import _core

if TYPE_CHECKING:
    from oxtask.tasks import Task

    AnyTask = Task[..., Any]


def is_rich(task: AnyTask) -> bool:
    """Tell whether runs of a task need more than a call of its function; hooks not counted."""
    if task.retries or task.timeout_seconds is not None or task.task_run_name or task.isgenerator:
        return True
    if task.retry_condition_fn is not None or task.log_prints:
        return True
    if task.log_prints is None and _flow_may_log_prints():
        return True
    from oxtask._internal.log_lines import INFO, is_on  # noqa: PLC0415 - a cycle else

    return is_on(INFO)


def _flow_may_log_prints() -> bool:
    """Tell whether some flow or setting makes tasks log their prints."""
    flows = sys.modules.get("oxtask.flows")
    if flows is not None and flows.Flow.any_logs_prints:
        return True
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    return bool(get_current_settings().logging.log_prints)


def make_plan(task: AnyTask) -> _core.Plan:
    """Work out what the core needs to call and submit a task."""
    from oxtask.utilities._binding import (  # noqa: PLC0415 - a cycle else
        POSITIONAL_ONLY,
        POSITIONAL_OR_KEYWORD,
        VAR_KEYWORD,
        VAR_POSITIONAL,
    )

    signature = task._signature_plan()
    function: Any = task.fn
    given = list(zip(signature.names, signature.kinds, strict=True))
    if task._receiver is not None:
        function = MethodType(task.fn, task._receiver)
        given = given[1:]
    named = [pair for pair in given if pair[1] not in {VAR_POSITIONAL, VAR_KEYWORD}]
    optional = signature.defaults.keys() | signature.factories.keys()
    return _core.Plan(
        function=function,
        kind="other" if task.isgenerator else "async" if task.isasync else "sync",
        rich=is_rich(task),
        has_timeout=task.timeout_seconds is not None,
        hooks=[task.on_completion_hooks, task.on_failure_hooks, task.on_running_hooks],
        names=[sys.intern(name) for name, _ in named],
        positional=sum(kind <= POSITIONAL_OR_KEYWORD for _, kind in named),
        positional_only=sum(kind == POSITIONAL_ONLY for _, kind in named),
        required=[name not in optional for name, _ in named],
        var_positional=any(kind == VAR_POSITIONAL for _, kind in given),
        var_keyword=any(kind == VAR_KEYWORD for _, kind in given),
    )


def delay_before_retry(task: AnyTask, retry: int) -> float:
    """Return the seconds to wait before a retry, counted from 0."""
    delays = task.retry_delay_seconds
    if isinstance(delays, list):
        delays = delays[min(retry, len(delays) - 1)] if delays else 0
    return _core.jittered(delays, task.retry_jitter_factor or 0.0) if delays else 0.0
