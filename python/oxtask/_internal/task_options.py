"""The options of a task: checking them, deriving from them, changing them."""

from __future__ import annotations

import copy
import sys
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union

from typing_extensions import TypedDict

from oxtask import _core
from oxtask._internal.text import short_repr
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import timedelta
    from pathlib import Path

    from oxtask.client.schemas.objects import TaskRun
    from oxtask.states import State
    from oxtask.tasks import Task

    AnyTask = Task[..., Any]
    TaskT = TypeVar("TaskT", bound=AnyTask)

MAX_RETRY_DELAYS = 50
HOOK_OPTIONS = ("on_completion", "on_failure", "on_running")
TRANSACTION_HOOK_OPTIONS = ("on_commit", "on_rollback")
RESERVED = ("return_state", "wait_for")


class StateHookCallable(Protocol):
    """A hook: called with the task, the run and the state it entered."""

    def __call__(self, task: Any, task_run: TaskRun, state: State[Any], /) -> Any: ...


class RetryConditionCallable(Protocol):
    """A retry condition: called with the task, the run and the failed state."""

    def __call__(
        self, task: Any, task_run: TaskRun, state: State[Any], /
    ) -> bool | Awaitable[bool]: ...


class TaskRunNameCallbackWithParameters(Protocol):
    """A function that names runs after their parameters."""

    def __call__(self, parameters: dict[str, Any]) -> str: ...


if TYPE_CHECKING:
    TaskRunNameValueOrCallable = Union[  # noqa: UP007 - evaluated on 3.10
        Callable[[], str], TaskRunNameCallbackWithParameters, str
    ]
else:
    TaskRunNameValueOrCallable = Any


class TaskOptions(TypedDict, total=False):
    """The keyword options of a task, for ``**options: Unpack[TaskOptions]``."""

    name: str | None
    description: str | None
    tags: Iterable[str] | None
    cache_policy: Any
    cache_key_fn: Callable[..., str | None] | None
    cache_expiration: timedelta | None
    task_run_name: TaskRunNameValueOrCallable | None
    retries: int | None
    retry_delay_seconds: float | list[float] | Callable[[int], list[float]] | None
    retry_jitter_factor: float | None
    persist_result: bool | None
    result_storage: str | Path | None
    result_serializer: Any
    result_storage_key: str | None
    cache_result_in_memory: bool
    timeout_seconds: float | None
    log_prints: bool | None
    refresh_cache: bool | None
    on_completion: Iterable[StateHookCallable] | None
    on_failure: Iterable[StateHookCallable] | None
    on_running: Iterable[StateHookCallable] | None
    on_rollback: Iterable[Callable[[Any], None]] | None
    on_commit: Iterable[Callable[[Any], None]] | None
    retry_condition_fn: RetryConditionCallable | None
    viz_return_value: Any
    asset_deps: Iterable[Any] | None


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Return a function for ``retry_delay_seconds`` that doubles the delay with each retry.

    Args:
        backoff_factor: The first delay, in seconds.

    >>> exponential_backoff(2)(4)
    [2, 4, 8, 16]
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**retry for retry in range(min(retries, MAX_RETRY_DELAYS))]

    return delays


# --- checking --------------------------------------------------------------------------------------


