"""Waiting for slots of concurrency limits: threads and coroutines, side by side, in one queue.

A thread that waits gives back the worker's slot it holds, and a coroutine that of its run, as they
do when they wait for other runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.limit_tickets import Ticket
from oxtask._internal.limits import store
from oxtask._internal.outcomes import slot_again
from oxtask._internal.text import short_repr
from oxtask.concurrency.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oxtask.tasks import Task


class Lease:
    """Slots of some limits: asked for, then held, then given back.

    Raises:
        ConcurrencySlotAcquisitionError: If these can never be had.
    """

    def __init__(self, names: Iterable[str], slots: int = 1, *, is_rate: bool = False) -> None:
        self.ticket = Ticket(names, slots, is_rate=is_rate)
        self._store = store()
        self.__class__ = _OpenLease  # pyright: ignore[reportAttributeAccessIssue]
        self._store.request(self.ticket)

    def release(self) -> None:
        """Give the slots back, or stop waiting for them; done twice is done once."""
        self._store.give_up(self.ticket)
        self.__class__ = Lease  # pyright: ignore[reportAttributeAccessIssue]

    def refuse_to_wait(self) -> None:
        """Give up unless the slots were free.

        Raises:
            ConcurrencySlotAcquisitionError: If they were not.
        """
        if not self.ticket.is_granted:
            self.release()
            msg = (
                f"{self.ticket.slots} slot(s) of {short_repr(self.ticket.names)} are not free, and "
                "`max_retries=0` says not to wait"
            )
            raise ConcurrencySlotAcquisitionError(msg)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Block until the slots are there; false if the lease was released meanwhile.

        Raises:
            AcquireConcurrencySlotTimeoutError: If that took longer than ``timeout_seconds``.
            ConcurrencySlotAcquisitionError: If they cannot be had any more.
        """
        deadline = _deadline(timeout_seconds)
        while not self.ticket.is_settled():
            bell = _ThreadBell()
            if self._store.listen(self.ticket, bell.ring):
                break
            bell.wait(self._seconds_to_wait(deadline, timeout_seconds))
        return self._answer()

    async def wait_async(self, timeout_seconds: float | None = None) -> bool:
        """Wait without blocking the event loop, else like `wait`."""
        if self.ticket.is_settled():
            return self._answer()
        import asyncio  # noqa: PLC0415 - start-up time

        deadline = _deadline(timeout_seconds)
        current: Any = asyncio.current_task()
        holds_slot = isinstance(current, _core.RunTask)
        if holds_slot:
            current._give_slot()
        try:
            while not self.ticket.is_settled():
                bell = _LoopBell()
                if self._store.listen(self.ticket, bell.ring):
                    break
                await bell.wait(self._seconds_to_wait(deadline, timeout_seconds))
        finally:
            if holds_slot:
                await slot_again(current, asyncio.get_running_loop())
        return self._answer()

    def _seconds_to_wait(
        self, deadline: float | None, timeout_seconds: float | None
    ) -> float | None:
        times = [at for at in (deadline, self.ticket.due) if at is not None]
        if not times:
            return None
        now = time.monotonic()
        if deadline is not None and deadline <= now:
            self.release()
            msg = (
                f"Attempt to acquire concurrency slots timed out after {timeout_seconds} second(s)"
            )
            raise AcquireConcurrencySlotTimeoutError(msg)
        return max(0.0, min(times) - now)

    def _answer(self) -> bool:
        if self.ticket.error is not None:
            raise self.ticket.error
        return not self.ticket.is_over


class _OpenLease(Lease):
    """A lease that is not released yet.

    An exception injected at the wrong moment may keep `release` from being called: then it is done
    here. A lease that was released ends without a word: one injected into `__del__` would be lost.
    """

    def __del__(self) -> None:
        self.release()


def _deadline(timeout_seconds: float | None) -> float | None:
    return None if timeout_seconds is None else time.monotonic() + timeout_seconds


class _ThreadBell:
    """Wakes a thread: the run that it waits for ends when the bell rings.

    Waiting for a run is what the core knows how to do: it gives back slots of workers, and hears
    signals and deadlines.
    """

    def __init__(self) -> None:
        self._run = _core.begin_direct(_silence(), (), {})

    def ring(self) -> None:
        _core.settle(self._run, 0, None)

    def wait(self, seconds: float | None) -> None:
        self._run.future.wait(seconds)


_silent: list[Task[[], None]] = []


def _silence() -> Task[[], None]:
    if not _silent:
        from oxtask.tasks import Task  # noqa: PLC0415 - a cycle else

        def wait_for_slots() -> None: ...

        _silent.append(Task(wait_for_slots))
    return _silent[0]


class _LoopBell:
    """Wakes a coroutine."""

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Future[Any] = self._loop.create_future()

    def ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._hear)
        except RuntimeError:  # a closed loop has nobody who waits
            return

    def _hear(self) -> None:
        if not self._heard.done():
            self._heard.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        timer = None if seconds is None else self._loop.call_later(seconds, self._hear)
        try:
            await self._heard
        finally:
            if timer is not None:
                timer.cancel()
