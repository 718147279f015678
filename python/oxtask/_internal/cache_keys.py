"""The key under which the result of a run is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from oxtask._internal import log_lines
from oxtask._internal.steps import Call
from oxtask._internal.templates import filled
from oxtask._internal.text import short_repr
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import HashError
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from oxtask._internal.keeping import Keeping
    from oxtask._internal.steps import Steps
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask._internal.task_runs import RunLog


def key_of(
    log: RunLog[Any], task: TaskMachinery, own: Keeping, parameters: dict[str, Any]
) -> Steps:
    """Work out the key of a run.

    Args:
        log: The log of the run.
        task: Its task.
        own: Where the result goes.
        parameters: Its arguments by name, resolved.

    Returns:
        The key, or ``None`` if nothing is to be looked up under it.

    Raises:
        KeyError, ValueError: If a ``result_storage_key`` cannot be filled in, or leads out of the
            storage.
    """
    policy = task.cache_policy
    key: str | None
    if policy is None:
        if task.result_storage_key is None:
            return None
        key = filled(task.result_storage_key, template_fields(parameters))
    else:
        flow_context = FlowRunContext.get()
        around = {} if flow_context is None else flow_context.parameters or {}
        try:
            found = yield Call(policy.compute_key, (TaskRunContext.get(), parameters, around))
            key = text_of(found)
        except Exception as error:  # noqa: BLE001 - logged; the run is not cached
            if not _is_expected(task, error):
                log_lines.key_failed(log, task, error)
            return None
    if not key:
        return None
    own.store._normal(key)  # refused before the body runs, not after
    return key


def text_of(key: Any) -> str | None:
    """Return what a policy has made as a key."""
    if key is None or isinstance(key, str):
        return key
    if isinstance(key, (int, UUID)) and not isinstance(key, bool):
        return str(key)
    raise TypeError(
        f"A cache key must be a string, or None for a run that is not cached; got "
        f"{short_repr(key)} of type {type(key).__name__}"
    )


def _is_expected(task: TaskMachinery, error: Exception) -> bool:
    """Tell whether nobody asked for the key that an iterator, read once, cannot have."""
    cause = error.__cause__
    return task._policy is NotSet and isinstance(cause, HashError) and cause.is_read_once


def template_fields(parameters: dict[str, Any], task_run: Any = None) -> Mapping[str, Any]:
    """Return what a ``result_storage_key`` can name.

    Args:
        parameters: The arguments of the run by name.
        task_run: What stands for the run; by default the one this code is in.
    """
    from oxtask import runtime  # noqa: PLC0415 - start-up time

    modules: dict[str, Any] = {
        name: _Fields(getattr(runtime, name)) for name in ("deployment", "flow_run", "task_run")
    }
    if task_run is not None:
        modules["task_run"] = task_run
    package = _Names({"runtime": _Names(modules)})
    return {**modules, "oxtask": package, "prefect": package, "parameters": parameters}


class _Fields:
    """The values of a module of `oxtask.runtime`, and nothing else of it."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name not in self._module.FIELDS:
            known = ", ".join(self._module.FIELDS)
            raise KeyError(
                f"{self._module.__name__.rpartition('.')[2]} has no field {name!r}; it has {known}"
            )
        return getattr(self._module, name)


class _Names:
    def __init__(self, names: dict[str, Any]) -> None:
        self.__dict__.update(names)
