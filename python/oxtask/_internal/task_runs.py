"""The record of a task run: what users see as ``task_run`` and ``state``.

A run that needs nothing but its function has no record until somebody looks: the record is then
made from the columns of its group. A run with retries, hooks, a timeout or a name of its own keeps
a `RunLog` from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from oxtask._core import mixed_id
from oxtask._internal import run_ends
from oxtask._internal.result_links import is_trackable
from oxtask._internal.run_inputs import Sources
from oxtask._internal.run_record import RunRecord
from oxtask._internal.run_sources import given_names, note_sources, parent_of
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.text import short_repr
from oxtask.client.schemas.objects import TaskRun
from oxtask.context import FlowRunContext, TagsContext
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask._core import Run, TaskRunFuture
    from oxtask._internal.keeping import Keeping
    from oxtask._internal.slots import Lease
    from oxtask._internal.stored_links import StoredLink
    from oxtask._internal.subflow_tracking import Tracking
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask._internal.task_transactions import Kept
    from oxtask.states import State

RecordT = TypeVar("RecordT", bound=RunRecord)

(
    COMPLETED,
    FAILED,
    TIMED_OUT,
    CRASHED,
    CANCELLED,
    NOT_READY,
    CHOSEN,
    CHOSEN_FAILED,
    CACHED,
) = range(9)
"""How a run ended, as the core counts; see `outcome` in `_core.pyi`."""
WAITING, RUNNING, DELAYED = 10, 11, 12
"""Where a run is that has not ended."""

_UNTRACKABLE = {"untrackable_result": True}


def run_id(number: int) -> UUID:
    """Return the id of a run from its 128 bits."""
    from uuid import UUID  # noqa: PLC0415 - start-up time

    return UUID(int=number)


class RunLog(Generic[RecordT]):
    """A record with the states it went through.

    Attributes:
        record: The record of a task run or a flow run.
        history: Its states, the current one last.
        hook_error: What a hook raised that tears down the caller, when the run had ended.
        keeping: Whether the result is kept, and where, if the attempt has decided that.
        kept: The transaction of the attempt, if it has one.
        slots: What the run holds of concurrency limits, or waits for.
        stored: Where what the run came to is stored, in plain values; ``None`` if it is not kept.
        tracking: Of a flow run that was called in another, where it belongs there.
    """

    __slots__ = (
        *("history", "hook_error", "keeping", "kept", "record", "slots", "stored"),
        "tracking",
    )

    def __init__(self, record: RecordT) -> None:
        self.record = record
        self.hook_error: BaseException | None = None
        self.keeping: Keeping | None = None
        self.kept: Kept | None = None
        self.slots: Lease | None = None
        self.stored: StoredLink | None = None
        self.tracking: Tracking | None = None
        self.history: list[State[Any]] = []
        if record.state is not None:
            self.append(record.state)

    def release_slots(self) -> None:
        """Give back what the run holds of concurrency limits."""
        if self.slots is not None:
            self.slots.release()

    def enter(self, state: State[Any]) -> None:
        """Let the run enter a state, with all that follows for its times and counts.

        A run that has ended stays as it is: a thread whose run was taken from it may come late.
        """
        current = self.record.state
        if current is None or not current.is_final():
            # In this order: a signal may come between the two, and the record has the last word.
            self.append(state)
            self.record.enter_state(state)
            if run_ends.listeners:
                run_ends.entered(self.record.id.int, state)

    def overrule(self, state: State[Any]) -> None:
        """Let a run that has ended enter a state that says what came of it afterwards."""
        self.append(state)
        self.record.enter_state(state)

    def append(self, state: State[Any]) -> None:
        """Take a state that the run has entered into its history."""
        number = self.record._id
        if state._id is None and number is not None:
            # Records are made anew when they are read: the third state has the same id each time.
            # The bits are those that all runs of a process share.
            state._id = int(number) ^ (len(self.history) + 1) << 32
        self.history.append(state)


def new_log(future: TaskRunFuture, number: int | None = None) -> RunLog[TaskRun]:
    """Make the log of a run that was just made, in the context the run belongs to.

    Args:
        future: The run.
        number: The 128 bits of its id, if it is recorded under another than its own.
    """
    task = future._task
    number = future._id if number is None else number
    sources: Sources | None = future._sources
    if sources is None:
        names = () if future._has_upstreams else given_names(task)
        sources = Sources(names, {}, [])
    return _pending(origin_of(task), number, future._times[0], sources.within(parent_of(future)))


class Origin(NamedTuple):
    """What the records of runs say that were made of one task in one place.

    Attributes:
        task_name: The name of the task.
        task_key: Its key.
        task_version: Its version.
        tags: The tags of the runs, in order.
        flow_run_id: The flow run they belong to, or ``None``.
        flow_run_run_count: Which attempt of that.
    """

    task_name: str
    task_key: str
    task_version: str | None
    tags: tuple[str, ...]
    flow_run_id: UUID | None
    flow_run_run_count: int

    def run_name(self, number: int) -> str:
        """Return the name of a run: in flows, the task's and three digits of the run's key."""
        if self.flow_run_id is None:
            return self.task_name
        return f"{self.task_name}-{mixed_id(number) >> 116:03x}"


def origin_of(task: TaskMachinery) -> Origin:
    """Return what runs have in common that are made of a task here."""
    context = FlowRunContext.get()
    return Origin(
        task.name,
        task.task_key,
        task.version,
        tuple(sorted(task.tags | TagsContext.get().current_tags)),
        context.flow_run.id if context else None,
        context.flow_run.run_count if context else 0,
    )


def _pending(origin: Origin, number: int, created: int, sources: Sources) -> RunLog[TaskRun]:
    mixed = run_id(mixed_id(number))
    is_in_flow = origin.flow_run_id is not None
    record = TaskRun.new_pending(
        id=number,
        name=origin.run_name(number),
        flow_run_id=origin.flow_run_id,
        flow_run_run_count=origin.flow_run_run_count,
        task_key=origin.task_key,
        task_version=origin.task_version,
        dynamic_key=str(mixed) if is_in_flow else f"{origin.task_key}-{mixed.hex}",
        tags=list(origin.tags),
        task_inputs=sources,
        timestamp=created,
    )
    return RunLog(record)


class CompletedRun(NamedTuple):
    """All that there is to say of a plain run that completed, given plain values outside of runs.

    Attributes:
        origin: What it has in common with others.
        number: The 128 bits of its id.
        created: When it was made, in Unix nanoseconds, as the next two.
        started: When it started.
        ended: When it completed.
        given_names: The parameters of the task.
        is_trackable: Whether it can be told from the result that it is from this run.
    """

    origin: Origin
    number: int
    created: int
    started: int
    ended: int
    given_names: tuple[str, ...]
    is_trackable: bool

    def log(self) -> RunLog[TaskRun]:
        """Return the log of the run, without its result."""
        sources = Sources(self.given_names, {}, []).within(None)
        log = _pending(self.origin, self.number, self.created, sources)
        log.enter(engine_state(StateType.RUNNING, timestamp=self.started))
        details = None if self.is_trackable else _UNTRACKABLE
        log.enter(engine_state(StateType.COMPLETED, timestamp=self.ended, details=details))
        return log


def log_of(future: TaskRunFuture) -> RunLog[TaskRun]:
    """Return the log of a run as it stands now.

    Made anew at each call unless the run keeps one.
    """
    code, output = future._peek()
    _, started, ended = future._times
    log: RunLog[TaskRun] | None = future._record
    if log is None:
        context = future._context
        log = new_log(future) if context is None else context.copy().run(new_log, future)
        # The core begins a run before it looks whether its inputs are there.
        if started and code != NOT_READY:
            log.enter(engine_state(StateType.RUNNING, timestamp=started))
        for retry in future._retries:
            _enter_retry(log, *retry)
    if code < WAITING and not _is_end(log.record.state, code, output):
        log.enter(final_state(code, output, ended))
    return log


def _enter_retry(log: RunLog[TaskRun], failed: int, failure: Any, delay: float, began: int) -> None:
    """Let a run enter what follows a failed attempt: the wait for the next, and that one."""
    if delay > 0:
        log.enter(awaiting_retry(failure, delay, failed))
    if began:
        log.enter(engine_state(StateType.RUNNING, "Retrying", timestamp=began))


def awaiting_retry(failure: Any, delay: float, at: int) -> State[Any]:
    """Return the state in which a run waits for its next attempt.

    Args:
        failure: The exception, or the failed state, of the last.
        delay: Seconds to wait.
        at: When the wait began, in Unix nanoseconds.
    """
    state = failure
    if isinstance(failure, BaseException):
        code = TIMED_OUT if isinstance(failure, TimeoutError) else FAILED
        state = final_state(code, failure, at)
    return engine_state(
        StateType.SCHEDULED,
        "AwaitingRetry",
        timestamp=at,
        message=state.message,
        data=state.data,
        details={"scheduled_time": at + int(delay * 1e9)},
    )


def _is_end(state: State[Any] | None, code: int, output: Any) -> bool:
    """Tell whether ``state`` is the one in which a run ended."""
    if state is None:
        return False
    if code == NOT_READY:
        return state.name == "NotReady"
    return state is output or state.is_final()


def final_state(
    code: int, output: Any, ended: int, record: ResultRecord[Any] | None = None
) -> State[Any]:
    """Return the state of a run that ended so.

    Args:
        code: How it ended.
        output: Its value, or what it failed with.
        ended: When, in Unix nanoseconds.
        record: The value as it is stored, if it is.
    """
    from oxtask._internal import state_conversions as conversions  # noqa: PLC0415 - start-up time

    if code in {COMPLETED, CACHED}:
        details = None if is_trackable(output) else _UNTRACKABLE
        data = ResultRecord(output) if record is None else record
        name = "Cached" if code == CACHED else None
        return engine_state(StateType.COMPLETED, name, timestamp=ended, data=data, details=details)
    if code == FAILED:
        message = "Task run encountered an exception"
        return conversions.exception_to_failed_state(output, message, timestamp=ended)
    if code == TIMED_OUT:
        return timed_out_state(output, ended)
    if code == CRASHED:
        return conversions.exception_to_crashed_state(output, timestamp=ended)
    if code == CANCELLED:
        return engine_state(StateType.CANCELLED, timestamp=ended, message="Run cancelled.")
    if code == NOT_READY:
        return engine_state(StateType.PENDING, "NotReady", timestamp=ended, message=str(output))
    chosen: State[Any] = output
    return chosen


def timed_out_state(error: BaseException, ended: int | None = None) -> State[Any]:
    """Return the state of a run that was out of time, or whose function said so."""
    from oxtask.exceptions import TaskRunTimeoutError  # noqa: PLC0415 - start-up time

    if isinstance(error, TaskRunTimeoutError) and error.timeout_seconds is not None:
        message = f"Task run exceeded timeout of {error.timeout_seconds} second(s)"
    else:
        message = f"Task run failed due to timeout: {short_repr(error)}"
    return engine_state(StateType.FAILED, "TimedOut", timestamp=ended, message=message, data=error)


def context_of(run: Run) -> dict[str, Any]:
    """Return the fields of the `TaskRunContext` of a run, seen from inside its body."""
    from oxtask._internal.run_history import observe  # noqa: PLC0415 - circular

    note_sources(run)
    future = run.future
    task = future._task
    log: RunLog[TaskRun] = run.record or log_of(future)
    observe(future)
    state = log.record.state
    from oxtask._internal import keeping  # noqa: PLC0415 - start-up time

    own = keeping.of_run(run)
    return {
        "task": task,
        "task_run": log.record,
        "parameters": task._bind(*run.arguments),
        "log_prints": task._logs_prints(),
        "start_time": None if state is None else state.timestamp,
        "persist_result": own is not None and own.persists,
    }
