"""Tasks made from tasks: with other options, bound to an object, copied, pickled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from oxtask._internal.task_options import HOOK_OPTIONS, TaskOptions, check_names, checked
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from oxtask._internal.task_machinery import TaskMachinery

    TaskT = TypeVar("TaskT", bound=TaskMachinery)


def with_options(task: TaskT, options: dict[str, Any]) -> TaskT:
    """Return a task like this one with some options replaced."""
    check_names("with_options", options, TaskOptions)
    if options.get("cache_policy") is NotSet:
        del options["cache_policy"]
    given = {**task._given, **_current(task), **options}
    if given["cache_result_in_memory"] is None:
        given["cache_result_in_memory"] = task._given["cache_result_in_memory"]
    descriptor = task._descriptor
    function = task.fn if descriptor is None else descriptor(task.fn)
    # Not through the constructor: that of a subclass may take other arguments.
    kept = {"task_key": task.task_key, "_receiver": task._receiver, "_costs": None}
    return copied(task, {**task.__dict__, **checked(function, given), **kept})


def _current(task: TaskMachinery) -> dict[str, Any]:
    """Return options as they stand on the task, where that is not how they were given.

    Sets and lists may have been changed in place, and settings since the task was made. A function
    that makes delays is kept: it is asked again for another number of retries.
    """
    current: dict[str, Any] = {option: getattr(task, f"{option}_hooks") for option in HOOK_OPTIONS}
    current.update(tags=task.tags, retries=task.retries)
    if not callable(task._given["retry_delay_seconds"]):
        current["retry_delay_seconds"] = task.retry_delay_seconds
    return current


def bound(task: TaskT, instance: Any, owner: type | None) -> TaskT:
    """Return a task as an attribute of an object or a class.

    The copy carries the object it is bound to; the task itself is not changed.
    """
    if task._descriptor is staticmethod:
        return task
    receiver = instance
    if task._descriptor is classmethod:
        receiver = type(instance) if owner is None else owner
    if receiver is None:
        return task
    new = copied(task, task.__dict__)
    new.__dict__["_receiver"] = receiver
    return new


def copied(task: TaskT, attributes: dict[str, Any]) -> TaskT:
    """Return a new task of the same class with these attributes."""
    new = _blank(type(task))
    new.__dict__.update(attributes)
    return new


def _blank(kind: type[TaskT]) -> TaskT:
    new: Any = kind.__new__(kind)
    return new  # type: ignore[no-any-return] # the core does not know the subclass


# --- pickling -------------------------------------------------------------------------------------


def reduce(task: TaskMachinery) -> Any:
    """Return how a task is pickled: by name if that is where it is found, else by value.

    A module's function that was decorated cannot be pickled by itself: its name finds the task.
    """
    found = _found_at(task)
    if found is task:
        return _named, _place(task)
    if task._receiver is not None and _is_method(task):
        return getattr, (task._receiver, task.fn.__name__)
    _ = task.source_code  # read now: the file may not be where it is unpickled
    state = portable(task)
    if isinstance(found, type(task)) and found.fn is task.fn:
        state["fn"] = state["__wrapped__"] = _FunctionOfNamed(_place(task))
    return _blank, (type(task),), state


def portable(task: TaskMachinery) -> dict[str, Any]:
    """Return the attributes of a task without those it can work out anew."""
    return {**task.__dict__, "_known_signature": None, "_known_plans": {}, "_costs": None}


def _place(task: TaskMachinery) -> tuple[str, str]:
    return getattr(task.fn, "__module__", None) or "", getattr(task.fn, "__qualname__", "")


def _found_at(task: TaskMachinery) -> Any:
    """Return what stands where the function of a task was defined.

    Nothing counts as found in the main module: that is another one in the process that unpickles.
    """
    module, name = _place(task)
    if module == "__main__" or module not in sys.modules or "<locals>" in name:
        return None
    try:
        return _named(module, name)
    except AttributeError:
        return None


def _named(module: str, qualname: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - start-up time

    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _is_method(task: TaskMachinery) -> bool:
    """Tell whether the object that a task is bound to gives it back under its function's name."""
    found = getattr(task._receiver, getattr(task.fn, "__name__", ""), None)
    if not isinstance(found, type(task)):
        return False
    return all(
        found.__dict__.get(name) is value
        for name, value in task.__dict__.items()
        if not name.startswith("_known")
    )


class _FunctionOfNamed:
    """Stands in a pickle for the function of the task that has a name in a module."""

    def __init__(self, place: tuple[str, str]) -> None:
        self._place = place

    def __reduce__(self) -> Any:
        return _function_of_named, self._place


def _function_of_named(module: str, qualname: str) -> Any:
    return _named(module, qualname).fn
