"""What can be done with flow runs from outside of them.

>>> from oxtask import flow
>>> from oxtask.context import FlowRunContext
>>> @flow
... def endless():
...     cancel(FlowRunContext.get().flow_run.id)
>>> endless(return_state=True).name
'Cancelled'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.run_waiters import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from oxtask.client.orchestration import OxtaskClient
    from oxtask.client.schemas.objects import FlowRun
    from oxtask.states import State

__all__ = ["FlowRunWaiter", "cancel", "wait_for_flow_run"]


def cancel(run_id: UUID | str) -> bool:
    """Cancel a flow run of this process: true if this call did, false if it was not under way.

    The run is interrupted wherever it is, from whatever thread this is called, and with it the runs
    inside of it; its task runs are cancelled. It goes through the states Cancelling, in which its
    ``on_cancellation`` hooks are called, and Cancelled, and its caller gets `CancelledRun`. This
    does not wait for that. A run on a thread that is not the main thread goes on until a call of
    its own that blocks outside of Python returns.

    Args:
        run_id: The id of the run, as in ``flow_run.id``.

    Raises:
        ValueError: If ``run_id`` is no id.
    """
    from oxtask._internal import flow_cancel  # noqa: PLC0415 - start-up time
    from oxtask._internal.ids import to_uuid  # noqa: PLC0415

    return flow_cancel.cancel(to_uuid(run_id, "run_id"))


async def wait_for_flow_run(
    flow_run_id: UUID | str,
    timeout: float | None = 10_800,
    poll_interval: float | None = None,
    client: OxtaskClient | None = None,
    log_states: bool = False,
) -> FlowRun:
    """Wait until a flow run of this process has ended, and return its record.

    Args:
        flow_run_id: The run.
        timeout: How long to wait, in seconds; three hours by default.
        poll_interval: Not used, with a warning in the log: nobody polls.
        client: Not used: all clients know the same runs.
        log_states: Log the states of the run at level INFO: the present one, and every one that
            the run enters while this waits.

    Raises:
        FlowRunWaitTimeout: If the run has not ended in time.
        ObjectNotFound: If the run is not known.
        ValueError: If ``flow_run_id`` is no id, or ``timeout`` is negative.
    """
    from contextlib import nullcontext  # noqa: PLC0415 - start-up time

    from oxtask._internal import run_ends, run_queries  # noqa: PLC0415
    from oxtask._internal.ids import to_uuid  # noqa: PLC0415
    from oxtask.exceptions import FlowRunWaitTimeout  # noqa: PLC0415
    from oxtask.logging import get_logger  # noqa: PLC0415

    del client
    logger = get_logger()
    if poll_interval is not None:
        logger.warning("'poll_interval' has no effect: the run tells when it ends. Leave it out.")
    run_id = to_uuid(flow_run_id, "flow_run_id")

    def log(state: State[Any] | None) -> None:
        if state is not None:
            logger.info("Flow run is in state %r", state.name)

    with run_ends.listening(run_id.int, log) if log_states else nullcontext():
        state = run_queries.read_flow_run(run_id).state
        if log_states:
            log(state)
        await FlowRunWaiter.wait_for_flow_run(run_id, timeout)
    run = run_queries.read_flow_run(run_id)
    if run.state is None or not run.state.is_final():
        raise FlowRunWaitTimeout(
            f"Flow run with ID {run_id} exceeded watch timeout of {timeout} seconds"
        )
    return run


class FlowRunWaiter(Waiter):
    """Waits for flow runs of this process by their ids.

    A run need not have begun, nor be known. There is one waiter a process, which has nothing to
    start and nothing to stop: the run itself tells those who wait.
    """

    @classmethod
    async def wait_for_flow_run(cls, flow_run_id: UUID | str, timeout: float | None = None) -> None:
        """Wait until a run has ended, or ``timeout`` seconds have passed; which is not told.

        Args:
            flow_run_id: The run.
            timeout: How long to wait, in seconds.

        Raises:
            ValueError: If ``flow_run_id`` is no id, or ``timeout`` is negative.
        """
        from oxtask._internal import run_history  # noqa: PLC0415 - start-up time

        await cls._ended(run_history.flow_run, flow_run_id, "flow_run_id", timeout)

    @classmethod
    def add_done_callback(cls, flow_run_id: UUID | str, callback: Callable[[], object]) -> None:
        """Call a function when a run has ended; at once if it has.

        Every function is called that was added, in that order. What it raises is logged.

        Args:
            flow_run_id: The run.
            callback: The function; it takes no argument.

        Raises:
            ValueError: If ``flow_run_id`` is no id.
        """
        from oxtask._internal import run_history  # noqa: PLC0415 - start-up time

        cls._expect(run_history.flow_run, flow_run_id, "flow_run_id", callback)
