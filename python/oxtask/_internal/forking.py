"""Before a fork: what the engine imports on first use is imported now.

The lock of a module that another thread is importing at the time would stay locked in the child for
ever.
"""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "oxtask.context",
    "oxtask.flows",
    "oxtask.futures",
    "oxtask.logging",
    "oxtask.logging.prints",
    "oxtask.settings",
    "oxtask.states",
    "oxtask.task_runners",
    "oxtask.tasks",
    "oxtask._internal.calls",
    "oxtask._internal.deadlines",
    "oxtask._internal.engine",
    "oxtask._internal.flow_drain",
    "oxtask._internal.flow_engine",
    "oxtask._internal.flow_life",
    "oxtask._internal.flow_parameters",
    "oxtask._internal.generators",
    "oxtask._internal.inputs",
    "oxtask._internal.loops",
    "oxtask._internal.mapping",
    "oxtask._internal.outcomes",
    "oxtask._internal.progress",
    "oxtask._internal.state_conversions",
    "oxtask._internal.stream",
    "oxtask._internal.tag_limits",
    "oxtask._internal.task_runs",
    "oxtask._internal.run_sources",
    "oxtask.utilities.callables",
    "uuid",
)


def prepare() -> None:
    """Import everything that code after a fork may need; waits for imports of other threads."""
    for name in MODULES:
        import_module(name)
