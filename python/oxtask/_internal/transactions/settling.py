"""Commit and rollback of a tree of transactions, for sync and async code alike.

They are coroutines that reach hooks and stores through `Calls`. Those of sync code never suspend,
so `drive` gets by without an event loop.
"""

from __future__ import annotations

import inspect
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from oxtask._core import lead_flight
from oxtask._internal.coroutines import settle
from oxtask._internal.text import short_repr
from oxtask._internal.transactions.kinds import ADOPTION, FINAL, TransactionState
from oxtask.exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from oxtask._core import Flight
    from oxtask._internal.storage.staged_record import StagedRecord
    from oxtask._internal.transactions.base import BaseTransaction
    from oxtask.results import ResultStore

T = TypeVar("T")

_PAUSE_SECONDS = 0.005
"""How long code on an event loop waits before it asks again whether a result is there."""


class Calls(Protocol):
    """How hooks and stores are called."""

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that may be a coroutine function or take long."""

    async def acquire(
        self, store: ResultStore, key: str, holder: str, timeout: float | None
    ) -> bool:
        """Acquire the lock on a key; false if that takes longer than ``timeout`` seconds."""
        ...

    async def wait(self, future: Future[None]) -> None:
        """Wait until something is done elsewhere."""

    async def lead(self, key: str) -> Flight | None:
        """Lead what is made under a key, or wait for whoever does; see `_core.lead_flight`."""


class _Blocking:
    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return settle(function(*arguments))

    async def acquire(
        self, store: ResultStore, key: str, holder: str, timeout: float | None
    ) -> bool:
        return store.acquire_lock(key, holder, timeout)

    async def wait(self, future: Future[None]) -> None:
        future.result()

    async def lead(self, key: str) -> Flight | None:
        return lead_flight(key)


class _Awaiting:
    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        import asyncio  # noqa: PLC0415 - start-up time

        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        result = await asyncio.to_thread(function, *arguments)
        return await result if inspect.isawaitable(result) else result

    async def acquire(
        self, store: ResultStore, key: str, holder: str, timeout: float | None
    ) -> bool:
        return await store.aacquire_lock(key, holder, timeout)

    async def wait(self, future: Future[None]) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.wrap_future(future)

    async def lead(self, key: str) -> Flight | None:
        flight = lead_flight(key, wait=False)
        if flight is None:
            import asyncio  # noqa: PLC0415 - start-up time

            await asyncio.sleep(_PAUSE_SECONDS)
        return flight


BLOCKING: Calls = _Blocking()
AWAITING: Calls = _Awaiting()


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine that never suspends results in."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("A transaction of sync code was suspended.")


async def commit(root: BaseTransaction, calls: Calls) -> bool:
    """Commit a transaction and all it has adopted, or roll all of them back.

    Returns:
        Whether it was committed by this call.
    """
    members = _close(root)
    if members is None:
        return False
    staged: list[StagedRecord] = []
    published: list[StagedRecord] = []
    try:
        for member in members:
            record = await calls.call(_stage, member)
            if record is not None:
                staged.append(record)
        for member in members:
            for hook in list(member.on_commit_hooks):
                await _run_hook(member, hook, "commit", calls)
        for member in members:
            _check_lock(member)
        if staged:
            from oxtask._internal.storage.staged_record import (  # noqa: PLC0415 - only with a store
                publish,
                published_together,
            )

            groups = published_together(staged)
            for group in groups:
                await calls.call(publish, group, len(groups) > 1)
                published.extend(group)
        for member in members:
            member.state = TransactionState.COMMITTED
        for record in published:
            record.finish()
    except BaseException as error:
        root.error = error
        _log_failure(root, error)
        for record in reversed(published):
            _try(root, record.undo)
        for record in staged:
            _try(root, record.discard)
        _open(members)
        await rollback(root, calls)
        if not isinstance(error, Exception):
            raise
        return False
    _open(members)
    return True


async def rollback(root: BaseTransaction, calls: Calls) -> bool:
    """Roll back a transaction and all it has adopted: every hook runs, even if another raises.

    Returns:
        Whether there was anything left to roll back.
    """
    members = _close(root)
    if members is None:
        return False
    fatal: BaseException | None = None
    for member in _from_root(root, members):
        for hook in reversed(member.on_rollback_hooks):
            try:
                await _run_hook(member, hook, "rollback", calls)
            except BaseException as error:  # the other hooks must run
                member.rollback_errors.append(error)
                if member is not root:
                    root.rollback_errors.append(error)
                member.logger.exception(
                    "An error was encountered while running the rollback hook %r; the others are "
                    "run all the same.",
                    _name(hook),
                )
                if not isinstance(error, Exception):
                    fatal = fatal or error
        member.state = TransactionState.ROLLED_BACK
    _open(members)
    if fatal is not None:
        raise fatal
    return True


def _close(root: BaseTransaction) -> list[BaseTransaction] | None:
    """Return the tree, children first, closed for others; ``None`` if it is settled already."""

    def gather(member: BaseTransaction) -> None:
        if member.state in FINAL or member._settling is not None:
            return
        for child in member.children:
            gather(child)
        member._settling = Future()
        if member.logger is None:
            member.logger = root.logger
        members.append(member)

    members: list[BaseTransaction] = []
    if root.logger is None:
        from oxtask._internal.transactions.current import (  # noqa: PLC0415 - it uses this module
            default_logger,
        )

        root.logger = default_logger()
    with ADOPTION:
        gather(root)
    return members or None


def _open(members: list[BaseTransaction]) -> None:
    """Tell those who wait that the tree is settled, and release its locks if it is."""
    for member in members:
        settling, member._settling = member._settling, None
        if member.state in FINAL:
            member._release()
        if settling is not None:
            settling.set_result(None)


def _from_root(root: BaseTransaction, members: list[BaseTransaction]) -> list[BaseTransaction]:
    """Return the tree, parents first and the last children first."""
    known = {id(member) for member in members}
    ordered: list[BaseTransaction] = []

    def gather(member: BaseTransaction) -> None:
        if id(member) in known:
            ordered.append(member)
            for child in reversed(member.children):
                gather(child)

    gather(root)
    return ordered


def _stage(member: BaseTransaction) -> StagedRecord | None:
    if member.store is None or member.key is None or not member.write_on_commit:
        return None
    _check_lock(member)
    return member.store.stage_result_record(member.staged_record(), member._holder)


def _check_lock(member: BaseTransaction) -> None:
    """Check that the lock was not taken by another, who may have committed meanwhile."""
    if member._lock is None or member.store is None or member.key is None:
        return
    is_holder = member.store.is_lock_holder(member.key, member._holder)
    if not is_holder or member.store.fencing_token(member.key, member._holder) != member._fence:
        raise RuntimeError(
            f"The lock on the key {short_repr(member.key)} has run out and may have been taken by "
            "another: the value is not stored. Give the lock more time."
        )


async def _run_hook(
    member: BaseTransaction, hook: Callable[..., Any], kind: str, calls: Calls
) -> None:
    name, is_logged = _name(hook), getattr(hook, "log_on_run", True)
    if is_logged:
        member.logger.info("Running %s hook %r", kind, name)
    await calls.call(hook, member)
    if is_logged:
        member.logger.info("%s hook %r finished running successfully", kind.capitalize(), name)


def _name(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__name__", None) or type(hook).__name__


def _try(root: BaseTransaction, function: Callable[[], None]) -> None:
    try:
        function()
    except Exception as error:  # the rest has to be taken back all the same
        root.rollback_errors.append(error)
        root.logger.exception("A record could not be taken back.")


def _log_failure(root: BaseTransaction, error: BaseException) -> None:
    if isinstance(error, SerializationError):
        root.logger.warning(
            "Encountered an error while serializing result for transaction %r: %s The transaction "
            "will be rolled back.",
            root.key,
            error,
        )
    else:
        root.logger.error(
            "An error was encountered while committing transaction %r. The transaction will be "
            "rolled back.",
            root.key,
            exc_info=error,
        )
