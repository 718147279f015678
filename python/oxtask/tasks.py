"""Tasks: functions whose runs can be called, submitted, mapped, retried and watched.

>>> from oxtask import flow, task
>>> @task(retries=2, retry_delay_seconds=0.1)
... def fetch(page: int) -> str:
...     return f"page {page}"
>>> fetch(1)
'page 1'
"""

from __future__ import annotations

import copy
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from typing_extensions import ParamSpec, Unpack

from oxtask import _core
from oxtask._internal import functions, task_options, task_plan, task_variants
from oxtask._internal.task_options import (
    RetryConditionCallable,
    StateHookCallable,
    TaskOptions,
    TaskRunNameCallbackWithParameters,
    TaskRunNameValueOrCallable,
    exponential_backoff,
)
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from datetime import timedelta
    from pathlib import Path

    from typing_extensions import Self

    from oxtask._internal.stream import AsyncStream, Stream
    from oxtask.futures import Future, FutureList
    from oxtask.states import State
    from oxtask.utilities.callables import SignaturePlan

__all__ = [
    "FutureOrResult",
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
]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

if TYPE_CHECKING:
    FutureOrResult = Future[T] | T
    OneOrManyFutureOrResult = FutureOrResult[T] | Iterable[FutureOrResult[T]]
else:
    FutureOrResult = OneOrManyFutureOrResult = Any


