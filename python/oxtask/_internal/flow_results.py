"""Storing what a flow run came to, if results are kept there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import log_lines
from oxtask._internal.steps import Work
from oxtask._internal.stored_links import link_to
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from oxtask._internal.flow_runs import FlowRunning
    from oxtask._internal.steps import Steps
    from oxtask.states import State


def keep(running: FlowRunning, state: State[Any]) -> Steps:
    """Store the value of a run that completed, or the exception of one that failed.

    A value that cannot be stored costs a line in the log, not the run.
    """
    own = running.keeping
    if own is None or not own.persists:
        return
    data = state.data
    if state.is_completed() and type(data) is ResultRecord:
        record = data
    elif state.is_failed() and isinstance(data, Exception):
        record = ResultRecord(data)
    else:
        return
    try:
        store = own.store
        if record.metadata is None:
            record.metadata = store.create_result_record(record.result).metadata
        yield Work(lambda calls: calls.call(store.persist_result_record, record))
        running.log.stored = link_to(record.metadata)
    except Exception as error:  # noqa: BLE001 - logged; the run has ended
        text = f"The result of the flow run could not be stored: {error}"
        log_lines.write(running.log, running.flow, log_lines.WARNING, text)
