"""Clients: what can be asked of the runs of this process.

There is no server: a client reads what the process knows itself. Known are

- flow runs, with the task runs that stand for flows called in flows;
- task runs that the engine keeps a record of: those with hooks, retries in direct calls, a timeout,
  a run name, logged prints;
- other task runs from the moment that somebody looked at them: at ``future.task_run_id`` or
  ``future.state``, or at `TaskRunContext` in the body;
- while a client is open, every task run that is made, in the whole process. The setting
  ``OXTASK_HISTORY_EVERY_RUN`` has the same effect for all of a program or, in `temporary_settings`,
  for the flows called there.

A plain run that nobody looks at is not recorded otherwise: that is what makes it cheap. Only while
every run is recorded, or with ``OXTASK_TASKS_TRACK_INPUTS``, is it known, too, which runs get what
another one returned as a plain value.

The newest runs that have ended are kept (``OXTASK_HISTORY_MAX_RUNS``), without arguments and
results: states that are read here have no data. All ends with the process.

>>> from oxtask import task
>>> @task
... def double(x):
...     return 2 * x
>>> with get_client(sync_client=True) as client:
...     state = double(2, return_state=True)
...     run = client.read_task_run(state.state_details.task_run_id)
...     names = [state.name for state in client.read_task_run_states(run.id)]
>>> run.name, run.task_inputs, names
('double', {'x': []}, ['Pending', 'Running', 'Completed'])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from oxtask._internal import run_history, run_queries
from oxtask.client._limits import ConcurrencyLimitAsyncClient, ConcurrencyLimitClient

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from typing_extensions import Self

    from oxtask.client.schemas.filters import FlowRunFilter, LogFilter, TaskRunFilter
    from oxtask.client.schemas.logs import Log
    from oxtask.client.schemas.objects import FlowRun, TaskRun
    from oxtask.client.schemas.responses import OrchestrationResult
    from oxtask.client.schemas.sorting import FlowRunSort, LogSort, TaskRunSort
    from oxtask.flows import Flow
    from oxtask.states import State

__all__ = ["OxtaskClient", "SyncOxtaskClient", "get_client"]


@overload
def get_client(*, sync_client: Literal[False] = False) -> OxtaskClient: ...
@overload
def get_client(*, sync_client: Literal[True]) -> SyncOxtaskClient: ...
@overload
def get_client(*, sync_client: bool) -> OxtaskClient | SyncOxtaskClient: ...
def get_client(*, sync_client: bool = False) -> OxtaskClient | SyncOxtaskClient:
    """Return a client of the runs of this process.

    It can be used as it is; while it is open, in a ``with`` block, every run is recorded.

    Args:
        sync_client: Whether its methods return what they read, or coroutines that do.
    """
    return SyncOxtaskClient() if sync_client else OxtaskClient()


class _Opened:
    """Keeps count of how often a client was opened."""

    def __init__(self) -> None:
        self._opened = 0

    def _open(self) -> Self:
        self._opened += 1
        run_history.begin_recording()
        return self

    def _close(self) -> None:
        if self._opened:
            self._opened -= 1
            run_history.end_recording()


class SyncOxtaskClient(_Opened, ConcurrencyLimitClient):
    """A client whose methods return what they read.

    In a ``with`` block every run of the process is recorded.
    """

    def __enter__(self) -> Self:
        return self._open()

    def __exit__(self, *error: object) -> None:
        self._close()

    def read_task_run(self, task_run_id: UUID | str) -> TaskRun:
        """Return the record of a task run as it is now.

        Args:
            task_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.read_task_run(task_run_id)

    def read_task_run_states(self, task_run_id: UUID | str) -> list[State[Any]]:
        """Return the states a task run went through, the present one last.

        Args:
            task_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.read_task_run_states(task_run_id)

    def read_task_runs(
        self,
        *,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        task_run_filter: TaskRunFilter | dict[str, Any] | None = None,
        sort: TaskRunSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[TaskRun]:
        """Return the task runs that are known.

        Args:
            flow_run_filter: Only those made in flow runs that pass it.
            task_run_filter: Only those that pass it.
            sort: In which order; by default those made last come first.
            limit: How many at most.
            offset: How many to leave out from the beginning.

        Raises:
            ValueError: If a filter, the order or a number makes no sense.
        """
        return run_queries.read_task_runs(flow_run_filter, task_run_filter, sort, limit, offset)

    def read_flow_run(self, flow_run_id: UUID | str) -> FlowRun:
        """Return the record of a flow run as it is now.

        Args:
            flow_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.read_flow_run(flow_run_id)

    def read_flow_run_states(self, flow_run_id: UUID | str) -> list[State[Any]]:
        """Return the states a flow run went through, the present one last.

        Args:
            flow_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.read_flow_run_states(flow_run_id)

    def read_flow_runs(
        self,
        *,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        task_run_filter: TaskRunFilter | dict[str, Any] | None = None,
        sort: FlowRunSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[FlowRun]:
        """Return the flow runs that are known.

        Args:
            flow_run_filter: Only those that pass it.
            task_run_filter: Only those in which a task run was made that passes it.
            sort: In which order; by default those made last come first.
            limit: How many at most.
            offset: How many to leave out from the beginning.

        Raises:
            ValueError: If a filter, the order or a number makes no sense.
        """
        return run_queries.read_flow_runs(flow_run_filter, task_run_filter, sort, limit, offset)

    def read_logs(
        self,
        log_filter: LogFilter | dict[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort: LogSort | str | None = None,
    ) -> list[Log]:
        """Return lines of run loggers, from the level on that is logged at all.

        Args:
            log_filter: Only those that pass it.
            limit: How many at most.
            offset: How many to leave out from the beginning.
            sort: In which order; by default the oldest come first.

        Raises:
            ValueError: If the filter, the order or a number makes no sense.
        """
        return run_queries.read_logs(log_filter, sort, limit, offset)

    def set_task_run_state(
        self, task_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult:
        """Let a task run enter a state.

        One that is under way in this process can only be cancelled.

        Args:
            task_run_id: The run.
            state: The state; copied, and its data not kept.
            force: Also if the run has ended.

        Returns:
            Whether it did, and its state now.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.set_task_run_state(task_run_id, state, force=force)

    def set_flow_run_state(
        self, flow_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult:
        """Let a flow run enter a state.

        One that is under way in this process can only be cancelled.

        Args:
            flow_run_id: The run.
            state: The state; copied, and its data not kept.
            force: Also if the run has ended.

        Returns:
            Whether it did, and its state now.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.set_flow_run_state(flow_run_id, state, force=force)

    def create_flow_run(
        self,
        flow: Flow[..., Any],
        *,
        name: str | None = None,
        parameters: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        parent_task_run_id: UUID | str | None = None,
        state: State[Any] | None = None,
    ) -> FlowRun:
        """Make the record of a flow run, for `oxtask.flow_engine.run_flow` to run.

        Args:
            flow: The flow.
            name: The name of the run; two random words by default.
            parameters: What the flow is to be called with.
            tags: Tags of the run.
            parent_task_run_id: The task run that stands for the run in another flow run.
            state: The first state; pending by default.

        Raises:
            ValueError: If a value does not fit.
        """
        return run_queries.create_flow_run(
            flow,
            {
                "name": name,
                "parameters": parameters,
                "tags": None if tags is None else list(tags),
                "parent_task_run_id": parent_task_run_id,
                "state": state,
            },
        )

    def delete_flow_run(self, flow_run_id: UUID | str) -> None:
        """Forget a flow run that has ended.

        Args:
            flow_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known, or has not ended.
        """
        run_queries.delete_flow_run(flow_run_id)

    def delete_task_run(self, task_run_id: UUID | str) -> None:
        """Forget a task run that has ended.

        Args:
            task_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known, or has not ended.
        """
        run_queries.delete_task_run(task_run_id)

    def cancel(self, run_id: UUID | str) -> bool:
        """End a task run as cancelled, as `Future.cancel` does, or have a flow run end so.

        For flow runs see `oxtask.flow_runs.cancel`.

        Args:
            run_id: The run.

        Returns:
            False if the run had ended before.

        Raises:
            ObjectNotFound: If the run is not known.
        """
        return run_queries.cancel(run_id)


class OxtaskClient(_Opened, ConcurrencyLimitAsyncClient):
    """A client whose methods are coroutine functions; none of them ever waits.

    In an ``async with`` block every run of the process is recorded.
    """

    async def __aenter__(self) -> Self:
        return self._open()

    async def __aexit__(self, *error: object) -> None:
        self._close()

    async def read_task_run(self, task_run_id: UUID | str) -> TaskRun:
        """Return the record of a task run as it is now.

        See `SyncOxtaskClient.read_task_run`.
        """
        return run_queries.read_task_run(task_run_id)

    async def read_task_run_states(self, task_run_id: UUID | str) -> list[State[Any]]:
        """Return the states a task run went through, the present one last.

        See `SyncOxtaskClient.read_task_run_states`.
        """
        return run_queries.read_task_run_states(task_run_id)

    async def read_task_runs(
        self,
        *,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        task_run_filter: TaskRunFilter | dict[str, Any] | None = None,
        sort: TaskRunSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[TaskRun]:
        """Return the task runs that are known.

        See `SyncOxtaskClient.read_task_runs`.
        """
        return run_queries.read_task_runs(flow_run_filter, task_run_filter, sort, limit, offset)

    async def read_flow_run(self, flow_run_id: UUID | str) -> FlowRun:
        """Return the record of a flow run as it is now.

        See `SyncOxtaskClient.read_flow_run`.
        """
        return run_queries.read_flow_run(flow_run_id)

    async def read_flow_run_states(self, flow_run_id: UUID | str) -> list[State[Any]]:
        """Return the states a flow run went through, the present one last.

        See `SyncOxtaskClient.read_flow_run_states`.
        """
        return run_queries.read_flow_run_states(flow_run_id)

    async def read_flow_runs(
        self,
        *,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        task_run_filter: TaskRunFilter | dict[str, Any] | None = None,
        sort: FlowRunSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[FlowRun]:
        """Return the flow runs that are known.

        See `SyncOxtaskClient.read_flow_runs`.
        """
        return run_queries.read_flow_runs(flow_run_filter, task_run_filter, sort, limit, offset)

    async def read_logs(
        self,
        log_filter: LogFilter | dict[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort: LogSort | str | None = None,
    ) -> list[Log]:
        """Return lines of run loggers, from the level on that is logged at all.

        See `SyncOxtaskClient.read_logs`.
        """
        return run_queries.read_logs(log_filter, sort, limit, offset)

    async def set_task_run_state(
        self, task_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult:
        """Let a task run enter a state.

        See `SyncOxtaskClient.set_task_run_state`.
        """
        return run_queries.set_task_run_state(task_run_id, state, force=force)

    async def set_flow_run_state(
        self, flow_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult:
        """Let a flow run enter a state.

        See `SyncOxtaskClient.set_flow_run_state`.
        """
        return run_queries.set_flow_run_state(flow_run_id, state, force=force)

    async def create_flow_run(
        self,
        flow: Flow[..., Any],
        *,
        name: str | None = None,
        parameters: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        parent_task_run_id: UUID | str | None = None,
        state: State[Any] | None = None,
    ) -> FlowRun:
        """Make the record of a flow run, for `oxtask.flow_engine.run_flow` to run.

        See `SyncOxtaskClient.create_flow_run`.
        """
        return run_queries.create_flow_run(
            flow,
            {
                "name": name,
                "parameters": parameters,
                "tags": None if tags is None else list(tags),
                "parent_task_run_id": parent_task_run_id,
                "state": state,
            },
        )

    async def delete_flow_run(self, flow_run_id: UUID | str) -> None:
        """Forget a flow run that has ended.

        See `SyncOxtaskClient.delete_flow_run`.
        """
        run_queries.delete_flow_run(flow_run_id)

    async def delete_task_run(self, task_run_id: UUID | str) -> None:
        """Forget a task run that has ended.

        See `SyncOxtaskClient.delete_task_run`.
        """
        run_queries.delete_task_run(task_run_id)

    async def cancel(self, run_id: UUID | str) -> bool:
        """End a task run as cancelled, or have a flow run end so.

        See `SyncOxtaskClient.cancel`.
        """
        return run_queries.cancel(run_id)
