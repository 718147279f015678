"""When a run is tried again. `oxtask.client.schemas.objects` is where users find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.records import Record
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RETRY_DELAYS = 50


def _to_delays(value: Any, name: str) -> Any:
    if isinstance(value, (list, tuple)) and len(value) > MAX_RETRY_DELAYS:
        raise ValueError(
            f"Can not configure more than {MAX_RETRY_DELAYS} retry delays per task. "
            f"'{name}' has {len(value)}; the last delay repeats, so leave out the rest."
        )
    return list(value) if isinstance(value, tuple) else value


def _to_jitter_factor(value: Any, name: str) -> Any:
    if not value >= 0:  # which is how NaN is caught as well
        raise ValueError(
            f"`{name}` must be >= 0; got {short_repr(value)}. Pass 0 to have exact delays."
        )
    return value


class TaskRunPolicy(Record):
    """When a task run is tried again.

    Attributes:
        retries: How often at most.
        retry_delay: How many seconds to wait before: a number, or one for each retry, at most 50.
        retry_jitter_factor: How far a delay may stray from what was asked for, relative to it.

    Raises:
        ValueError: There are more than 50 delays, or the jitter factor is negative.
    """

    __slots__ = _fields = ("retries", "retry_delay", "retry_jitter_factor")
    _constants: ClassVar[Mapping[str, Any]] = dict.fromkeys(_fields)
    _conversions: ClassVar[Mapping[str, Any]] = {
        "retry_delay": _to_delays,
        "retry_jitter_factor": _to_jitter_factor,
    }

    retries: int | None
    retry_delay: float | list[float] | None
    retry_jitter_factor: float | None


class FlowRunPolicy(Record):
    """When a flow run is tried again.

    Attributes:
        retries: How often at most.
        retry_delay: How many seconds to wait before.
        pause_keys: The pauses the run has been through.
        resuming: Whether the run is on its way back from a pause.
        retry_type: ``"in_process"``, ``"reschedule"`` or ``None``.
    """

    __slots__ = _fields = ("retries", "retry_delay", "pause_keys", "resuming", "retry_type")
    _constants: ClassVar[Mapping[str, Any]] = {
        "retries": None,
        "retry_delay": None,
        "resuming": False,
        "retry_type": None,
    }
    _factories: ClassVar[Mapping[str, Any]] = {"pause_keys": lambda _: set()}
    _conversions: ClassVar[Mapping[str, Any]] = {"pause_keys": lambda value, _: set(value)}

    retries: int | None
    retry_delay: float | None
    pause_keys: set[str]
    resuming: bool
    retry_type: str | None
