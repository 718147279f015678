"""Tasks made from tasks: with other options, bound to an object, pickled and copied."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from oxtask._internal.task_options import HOOK_OPTIONS, TaskOptions

if TYPE_CHECKING:
    from oxtask.tasks import Task

    TaskT = TypeVar("TaskT", bound=Task[..., Any])

_FOLLOWED = ("name", "description", "tags", "retries", "timeout_seconds", "task_run_name", "log_prints")


def with_options(task: TaskT, options: dict[str, Any]) -> TaskT:
    """Return a copy of a task with some options replaced."""
    unknown = options.keys() - TaskOptions.__annotations__.keys()
    if unknown:
        msg = (
            f"with_options() got an unexpected keyword argument {min(unknown)!r}; "
            f"the options are {', '.join(TaskOptions.__annotations__)}"
        )
        raise TypeError(msg)
    attributes = vars(task)
    given = {**_current(task), **options}
    if given["cache_result_in_memory"] is None:
        given["cache_result_in_memory"] = attributes["_given"]["cache_result_in_memory"]
    descriptor = attributes["_descriptor"]
    fn: Any = descriptor(task.fn) if descriptor else task.fn
    new = type(task)(fn, **given)
    vars(new).update(task_key=task.task_key, _receiver=attributes["_receiver"])
    return new


def _current(task: Task[..., Any]) -> dict[str, Any]:
    """Return the options of a task as they are now, whether given or changed since."""
    attributes = vars(task)
    current = dict(attributes["_given"])
    current.update({option: attributes[option] for option in _FOLLOWED})
    current.update({option: list(attributes[f"{option}_hooks"]) for option in HOOK_OPTIONS})
    return current


def bound(task: TaskT, instance: Any, owner: type | None) -> TaskT:
    """Return a task as an attribute of an object or a class.

    The copy carries the object it is bound to; the task itself is not changed.
    """
    descriptor = vars(task)["_descriptor"]
    if descriptor is staticmethod:
        return task
    receiver = instance
    if descriptor is classmethod:
        receiver = type(instance) if owner is None else owner
    if receiver is None:
        return task
    copied = copy.copy(task)
    vars(copied)["_receiver"] = receiver
    return copied


def by_reference(task: Task[..., Any]) -> tuple[str, str] | None:
    """Return module and name under which a task is found, if its module holds it there."""
    module_name = getattr(task.fn, "__module__", None)
    qualname = getattr(task.fn, "__qualname__", "")
    if module_name is None or module_name == "__main__":
        return None
    found: Any = sys.modules.get(module_name)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return (module_name, qualname) if found is task else None


def find(module_name: str, qualname: str) -> Any:
    """Return the task that `by_reference` described."""
    from importlib import import_module  # noqa: PLC0415 - start-up time

    found: Any = import_module(module_name)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def rebuilt(kind: type[TaskT]) -> TaskT:
    """Return a task without attributes, for unpickling to fill."""
    return kind.__new__(kind)
