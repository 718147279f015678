"""Futures of runners that are written in Python: runs that end with a future of another library.

`oxtask.futures` is where users find `WrappedFuture`.
"""

from __future__ import annotations

import concurrent.futures
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from oxtask._internal import outcomes, run_queries
from oxtask._internal.ids import to_uuid
from oxtask._internal.state import is_state
from oxtask.exceptions import ObjectNotFound
from oxtask.futures import Future, check_timeout
from oxtask.results import ResultRecord
from oxtask.states import (
    Cancelled,
    Completed,
    Pending,
    exception_to_crashed_state,
    exception_to_failed_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal
    from uuid import UUID

    from oxtask.states import State

R_co = TypeVar("R_co", covariant=True)
FutureT = TypeVar("FutureT", bound="concurrent.futures.Future[Any]")


class WrappedFuture(Future[R_co], Generic[R_co, FutureT]):
    """A future that ends when another one does: what runners written in Python may return.

    What the other future comes to is the state of the run, or else its result or its exception.

    Args:
        task_run_id: The run.
        wrapped_future: The other future, with the methods of `concurrent.futures.Future`.

    Raises:
        ValueError: If ``task_run_id`` is no id.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from uuid import uuid4
    >>> with ThreadPoolExecutor() as pool:
    ...     WrappedFuture(uuid4(), pool.submit(len, "four")).result()
    4
    """

    def __init__(self, task_run_id: UUID | str, wrapped_future: FutureT) -> None:
        self._id = to_uuid(task_run_id, "task_run_id")
        self._wrapped = wrapped_future
        self._final_state: State[R_co] | None = None

    @property
    def task_run_id(self) -> UUID:
        """The id of the run."""
        return self._id

    @property
    def wrapped_future(self) -> FutureT:
        """The other future."""
        return self._wrapped

    @property
    def state(self) -> State[R_co]:
        """The state of the run as it is now; pending if nothing is known of the run (yet)."""
        if self._wrapped.done():
            if self._final_state is None:
                self._final_state = self._ended()
            return self._final_state
        try:
            return run_queries.read_task_run(self._id).state or Pending()
        except ObjectNotFound:
            return Pending()

    def _ended(self) -> State[Any]:
        if self._wrapped.cancelled():
            return Cancelled(message="Run cancelled.")
        error = self._wrapped.exception()
        if isinstance(error, Exception):
            return exception_to_failed_state(error, "Task run encountered an exception")
        if error is not None:
            return exception_to_crashed_state(error)
        value = self._wrapped.result()
        return value if is_state(value) else Completed(data=ResultRecord(value))

    def done(self) -> bool:
        """Tell whether the run has ended."""
        return self._wrapped.done()

    def cancel(self) -> bool:
        """Cancel the other future: true if that kept the run from starting."""
        return self._wrapped.cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run has ended, at most ``timeout`` seconds; never raises for the run.

        Raises:
            ValueError: If ``timeout`` is negative.
        """
        check_timeout(timeout)
        # Up to Python 3.10 the error of a timeout is a class of its own.
        out_of_time = (TimeoutError, concurrent.futures.TimeoutError)
        with suppress(*out_of_time, concurrent.futures.CancelledError):
            self._wrapped.exception(timeout)

    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> R_co: ...
    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> R_co | BaseException: ...
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Return the result of the run, after waiting for it.

        Args:
            timeout: How long to wait, in seconds.
            raise_on_failure: Raise the exception of a run that failed; if false, return it.

        Raises:
            TimeoutError: If the run has not ended in time.
            CancelledRun: If the run was cancelled.
            BaseException: What the run failed with.
        """
        self.wait(timeout)
        if not self._wrapped.done():
            raise TimeoutError(f"Task run {self._id} did not complete within {timeout} seconds")
        try:
            return self.state.result(raise_on_failure=raise_on_failure, _sync=True)
        finally:
            del self  # this frame is in the traceback of the error that the state holds

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Call ``fn(future)`` once when the run has ended; at once if it has.

        What it raises is logged.
        """

        def call(_: object) -> None:
            try:
                fn(self)
            except BaseException as error:  # noqa: BLE001 - others wait for the same future
                outcomes.callback_failed(error)

        self._wrapped.add_done_callback(call)

    def __repr__(self) -> str:
        state = self.state.name.lower()
        return f"<{type(self).__name__} {state}, task_run_id={str(self._id)!r}>"
