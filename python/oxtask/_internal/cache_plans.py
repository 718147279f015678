"""How the core caches the runs of a task by itself, worked out once per task.

It does where the results go to the pack of the settings and the key is made of what the core knows.
Everything else is for the engine: see `oxtask._internal.task_transactions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import cache_costs, keeping, log_lines
from oxtask._internal.keeping import Keeping
from oxtask.context import FlowRunContext
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask import _core
    from oxtask._internal.task_machinery import TaskMachinery


def parts_of(task: TaskMachinery) -> dict[str, Any] | None:
    """Return what a `_core.Caching` of a task is made of; ``None`` if the engine caches it."""
    policy = task.cache_policy
    if (
        policy is None
        or task.isgenerator
        or task.refresh_cache
        or keeping.has_own_store(task)
        or getattr(policy, "isolation_level", None) is not None
        or log_lines.may_be_on(log_lines.INFO)
    ):
        return None
    from oxtask._internal.keys_plans import key_plan_of  # noqa: PLC0415 - start-up time

    keys = key_plan_of(task)
    if keys is None or not keys.members:
        return None
    span = task.cache_expiration
    needs_flow = bool({"RunId", "FlowParameters"} & set(keys.members))
    return {
        "keys": keys,
        "expiration": None if span is None else max(0, round(span.total_seconds() * 1e9)),
        "open": _opener(task, needs_flow=needs_flow),
        "inherits": task.persist_result is None,
        "costs": cache_costs.costs_of(task),
    }


def _opener(task: TaskMachinery, *, needs_flow: bool) -> Callable[[Keeping | None], Any]:
    """Return a function that the core asks, when runs are made, where they store results.

    With it comes what of the flow run takes part in keys, if something does. It returns ``None`` if
    the engine must make the runs.
    """
    known: list[Any] = [None, None, None]  # settings, what is decided around, and what follows
    persists, refreshes = task.persist_result, task.refresh_cache

    def opened(around: Keeping | None) -> Any:
        settings = get_current_settings()
        if settings is not known[0] or around is not known[1]:
            known[:] = settings, around, _place_of(persists, refreshes)
        place = known[2]
        return (*place, *_of_flow()) if needs_flow and place is not None else place

    return opened


def _place_of(persists: bool | None, refreshes: bool | None) -> tuple[_core.Pack, Keeping] | None:
    outer = keeping.current()
    if not keeping.persists(persists, outer) or keeping.is_refreshed(refreshes):
        return None
    store = outer.plain_store
    pack = store._pack
    return None if pack is None else (pack, Keeping(True, lambda: store))


def _of_flow() -> tuple[str | None, dict[str, Any] | None]:
    context = FlowRunContext.get()
    if context is None:
        return None, None
    return str(context.flow_run.id), context.parameters
