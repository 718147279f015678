"""What clients return besides records of runs."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.limit_records import GlobalConcurrencyLimitResponse
from oxtask._internal.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oxtask._internal.state import State

__all__ = ["GlobalConcurrencyLimitResponse", "OrchestrationResult", "SetStateStatus"]


class SetStateStatus(str, Enum):
    """Whether a run took a state."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    ABORT = "ABORT"
    WAIT = "WAIT"


class OrchestrationResult(Record):
    """What came of a wish to change the state of a run.

    Attributes:
        state: The state of the run now.
        status: Whether it took the wanted one.
        reason: Why not.
    """

    __slots__ = _fields = ("reason", "state", "status")
    _constants: ClassVar[Mapping[str, Any]] = {"reason": None}

    state: State[Any] | None
    status: SetStateStatus
    reason: str | None
