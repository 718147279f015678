"""Futures of runs that somebody else has begun, made of nothing but their ids.

`oxtask.futures` is where users find them. While a run is under way in this process its future is
bound to it, and has its result when it ends. Of a run that had ended before, what the history
kept is known: the state, and what the run returned or raised if that was stored.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

from oxtask._internal import outcomes, run_ends, run_history, run_queries
from oxtask._internal.ids import to_uuid
from oxtask._internal.run_inputs import FlowRunResult, RunInput, TaskRunResult
from oxtask._internal.state_results import is_stored, read
from oxtask.exceptions import DeadlockError, MissingResult, ObjectNotFound
from oxtask.futures import Future, check_timeout
from oxtask.states import Pending

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from oxtask._core import TaskRunFuture
    from oxtask._internal.task_runs import RunLog
    from oxtask.client.schemas.objects import FlowRun
    from oxtask.states import State

R_co = TypeVar("R_co", covariant=True)


class _RunFuture(Future[R_co], Generic[R_co]):
    """What futures of task runs and of flow runs have in common.

    Args:
        run_id: The run.
    """

    _kind = ""

    def __init__(self, run_id: UUID | str) -> None:
        self._id = to_uuid(run_id, f"{self._kind}_run_id")
        self._final_state: State[R_co] | None = None
        self._bind()

    # --- what the two differ in -------------------------------------------------------------------

    @abstractmethod
    def _bind(self) -> None:
        """Hold the run from now on, if it is under way here."""

    @abstractmethod
    def _read(self) -> State[R_co] | None:
        """Return the state of the run.

        Raises:
            ObjectNotFound: If the run is not known.
        """

    def _listen(self, function: Callable[[], object]) -> None:
        """Have a function called when the run has ended; at once if it has."""
        run_ends.expect(self._id.int, self._is_over, function)

    def _block(self, timeout: float | None) -> None:
        run_ends.wait(self._id.int, self._is_over, timeout)

    async def _await(self, timeout: float | None) -> None:
        await run_ends.await_end(self._id.int, self._is_over, timeout)

    # --- the state --------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        if self._final_state is None:
            self._bind()
            state = self._read()
            if state is None:
                raise RuntimeError(f"{self._name()} has no state, which means it has not started.")
            if state.is_final() or state.name == "NotReady":
                self._final_state = state
        return self._final_state is not None

    def _name(self) -> str:
        return f"{self._kind.capitalize()} run {self._id}"

    @property
    def state(self) -> State[R_co]:
        """The state of the run as it is now; pending if the run is not known (yet)."""
        try:
            if self._is_over():
                assert self._final_state is not None
                return self._final_state
            return self._read() or Pending()
        except (ObjectNotFound, RuntimeError):
            return Pending()

    def done(self) -> bool:
        """Tell whether the run has ended; false if it is not known (yet)."""
        try:
            return self._is_over()
        except (ObjectNotFound, RuntimeError):
            return False

    def cancel(self) -> bool:
        """End the run as cancelled; false if it had ended before.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.cancel(self._id)

    # --- waiting ----------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run has ended, at most ``timeout`` seconds; never raises for the run.

        Raises:
            ObjectNotFound: If the run is not known: its id is wrong, or it has not begun, or it
                ended long ago.
            RuntimeError: If the run has no state.
            ValueError: If ``timeout`` is negative.
            DeadlockError: If the run waits, in turn, for the run this is called in.
        """
        check_timeout(timeout)
        if not self._is_over():
            self._block(timeout)
            self._is_over()

    async def wait_async(self, timeout: float | None = None) -> None:
        """Do what `wait` does without blocking the event loop."""
        check_timeout(timeout)
        if not self._is_over():
            await self._await(timeout)
            self._is_over()

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
            MissingResult: If the run completed before this future was made, and its result was not
                stored, or is not there any more.
            ObjectNotFound: If the run is not known.
            UnfinishedRun: If the run never started because an input did not complete.
            BaseException: What the run failed with; `FailedRun`, `CrashedRun` or `CancelledRun` if
                that was not kept.
        """
        self.wait(timeout)
        return self._outcome(timeout, raise_on_failure)

    async def result_async(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> Any:
        """Do what `result` does without blocking the event loop."""
        await self.wait_async(timeout)
        if self._final_state is not None and is_stored(self._final_state):
            import asyncio  # noqa: PLC0415 - start-up time

            return await asyncio.to_thread(self._outcome, timeout, raise_on_failure)
        return self._outcome(timeout, raise_on_failure)

    async def aresult(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Do what `result` does without blocking the event loop."""
        return await self.result_async(timeout, raise_on_failure)

    def _outcome(self, timeout: float | None, raise_on_failure: bool) -> Any:
        try:
            if self._final_state is None:
                raise TimeoutError(f"{self._name()} did not complete within {timeout} seconds")
            return _read(self._final_state)._value(raise_on_failure)
        finally:
            del self  # this frame is in the traceback of the error that the state holds

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Call ``fn(future)`` once when the run has ended; at once if it has.

        Callbacks are called in the order in which they were added; what they raise is logged.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        if self._is_over():
            fn(self)
        else:
            self._listen(lambda: fn(self))

    # --- as a value -------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._id,)

    def __repr__(self) -> str:
        state = self.state.name.lower()
        return f"<{type(self).__name__} {state}, {self._kind}_run_id={str(self._id)!r}>"


def _read(state: State[R_co]) -> State[R_co]:
    """Return a state with the result that is stored, if one is.

    Raises:
        MissingResult: If it is not there any more, or was rolled back.
    """
    if not is_stored(state):
        return state
    try:
        return read(state)
    except (FileNotFoundError, ValueError, KeyError) as error:  # of storages that have no such key
        if not state.is_completed():
            return state.model_copy(update={"data": None, "timestamp": state.timestamp})
        raise MissingResult(
            f"The result was not kept and is no longer available: {error}"
        ) from None


class DistributedFuture(_RunFuture[R_co], Generic[R_co]):
    """The future of a task run that is known by its id.

    It can be pickled, and is equal to others of the same run.

    Args:
        task_run_id: The run.

    Raises:
        ValueError: If ``task_run_id`` is no id.
    """

    _kind = "task"
    _run: TaskRunFuture | None = None

    def __init__(self, task_run_id: UUID | str) -> None:
        super().__init__(task_run_id)

    @property
    def task_run_id(self) -> UUID:
        """The id of the run."""
        return self._id

    def _bind(self) -> None:
        if self._run is None:
            self._run = run_history.future_of(self._id.int)

    def _read(self) -> State[R_co] | None:
        if self._run is not None:
            return self._run.state
        return run_queries.read_task_run(self._id).state

    def _listen(self, function: Callable[[], object]) -> None:
        if self._run is None:
            super()._listen(function)
        else:
            self._run.add_done_callback(lambda _: function())

    def _block(self, timeout: float | None) -> None:
        # A worker that waits for a run of its own process gives its slot to others.
        if self._run is None:
            super()._block(timeout)
        else:
            self._run.wait(timeout)

    async def _await(self, timeout: float | None) -> None:
        if self._run is None:
            await super()._await(timeout)
        else:
            with self._run._blocking():
                await outcomes.told(self._run.add_done_callback, timeout)

    def _source(self) -> RunInput:
        return TaskRunResult(id=self._id)


class FlowRunFuture(_RunFuture[R_co], Generic[R_co]):
    """The future of a flow run that is known by its id.

    It can be pickled, and is equal to others of the same run.

    Args:
        flow_run_id: The run.

    Raises:
        ValueError: If ``flow_run_id`` is no id.
    """

    _kind = "flow"
    _run: RunLog[FlowRun] | None = None

    def __init__(self, flow_run_id: UUID | str) -> None:
        super().__init__(flow_run_id)

    @property
    def flow_run_id(self) -> UUID:
        """The id of the run."""
        return self._id

    @property
    def task_run_id(self) -> NoReturn:
        """There is none."""
        raise AttributeError("The future of a flow run has no 'task_run_id'. Use 'flow_run_id'.")

    def _bind(self) -> None:
        if self._run is None:
            self._run = run_history.live_flow_run(self._id.int)

    def _read(self) -> State[R_co] | None:
        if self._run is not None:
            return self._run.record.state
        return run_queries.read_flow_run(self._id).state

    def _block(self, timeout: float | None) -> None:
        self._refuse_circle(timeout)
        super()._block(timeout)

    async def _await(self, timeout: float | None) -> None:
        self._refuse_circle(timeout)
        await super()._await(timeout)

    def _refuse_circle(self, timeout: float | None) -> None:
        from oxtask._internal import live_runs  # noqa: PLC0415 - circular
        from oxtask.context import FlowRunContext  # noqa: PLC0415

        context = FlowRunContext.get()
        around = None if context is None or timeout is not None else live_runs.of(context.flow_run)
        while around is not None:
            if around.record.id == self._id:
                raise DeadlockError(
                    f"{self._name()} cannot end before this code does, which waits for it. Wait "
                    "with a timeout, or after the flow has returned."
                )
            around = live_runs.of(around.parent)

    def _source(self) -> RunInput:
        return FlowRunResult(id=self._id)