def checked(fn: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a task with these options.

    Raises:
        TypeError, ValueError, ReservedArgumentError: The first thing that is wrong.
    """
    attributes = dict(options)
    for option in (*HOOK_OPTIONS, *TRANSACTION_HOOK_OPTIONS):
        attributes[f"{option}_hooks"] = _hooks(option, attributes.pop(option))
    descriptor = type(fn) if isinstance(fn, (classmethod, staticmethod)) else None
    inner = fn.__func__ if descriptor else fn
    if not callable(inner):
        msg = f"'fn' must be callable; got {short_repr(fn)}"
        raise TypeError(msg)
    _check_run_name(options["task_run_name"])
    from oxtask.utilities.callables import (  # noqa: PLC0415 - start-up time
        raise_for_reserved_arguments,
        warn_for_shadowed_arguments,
    )

    raise_for_reserved_arguments(inner, RESERVED)
    warn_for_shadowed_arguments(inner, ".map()", ("deferred",), stacklevel=5)
    attributes.update(
        fn=inner,
        _given={**options, "version": options["version"]},
        _descriptor=descriptor,
        _receiver=None,
        name=options["name"] or _derived_name(inner),
        description=options["description"] or _derived_description(inner),
        tags=_tags(options["tags"]),
        source_code=_source_code(inner),
        isasync=_is_async(inner),
        isgenerator=_is_generator(inner),
        retries=_retries(options["retries"]),
        timeout_seconds=timeout(options["timeout_seconds"]),
        asset_deps=_asset_deps(options["asset_deps"]),
    )
    attributes["task_key"] = _task_key(inner)
    attributes["retry_delay_seconds"] = _retry_delays(
        options["retry_delay_seconds"], attributes["retries"]
    )
    _check_jitter(options["retry_jitter_factor"])
    _check_condition(options["retry_condition_fn"])
    return attributes


def _hooks(option: str, hooks: Any) -> list[Any]:
    if hooks is None:
        return []
    try:
        functions = list(hooks)
    except TypeError:
        kind = type(hooks).__name__
        msg = (
            f"Expected iterable for '{option}'; got {kind} instead. Please provide a list of hooks to "
            f"'{option}':\n\n@task({option}=[hook1, hook2])\ndef my_task():\n\tpass"
        )
        raise TypeError(msg) from None
    for function in functions:
        if not callable(function):
            kind = type(function).__name__
            msg = (
                f"Expected callables in '{option}'; got {kind} instead. Please provide a list of hooks "
                f"to '{option}':\n\n@task({option}=[hook1, hook2])\ndef my_task():\n\tpass"
            )
            raise TypeError(msg)
    return functions


def _check_run_name(name: Any) -> None:
    if name is not None and not isinstance(name, str) and not callable(name):
        msg = f"Expected string or callable for 'task_run_name'; got {type(name).__name__} instead."
        raise TypeError(msg)


def _tags(tags: Any) -> set[str]:
    if not tags:
        return set()
    if isinstance(tags, str):
        msg = f"'tags' must be a collection of strings; got the string {short_repr(tags)}. Use [{tags!r}]"
        raise TypeError(msg)
    found = set(tags)
    for tag in found:
        if not isinstance(tag, str):
            msg = f"'tags' must hold strings only; got {short_repr(tag)}"
            raise TypeError(msg)
    return found


def _retries(retries: Any) -> int:
    if retries is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        default: int = get_current_settings().tasks.default_retries
        return default
    if isinstance(retries, bool) or not isinstance(retries, int):
        msg = f"'retries' must be an int; got {short_repr(retries)}"
        raise TypeError(msg)
    if retries < 0:
        msg = f"'retries' must be 0 or more; got {retries}"
        raise ValueError(msg)
    return retries


def _retry_delays(delays: Any, retries: int) -> float | list[float]:
    if delays is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        delays = get_current_settings().tasks.default_retry_delay_seconds
    elif callable(delays):
        delays = delays(retries)
    if isinstance(delays, (int, float)) and not isinstance(delays, bool):
        _check_delay(delays)
        return delays
    if not isinstance(delays, list):
        msg = (
            f"Invalid `retry_delay_seconds`: {short_repr(delays)}; must be an int, a float, a list of "
            "these, None, or a function of the number of retries that returns such a list"
        )
        raise TypeError(msg)
    if len(delays) > MAX_RETRY_DELAYS:
        msg = f"Can not configure more than {MAX_RETRY_DELAYS} retry delays per task; got {len(delays)}"
        raise ValueError(msg)
    for delay in delays:
        _check_delay(delay)
    return list(delays)


def _check_delay(delay: Any) -> None:
    if isinstance(delay, bool) or not isinstance(delay, (int, float)):
        msg = f"Invalid `retry_delay_seconds`: {short_repr(delay)} is not a number of seconds"
        raise TypeError(msg)
    if not 0 <= delay < float("inf"):
        msg = f"Invalid `retry_delay_seconds`: {delay} must be 0 or more and finite"
        raise ValueError(msg)


def _check_jitter(factor: Any) -> None:
    if factor is None:
        return
    if isinstance(factor, bool) or not isinstance(factor, (int, float)):
        msg = f"`retry_jitter_factor` must be a number; got {short_repr(factor)}"
        raise TypeError(msg)
    if not factor >= 0:
        msg = f"`retry_jitter_factor` must be >= 0; got {factor}"
        raise ValueError(msg)


def _check_condition(condition: Any) -> None:
    if condition is not None and not callable(condition):
        msg = f"Expected `retry_condition_fn` to be callable, got {type(condition).__name__} instead."
        raise TypeError(msg)


def timeout(seconds: Any) -> float | None:
    """Return ``timeout_seconds`` as a float; ``None`` for no limit."""
    if not seconds:
        return None
    limit = float(seconds)
    if not limit > 0:
        msg = f"'timeout_seconds' must be positive, or 0 or None for no limit; got {short_repr(seconds)}"
        raise ValueError(msg)
    return limit


def _asset_deps(assets: Any) -> list[Any]:
    if not assets:
        return []
    members = [assets] if isinstance(assets, str) else list(assets)
    for member in members:
        if not isinstance(member, str) and not hasattr(member, "key"):
            msg = f"'asset_deps' must hold assets or their keys; got {short_repr(member)}"
            raise TypeError(msg)
    return members


# --- deriving ----------------------------------------------------------------------------------------


def _innermost(fn: Any) -> Any:
    while hasattr(fn, "func") and not isinstance(fn, FunctionType):
        fn = fn.func
    return fn


def _derived_name(fn: Any) -> str:
    inner = _innermost(fn)
    name: str = getattr(inner, "__name__", None) or type(inner).__name__
    return name


def _derived_description(fn: Any) -> str | None:
    inner = _innermost(fn)
    doc = getattr(inner, "__doc__", None)
    if not isinstance(doc, str):
        return None
    if "\n" not in doc:
        return doc.strip()
    from inspect import cleandoc  # noqa: PLC0415 - start-up time

    return cleandoc(doc)


def _source_code(fn: Any) -> str | None:
    return None if not isinstance(fn, (FunctionType, MethodType)) else _LAZY_SOURCE


_LAZY_SOURCE: Any = NotSet
"""Stands for source text that nobody has asked for: reading it opens a file."""


def read_source(fn: Any) -> str | None:
    """Return the source text of a function, or ``None`` if there is none."""
    from inspect import getsource  # noqa: PLC0415 - start-up time

    try:
        return getsource(fn)
    except (TypeError, OSError):
        return None


def _task_key(fn: Any) -> str:
    inner = _innermost(fn)
    if not hasattr(inner, "__qualname__"):
        return f"{type(inner).__module__}.{type(inner).__qualname__}"
    code = getattr(inner, "__code__", None)
    name = inner.__qualname__.split(".")[-1]
    if code is None:
        return f"{name}-unknown"
    from zlib import crc32  # noqa: PLC0415 - start-up time

    text = f"{code.co_filename}:{code.co_firstlineno}:{code.co_consts!r}".encode(
        errors="backslashreplace"
    )
    return f"{name}-{crc32(code.co_code, crc32(text)):08x}"


_COROUTINE = 0x80
_GENERATOR = 0x20
_ASYNC_GENERATOR = 0x200


def _flags(fn: Any) -> int:
    inner = _innermost(fn)
    inner = getattr(inner, "__wrapped__", inner)
    if not hasattr(inner, "__code__"):
        inner = getattr(type(inner), "__call__", inner)
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    return getattr(code, "co_flags", 0) if code is not None else 0


def _is_async(fn: Any) -> bool:
    return bool(_flags(fn) & (_COROUTINE | _ASYNC_GENERATOR))


def _is_generator(fn: Any) -> bool:
    return bool(_flags(fn) & (_GENERATOR | _ASYNC_GENERATOR))


def is_rich(task: AnyTask) -> bool:
    """Tell whether runs of a task need more than a call of its function; hooks not counted."""
    if task.retries or task.timeout_seconds is not None or task.task_run_name or task.isgenerator:
        return True
    if task.retry_condition_fn is not None:
        return True
    if task.log_prints or (task.log_prints is None and _flow_may_log_prints()):
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
    """Work out once what the core needs to call and submit a task."""
    from oxtask.utilities._binding import (  # noqa: PLC0415 - start-up time
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
    names = [sys.intern(name) for name, _ in named]
    return _core.Plan(
        function=function,
        kind="other" if task.isgenerator else "async" if task.isasync else "sync",
        rich=is_rich(task),
        has_timeout=task.timeout_seconds is not None,
        hooks=[task.on_completion_hooks, task.on_failure_hooks, task.on_running_hooks],
        names=names,
        positional=sum(kind <= POSITIONAL_OR_KEYWORD for _, kind in named),
        positional_only=sum(kind == POSITIONAL_ONLY for _, kind in named),
        required=[name not in signature.defaults for name, _ in named],
        var_positional=any(kind == VAR_POSITIONAL for _, kind in given),
        var_keyword=any(kind == VAR_KEYWORD for _, kind in given),
    )


def delay_before_retry(task: AnyTask, retry: int) -> float:
    """Return the seconds to wait before a retry, from 0."""
    delays = task.retry_delay_seconds
    if isinstance(delays, list):
        delay = delays[min(retry, len(delays) - 1)] if delays else 0
    else:
        delay = delays
    return _core.jittered(delay, task.retry_jitter_factor or 0.0) if delay else 0.0


# --- variants ------------------------------------------------------------------------------------------


def with_options(task: TaskT, options: dict[str, Any]) -> TaskT:
    """Return a copy of a task with some options replaced."""
    unknown = options.keys() - TaskOptions.__annotations__.keys()
    if unknown:
        msg = f"with_options() got an unexpected keyword argument {sorted(unknown)[0]!r}"
        raise TypeError(msg)
    given = {**task._given, **_current(task), **options}
    if "cache_result_in_memory" in options and options["cache_result_in_memory"] is None:
        given["cache_result_in_memory"] = task._given["cache_result_in_memory"]
    descriptor = task.__dict__.get("_descriptor")
    fn: Any = descriptor(task.fn) if descriptor else task.fn
    new = type(task)(fn, **given)
    new.__dict__.update(task_key=task.task_key, _receiver=task._receiver)
    return new


def _current(task: AnyTask) -> dict[str, Any]:
    """Return the options that may have been changed on the task since it was made."""
    current: dict[str, Any] = {
        f"{option}": list(getattr(task, f"{option}_hooks"))
        for option in (*HOOK_OPTIONS, *TRANSACTION_HOOK_OPTIONS)
    }
    for option in ("name", "description", "tags", "retries", "timeout_seconds", "task_run_name"):
        current[option] = getattr(task, option)
    current["log_prints"] = task.log_prints
    return current


def bound(task: TaskT, instance: Any, owner: type | None) -> TaskT:
    """Return a task as an attribute of an object or a class.

    The copy carries the object it is bound to; the task itself is not changed.
    """
    descriptor = task.__dict__.get("_descriptor")
    if descriptor is staticmethod:
        return task
    receiver = owner if descriptor is classmethod else instance
    if descriptor is classmethod and receiver is None:
        receiver = type(instance)
    if receiver is None:
        return task
    copied = copy.copy(task)
    copied.__dict__["_receiver"] = receiver
    return copied


def reduce(task: AnyTask, protocol: int) -> Any:
    """Return how a task is pickled and copied: by name if its module holds it under its name."""
    module = sys.modules.get(getattr(task.fn, "__module__", None) or "")
    found: Any = module
    for part in getattr(task.fn, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    if found is task and sys.modules.get("__main__") is not module and not _is_copying():
        return _by_name, (task.fn.__module__, task.fn.__qualname__)
    state = {key: value for key, value in task.__dict__.items() if not key.startswith("_known")}
    return _rebuilt, (type(task),), state
    

def _is_copying() -> bool:
    frame = sys._getframe(3)
    return frame.f_globals.get("__name__") == "copy"


def _by_name(module: str, qualname: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - start-up time

    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _rebuilt(kind: type[TaskT]) -> TaskT:
    return kind.__new__(kind)
