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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["cancel"]


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
