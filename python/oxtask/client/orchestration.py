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

from typing import TYPE_CHECKING, Literal, overload

from oxtask._internal import run_history, run_queries
from oxtask.client._flow_runs import FlowRunAsyncClient, FlowRunClient
from oxtask.client._limits import ConcurrencyLimitAsyncClient, ConcurrencyLimitClient
from oxtask.client._logs import LogAsyncClient, LogClient
from oxtask.client._stored import StoredAsyncClient, StoredClient
from oxtask.client._task_runs import TaskRunAsyncClient, TaskRunClient

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import Self

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


class SyncOxtaskClient(
    _Opened, TaskRunClient, FlowRunClient, LogClient, ConcurrencyLimitClient, StoredClient
):
    """A client whose methods return what they read.

    In a ``with`` block every run of the process is recorded.
    """

    def __enter__(self) -> Self:
        return self._open()

    def __exit__(self, *error: object) -> None:
        self._close()

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


class OxtaskClient(
    _Opened,
    TaskRunAsyncClient,
    FlowRunAsyncClient,
    LogAsyncClient,
    ConcurrencyLimitAsyncClient,
    StoredAsyncClient,
):
    """A client whose methods are coroutine functions; none of them ever waits.

    In an ``async with`` block every run of the process is recorded.
    """

    async def __aenter__(self) -> Self:
        return self._open()

    async def __aexit__(self, *error: object) -> None:
        self._close()

    async def cancel(self, run_id: UUID | str) -> bool:
        """End a task run as cancelled, or have a flow run end so.

        See `SyncOxtaskClient.cancel`.
        """
        return run_queries.cancel(run_id)