class Task(_core.TaskBase, Generic[P, R]):
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
        result_storage: Where: a folder, a URL or the name of a stored block.
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

    Raises:
        TypeError: If an option has a wrong type.
        ValueError: If an option has a value that makes no sense.
        ReservedArgumentError: If a parameter of ``fn`` is named ``return_state`` or ``wait_for``.
    """

    # The parameters are the options; each is stored as an attribute of its name.
    def __init__(  # noqa: PLR0917 - positional in the reference
        self,
        fn: Callable[P, R],
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        cache_policy: Any = NotSet,
        cache_key_fn: Callable[..., str | None] | None = None,
        cache_expiration: timedelta | None = None,
        task_run_name: TaskRunNameValueOrCallable | None = None,
        retries: int | None = None,
        retry_delay_seconds: float
        | list[float]
        | Callable[[int], list[float]]
        | None = None,
        retry_jitter_factor: float | None = None,
        persist_result: bool | None = None,
        result_storage: str | Path | None = None,
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
    ) -> None:
        options = {key: value for key, value in locals().items() if key not in {"self", "fn"}}
        checked = task_options.checked(fn, options)
        vars(self).update({**functions.look_of(checked["fn"]), **checked})
        self._forget_plan()

    if TYPE_CHECKING:
        fn: Callable[P, R]
        name: str
        description: str | None
        tags: set[str]
        version: str | None
        task_key: str
        isasync: bool
        isgenerator: bool
        retries: int
        retry_delay_seconds: float | list[float]
        retry_jitter_factor: float | None
        retry_condition_fn: RetryConditionCallable | None
        timeout_seconds: float | None
        task_run_name: TaskRunNameValueOrCallable | None
        log_prints: bool | None
        on_completion_hooks: list[StateHookCallable]
        on_failure_hooks: list[StateHookCallable]
        on_running_hooks: list[StateHookCallable]
        on_rollback_hooks: list[Callable[[Any], None]]
        on_commit_hooks: list[Callable[[Any], None]]
        _given: dict[str, Any]
        _receiver: Any

        @overload
        def __call__(
            self, *args: P.args, return_state: Literal[True], **kwargs: P.kwargs
        ) -> State[R]: ...
        @overload
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __call__(self, *args: Any, wait_for: Any, **kwargs: Any) -> R: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run the task here and return its result."""

        @overload
        def submit(
            self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
        ) -> Future[T]: ...
        @overload
        def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
        @overload
        def submit(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...
        @overload
        def submit(self, *args: Any, wait_for: Any, **kwargs: Any) -> Future[R]: ...
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            """Hand a run to the task runner of the current flow and return its future."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        self._forget_plan()

    # --- calling ----------------------------------------------------------------------------------

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the task where the core's own way does not do."""
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        self._check_binding(args, kwargs)
        from oxtask._internal import calls, inputs  # noqa: PLC0415 - start-up time

        wait_for = inputs.materialised(wait_for)
        if self.isgenerator:
            if return_state:
                msg = "return_type for a generator task must be 'result'"
                raise ValueError(msg)
            generate = calls.agenerate if self.isasync else calls.generate
            return generate(self, (args, kwargs), wait_for)
        if self.isasync:
            return calls.acall(self, (args, kwargs), wait_for, return_state)
        return calls.call(self, args, kwargs, wait_for, return_state)

    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Submit a run where the core's own way does not do."""
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        self._check_binding(args, kwargs)
        from oxtask._internal import inputs  # noqa: PLC0415 - start-up time
        from oxtask.task_runners import current_runner  # noqa: PLC0415

        runner = current_runner("submission", self.name)
        future = runner._submit_call(self, args, kwargs, inputs.materialised(wait_for))
        if return_state:
            future.wait()
            return future.state
        return future

    @overload
    def map(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> list[State[R]]: ...
    @overload
    def map(
        self: Task[P, Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> FutureList[T]: ...
    @overload
    def map(self, *args: Any, **kwargs: Any) -> FutureList[R]: ...
    def map(
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        deferred: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Submit a run for each item of the iterable arguments.

        Strings, bytes, files and models are not iterated, nor is what is wrapped in `unmapped`:
        every run gets them whole. So do arguments that are not iterable.

        Args:
            *args: Positional arguments, or iterables of them.
            return_state: Wait for the runs and return their states.
            wait_for: Runs that must complete before any of these starts.
            deferred: Not supported here.
            **kwargs: The same by keyword.

        Returns:
            The futures in the order of the items; with ``return_state`` their states.

        Raises:
            MappingMissingIterable: If no argument is iterable.
            MappingLengthMismatch: If iterables differ in length.
            ParameterBindError: If the arguments do not fit the function.
            RuntimeError: Outside of a flow.
        """
        from oxtask._internal.mapping import map_call  # noqa: PLC0415 - start-up time

        if deferred:
            msg = "deferred=True needs a task worker, which is not part of this version; use .map() in a flow"
            raise NotImplementedError(msg)
        futures = map_call(self, args, kwargs, wait_for)
        if return_state:
            futures.wait()
            return [future.state for future in futures]
        return futures

    def stream(
        self,
        iterable: Any,
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> Stream[Any] | AsyncStream[Any]:
        """Run the task over an iterable of any length and yield the results as they come.

        Items are pulled from the source while the consumer waits for a result, at most ``window``
        ahead of what it has taken, so memory stays flat and the source may be endless. When the
        consumer stops, so does the pulling; what is under way ends, what waits is cancelled.

        Args:
            iterable: The source of the first argument; an async iterable makes an async iterator.
            *args: Further arguments, the same for every run.
            ordered: Yield in the order of the items; if false, as runs end.
            window: How many items are pulled ahead; 1,024 if not given.
            **kwargs: Keyword arguments, the same for every run.

        Returns:
            An iterator of results. A run that fails raises its exception from ``next``; the stream
            can then be continued. An error of the source is raised after the results of the items
            before it, with the number of items pulled in its notes.

        Raises:
            TypeError: If ``iterable`` cannot be iterated, or ``window`` is not an int.
            ValueError: If ``window`` is less than 1.
            RuntimeError: Outside of a flow.
        """
        from oxtask._internal.stream import open_stream  # noqa: PLC0415 - start-up time

        return open_stream(self, iterable, args, kwargs, ordered=ordered, window=window)

    # --- what is worked out once per task ------------------------------------------------------------

    def _signature_plan(self) -> SignaturePlan:
        from oxtask.utilities.callables import signature_plan  # noqa: PLC0415 - start-up time

        known = self.__dict__.get("_known_signature")
        if known is None or known[0] is not self.fn:
            known = (self.fn, signature_plan(self.fn))
            self.__dict__["_known_signature"] = known
        return cast("SignaturePlan", known[1])

    def _make_plan(self) -> _core.Plan:
        return task_plan.make_plan(self)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._signature_plan().bind(self._received(args), kwargs)

    def _received(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self._receiver is None else (self._receiver, *args)

    def _callable(self) -> Callable[..., Any]:
        """Return the function, with what it is bound to."""
        return self.fn if self._receiver is None else MethodType(self.fn, self._receiver)

    def _check_binding(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._bind(args, kwargs)

    def _is_rich(self) -> bool:
        return task_plan.is_rich(self) or bool(
            self.on_completion_hooks or self.on_failure_hooks or self.on_running_hooks
        )

    def _logs_prints(self) -> bool:
        if self.log_prints is False:
            return False
        from oxtask.logging.prints import should_log_prints  # noqa: PLC0415 - start-up time

        return should_log_prints(self)

    def _delay_before_retry(self, retry: int) -> float:
        return task_plan.delay_before_retry(self, retry)

    # --- variants --------------------------------------------------------------------------------------

    def with_options(self, **options: Unpack[TaskOptions]) -> Self:
        """Return a task like this one with other options.

        Args:
            **options: Any option of `Task` except ``fn`` and ``version``. An explicit ``None`` or
                empty value clears an option; what is not named keeps its value.

        Raises:
            TypeError: If an option is unknown, or has a wrong type.
        """
        return task_variants.with_options(self, dict(options))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return task_variants.bound(self, instance, owner)

    @property
    def source_code(self) -> str | None:
        """The text of the function, read when it is first asked for; ``None`` if there is none."""
        known = vars(self).get("_source", NotSet)
        if known is NotSet:
            known = vars(self)["_source"] = functions.source_of(self.fn)
        return cast("str | None", known)

    @property
    def ismethod(self) -> bool:
        """Whether this is a task bound to an instance or a class."""
        return self.__dict__.get("_receiver") is not None

    @property
    def isclassmethod(self) -> bool:
        """Whether the function was given as a `classmethod`."""
        return self.__dict__.get("_descriptor") is classmethod

    @property
    def isstaticmethod(self) -> bool:
        """Whether the function was given as a `staticmethod`."""
        return self.__dict__.get("_descriptor") is staticmethod

    def __reduce_ex__(self, protocol: Any) -> Any:
        reference = task_variants.by_reference(self)
        if reference is not None:
            return task_variants.find, reference
        state = {name: value for name, value in vars(self).items() if name[:6] != "_known"}
        state["_source"] = self.source_code
        return task_variants.rebuilt, (type(self),), state

    def __copy__(self) -> Self:
        copied = task_variants.rebuilt(type(self))
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = task_variants.rebuilt(type(self))
        memo[id(self)] = copied
        vars(copied).update(copy.deepcopy({**vars(self), "_known_signature": None}, memo))
        return copied

    # --- hooks -----------------------------------------------------------------------------------------

    def on_completion(self, fn: StateHookCallable) -> StateHookCallable:
        """Add a hook that is called when a run completed; for use as a decorator."""
        self.on_completion_hooks.append(fn)
        return fn

    def on_failure(self, fn: StateHookCallable) -> StateHookCallable:
        """Add a hook that is called when a run failed for good; for use as a decorator."""
        self.on_failure_hooks.append(fn)
        return fn

    def on_running(self, fn: StateHookCallable) -> StateHookCallable:
        """Add a hook that is called when an attempt begins; for use as a decorator."""
        self.on_running_hooks.append(fn)
        return fn

    def on_commit(self, fn: Callable[[Any], None]) -> Callable[[Any], None]:
        """Add a hook that is called when the transaction of a run is committed."""
        self.on_commit_hooks.append(fn)
        return fn

    def on_rollback(self, fn: Callable[[Any], None]) -> Callable[[Any], None]:
        """Add a hook that is called when the transaction of a run is rolled back."""
        self.on_rollback_hooks.append(fn)
        return fn


@overload
def task(
    __fn: Callable[P, R], /, *, version: str | None = None, **options: Unpack[TaskOptions]
) -> Task[P, R]: ...
@overload
def task(
    __fn: None = None, /, *, version: str | None = None, **options: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(__fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function; used as ``@task`` or ``@task(...)``.

    Args:
        __fn: The function.
        **options: The options of `Task`.

    Returns:
        The task, or, if only options are given, a decorator with these options.

    >>> @task(name="add two", retries=1)
    ... def add(x: int, y: int = 2) -> int:
    ...     return x + y
    >>> add(1), add.name
    (3, 'add two')
    """
    if __fn is None:
        return partial(task, **options)
    return Task(__fn, **options)

