"""The deployment of the current flow run: there is none without a server.

``oxtask.runtime.deployment.flow_run_id`` is the id of the flow run; ``id``, ``name`` and
``version`` are ``None``, ``parameters`` is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.runtime_values import value_of
from oxtask.runtime.flow_run import get_id, get_none

if TYPE_CHECKING:
    from collections.abc import Callable


def get_parameters() -> dict[str, Any]:
    """Return no parameters."""
    return {}


FIELDS: dict[str, Callable[[], Any]] = {
    "id": get_none,
    "name": get_none,
    "version": get_none,
    "flow_run_id": get_id,
    "parameters": get_parameters,
}
"""What is called for each attribute; tests may replace entries."""

__all__ = ["flow_run_id", "id", "name", "parameters", "version"]


if TYPE_CHECKING:
    flow_run_id: str | None
    id: str | None
    name: str | None
    parameters: dict[str, Any]
    version: str | None


def __getattr__(name: str) -> Any:
    return value_of("deployment", name, FIELDS)


def __dir__() -> list[str]:
    return sorted(__all__)
