"""What plans of tasks depend on besides the task: log levels, settings, flows that log prints.

Whether the runs of a task need the engine is worked out once per task. When one of these changes,
the plans of all tasks are forgotten, and worked out anew on next use.
"""

from __future__ import annotations

import sys
from _thread import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from oxtask.settings import get_current_settings
from oxtask.settings.table import listeners

if TYPE_CHECKING:
    import logging

    from oxtask._internal.task_machinery import TaskMachinery


class _Watch:
    """What is known of the whole process.

    Attributes:
        tasks: The tasks that have a plan.
        prints: Whether a flow or a setting of this process has asked for prints to be logged.
            Never false again: a run that asks its flow in vain is slower, no more.
    """

    def __init__(self) -> None:
        self.tasks: WeakSet[TaskMachinery] = WeakSet()
        self.prints = False
        self.lock = RLock()  # a finaliser may call a task while it is held


_watch = _Watch()


def keep(task: TaskMachinery) -> None:
    """Take note of a task that is about to get a plan."""
    with _watch.lock:
        _watch.tasks.add(task)


def forget() -> None:
    """Have the plans of all tasks worked out anew."""
    with _watch.lock:
        tasks = list(_watch.tasks)
        _watch.tasks.clear()
    for task in tasks:
        task._known_plans.clear()
        task._forget_plan()


def expect_prints() -> None:
    """Take note that some flow or setting logs prints; tasks then ask where they run."""
    if not _watch.prints:
        _watch.prints = True
        forget()


def prints_may_be_logged() -> bool:
    """Tell whether some flow or setting has asked for prints to be logged."""
    _settings_changed()
    return _watch.prints


def _settings_changed() -> None:
    if get_current_settings().logging.log_prints:
        expect_prints()


listeners.append(_settings_changed)


class _Levels(dict[int, bool]):
    """The levels a logger is known to be enabled for, which `logging` clears at every change."""

    def clear(self) -> None:
        super().clear()
        forget()


def watch(logger: logging.Logger) -> None:
    """Forget the plans when the level of a logger changes, or that of one above it."""
    if not isinstance(logger._cache, _Levels):  # type: ignore[attr-defined]
        logger._cache = _Levels()  # type: ignore[attr-defined]


class _UntilLoggingIsImported:
    """A finder that finds nothing: it waits for the import of `logging`.

    Without it no logger can have a level; from its import on, loggers are asked.
    """

    def find_spec(self, name: str, *_: Any) -> None:
        """Note that a module is being imported."""
        if name == "logging":
            sys.meta_path.remove(self)
            forget()


if "logging" not in sys.modules:
    sys.meta_path.insert(0, _UntilLoggingIsImported())
