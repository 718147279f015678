"""What clients can do with task runs: base classes of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import run_queries

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask.client.schemas.filters import FlowRunFilter, TaskRunFilter
    from oxtask.client.schemas.objects import TaskRun
    from oxtask.client.schemas.responses import OrchestrationResult
    from oxtask.client.schemas.sorting import TaskRunSort
    from oxtask.states import State

__all__ = ["TaskRunAsyncClient", "TaskRunClient"]


class TaskRunClient:
    """The task runs of this process."""

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

    def delete_task_run(self, task_run_id: UUID | str) -> None:
        """Forget a task run that has ended.

        Args:
            task_run_id: The run.

        Raises:
            ObjectNotFound: If the run is not known, or has not ended.
        """
        run_queries.delete_task_run(task_run_id)


class TaskRunAsyncClient:
    """The same as coroutine functions; none of them ever waits."""

    async def read_task_run(self, task_run_id: UUID | str) -> TaskRun:
        """Return the record of a task run as it is now.

        See `TaskRunClient.read_task_run`.
        """
        return run_queries.read_task_run(task_run_id)

    async def read_task_run_states(self, task_run_id: UUID | str) -> list[State[Any]]:
        """Return the states a task run went through, the present one last.

        See `TaskRunClient.read_task_run_states`.
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

        See `TaskRunClient.read_task_runs`.
        """
        return run_queries.read_task_runs(flow_run_filter, task_run_filter, sort, limit, offset)

    async def set_task_run_state(
        self, task_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult:
        """Let a task run enter a state.

        See `TaskRunClient.set_task_run_state`.
        """
        return run_queries.set_task_run_state(task_run_id, state, force=force)

    async def delete_task_run(self, task_run_id: UUID | str) -> None:
        """Forget a task run that has ended.

        See `TaskRunClient.delete_task_run`.
        """
        run_queries.delete_task_run(task_run_id)
