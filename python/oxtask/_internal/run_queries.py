"""What the clients can be asked: runs, states and log lines, by id or by filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from oxtask._internal import flow_cancel, run_ends, run_history
from oxtask._internal.ids import new_id, to_uuid
from oxtask._internal.run_packing import copied
from oxtask._internal.state import State, engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import RunLog
from oxtask._internal.text import short_repr
from oxtask.client.schemas.filters import FlowRunFilter, LogFilter, TaskRunFilter
from oxtask.client.schemas.logs import Log
from oxtask.client.schemas.objects import FlowRun, FlowRunPolicy, TaskRun
from oxtask.client.schemas.responses import OrchestrationResult, SetStateStatus
from oxtask.client.schemas.sorting import FlowRunSort, LogSort, TaskRunSort
from oxtask.exceptions import ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum
    from uuid import UUID

    from oxtask.flows import Flow

    Id = UUID | str

RecordT = TypeVar("RecordT", TaskRun, FlowRun, Log)

_UNDER_WAY = "The run is under way in this process, which alone decides on its states."
_ENDED = "The run has ended. Pass force=True to have it leave a final state."


def _not_found(kind: str, number: int) -> ObjectNotFound:
    return ObjectNotFound(
        f"There is no {kind} run {to_uuid(number, 'id')} in the history of this process. Runs of "
        "other processes are not known, nor are plain runs that nobody looked at: open a client "
        "with `with get_client(sync_client=True)` before a run is made to have it recorded. "
        "`OXTASK_HISTORY_MAX_RUNS` sets how many ended runs are kept."
    )


def _task_run(task_run_id: Id) -> RunLog[TaskRun]:
    number = to_uuid(task_run_id, "task_run_id").int
    run = run_history.task_run(number)
    if run is None:
        raise _not_found("task", number)
    return run


def _flow_run(flow_run_id: Id) -> RunLog[FlowRun]:
    number = to_uuid(flow_run_id, "flow_run_id").int
    run = run_history.flow_run(number)
    if run is None:
        raise _not_found("flow", number)
    return run


def read_task_run(task_run_id: Id) -> TaskRun:
    """Return the record of a task run."""
    return _task_run(task_run_id).record


def read_task_run_states(task_run_id: Id) -> list[State[Any]]:
    """Return the states a task run went through."""
    return _task_run(task_run_id).history


def read_flow_run(flow_run_id: Id) -> FlowRun:
    """Return the record of a flow run."""
    return _flow_run(flow_run_id).record


def read_flow_run_states(flow_run_id: Id) -> list[State[Any]]:
    """Return the states a flow run went through."""
    return _flow_run(flow_run_id).history


# --- many -----------------------------------------------------------------------------------------


def read_task_runs(
    flow_run_filter: FlowRunFilter | dict[str, Any] | None,
    task_run_filter: TaskRunFilter | dict[str, Any] | None,
    sort: TaskRunSort | str | None,
    limit: int | None,
    offset: int,
) -> list[TaskRun]:
    """Return task runs that pass a filter, in flow runs that pass another."""
    records = [run.record for run in run_history.task_runs()]
    if flow_run_filter is not None:
        passing = {
            record.id for record in _passing(_flow_records(), flow_run_filter, FlowRunFilter)
        }
        records = [record for record in records if record.flow_run_id in passing]
    found = _passing(records, task_run_filter, TaskRunFilter)
    return _page(_sorted(found, TaskRunSort(sort or "ID_DESC")), limit, offset)


def read_flow_runs(
    flow_run_filter: FlowRunFilter | dict[str, Any] | None,
    task_run_filter: TaskRunFilter | dict[str, Any] | None,
    sort: FlowRunSort | str | None,
    limit: int | None,
    offset: int,
) -> list[FlowRun]:
    """Return flow runs that pass a filter, with a task run that passes another."""
    records = _flow_records()
    if task_run_filter is not None:
        tasks = [run.record for run in run_history.task_runs()]
        passing = {task.flow_run_id for task in _passing(tasks, task_run_filter, TaskRunFilter)}
        records = [record for record in records if record.id in passing]
    found = _passing(records, flow_run_filter, FlowRunFilter)
    return _page(_sorted(found, FlowRunSort(sort or "ID_DESC")), limit, offset)


def read_logs(
    log_filter: LogFilter | dict[str, Any] | None,
    sort: LogSort | str | None,
    limit: int | None,
    offset: int,
) -> list[Log]:
    """Return lines that runs logged."""
    lines = [Log(**line._asdict()) for line in run_history.store().lines()]
    found = _passing(lines, log_filter, LogFilter)
    found.sort(
        key=lambda line: line.timestamp,
        reverse=LogSort(sort or "TIMESTAMP_ASC") is LogSort.TIMESTAMP_DESC,
    )
    return _page(found, limit, offset)


def _flow_records() -> list[FlowRun]:
    return [run.record for run in run_history.flow_runs()]


def _passing(records: Iterable[RecordT], wanted: Any, kind: Any) -> list[RecordT]:
    if wanted is None:
        return list(records)
    passes = kind.of(wanted, "filter").passes
    return [record for record in records if passes(record)]


def _sorted(records: list[Any], sort: Enum) -> list[Any]:
    field, _, direction = str(sort.value).lower().rpartition("_")
    there = [record for record in records if getattr(record, field) is not None]
    there.sort(key=lambda record: getattr(record, field), reverse=direction == "desc")
    return [*there, *(record for record in records if getattr(record, field) is None)]


def _page(items: list[Any], limit: int | None, offset: int) -> list[Any]:
    for name, number in (("limit", limit), ("offset", offset)):
        if number is not None and (not isinstance(number, int) or number < 0):
            raise ValueError(f"'{name}' must be 0 or more; got {short_repr(number)}.")
    return items[offset:] if limit is None else items[offset : offset + limit]


# --- changes --------------------------------------------------------------------------------------


def set_task_run_state(task_run_id: Id, state: State[Any], *, force: bool) -> OrchestrationResult:
    """Let a task run enter a state that it does not enter by itself."""
    run = _task_run(task_run_id)
    number = run.record.id.int
    if run_history.is_task_run_under_way(number):
        if (state.is_cancelled() or state.is_cancelling()) and run_history.cancel(number):
            return _accepted(read_task_run(task_run_id).state)
        return _rejected(run, _UNDER_WAY)
    return _entered(run, state, force=force)


def set_flow_run_state(flow_run_id: Id, state: State[Any], *, force: bool) -> OrchestrationResult:
    """Let a flow run enter a state that it does not enter by itself."""
    run = _flow_run(flow_run_id)
    if run_history.is_flow_run_under_way(run.record.id.int):
        wants_end = state.is_cancelled() or state.is_cancelling()
        if wants_end and flow_cancel.cancel(run.record.id):
            return _accepted(read_flow_run(flow_run_id).state)
        return _rejected(run, _UNDER_WAY)
    return _entered(run, state, force=force)


def _entered(run: RunLog[Any], state: State[Any], *, force: bool) -> OrchestrationResult:
    record = run.record
    if record.state is not None and record.state.is_final() and not force:
        return _rejected(run, _ENDED)
    entered = state.model_copy(update={"id": new_id(), "timestamp": state.timestamp})
    record.enter_state(entered)
    run.append(entered)
    store = run_history.store()
    if isinstance(record, TaskRun):
        store.put_task_run(run)
    else:
        store.put_flow_run(run)
    if run_history.is_over(run):
        run_ends.tell(record.id.int)
    return _accepted(entered)


def _accepted(state: State[Any] | None) -> OrchestrationResult:
    return OrchestrationResult(state=state, status=SetStateStatus.ACCEPT)


def _rejected(run: RunLog[Any], reason: str) -> OrchestrationResult:
    return OrchestrationResult(state=run.record.state, status=SetStateStatus.REJECT, reason=reason)


def create_flow_run(flow: Flow[..., Any], fields: dict[str, Any]) -> FlowRun:
    """Make and keep the record of a flow run that somebody will run."""
    from oxtask._internal.flow_runs import flow_id  # noqa: PLC0415 - start-up time

    state = fields.pop("state", None) or engine_state(StateType.PENDING)
    record = FlowRun(
        id=new_id(),
        flow_id=flow_id(flow.name),
        flow_version=flow.version,
        empirical_policy=FlowRunPolicy(retries=flow.retries, retry_delay=flow.retry_delay_seconds),
        **fields,
    )
    record.enter_state(state.model_copy(update={"timestamp": state.timestamp}))
    record.expected_start_time = state.timestamp
    run = RunLog(record)
    run_history.store().put_flow_run(run)
    return copied(run, FlowRun).record


def delete_flow_run(flow_run_id: Id) -> None:
    """Forget a flow run that has ended."""
    number = to_uuid(flow_run_id, "flow_run_id").int
    if not run_history.store().drop_flow_run(number):
        raise _not_found("flow", number)


def delete_task_run(task_run_id: Id) -> None:
    """Forget a task run that has ended."""
    number = to_uuid(task_run_id, "task_run_id").int
    if not run_history.store().drop_task_run(number):
        raise _not_found("task", number)


def cancel(run_id: Id) -> bool:
    """Cancel a task run or a flow run by its id."""
    number = to_uuid(run_id, "run_id").int
    if run_history.task_run(number) is None and run_history.flow_run(number) is None:
        raise _not_found("task or flow", number)
    return run_history.cancel(number) or flow_cancel.cancel(to_uuid(run_id, "run_id"))
