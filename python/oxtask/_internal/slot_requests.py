"""What the sync and the async forms of `concurrency` and `rate_limit` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oxtask._internal.slots import Lease
from oxtask._internal.text import short_repr
from oxtask.concurrency.errors import ConcurrencySlotAcquisitionError

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_LEASE_SECONDS = 60


def request(
    names: str | Iterable[str],
    occupy: int,
    timeout_seconds: float | None,
    *,
    is_rate: bool = False,
    strict: bool = False,
    max_retries: int | None = None,
    lease_duration: float = 300,
) -> Lease | None:
    """Ask for slots; ``None`` if there is nothing to ask for."""
    wanted = [names] if isinstance(names, str) else list(names)
    if names == "" or not wanted:
        return None
    _check(wanted, occupy, timeout_seconds, lease_duration)
    lease = Lease(wanted, occupy, is_rate=is_rate)
    ticket = lease.ticket
    if len(ticket.missing) == len(ticket.names):
        _tell_missing(ticket.missing, strict)
    elif max_retries == 0:
        lease.refuse_to_wait()
    return lease


def _check(
    names: list[str], occupy: int, timeout_seconds: float | None, lease_duration: float
) -> None:
    for name in names:
        if not isinstance(name, str):
            msg = f"`names` must be a string or a list of strings; got {short_repr(name)}"
            raise TypeError(msg)
    if not isinstance(occupy, int) or occupy < 1:
        msg = f"`occupy` must be a whole number of slots, 1 or more; got {short_repr(occupy)}"
        raise ValueError(msg)
    if timeout_seconds is not None and not timeout_seconds >= 0:
        msg = (
            f"`timeout_seconds` must be >= 0; got {short_repr(timeout_seconds)}. "
            "Pass None to wait for as long as it takes."
        )
        raise ValueError(msg)
    if not lease_duration >= MIN_LEASE_SECONDS:
        msg = (
            f"`lease_duration` must be at least {MIN_LEASE_SECONDS} seconds; "
            f"got {short_repr(lease_duration)}"
        )
        raise ValueError(msg)


def _tell_missing(names: list[str], strict: bool) -> None:
    if strict:
        msg = (
            f"Concurrency limits {short_repr(names)} must be created before acquiring slots, with "
            "`oxtask gcl create` or `get_client(sync_client=True).create_global_concurrency_limit`"
        )
        raise ConcurrencySlotAcquisitionError(msg)
    from oxtask.exceptions import MissingContextError  # noqa: PLC0415 - start-up time
    from oxtask.logging import get_logger, get_run_logger  # noqa: PLC0415

    message = "Concurrency limits %s do not exist - skipping acquisition."
    try:
        get_run_logger().warning(message, names)
    except MissingContextError:
        get_logger("concurrency").warning(message, names)
