"""Slots of concurrency limits, for code that may block.

A limit is made with `get_client(sync_client=True).create_global_concurrency_limit`, or with
``oxtask gcl create`` on the command line. It holds for all processes of this user, with all their
threads and event loops; slots are given out in the order in which they were asked for, each as
soon as it is free.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oxtask._internal.slot_requests import request
from oxtask.concurrency.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
)

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "ConcurrencySlotAcquisitionError",
    "concurrency",
    "rate_limit",
]


@contextmanager
def concurrency(  # noqa: PLR0917 - the order of the reference
    names: str | list[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    holder: Any = None,  # noqa: ARG001 - positional in the reference
    raise_on_lease_renewal_failure: bool | None = None,  # noqa: ARG001 - the same
) -> Generator[None, None, None]:
    """Hold slots of one limit, or of several, while the block runs.

    They are taken all at once, and given back however the block is left. A task that waits here
    does not keep others from its worker.

    Args:
        names: The limits; those that do not exist, and inactive ones, do not count.
        occupy: How many slots of each.
        timeout_seconds: How long to wait for them at most; by default, as long as it takes.
        max_retries: 0 not to wait at all. Other numbers have no effect: nothing is tried twice.
        lease_duration: Seconds, at least 60. Without effect: slots end with the process at latest.
        strict: Whether it is an error if none of the limits exists.
        holder: Without effect.
        raise_on_lease_renewal_failure: Without effect: there are no leases to renew.

    Raises:
        AcquireConcurrencySlotTimeoutError: If the slots were not free in time.
        ConcurrencySlotAcquisitionError: If they cannot be had: ``occupy`` is more than a limit,
            they are taken and ``max_retries`` is 0, or ``strict`` is set and no limit exists.
        ValueError: If a number makes no sense.
    """
    lease = request(
        names,
        occupy,
        timeout_seconds,
        strict=strict,
        max_retries=max_retries,
        lease_duration=lease_duration,
    )
    if lease is None:
        yield
        return
    try:
        lease.wait(timeout_seconds)
        yield
    finally:
        lease.release()


def rate_limit(
    names: str | list[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
) -> None:
    """Take slots that come free again by themselves, `slot_decay_per_second` of them a second.

    Args:
        names: The limits; those that do not exist, and inactive ones, do not count.
        occupy: How many slots of each.
        timeout_seconds: How long to wait for them at most; by default, as long as it takes.
        strict: Whether it is an error if none of the limits exists.

    Raises:
        AcquireConcurrencySlotTimeoutError: If the slots were not free in time.
        ConcurrencySlotAcquisitionError: If they cannot be had: a limit has no decay, ``occupy`` is
            more than a limit, or ``strict`` is set and no limit exists.
        ValueError: If a number makes no sense.
    """
    lease = request(names, occupy, timeout_seconds, is_rate=True, strict=strict)
    if lease is None:
        return
    try:
        lease.wait(timeout_seconds)
    finally:
        lease.release()
