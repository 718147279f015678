"""Clients of the runs of this process, and the records they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxtask.client.orchestration import get_client

__all__ = ["get_client"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    # Importing a record must not import the engine.
    from oxtask.client.orchestration import get_client  # noqa: PLC0415

    return get_client
