"""Tasks and flows at the speed of a function call: Prefect's task API on a Rust core, no server.

>>> from oxtask import flow, task
>>> @task
... def double(x: int) -> int:
...     return 2 * x
>>> @flow
... def doubles(n: int) -> list[int]:
...     return double.map(range(n)).result()
>>> doubles(4)
[0, 2, 4, 6]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxtask.client.orchestration import get_client
    from oxtask.context import tags
    from oxtask.flows import Flow, flow
    from oxtask.logging import get_run_logger
    from oxtask.states import State
    from oxtask.tasks import Task, task
    from oxtask.transactions import Transaction
    from oxtask.utilities.annotations import allow_failure, unmapped

__version__ = "0.1.0"

_HOMES = {
    "Flow": "oxtask.flows",
    "State": "oxtask.states",
    "Task": "oxtask.tasks",
    "Transaction": "oxtask.transactions",
    "allow_failure": "oxtask.utilities.annotations",
    "flow": "oxtask.flows",
    "get_client": "oxtask.client.orchestration",
    "get_run_logger": "oxtask.logging",
    "tags": "oxtask.context",
    "task": "oxtask.tasks",
    "unmapped": "oxtask.utilities.annotations",
}

__all__ = [
    "Flow",
    "State",
    "Task",
    "Transaction",
    "__version__",
    "allow_failure",
    "flow",
    "get_client",
    "get_run_logger",
    "tags",
    "task",
    "unmapped",
]


if not TYPE_CHECKING:  # else every name would be there for type checkers

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            msg = f"module 'oxtask' has no attribute {name!r}"
            raise AttributeError(msg)
        from importlib import import_module  # noqa: PLC0415 - names are loaded on first use

        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
