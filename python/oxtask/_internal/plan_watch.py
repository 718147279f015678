"""What plans of tasks depend on besides the task: log levels, settings, flows that print, limits.

Whether the runs of a task need the engine is worked out once per task. When one of these changes,
the plans of all tasks are forgotten, and worked out anew on next use.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any
from weakref import ref

from oxtask.settings import get_current_settings
from oxtask.settings.table import listeners

if TYPE_CHECKING:
    import logging

    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.flows import Flow
    from oxtask.settings import Settings


_planned: set[ref[TaskMachinery]] = set()
"""The tasks that have a plan. A `WeakSet` would cost each access to a method three times as much;
all that is done with the set is a single call into C, so it needs no lock."""


_flows_with_prints: set[ref[Flow[..., Any]]] = set()
"""The flows that log prints. While there is one, tasks ask the flow they run in."""

_flows_that_keep: set[ref[Flow[..., Any]]] = set()
"""The flows in which results are kept. While there is one, the core caches the runs of any task."""

_settings_with_prints: list[Settings] = []
"""The settings that hold somewhere and say that prints are logged."""


_settings_with_results: list[Settings] = []
"""The settings that hold somewhere and say that results are kept."""


_limited_homes: set[str] = set()
"""The homes in which there is a concurrency limit for task runs with some tag."""

_SECONDS_BETWEEN_LOOKS = 0.1
_next_look = [0.0]


def keep(task: TaskMachinery) -> None:
    """Take note of a task that is about to get a plan."""
    _planned.add(ref(task, _planned.discard))


def forget() -> None:
    """Have the plans of all tasks worked out anew."""
    for reference in list(_planned):
        task = reference()
        if task is not None:
            task._known_plans.clear()
            task._forget_plan()


def expect_prints(flow: Flow[..., Any]) -> None:
    """Take note of a flow that logs prints."""
    _flows_with_prints.add(ref(flow, _flows_with_prints.discard))
    forget()


def prints_may_be_logged() -> bool:
    """Tell whether some flow, or some settings, ask for prints to be logged."""
    return bool(
        _flows_with_prints or _settings_with_prints or get_current_settings().logging.log_prints
    )


def expect_kept(flow: Flow[..., Any]) -> None:
    """Take note of a flow in which results are kept."""
    if not _flows_that_keep:
        forget()
    _flows_that_keep.add(ref(flow, _flows_that_keep.discard))


def flows_may_keep() -> bool:
    """Tell whether there is a flow in which results are kept."""
    return bool(_flows_that_keep)


def results_may_be_kept() -> bool:
    """Tell whether some settings ask for the results of runs that do not say to be kept.

    A run that does say so, or that is not to keep its own, must be known to the runs in it.
    """
    return bool(_settings_with_results) or _keeps_results(get_current_settings())


def _keeps_results(settings: Settings) -> bool:
    return settings.results.persist_by_default or bool(settings.tasks.default_persist_result)


def expect_tag_limits(home: str, are_there: bool) -> None:
    """Take note that a home has concurrency limits for tags, or that it has none any more."""
    before = bool(_limited_homes)
    (_limited_homes.add if are_there else _limited_homes.discard)(home)
    if bool(_limited_homes) != before:
        forget()


def tags_may_be_limited() -> bool:
    """Tell whether there is a concurrency limit for task runs with some tag."""
    return bool(_limited_homes)


def look_for_limits(*, now_and_then: bool = False) -> None:
    """Take note of the limits that other processes have made, or have changed.

    Where there are none this is the question whether a file exists: plain runs know nothing of it.

    Args:
        now_and_then: Not if somebody has looked just now.
    """
    if now_and_then:
        now = time.monotonic()
        if now < _next_look[0]:
            return
        _next_look[0] = now + _SECONDS_BETWEEN_LOOKS
    store: Any = getattr(sys.modules.get("oxtask._internal.limits"), "store", None)
    if store is None:
        # As it is stored: reading the setting would import pathlib.
        home = get_current_settings().__dict__["home"]
        if not os.path.exists(f"{home}/limits/limits.json"):  # noqa: PTH110 - a string
            return
        from oxtask._internal.limits import store  # noqa: PLC0415 - start-up time
    store().refresh()


def _settings_changed(settings: Settings, *, is_begin: bool) -> None:
    is_special = False
    for known, counts in (
        (_settings_with_prints, settings.logging.log_prints),
        (_settings_with_results, _keeps_results(settings)),
    ):
        if counts:
            is_special = True
            if is_begin:
                known.append(settings)
            elif settings in known:
                known.remove(settings)
    if is_special:
        forget()


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
