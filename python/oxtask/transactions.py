"""Transactions: a value is stored, and its hooks are run, when all is well, or else undone.

>>> with transaction() as txn:
...     txn.set("path", "page.txt")
...     txn.stage("written", on_rollback_hooks=[lambda txn: print("remove", txn.get("path"))])
...     _ = txn.rollback()
remove page.txt

A transaction inside another one is committed with it, unless its `CommitMode` is ``EAGER``. If one
of them is rolled back, all of them are. A commit has three steps, each over the whole tree with
children first: records are written where nobody sees them, commit hooks run, records are made
visible. If any step fails, everything is rolled back: what has been made visible is taken back, and
every rollback hook runs, even if another one raises.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from oxtask._internal.transactions.base import BaseTransaction
from oxtask._internal.transactions.current import get_transaction
from oxtask._internal.transactions.kinds import CommitMode, IsolationLevel, TransactionState
from oxtask._internal.transactions.settling import AWAITING, BLOCKING, drive

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Generator

    from typing_extensions import Self

    from oxtask.results import ResultRecord, ResultStore

__all__ = [
    "AsyncTransaction",
    "BaseTransaction",
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]


class Transaction(BaseTransaction):
    """A transaction of sync code; hooks that are coroutine functions run to their end.

    Raises:
        RuntimeError: If it is entered twice, or left without having been entered.
        ConfigurationError: When it is entered, if its store has no locks and it needs them.
    """

    def __enter__(self) -> Self:
        drive(self._enter(BLOCKING))
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        drive(self._leave(BLOCKING, error))

    def read(self) -> ResultRecord[Any] | None:
        """Return the record of the key, or ``None`` if there is none, or no key."""
        return self._read()

    def commit(self) -> bool:
        """Commit now, and tell whether that was done; `error` says why not."""
        return drive(self._commit(BLOCKING))

    def rollback(self) -> bool:
        """Roll back now, and tell whether there was anything left to roll back."""
        return drive(self._rollback(BLOCKING))


class AsyncTransaction(BaseTransaction):
    """A transaction of async code; hooks that are plain functions run in a thread."""

    async def __aenter__(self) -> Self:
        await self._enter(AWAITING)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self._leave(AWAITING, error)

    def __enter__(self) -> NoReturn:
        raise NotImplementedError("AsyncTransaction is entered with `async with`.")

    def __exit__(self, *error: object) -> NoReturn:
        raise NotImplementedError("AsyncTransaction is left with `async with`.")

    async def read(self) -> ResultRecord[Any] | None:
        """Return the record of the key, or ``None`` if there is none, or no key."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(self._read)

    async def commit(self) -> bool:
        """Commit now, and tell whether that was done; `error` says why not."""
        return await self._commit(AWAITING)

    async def rollback(self) -> bool:
        """Roll back now, and tell whether there was anything left to roll back."""
        return await self._rollback(AWAITING)


@contextmanager
def transaction(  # noqa: PLR0917 - the order users know
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    *,
    raise_on_commit_failure: bool = False,
    lock_timeout: float | None = None,
) -> Generator[Transaction, None, None]:
    """Open a transaction for a block of code.

    Args:
        key: Under which the staged value is stored. If there is a record of it, the transaction is
            committed from the start; the block runs all the same, see `Transaction.is_committed`.
        store: Where; by default the store of the run. Without a key nothing is stored.
        commit_mode: When it is committed; by default as the transaction around it, else ``LAZY``.
        isolation_level: Whether the key is locked; by default as the transaction around it, else
            ``READ_COMMITTED``: of two that have one key at the same time, the later record stays.
        overwrite: Whether a record that is there does not count.
        write_on_commit: Whether the staged value is stored.
        logger: By default that of the run, else ``oxtask.transactions``.
        raise_on_commit_failure: Whether the end of the block raises `TransactionCommitError` if the
            commit failed, instead of a log line alone.
        lock_timeout: How many seconds to wait for the lock on the key; by default for good.

    Yields:
        The transaction.

    Raises:
        LockTimeoutError: If another holder has the lock for longer.
    """
    options = _options(key, store, isolation_level)
    with Transaction(
        key=key,
        commit_mode=commit_mode,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
        raise_on_commit_failure=raise_on_commit_failure,
        lock_timeout=lock_timeout,
        **options,
    ) as txn:
        yield txn


@asynccontextmanager
async def atransaction(  # noqa: PLR0917 - the order users know
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    *,
    raise_on_commit_failure: bool = False,
    lock_timeout: float | None = None,
) -> AsyncGenerator[AsyncTransaction, None]:
    """Open a transaction for a block of async code; arguments as for `transaction`."""
    options = _options(key, store, isolation_level)
    async with AsyncTransaction(
        key=key,
        commit_mode=commit_mode,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
        raise_on_commit_failure=raise_on_commit_failure,
        lock_timeout=lock_timeout,
        **options,
    ) as txn:
        yield txn


def _options(
    key: str | None, store: ResultStore | None, isolation_level: IsolationLevel | None
) -> dict[str, Any]:
    from oxtask.filesystems import NullFileSystem  # noqa: PLC0415 - only with a store
    from oxtask.results import get_result_store  # noqa: PLC0415

    if key is not None and store is None:
        store = get_result_store()
    if store is not None and isinstance(store.metadata_storage, NullFileSystem):
        store = store.model_copy(update={"metadata_storage": None})
    if isolation_level is None:
        around = get_transaction()
        isolation_level = (
            IsolationLevel.READ_COMMITTED if around is None else around.isolation_level
        )
    return {"store": store, "isolation_level": isolation_level}
