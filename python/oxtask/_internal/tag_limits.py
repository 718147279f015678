"""Concurrency limits of tags: a run has a slot of each before it is running, and while it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import engine, log_lines
from oxtask._internal.limits import store
from oxtask._internal.slots import Lease
from oxtask._internal.steps import Wait
from oxtask._internal.task_runs import FAILED
from oxtask._internal.text import short_repr
from oxtask.concurrency.errors import ConcurrencySlotAcquisitionError

if TYPE_CHECKING:
    from oxtask._core import Run
    from oxtask._internal.steps import Steps
    from oxtask._internal.task_runs import RunLog


def attempts(run: Run, log: RunLog[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """Carry out attempts that follow each other at once, holding the slots of the run's tags.

    They are given back when the run has ended, and when it must wait for its next attempt.
    """
    lease = None
    try:
        try:
            lease = _lease(log)
            if lease is not None:
                log.slots = lease
                if not lease.ticket.is_granted:
                    # Whoever ends the run meanwhile wakes it.
                    run.future.add_done_callback(lambda _, lease=lease: lease.release())  # type: ignore[misc]
                    if not (yield Wait(lease)):
                        return engine.LOST, None
        except ConcurrencySlotAcquisitionError as error:
            log_lines.failed(log, run.task, error)
            return (yield from engine.end(run, FAILED, error))
        return (yield from engine.attempts(run, log, args, kwargs))
    finally:
        if lease is not None:
            lease.release()
        del run


def _lease(log: RunLog[Any]) -> Lease | None:
    """Ask for a slot of each limit that holds for a run; ``None`` if none does.

    Raises:
        ConcurrencySlotAcquisitionError: If one of the limits is 0.
    """
    limits = store().tag_limits(log.record.tags)
    if not limits:
        return None
    for name, slots in limits:
        if slots == 0:
            msg = (
                f"the concurrency limit {short_repr(name)} is 0: no task run with this tag may "
                "start; raise the limit, or take the tag off"
            )
            raise ConcurrencySlotAcquisitionError(msg)
    return Lease([name for name, _ in limits])
