"""Tasks: functions whose runs can be called, submitted, mapped, retried and watched.

>>> from oxtask import flow, task
>>> @task(retries=2, retry_delay_seconds=0.1)
... def fetch(page: int) -> str:
...     return f"page {page}"
>>> fetch(1)
'page 1'
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from oxtask._internal import task_options
from oxtask._internal.option_signatures import takes_options
from oxtask._internal.task_calls import R_co, TaskCalls
from oxtask._internal.task_options import (
    DecoratorOptions,
    RetryConditionCallable,
    StateHookCallable,
    TaskOptions,
    TaskRunNameCallbackWithParameters,
    TaskRunNameValueOrCallable,
    exponential_backoff,
)
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from pathlib import Path
    from typing import TypeAlias

    from typing_extensions import Self, Unpack

    from oxtask._internal.light_typing import Method
    from oxtask._internal.materializing import MaterializingTask
    from oxtask.filesystems import WritableFileSystem
    from oxtask.futures import Future

__all__ = [
    "FutureOrResult",
    "MaterializingTask",
    "OneOrManyFutureOrResult",
    "P",
    "R",
    "RetryConditionCallable",
    "StateHookCallable",
    "T",
    "Task",
    "TaskOptions",
    "TaskRunNameCallbackWithParameters",
    "TaskRunNameValueOrCallable",
    "exponential_backoff",
    "task",
    "task_input_hash",
]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

if TYPE_CHECKING:
    Rest = ParamSpec("Rest")
    Owner = TypeVar("Owner")
    HookT = TypeVar("HookT", bound=StateHookCallable)
    TransactionHookT = TypeVar("TransactionHookT", bound=Callable[[Any], None])
    from oxtask._internal.keys_tasks import task_input_hash

    FutureOrResult: TypeAlias = Future[T] | T
    OneOrManyFutureOrResult: TypeAlias = FutureOrResult[T] | Iterable[FutureOrResult[T]]
else:

    def __getattr__(name: str) -> Any:
        """Make names on first use that most programs have no need of."""
        if name == "MaterializingTask":
            from oxtask._internal.materializing import MaterializingTask  # noqa: PLC0415 - see above

            globals()[name] = MaterializingTask
            return MaterializingTask
        if name == "task_input_hash":
            from oxtask._internal import keys_tasks  # noqa: PLC0415 - see above

            globals()[name] = keys_tasks.task_input_hash
            return globals()[name]
        if name not in {"FutureOrResult", "OneOrManyFutureOrResult"}:
            msg = f"module 'oxtask.tasks' has no attribute {name!r}"
            raise AttributeError(msg)
        from collections.abc import Iterable  # noqa: PLC0415 - see above

        from oxtask.futures import Future  # noqa: PLC0415

        one = globals()["FutureOrResult"] = Future[T] | T
        globals()["OneOrManyFutureOrResult"] = one | Iterable[one]
        return globals()[name]


class Task(TaskCalls[P, R_co]):
    """A function whose calls are task runs.

    Args:
        fn: The function: sync, async or a generator; any callable with a readable signature.
        name: Defaults to the function's name.
        description: Defaults to the function's docstring.
        tags: Strings that every run gets, next to those of `oxtask.tags` around the call.
        version: Recorded with the runs; has no effect.
        cache_policy: How the key is made under which a result is cached.
        cache_key_fn: A function of context and parameters that returns the key.
        cache_expiration: How long a cached result is valid.
        task_run_name: The name of the runs: a format string over the parameters, or a function.
        retries: How often a failed run is tried again; ``None`` for the setting.
        retry_delay_seconds: Seconds before a retry: a number, a list with one for each retry (the
            last repeats), or a function of ``retries`` that returns such a list.
        retry_jitter_factor: Spreads the delays: each is drawn around its value, up to
            ``1 + factor`` times as long.
        persist_result: Whether results are stored.
        result_storage: Where: a folder, a URL or a file system.
        result_serializer: How.
        result_storage_key: Under which key: a format string.
        cache_result_in_memory: Whether the value stays with the state.
        timeout_seconds: How long an attempt may take; ``None`` or 0 for no limit.
        log_prints: Whether prints become log lines; ``None`` for what the flow says.
        refresh_cache: Whether to compute even what is cached.
        on_completion: Called as ``hook(task, task_run, state)`` when a run completed.
        on_failure: The same when a run failed for good.
        on_running: The same when an attempt begins.
        on_rollback: Called with the transaction when it is rolled back.
        on_commit: Called with the transaction when it is committed.
        retry_condition_fn: Called as ``fn(task, task_run, state)`` before each retry; a false
            answer ends the run. Sync or async.
        viz_return_value: What the task returns when a flow is drawn.
        asset_deps: Assets that the runs read.
        hash_ignore: Names of parameters that the key of the cache leaves out, as
            ``cache_policy - "name"`` does.

    Raises:
        TypeError: If an option has a wrong type.
        ValueError: If an option has a value that makes no sense.
        ReservedArgumentError: If a parameter of ``fn`` is named ``return_state`` or ``wait_for``.
    """

    # The parameters are the options, in the order in which Prefect takes them by position.
    def __init__(  # noqa: PLR0917 - see above
        self,
        fn: Callable[P, R_co],
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        cache_policy: Any = NotSet,
        cache_key_fn: Callable[..., str | None] | None = None,
        cache_expiration: timedelta | None = None,
        task_run_name: TaskRunNameValueOrCallable | None = None,
        retries: int | None = None,
        retry_delay_seconds: float | list[float] | Callable[[int], list[float]] | None = None,
        retry_jitter_factor: float | None = None,
        persist_result: bool | None = None,
        result_storage: str | Path | WritableFileSystem | None = None,
        result_serializer: Any = None,
        result_storage_key: str | None = None,
        cache_result_in_memory: bool = True,
        timeout_seconds: float | None = None,
        log_prints: bool | None = None,
        refresh_cache: bool | None = None,
        on_completion: Iterable[StateHookCallable] | None = None,
        on_failure: Iterable[StateHookCallable] | None = None,
        on_running: Iterable[StateHookCallable] | None = None,
        on_rollback: Iterable[Callable[[Any], None]] | None = None,
        on_commit: Iterable[Callable[[Any], None]] | None = None,
        retry_condition_fn: RetryConditionCallable | None = None,
        viz_return_value: Any = None,
        asset_deps: Iterable[Any] | None = None,
        hash_ignore: Iterable[str] | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in {"self", "fn"}}
        self.__dict__.update(task_options.checked(fn, options))

    # --- variants ---------------------------------------------------------------------------------

    @takes_options(__init__, "self", TaskOptions)
    def with_options(self, **options: Unpack[TaskOptions]) -> Self:
        """Return a task like this one with other options.

        Args:
            **options: Any option of `Task` except ``fn`` and ``version``. An explicit ``None`` or
                empty value clears an option; what is not named keeps its value.

        Raises:
            TypeError: If an option is unknown, or has a wrong type.
        """
        from oxtask._internal import task_variants  # noqa: PLC0415 - start-up time

        return task_variants.with_options(self, dict(options))

    if TYPE_CHECKING:
        # The first parameter tells methods, class methods and static methods apart.
        @overload
        def __get__(
            self: Method[type[Owner], Rest, R], instance: None, owner: type[Owner]
        ) -> Task[Rest, R]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Self: ...
        @overload
        def __get__(
            self: Method[type[Owner], Rest, R],
            instance: Owner,
            owner: type[Owner] | None = None,
        ) -> Task[Rest, R]: ...
        @overload
        def __get__(
            self: Method[Owner, Rest, R], instance: Owner, owner: type | None = None
        ) -> Task[Rest, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> Self: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        from oxtask._internal import task_variants  # noqa: PLC0415 - start-up time

        return task_variants.bound(self, instance, owner)

    @property
    def ismethod(self) -> bool:
        """Whether this is a task bound to an instance or a class."""
        return self._receiver is not None

    @property
    def isclassmethod(self) -> bool:
        """Whether the function was given as a `classmethod`."""
        return self._descriptor is classmethod

    @property
    def isstaticmethod(self) -> bool:
        """Whether the function was given as a `staticmethod`."""
        return self._descriptor is staticmethod

    # --- hooks ------------------------------------------------------------------------------------

    def on_completion(self, fn: HookT) -> HookT:
        """Add a hook that is called when a run completed; for use as a decorator."""
        self.on_completion_hooks.append(fn)
        return fn

    def on_failure(self, fn: HookT) -> HookT:
        """Add a hook that is called when a run failed for good; for use as a decorator."""
        self.on_failure_hooks.append(fn)
        return fn

    def on_running(self, fn: HookT) -> HookT:
        """Add a hook that is called when an attempt begins; for use as a decorator."""
        self.on_running_hooks.append(fn)
        return fn

    def on_commit(self, fn: TransactionHookT) -> TransactionHookT:
        """Add a hook that is called when the transaction of a run is committed."""
        self.on_commit_hooks.append(fn)
        return fn

    def on_rollback(self, fn: TransactionHookT) -> TransactionHookT:
        """Add a hook that is called when the transaction of a run is rolled back."""
        self.on_rollback_hooks.append(fn)
        return fn


@overload
def task(__fn: Callable[P, R], /, **options: Unpack[DecoratorOptions]) -> Task[P, R]: ...
@overload
def task(
    __fn: None = None, /, **options: Unpack[DecoratorOptions]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
@takes_options(Task.__init__, "__fn", DecoratorOptions)
def task(__fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function; used as ``@task`` or ``@task(...)``.

    Args:
        __fn: The function.
        **options: The options of `Task`.

    Returns:
        The task, or, if only options are given, a decorator with these options.

    Raises:
        TypeError: If an option is unknown, or has a wrong type.
        ValueError: If an option has a value that makes no sense.
        ReservedArgumentError: If a parameter is named ``return_state`` or ``wait_for``.

    >>> @task(name="add two", retries=1)
    ... def add(x: int, y: int = 2) -> int:
    ...     return x + y
    >>> add(1), add.name
    (3, 'add two')
    """
    task_options.check_names("task", options, DecoratorOptions)
    return partial(task, **options) if __fn is None else Task(__fn, **options)
