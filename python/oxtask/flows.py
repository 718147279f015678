"""Flows: functions in which tasks are submitted and mapped.

>>> from oxtask import flow, task
>>> @task
... def square(x: int) -> int:
...     return x * x
>>> @flow(name="sum of squares")
... def sum_of_squares(n: int) -> int:
...     return sum(square.map(range(n)).result())
>>> sum_of_squares(4)
14
"""

from __future__ import annotations

from functools import cached_property, partial, update_wrapper
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    overload,
)

from oxtask._internal import flow_options
from oxtask._internal.flow_options import FlowOptions, FlowStateHook
from oxtask._internal.light_typing import Protocol
from oxtask._internal.option_signatures import InstanceSignature, takes_options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path

    from typing_extensions import Never, Self, Unpack

    from oxtask._internal.light_typing import Method
    from oxtask.filesystems import WritableFileSystem
    from oxtask.states import State
    from oxtask.task_runners import TaskRunner
    from oxtask.utilities.callables import ParameterSchema, SignaturePlan

__all__ = ["Flow", "FlowOptions", "FlowStateHook", "flow"]

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")

if TYPE_CHECKING:
    Owner = TypeVar("Owner")
    Rest = ParamSpec("Rest")
    HookT = TypeVar("HookT", bound=FlowStateHook)


