"""The options of a task: their types, and checking them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

from oxtask._internal import caching_options, functions, option_checks
from oxtask._internal.light_typing import Protocol, TypedDict
from oxtask._internal.option_signatures import option_names
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import timedelta
    from pathlib import Path

    from oxtask.assets import Asset
    from oxtask.client.schemas.objects import TaskRun
    from oxtask.filesystems import WritableFileSystem
    from oxtask.states import State

MAX_RETRY_DELAYS = 50
HOOK_OPTIONS = ("on_completion", "on_failure", "on_running", "on_commit", "on_rollback")


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
    result_storage: str | Path | WritableFileSystem | None
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
    hash_ignore: Iterable[str] | None


class DecoratorOptions(TaskOptions, total=False):
    """The keyword options of `oxtask.task`: those of `with_options`, and those set for good."""

    version: str | None


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


def check_names(function: str, options: dict[str, Any], known: type) -> None:
    """Check that options exist.

    Raises:
        TypeError: If one does not.
    """
    for name in options:
        if name not in (names := option_names(known)):
            msg = (
                f"{function}() got an unexpected keyword argument {name!r}; "
                f"the options are: {', '.join(names)}"
            )
            raise TypeError(msg)


def checked(fn: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a task with these options.

    Raises:
        TypeError, ValueError, ReservedArgumentError: The first thing that is wrong.
    """
    attributes = dict(options)
    for option in HOOK_OPTIONS:
        attributes[f"{option}_hooks"] = option_checks.hooks(option, attributes.pop(option))
    inner, descriptor = option_checks.function(fn)
    option_checks.run_name("task_run_name", options["task_run_name"])
    _check_parameters(inner)
    retries = _retries(options["retries"])
    attributes.update(
        fn=inner,
        _given=options,
        _descriptor=descriptor,
        _receiver=None,
        _known_signature=None,
        _known_plans={},
        _costs=None,
        name=options["name"] or functions.name_of(inner),
        description=options["description"] or functions.description_of(inner),
        tags=_tags(options["tags"]),
        task_key=functions.key_of(inner),
        isasync=functions.is_async(inner),
        isgenerator=functions.is_generator(inner),
        retries=retries,
        retry_delay_seconds=_retry_delays(options["retry_delay_seconds"], retries),
        timeout_seconds=option_checks.timeout(options["timeout_seconds"]),
    )
    del attributes["cache_policy"]
    attributes.update(caching_options.decided(attributes["name"], options))
    attributes["hash_ignore"] = caching_options.ignored(options["hash_ignore"])
    option_checks.jitter(options["retry_jitter_factor"])
    option_checks.storage(options["result_storage"])
    _check_condition(options["retry_condition_fn"])
    attributes["asset_deps"] = asset_list("asset_deps", options["asset_deps"])
    return {**functions.look_of(inner), **attributes}


def _check_parameters(fn: Any) -> None:
    from oxtask.utilities.callables import (  # noqa: PLC0415 - start-up time
        raise_for_reserved_arguments,
        warn_for_shadowed_arguments,
    )

    raise_for_reserved_arguments(fn, option_checks.RESERVED)
    warn_for_shadowed_arguments(fn, ".map()", ("deferred",), stacklevel=5)


def _tags(tags: Any) -> set[str]:
    if not tags:
        return set()
    if isinstance(tags, str):
        shown = short_repr(tags)
        msg = f"'tags' must be a collection of strings; got the string {shown}. Use [{shown}]"
        raise TypeError(msg)
    try:
        found = set(tags)
    except TypeError:
        msg = f"'tags' must be a collection of strings; got {short_repr(tags)}"
        raise TypeError(msg) from None
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
    return option_checks.retries(retries)


def _retry_delays(delays: Any, retries: int) -> float | list[float]:
    if delays is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        delays = get_current_settings().tasks.default_retry_delay_seconds
    elif callable(delays):
        delays = delays(retries)
    if isinstance(delays, (int, float)):
        return option_checks.retry_delay(delays)
    if not isinstance(delays, list):
        msg = (
            f"Invalid `retry_delay_seconds`: {short_repr(delays)}; must be an int, a float, a list "
            "of these, None, or a function of the number of retries that returns such a list"
        )
        raise TypeError(msg)
    if len(delays) > MAX_RETRY_DELAYS:
        msg = (
            f"Can not configure more than {MAX_RETRY_DELAYS} retry delays per task; "
            f"`retry_delay_seconds` has {len(delays)}"
        )
        raise ValueError(msg)
    return [option_checks.retry_delay(delay) for delay in delays]


def _check_condition(condition: Any) -> None:
    if condition is not None and not callable(condition):
        kind = type(condition).__name__
        msg = (
            f"Expected `retry_condition_fn` to be callable, got {kind} instead. "
            f"It was given {short_repr(condition)}."
        )
        raise TypeError(msg)


def asset_list(option: str, given: Any) -> list[Asset]:
    """Return assets as a list of its own; keys become assets."""
    if not given:
        return []
    from oxtask.assets import Asset  # noqa: PLC0415 - start-up time

    is_one = isinstance(given, (str, Asset)) or not hasattr(given, "__iter__")
    assets = []
    for member in [given] if is_one else given:
        if not isinstance(member, (str, Asset)):
            msg = f"'{option}' must hold assets or their keys; got {short_repr(member)}"
            raise TypeError(msg)
        assets.append(Asset(key=member) if isinstance(member, str) else member)
    return assets
