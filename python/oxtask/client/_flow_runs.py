"""What clients can do with flow runs: base classes of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import run_queries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from oxtask.client.schemas.filters import FlowRunFilter, TaskRunFilter
    from oxtask.client.schemas.objects import FlowRun
    from oxtask.client.schemas.responses import OrchestrationResult
    from oxtask.client.schemas.sorting import FlowRunSort
    from oxtask.flows import Flow
    from oxtask.states import State

__all__ = ["FlowRunAsyncClient", "FlowRunClient"]


class FlowRunClient:
    """The flow runs of this process."""

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


class FlowRunAsyncClient:
    """The same as coroutine functions; none of them ever waits."""

    async def read_flow_run(self, flow_run_id: UUID | str) -> FlowRun:
        """Return the record of a flow run as it is now.

        See `FlowRunClient.read_flow_run`.
        """
        return run_queries.read_flow_run(flow_run_id)

    async def read_flow_run_states(self, flow_run_id: UUID | str) -> list[State[Any]]:
        """Return the states a flow run went through, the present one last.

        See `FlowRunClient.read_flow_run_states`.
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

        See `FlowRunClient.read_flow_runs`.
        """
        return run_queries.read_flow_runs(flow_run_filter, task_run_filter, sort, limit, offset)

    async def set_flow_run_state(
        self, flow_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult:
        """Let a flow run enter a state.

        See `FlowRunClient.set_flow_run_state`.
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

        See `FlowRunClient.create_flow_run`.
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

        See `FlowRunClient.delete_flow_run`.
        """
        run_queries.delete_flow_run(flow_run_id)
