"""Futures: handles of runs that were submitted.

`Task.submit` returns a `TaskRunFuture`, `Task.map` a `FutureList` of them. Runners written in
Python return a `WrappedFuture` or their own subclasses of `Future`. A run that somebody else has
begun is reached by its id, with a `DistributedFuture` or a `FlowRunFuture`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NoReturn,
    TypeVar,
    overload,
)

from oxtask import _core
from oxtask._core import TaskRunFuture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from oxtask._internal.run_futures import DistributedFuture, FlowRunFuture
    from oxtask._internal.run_inputs import RunInput
    from oxtask._internal.wrapped_futures import WrappedFuture
    from oxtask.states import State

__all__ = [
    "DistributedFuture",
    "DoneAndNotDoneFutures",
    "FlowRunFuture",
    "Future",
    "FutureList",
    "TaskRunFuture",
    "WrappedFuture",
    "as_completed",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "wait",
]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F")


class Future(ABC, Generic[R_co]):
    """What all futures can do; a base for futures of runners written in Python.

    The core's own `TaskRunFuture` counts as a subclass.
    """

    @property
    @abstractmethod
    def task_run_id(self) -> UUID:
        """The id of the run."""

    @property
    @abstractmethod
    def state(self) -> State[R_co]:
        """The state of the run as it is now; final once the run has ended."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> None:
        """Block until the run has ended, at most ``timeout`` seconds; never raises for the run.

        Raises:
            ValueError: If ``timeout`` is negative.
            DeadlockError: If the run waits, in turn, for the run this is called in.
        """

    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> R_co: ...
    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> R_co | BaseException: ...
    @abstractmethod
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Return the result of the run, after waiting for it.

        Args:
            timeout: How long to wait, in seconds.
            raise_on_failure: Raise the exception of a run that failed; if false, return it.

        Raises:
            TimeoutError: If the run has not ended in time.
            CancelledRun: If the run was cancelled.
            UnfinishedRun: If the run never started because an input did not complete.
            DeadlockError: If the run waits, in turn, for the run this is called in.
        """

    @abstractmethod
    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call ``fn(future)`` once when the run has ended; at once if it has."""

    async def aresult(self) -> R_co:
        """Return the result of the run without blocking the event loop; raises as `result` does."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.get_running_loop().run_in_executor(None, self.result)

    def _source(self) -> RunInput:
        """Return the run, as where an argument comes from."""
        from oxtask._internal.run_inputs import TaskRunResult  # noqa: PLC0415 - start-up time

        return TaskRunResult(id=self.task_run_id)

    if TYPE_CHECKING:

        def cancel(self) -> bool:
            """End the run as cancelled: true if this call did, false if it had ended before.

            A run that has not started never will. One under way is told to stop, and what it still
            returns is dropped.
            """
            ...

        def done(self) -> bool:
            """Tell whether the run has ended."""
            ...


if not TYPE_CHECKING:
    Future.register(TaskRunFuture)


if TYPE_CHECKING:
    from typing_extensions import NamedTuple as GenericNamedTuple

    class DoneAndNotDoneFutures(GenericNamedTuple, Generic[F]):
        """What `wait` returns."""

        done: set[F]
        not_done: set[F]

else:

    class DoneAndNotDoneFutures(NamedTuple):
        """What `wait` returns."""

        done: set[Any]
        not_done: set[Any]


class FutureList(list["Future[R]"], Generic[R]):
    """The futures of a map, in the order of its items.

    It counts as an iterator for programs that ask for one, though ``next`` finds nothing in it.
    """

    def wait(self, timeout: float | None = None) -> None:
        """Block until all runs have ended, at most ``timeout`` seconds; never raises for the runs.

        Raises:
            ValueError: If ``timeout`` is negative.
        """
        _wait_all(self, timeout, fail_fast=False)

    @overload
    def result(  # pyright: ignore[reportOverlappingOverload] # a list is of one type exactly
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> list[R]: ...
    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> list[R | BaseException]: ...
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        """Return the results in the order of the items.

        Args:
            timeout: How long to wait for all of them, in seconds.
            raise_on_failure: Raise the exception of the run that failed first, as soon as it has;
                if false, exceptions stand in the list in the place of results.

        Raises:
            TimeoutError: If not all runs ended in time.
            ValueError: If ``timeout`` is negative.
        """
        complete, failed = _wait_all(self, timeout, fail_fast=raise_on_failure)
        if failed is not None:
            future = self[failed]
            try:
                future.result()
            except BaseException:
                # This frame goes into the traceback of the error that the future holds.
                del self, future
                raise
        if not complete:
            msg = f"Timed out waiting for all futures to complete within {timeout:g} seconds"
            raise TimeoutError(msg)
        values = _core.values(self) if _core.all_native(self) else None
        if values is not None:
            return values
        return [future.result(raise_on_failure=raise_on_failure) for future in self]

    def __next__(self) -> NoReturn:
        raise StopIteration


if not TYPE_CHECKING:
    Iterator.register(FutureList)


def _wait_all(
    futures: list[Any], timeout: float | None, *, fail_fast: bool
) -> tuple[bool, int | None]:
    """Wait for all; return whether that is done, and the place of the first that failed."""
    check_timeout(timeout)
    if _core.all_native(futures):
        from oxtask._internal.progress import watched_wait  # noqa: PLC0415 - start-up time

        return watched_wait(futures, timeout, fail_fast=fail_fast)
    finished = 0
    try:
        for future in as_completed(futures, timeout):
            finished += 1
            if fail_fast and not future.state.is_completed():
                return True, futures.index(future)
    except TimeoutError:
        return False, None
    return True, None


def check_timeout(timeout: float | None) -> None:
    """Refuse a negative timeout.

    Raises:
        ValueError: If ``timeout`` is negative.
    """
    if timeout is not None and not timeout >= 0:
        msg = f"'timeout' must be a non-negative number of seconds or None; got {timeout!r}"
        raise ValueError(msg)


def wait(futures: Iterable[F], timeout: float | None = None) -> DoneAndNotDoneFutures[F]:
    """Wait for runs to end.

    Args:
        futures: The futures; duplicates count once.
        timeout: How long to wait at most, in seconds.

    Returns:
        The futures of the runs that have ended, and the others.

    Raises:
        ValueError: If ``timeout`` is negative.
    """
    check_timeout(timeout)
    unique = list(dict.fromkeys(futures))
    _wait_all(unique, timeout, fail_fast=False)
    done = {future for future in unique if _is_done(future)}
    return DoneAndNotDoneFutures(done, {future for future in unique if future not in done})


def _is_done(future: Any) -> bool:
    done = getattr(future, "done", None)
    return bool(future.state.is_final() if done is None else done())


def as_completed(futures: Iterable[F], timeout: float | None = None) -> Iterator[F]:
    """Yield futures in the order in which their runs end; those that have ended come first.

    Args:
        futures: The futures; duplicates are yielded once.
        timeout: How long to wait for all of them, in seconds.

    Raises:
        TimeoutError: If some run has not ended in time.
        ValueError: If ``timeout`` is negative.
    """
    check_timeout(timeout)
    unique: list[Any] = list(dict.fromkeys(futures))
    if not unique:
        return
    if _core.all_native(unique):
        take: Any = _core.Completions(unique).next
    else:
        take = _listen(unique)
    import time  # noqa: PLC0415 - start-up time

    deadline = None if timeout is None else time.monotonic() + timeout
    for count in range(len(unique)):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        place = take(left)
        if place is None:
            msg = f"{len(unique) - count} (of {len(unique)}) futures unfinished"
            raise TimeoutError(msg)
        yield unique[place]


def _listen(futures: list[Any]) -> Callable[[float | None], int | None]:
    """Return a function that waits for the place of the next future to end."""
    import queue  # noqa: PLC0415 - start-up time

    ended: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place, future in enumerate(futures):
        future.add_done_callback(lambda _, place=place: ended.put(place))

    def take(timeout: float | None) -> int | None:
        try:
            return ended.get(timeout != 0, timeout)
        except queue.Empty:
            return None

    return take


def resolve_futures_to_states(expr: Any) -> Any:
    """Return a nested collection with states in place of futures, after waiting for them.

    What is wrapped in `quote` is left as it is.
    """

    def state(future: Any) -> Any:
        future.wait()
        return future.state

    return _resolve(expr, state)


def resolve_futures_to_results(expr: Any) -> Any:
    """Return a nested collection with results in place of futures, after waiting for them.

    What is wrapped in `quote` is left as it is.

    Raises:
        Exception: If a run did not complete; its own exception is the cause.
    """

    def result(future: Any) -> Any:
        future.wait()
        state = future.state
        if state.is_completed():
            return state._value(raise_on_failure=False)
        from oxtask.states import get_state_exception  # noqa: PLC0415 - start-up time

        cause = get_state_exception(state) if state.is_final() else None
        msg = "At least one result did not complete successfully"
        raise Exception(msg) from cause  # noqa: TRY002 - the bare class is what callers catch

    return _resolve(expr, result)


def _resolve(expr: Any, replace: Callable[[Any], Any]) -> Any:
    from oxtask.utilities.annotations import quote  # noqa: PLC0415 - start-up time
    from oxtask.utilities.collections import (  # noqa: PLC0415 - start-up time
        StopVisiting,
        visit_collection,
    )

    def visit(item: Any, context: dict[str, Any]) -> Any:
        if isinstance(context.get("annotation"), quote):
            raise StopVisiting
        return replace(item) if isinstance(item, Future) else item

    if isinstance(expr, FutureList):
        expr = list(expr)
    return visit_collection(expr, visit, context={}, return_data=True)


if not TYPE_CHECKING:  # else every name would be there for type checkers

    def __getattr__(name: str) -> Any:
        if name == "WrappedFuture":
            from oxtask._internal.wrapped_futures import WrappedFuture  # noqa: PLC0415 - as below

            return WrappedFuture
        if name not in {"DistributedFuture", "FlowRunFuture"}:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from oxtask._internal import run_futures  # noqa: PLC0415 - names are loaded on first use

        return getattr(run_futures, name)
