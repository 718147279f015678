"""What is worked out once per task: how it is called, and whether its runs need the engine."""

from __future__ import annotations

import sys
from types import MethodType
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import functions, log_lines, plan_watch
from oxtask.utilities._binding import (
    POSITIONAL_ONLY,
    POSITIONAL_OR_KEYWORD,
    VAR_KEYWORD,
    VAR_POSITIONAL,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.utilities._binding import SignaturePlan


def make_plan(task: TaskMachinery) -> _core.Plan:
    """Work out what the core needs to call and submit a task.

    Each access to a method makes a task of its own, bound to the object: they share all but the
    function.
    """
    _record_if_wanted()
    plan_watch.look_for_limits(now_and_then=True)
    is_bound = task._receiver is not None
    plan_watch.keep(task)
    parts = task._known_plans.get(is_bound)
    if parts is None:
        parts = task._known_plans[is_bound] = _parts(task)
    function, cached, options = parts
    receiver = task._receiver
    caching = None if cached is None else _core.Caching(receiver=receiver, **cached)
    return _core.Plan(function=_bound(function, receiver), caching=caching, **options)


def _parts(
    task: TaskMachinery,
) -> tuple[Callable[..., Any], dict[str, Any] | None, dict[str, Any]]:
    """Return the function, not bound, what it is cached with, and the options of a plan."""
    signature = task._signature_plan()
    given = list(zip(signature.names, signature.kinds, strict=True))
    if task._receiver is not None:
        given = given[1:]
    named = [pair for pair in given if pair[1] not in {VAR_POSITIONAL, VAR_KEYWORD}]
    delays = task.retry_delay_seconds
    optional = {*signature.defaults, *signature.factories}
    options: dict[str, Any] = {
        "kind": "other" if task.isgenerator else "async" if task.isasync else "sync",
        "rich": is_rich(task),
        "rich_if_found": is_rich_if_found(task),
        "completing": _line_of_completed_runs(),
        "retries": task.retries,
        "delays": delays if isinstance(delays, list) else [delays],
        "jitter": task.retry_jitter_factor or 0.0,
        "has_timeout": task.timeout_seconds is not None,
        "hooks": [
            task.on_completion_hooks,
            task.on_failure_hooks,
            task.on_running_hooks,
            task.on_commit_hooks,
            task.on_rollback_hooks,
        ],
        "names": [sys.intern(name) for name, _ in named],
        "positional": sum(kind <= POSITIONAL_OR_KEYWORD for _, kind in named),
        "positional_only": sum(kind == POSITIONAL_ONLY for _, kind in named),
        "required": [name not in optional for name, _ in named],
        "var_positional": any(kind == VAR_POSITIONAL for _, kind in given),
        "var_keyword": any(kind == VAR_KEYWORD for _, kind in given),
    }
    return _function_of(task), None if options["rich_if_found"] else cache_parts(task), options


def _record_if_wanted() -> None:
    """Have every run recorded from now on, if the environment says so.

    What `temporary_settings` say, which hold in this context only, is a matter of flows.
    """
    from contextvars import Context  # noqa: PLC0415 - start-up time

    from oxtask.settings import get_current_settings  # noqa: PLC0415

    if Context().run(get_current_settings).history.every_run:
        from oxtask._internal.run_history import record_for_good  # noqa: PLC0415 - start-up time

        record_for_good()


def is_rich(task: TaskMachinery) -> bool:
    """Tell whether runs of a task need the engine; hooks and plain retries are not counted."""
    return bool(
        task.timeout_seconds is not None
        or task.retry_condition_fn is not None
        or task.log_prints
        or (task.log_prints is None and plan_watch.prints_may_be_logged())
        # That an attempt is followed by another is a line of its own.
        or (task.retries and log_lines.may_be_on(log_lines.INFO))
        or is_rich_if_found(task)
    )


def is_rich_if_found(task: TaskMachinery) -> bool:
    """Tell whether runs of a task need the engine even if their result is found in the cache."""
    return bool(
        task.task_run_name
        or task.isgenerator
        or (task.persist_result and cache_parts(task) is None)
        or (not task.persist_result and plan_watch.results_may_be_kept())
        or plan_watch.tags_may_be_limited()
        or log_lines.may_be_on(log_lines.DEBUG)
    )


def _line_of_completed_runs() -> Callable[[_core.Run, Any], None] | None:
    """Return what writes the one line of a plain run that completes, if lines of INFO are read."""
    if not log_lines.may_be_on(log_lines.INFO):
        return None
    from oxtask._internal.plain_lines import PlainLines  # noqa: PLC0415 - start-up time

    return PlainLines().completing


def cache_parts(task: TaskMachinery) -> dict[str, Any] | None:
    """Return what the core needs to cache the runs of a task; ``None`` if it does not."""
    if task.persist_result is False or (
        task.persist_result is None and not plan_watch.flows_may_keep()
    ):
        return None
    from oxtask._internal.cache_plans import parts_of  # noqa: PLC0415 - start-up time

    parts = task._known_plans
    if "cache" not in parts:
        parts["cache"] = parts_of(task)
    found: dict[str, Any] | None = parts["cache"]
    return found


# --- the body -------------------------------------------------------------------------------------


def body_of(task: TaskMachinery) -> Callable[..., Any]:
    """Return what a run calls: the function, with what it is bound to."""
    return _bound(_function_of(task), task._receiver)


def _bound(function: Callable[..., Any], receiver: Any) -> Callable[..., Any]:
    return function if receiver is None else MethodType(function, receiver)


def _function_of(task: TaskMachinery) -> Callable[..., Any]:
    function: Any = task.fn
    signature = task._signature_plan()
    if _has_fields(signature):
        function = _with_defaults(function, signature)
    if task.isasync and not task.isgenerator and not functions.is_coroutine_function(task.fn):
        function = _awaiting(function)
    return function  # type: ignore[no-any-return] # whatever it is, it can be called


def _has_fields(signature: SignaturePlan) -> bool:
    """Tell whether a default is a ``pydantic.Field``, which stands for another value."""
    field = getattr(sys.modules.get("pydantic.fields"), "FieldInfo", None)
    return field is not None and any(
        isinstance(parameter.default, field)
        for parameter in signature.signature.parameters.values()
    )


def _with_defaults(function: Callable[..., Any], signature: SignaturePlan) -> Callable[..., Any]:
    def body(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = signature.arguments(signature.bind(args, kwargs))
        return function(*args, **kwargs)

    return body


def _awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function for a wrapper that may, or may not, return an awaitable."""

    async def body(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        return await value if hasattr(value, "__await__") else value

    return body