class Flow(Generic[P, R_co]):
    """A function whose calls are flow runs.

    Args:
        fn: The function: sync, async or a generator.
        name: Defaults to the function's name with dashes for underscores.
        version: Recorded with the runs; defaults to a hash of the file that defines the function.
        flow_run_name: The name of the runs: a format string over the parameters, or a function.
        retries: How often a failed run is tried again; ``None`` for the setting.
        retry_delay_seconds: Seconds before each retry; ``None`` for the setting.
        task_runner: Who runs what is submitted; a class or an instance, of which each run uses a
            duplicate. Defaults to `ThreadPoolTaskRunner`.
        description: Defaults to the function's docstring.
        timeout_seconds: How long an attempt may take; ``None`` or 0 for no limit.
        validate_parameters: Whether pydantic checks and converts the arguments to the types that
            the function declares.
        persist_result: Whether results are stored.
        result_storage: Where: a folder, a URL or a file system.
        result_serializer: How.
        cache_result_in_memory: Whether the value stays with the state.
        log_prints: Whether prints become log lines; ``None`` for what the parent flow says.
        on_completion: Called as ``hook(flow, flow_run, state)`` when a run completed.
        on_failure: The same when a run failed for good.
        on_cancellation: The same when a run is being cancelled.
        on_crashed: The same when a run crashed.
        on_running: The same when an attempt begins.

    Raises:
        TypeError: If an option has a wrong type.
        ValueError: If an option has a value that makes no sense.
        InvalidNameError: If the name holds a character that names may not have.
        ReservedArgumentError: If a parameter of ``fn`` is named ``return_state`` or ``wait_for``.
    """

    __signature__: InstanceSignature = InstanceSignature()

    def __init__(  # noqa: PLR0917 - positional in the reference
        self,
        fn: Callable[P, R_co],
        name: str | None = None,
        version: str | None = None,
        flow_run_name: Callable[..., str] | str | None = None,
        retries: int | None = None,
        retry_delay_seconds: float | None = None,
        task_runner: TaskRunner[Any] | type[TaskRunner[Any]] | None = None,
        description: str | None = None,
        timeout_seconds: float | None = None,
        validate_parameters: bool = True,
        persist_result: bool | None = None,
        result_storage: str | Path | WritableFileSystem | None = None,
        result_serializer: Any = None,
        cache_result_in_memory: bool = True,
        log_prints: bool | None = None,
        on_completion: Iterable[FlowStateHook] | None = None,
        on_failure: Iterable[FlowStateHook] | None = None,
        on_cancellation: Iterable[FlowStateHook] | None = None,
        on_crashed: Iterable[FlowStateHook] | None = None,
        on_running: Iterable[FlowStateHook] | None = None,
    ) -> None:
        options = {key: value for key, value in locals().items() if key not in {"self", "fn"}}
        checked = flow_options.checked(fn, options)
        # The attributes of another object, such as a task, would get in the way of ours.
        update_wrapper(self, fn, updated=("__dict__",) if isinstance(fn, FunctionType) else ())
        self.__dict__.update(checked)
        if self.persist_result:
            from oxtask._internal import plan_watch  # noqa: PLC0415 - start-up time

            plan_watch.expect_kept(self)
        if log_prints:
            from oxtask._internal import plan_watch  # noqa: PLC0415 - start-up time

            plan_watch.expect_prints(self)

    if TYPE_CHECKING:
        fn: Callable[P, R_co]
        name: str
        description: str | None
        isasync: bool
        isgenerator: bool
        flow_run_name: Callable[..., str] | str | None
        retries: int
        retry_delay_seconds: float
        timeout_seconds: float | None
        should_validate_parameters: bool
        persist_result: bool | None
        log_prints: bool | None
        task_runner: TaskRunner[Any] | None
        on_completion_hooks: list[FlowStateHook]
        on_failure_hooks: list[FlowStateHook]
        on_cancellation_hooks: list[FlowStateHook]
        on_crashed_hooks: list[FlowStateHook]
        on_running_hooks: list[FlowStateHook]
        _given: dict[str, Any]
        _receiver: Any
        _descriptor: Any

        # Not there at run time: it shows checkers the parameters, see `Method`.
        def _as_function(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    if TYPE_CHECKING:
        # As for `TaskCalls`: the first is for flows whose result is `Any`.
        @overload
        def __call__(  # pyright: ignore[reportOverlappingOverload]
            self: Flow[..., Never], /, *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> State[Any]: ...
        @overload
        def __call__(
            self: Flow[..., Coroutine[Any, Any, T]],
            /,
            *args: Any,
            return_state: Literal[True],
            **kwargs: Any,
        ) -> Coroutine[Any, Any, State[T]]: ...
        @overload
        def __call__(
            self, /, *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> State[R_co]: ...
        @overload
        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        @overload
        def __call__(
            self, /, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any
        ) -> R_co: ...
        # Pyright takes the one before to accept this, too; it needs ``wait_for``.
        @overload
        def __call__(  # pyright: ignore[reportOverlappingOverload]
            self, /, *args: Any, return_state: Literal[False], **kwargs: Any
        ) -> R_co: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the flow and return what its function returns.

        An async flow returns a coroutine that does so when it is awaited. A flow of a generator
        function returns a generator, whose run lasts from its first item to its end.

        Args:
            *args: The arguments of the function.
            **kwargs: The keyword arguments of the function, and two more: ``return_state`` to
                have the final state of the run returned instead, and ``wait_for`` with runs that
                must complete before this one starts.

        Raises:
            ParameterBindError: If the arguments do not fit the function.
            ParameterTypeError: If an argument does not fit its declared type.
            UpstreamTaskError: If a run that was waited for did not complete.
            ValueError: If the state of a generator flow is asked for.
            FlowRunTimeoutError: If the last attempt took longer than ``timeout_seconds``.
            BaseException: Whatever the function raises, or what the state it returns stands for.
        """
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        parameters = self._bind(args, kwargs)
        from oxtask._internal import flow_engine, inputs  # noqa: PLC0415 - start-up time

        wait_for = inputs.materialised(wait_for)
        if self.isgenerator:
            from oxtask._internal import flow_generators  # noqa: PLC0415 - start-up time

            return flow_generators.produce(self, parameters, wait_for, return_state=return_state)
        run = flow_engine.arun if self.isasync else flow_engine.run
        return run(self, parameters, wait_for, return_state=return_state)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self._receiver is not None:
            args = (self._receiver, *args)
        return self._signature_plan().bind(args, kwargs)

    def _receiver_name(self) -> str | None:
        """Return the parameter that takes the object a bound flow is bound to."""
        return None if self._receiver is None else self._signature_plan().names[0]

    def _signature_plan(self) -> SignaturePlan:
        from oxtask.utilities.callables import signature_plan  # noqa: PLC0415 - start-up time

        known: Any = self.__dict__.get("_flow_signature")
        if known is None or known[0] is not self.fn:
            known = (self.fn, signature_plan(self.fn))
            self.__dict__["_flow_signature"] = known
        plan: SignaturePlan = known[1]
        return plan

    @cached_property
    def version(self) -> str | None:
        """The version that was given, or the MD5 sum of the file that defines the function.

        The file is read when this is asked for first; ``None`` if there is none.
        """
        return flow_options.version_of(self.fn)

    @cached_property
    def parameters(self) -> ParameterSchema:
        """A description of the parameters in the style of OpenAPI."""
        from oxtask.utilities.callables import parameter_schema  # noqa: PLC0415 - start-up time

        return parameter_schema(self.fn)

    @takes_options(__init__, "self", FlowOptions)
    def with_options(self, **options: Unpack[FlowOptions]) -> Self:
        """Return a flow like this one with other options.

        Args:
            **options: Any option of `Flow` except ``fn``. An explicit ``None`` or empty value
                clears an option; what is not named keeps its value.

        Raises:
            TypeError: If an option is unknown, or has a wrong type.
            ValueError: If an option has a value that makes no sense.
        """
        return flow_options.with_options(self, dict(options))

    if TYPE_CHECKING:
        # The first parameter tells methods, class methods and static methods apart.
        @overload
        def __get__(
            self: Method[type[Owner], Rest, R], instance: None, owner: type[Owner]
        ) -> Flow[Rest, R]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Self: ...
        @overload
        def __get__(
            self: Method[type[Owner], Rest, R],
            instance: Owner,
            owner: type[Owner] | None = None,
        ) -> Flow[Rest, R]: ...
        @overload
        def __get__(
            self: Method[Owner, Rest, R], instance: Owner, owner: type | None = None
        ) -> Flow[Rest, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> Self: ...

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return flow_options.bound(self, instance, owner)

    def on_completion(self, fn: HookT) -> HookT:
        """Add a hook that is called when a run completed; for use as a decorator."""
        self.on_completion_hooks.append(fn)
        return fn

    def on_failure(self, fn: HookT) -> HookT:
        """Add a hook that is called when a run failed for good; for use as a decorator."""
        self.on_failure_hooks.append(fn)
        return fn

    def on_cancellation(self, fn: HookT) -> HookT:
        """Add a hook that is called when a run is being cancelled; for use as a decorator."""
        self.on_cancellation_hooks.append(fn)
        return fn

    def on_crashed(self, fn: HookT) -> HookT:
        """Add a hook that is called when a run crashed; for use as a decorator."""
        self.on_crashed_hooks.append(fn)
        return fn

    def on_running(self, fn: HookT) -> HookT:
        """Add a hook that is called when an attempt begins; for use as a decorator."""
        self.on_running_hooks.append(fn)
        return fn


class _FlowDecorator(Protocol):
    """What ``@flow(...)`` returns: it keeps the types of the function it is put on."""

    def __call__(self, fn: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(__fn: Callable[P, R], /, **options: Unpack[FlowOptions]) -> Flow[P, R]: ...
@overload
def flow(__fn: None = None, /, **options: Unpack[FlowOptions]) -> _FlowDecorator: ...
@takes_options(Flow.__init__, "__fn", FlowOptions)
def flow(__fn: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function; used as ``@flow`` or ``@flow(...)``.

    Args:
        __fn: The function.
        **options: The options of `Flow`.

    Returns:
        The flow, or, if only options are given, a decorator with these options.
    """
    return partial(flow, **options) if __fn is None else Flow(__fn, **options)
