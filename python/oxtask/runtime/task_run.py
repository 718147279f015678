"""The task run this code is in: ``oxtask.runtime.task_run.<attribute>``.

Attributes: ``id``, ``tags``, ``name``, ``parameters``, ``run_count``, ``task_name``, and, without
meaning here, ``api_url`` and ``ui_url``. In the body of a flow that a task has called there is no
task run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.runtime_values import value_of
from oxtask.context import TaskRunContext

if TYPE_CHECKING:
    from collections.abc import Callable


def _context() -> TaskRunContext | None:
    from oxtask.logging.loggers import current_run_context  # noqa: PLC0415 - start-up time

    context = current_run_context()
    return context if isinstance(context, TaskRunContext) else None


def get_id() -> str | None:
    """Return the id of the run."""
    context = _context()
    return None if context is None else str(context.task_run.id)


def get_tags() -> list[str]:
    """Return the tags of the run."""
    context = _context()
    return [] if context is None else list(context.task_run.tags)


def get_name() -> str | None:
    """Return the name of the run."""
    context = _context()
    return None if context is None else context.task_run.name


def get_parameters() -> dict[str, Any]:
    """Return the bound and resolved parameters."""
    context = _context()
    return {} if context is None else dict(context.parameters)


def get_run_count() -> int:
    """Return the number of the attempt, from 1."""
    context = _context()
    return 0 if context is None else context.task_run.run_count


def get_task_name() -> str | None:
    """Return the name of the task."""
    context = _context()
    return None if context is None else context.task.name


def get_none() -> None:
    """Return ``None``: what there is no server for."""
    return


FIELDS: dict[str, Callable[[], Any]] = {
    "id": get_id,
    "tags": get_tags,
    "name": get_name,
    "parameters": get_parameters,
    "run_count": get_run_count,
    "task_name": get_task_name,
    "api_url": get_none,
    "ui_url": get_none,
}
"""What is called for each attribute; tests may replace entries."""

__all__ = [
    "api_url",
    "id",
    "name",
    "parameters",
    "run_count",
    "tags",
    "task_name",
    "ui_url",
]


if TYPE_CHECKING:
    api_url: str | None
    id: str | None
    name: str | None
    parameters: dict[str, Any]
    run_count: int
    tags: list[str]
    task_name: str | None
    ui_url: str | None


def __getattr__(name: str) -> Any:
    return value_of("task_run", name, FIELDS)


def __dir__() -> list[str]:
    return sorted(__all__)
