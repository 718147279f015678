"""The flow run this code is in: ``oxtask.runtime.flow_run.<attribute>``.

Attributes: ``id``, ``tags``, ``scheduled_start_time``, ``name``, ``flow_name``, ``flow_version``,
``parameters``, ``parent_flow_run_id``, ``root_flow_run_id``, ``run_count``, and, without meaning
here, ``parent_deployment_id``, ``api_url``, ``ui_url`` and ``job_variables``.

Outside of a flow, ``OXTASK__FLOW_RUN_ID`` says which run it is; a run that is not under way in this
process is looked up in its history, see `oxtask.get_client`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from oxtask._internal import live_runs
from oxtask._internal.runtime_values import value_of
from oxtask.context import FlowRunContext, TaskRunContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from oxtask.client.schemas.objects import FlowRun


def _record() -> FlowRun | None:
    context = FlowRunContext.get()
    return _known(get_id()) if context is None else context.flow_run


def _known(run_id: Any) -> FlowRun | None:
    """Return the record of a run: the run itself if it is under way, else what was kept of it."""
    from oxtask._internal.ids import to_uuid  # noqa: PLC0415 - start-up time

    try:
        identifier = None if run_id is None else to_uuid(run_id, "run_id")
    except ValueError:  # what the environment says is no id
        return None
    if identifier is None:
        return None
    running = live_runs.find(identifier)
    if running is not None:
        return running.record
    from oxtask._internal import run_history  # noqa: PLC0415 - start-up time

    run = run_history.flow_run(identifier.int)
    return None if run is None else run.record


def _caller(record: FlowRun | None) -> FlowRun | None:
    """Return the record of the run in which the flow of another was called."""
    running = live_runs.of(record)
    if running is not None:
        return running.parent
    if record is None or record.parent_task_run_id is None:
        return None
    from oxtask._internal import run_history  # noqa: PLC0415 - start-up time

    tracking = run_history.task_run(record.parent_task_run_id.int)
    return None if tracking is None else _known(tracking.record.flow_run_id)


def get_id() -> str | None:
    """Return the id of the run."""
    context, task_context = FlowRunContext.get(), TaskRunContext.get()
    if context is not None:
        return str(context.flow_run.id)
    if task_context is not None and task_context.task_run.flow_run_id is not None:
        return str(task_context.task_run.flow_run_id)
    return os.environ.get("OXTASK__FLOW_RUN_ID")


def get_tags() -> list[str]:
    """Return the tags of the run."""
    record = _record()
    return [] if record is None else list(record.tags)


def get_scheduled_start_time() -> datetime:
    """Return when the run was to start; now, outside of runs."""
    record = _record()
    expected = None if record is None else record.expected_start_time
    if expected is None:
        from oxtask._internal.times import utc_now  # noqa: PLC0415 - start-up time

        return utc_now()
    return expected


def get_name() -> str | None:
    """Return the name of the run."""
    record = _record()
    return None if record is None else record.name


def get_flow_name() -> str | None:
    """Return the name of the flow."""
    context = FlowRunContext.get()
    if context is not None:
        return context.flow.name
    record = _record()
    if record is None:
        return None
    from oxtask._internal.flow_runs import flow_name  # noqa: PLC0415 - start-up time

    return flow_name(record.flow_id)


def get_flow_version() -> str | None:
    """Return the version of the flow."""
    record = _record()
    return None if record is None else record.flow_version


def get_parameters() -> dict[str, Any]:
    """Return the parameters of the run: the objects themselves in a flow."""
    context = FlowRunContext.get()
    if context is not None:
        return dict(context.parameters or {})
    record = _record()
    return {} if record is None else record.parameters


def get_parent_flow_run_id() -> str | None:
    """Return the id of the run in which this flow was called."""
    parent = _caller(_record())
    return None if parent is None else str(parent.id)


def get_root_flow_run_id() -> str | None:
    """Return the id of the outermost run; a run that no flow has called is its own."""
    record = _record()
    if record is None:
        return get_id()
    while (parent := _caller(record)) is not None:
        record = parent
    return str(record.id)


def get_run_count() -> int:
    """Return the number of the attempt, from 1."""
    record = _record()
    return 0 if record is None else record.run_count


def get_none() -> None:
    """Return ``None``: what there is no server for."""
    return


FIELDS: dict[str, Callable[[], Any]] = {
    "id": get_id,
    "tags": get_tags,
    "scheduled_start_time": get_scheduled_start_time,
    "name": get_name,
    "flow_name": get_flow_name,
    "flow_version": get_flow_version,
    "parameters": get_parameters,
    "parent_flow_run_id": get_parent_flow_run_id,
    "parent_deployment_id": get_none,
    "root_flow_run_id": get_root_flow_run_id,
    "run_count": get_run_count,
    "api_url": get_none,
    "ui_url": get_none,
    "job_variables": get_none,
}
"""What is called for each attribute; tests may replace entries."""

__all__ = [
    "api_url",
    "flow_name",
    "flow_version",
    "id",
    "job_variables",
    "name",
    "parameters",
    "parent_deployment_id",
    "parent_flow_run_id",
    "root_flow_run_id",
    "run_count",
    "scheduled_start_time",
    "tags",
    "ui_url",
]


if TYPE_CHECKING:
    api_url: str | None
    flow_name: str | None
    flow_version: str | None
    id: str | None
    job_variables: dict[str, Any] | None
    name: str | None
    parameters: dict[str, Any]
    parent_deployment_id: str | None
    parent_flow_run_id: str | None
    root_flow_run_id: str | None
    run_count: int
    scheduled_start_time: datetime
    tags: list[str]
    ui_url: str | None


def __getattr__(name: str) -> Any:
    return value_of("flow_run", name, FIELDS)


def __dir__() -> list[str]:
    return sorted(__all__)
