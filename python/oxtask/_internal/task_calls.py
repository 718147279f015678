"""How tasks are called, submitted, mapped and streamed, and what type checkers know of it.

A run of a coroutine function results in what the coroutine returns, a submitted run of a generator
function in the list of what it yields. Checkers cannot say "these parameters and ``wait_for``", so
with ``return_state`` and ``wait_for`` they do not check the arguments of the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from oxtask._internal.task_machinery import TaskMachinery

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        Callable,
        Coroutine,
        Generator,
        Iterable,
        Iterator,
    )
    from typing import TypeAlias

    from typing_extensions import Never

    from oxtask._internal.stream import AsyncStream, Stream
    from oxtask.futures import Future, FutureList
    from oxtask.states import State

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")

if TYPE_CHECKING:
    Coro: TypeAlias = Coroutine[Any, Any, T]
    Generating: TypeAlias = Generator[T, Any, Any] | AsyncGenerator[T, Any]


class TaskCalls(TaskMachinery, Generic[P, R_co]):
    """The part of `oxtask.Task` that starts runs.

    The overloads for ``TaskCalls[..., Never]`` are for functions whose result is `Any`: of two
    overloads that would do, a checker may take the first.
    """

    if TYPE_CHECKING:
        fn: Callable[P, R_co]

        # Not there at run time: it shows checkers the parameters, see `Method`.
        def _as_function(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

        @overload
        def __call__(  # pyright: ignore[reportOverlappingOverload]
            self: TaskCalls[..., Never], *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> State[Any]: ...
        @overload
        def __call__(
            self: TaskCalls[..., Coro[T]], *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> Coroutine[Any, Any, State[T]]: ...
        @overload
        def __call__(
            self, *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> State[R_co]: ...
        @overload
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        @overload
        def __call__(
            self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any
        ) -> R_co: ...
        # Pyright takes the one before to accept this, too; it needs ``wait_for``.
        @overload
        def __call__(  # pyright: ignore[reportOverlappingOverload]
            self, *args: Any, return_state: Literal[False], **kwargs: Any
        ) -> R_co: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run the task here and return its result."""

        @overload
        def submit(  # type: ignore[overload-overlap] # no ParamSpec says that it lacks a name
            self: TaskCalls[..., Coro[T]], *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> State[T]: ...
        @overload
        def submit(  # type: ignore[overload-overlap]
            self: TaskCalls[..., Generating[T]],
            *args: Any,
            return_state: Literal[True],
            **kwargs: Any,
        ) -> State[list[T]]: ...
        @overload
        def submit(  # type: ignore[overload-overlap]
            self, *args: Any, return_state: Literal[True], **kwargs: Any
        ) -> State[R_co]: ...
        @overload
        def submit(self: TaskCalls[P, Coro[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
        @overload
        def submit(
            self: TaskCalls[P, Generating[T]], *args: P.args, **kwargs: P.kwargs
        ) -> Future[list[T]]: ...
        @overload
        def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R_co]: ...
        # Futures, states and annotations stand for what the parameters are declared to be.
        @overload
        def submit(
            self: TaskCalls[..., Coro[T]],
            *args: Any,
            return_state: Literal[False] = False,
            **kwargs: Any,
        ) -> Future[T]: ...
        @overload
        def submit(
            self: TaskCalls[..., Generating[T]],
            *args: Any,
            return_state: Literal[False] = False,
            **kwargs: Any,
        ) -> Future[list[T]]: ...
        @overload
        def submit(
            self, *args: Any, return_state: Literal[False] = False, **kwargs: Any
        ) -> Future[R_co]: ...
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            """Hand a run to the task runner of the current flow and return its future."""

    @overload
    def map(
        self: TaskCalls[..., Coro[T]], /, *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> list[State[T]]: ...
    @overload
    def map(
        self: TaskCalls[..., Generating[T]],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> list[State[list[T]]]: ...
    @overload
    def map(
        self, /, *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> list[State[R_co]]: ...
    @overload
    def map(
        self: TaskCalls[..., Coro[T]],
        /,
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> FutureList[T]: ...
    @overload
    def map(
        self: TaskCalls[..., Generating[T]],
        /,
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> FutureList[list[T]]: ...
    @overload
    def map(
        self, /, *args: Any, return_state: Literal[False] = False, **kwargs: Any
    ) -> FutureList[R_co]: ...
    def map(
        self,
        /,
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
            msg = (
                "'deferred=True' needs a task worker, which is not part of this version: "
                "leave it out and call `.map()` in a flow"
            )
            raise NotImplementedError(msg)
        futures = map_call(self, args, kwargs, wait_for)
        if return_state:
            futures.wait()
            return [future.state for future in futures]
        return futures

    @overload
    def stream(
        self: TaskCalls[..., Coro[T]],
        iterable: AsyncIterable[Any],
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> AsyncStream[T]: ...
    @overload
    def stream(
        self: TaskCalls[..., Generating[T]],
        iterable: AsyncIterable[Any],
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> AsyncStream[list[T]]: ...
    @overload
    def stream(
        self,
        iterable: AsyncIterable[Any],
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> AsyncStream[R_co]: ...
    @overload
    def stream(
        self: TaskCalls[..., Coro[T]],
        iterable: Iterable[Any],
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> Iterator[T]: ...
    @overload
    def stream(
        self: TaskCalls[..., Generating[T]],
        iterable: Iterable[Any],
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> Iterator[list[T]]: ...
    @overload
    def stream(
        self,
        iterable: Iterable[Any],
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> Iterator[R_co]: ...
    def stream(
        self,
        iterable: Any,
        *args: Any,
        ordered: bool = True,
        window: int | None = None,
        **kwargs: Any,
    ) -> Any:
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

        stream: Stream | AsyncStream[Any] = open_stream(
            self, iterable, args, kwargs, ordered=ordered, window=window
        )
        return stream
