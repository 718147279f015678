"""The flow runs of this process that are under way, so that they can be found by their record."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask._internal.flow_runs import FlowRunning
    from oxtask.client.schemas.objects import FlowRun

_running: dict[int, FlowRunning] = {}
"""By the identity of their records, which costs less than their ids."""


def add(running: FlowRunning) -> None:
    """Take note of a run that begins."""
    _running[id(running.record)] = running


def remove(running: FlowRunning) -> None:
    """Forget a run that has ended."""
    _running.pop(id(running.record), None)


def has(running: FlowRunning) -> bool:
    """Tell whether a run is under way."""
    record = getattr(running, "record", None)
    return record is not None and _running.get(id(record)) is running


def of(record: FlowRun | None) -> FlowRunning | None:
    """Return the run that a record belongs to, if it is under way here."""
    return None if record is None else _running.get(id(record))


def find(run_id: UUID) -> FlowRunning | None:
    """Return the run of this id, if it is under way here."""
    for running in list(_running.values()):
        record = getattr(running, "record", None)  # the run may end meanwhile
        if record is not None and record.id == run_id:
            return running
    return None
