"""What goes wrong when slots of concurrency limits are asked for."""

from __future__ import annotations

from oxtask.exceptions import OxtaskException

__all__ = ["AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError"]


class ConcurrencySlotAcquisitionError(OxtaskException):
    """Slots were asked for that cannot be had, now or ever."""


class AcquireConcurrencySlotTimeoutError(TimeoutError):
    """Slots were not free in time."""
