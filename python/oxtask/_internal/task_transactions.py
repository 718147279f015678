"""The transaction of an attempt of a task run: what is found in the cache, and what is stored.

An attempt has one if its result is kept, its task has hooks on it, or it runs inside another one.
Any other attempt gets one when its body asks for it: see `transaction_of`.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import keeping, log_lines
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.steps import Work
from oxtask._internal.stored_links import link_to
from oxtask.exceptions import ResultPersistenceError, ResultStoreError
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from oxtask._core import Flight, Run
    from oxtask._internal.keeping import Keeping
    from oxtask._internal.steps import Steps
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask._internal.task_runs import RunLog
    from oxtask._internal.transactions.base import BaseTransaction
    from oxtask._internal.transactions.settling import Calls
    from oxtask.results import ResultRecord


class Kept:
    """The transaction of an attempt.

    Attributes:
        keeping: Whether the result is kept, and where.
        transaction: The transaction.
        record: What was found, or what is stored.
        hashing: In nanoseconds, what making the key took.
        reading: The same of looking for a record.
        body: The same of the function.
        flight: Tells others that want the same result to wait for this one; see
            `_core.lead_flight`.
    """

    __slots__ = (
        *("_is_open", "body", "flight", "hashing", "keeping", "reading", "record"),
        "transaction",
    )

    def __init__(self, own: Keeping, transaction: BaseTransaction) -> None:
        self.keeping = own
        self.transaction = transaction
        self.record: ResultRecord[Any] | None = None
        self.hashing = self.reading = self.body = 0
        self.flight: Flight | None = None
        self._is_open = True

    def stage(self, log: RunLog[Any], task: TaskMachinery, value: Any) -> None:
        """Give the transaction the value of the run, and the hooks of its task.

        If it has been rolled back already, because something in it failed, that goes for the value
        and the hooks, too.
        """
        if self.transaction.is_rolled_back():
            log_lines.rolled_back(log, task)
            self.transaction._begin_doomed()
        staged = value
        if self.keeping.persists:
            staged = self.record = self.keeping.store.create_result_record(
                value, self.transaction.key, _expiration(task)
            )
        self.transaction.stage(
            staged,
            on_rollback_hooks=[_Noting(log), *task.on_rollback_hooks],
            on_commit_hooks=task.on_commit_hooks,
        )

    def leave(self, error: BaseException | None) -> Steps:
        """Leave the transaction: commit it or hand it to the one around it; roll it back if bad.

        Nothing happens a second time, as when a deadline has ended the run.
        """
        if self._is_open:
            self._is_open = False
            try:
                yield Work(
                    lambda calls: self.transaction._leave(calls, error, spreads=error is None)
                )
            finally:
                if self.flight is not None:
                    self.flight.end()

    def give_up(self) -> Steps:
        """Roll back the transaction around this one: no other attempt follows."""
        yield Work(self.transaction._roll_back_parent)


class _Noting:
    """A rollback hook: lets the history of a run tell that it was rolled back."""

    log_on_run = False

    def __init__(self, log: RunLog[Any]) -> None:
        self._log = log

    def __call__(self, transaction: BaseTransaction) -> None:
        if transaction.error is not None:
            return  # its own commit failed: it is Completed without a stored value, or Failed
        # The value is what the run returned, all the same.
        before = self._log.record.state
        data = None if before is None else before.data
        self._log.overrule(engine_state(StateType.COMPLETED, "RolledBack", data=data))


def _expiration(task: TaskMachinery) -> Any:
    if task.cache_expiration is None:
        return None
    from oxtask._internal.times import utc_now  # noqa: PLC0415 - start-up time

    return utc_now() + task.cache_expiration


def begin(run: Run, log: RunLog[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """Open the transaction of an attempt, if it needs one.

    Returns:
        The transaction, entered, as a `Kept`, or ``None``.
    """
    task: TaskMachinery = run.task
    own, outer = keeping.of_task(task), _outer_run(run)
    if keeping.is_decided() or own.persists or keeping.current().persists:
        keeping.decide(own)
    if (
        not own.persists
        and not task.on_commit_hooks
        and not task.on_rollback_hooks
        and (outer is None or outer.transaction is None)
        and not keeping.is_in_transaction()
    ):
        return None
    return (yield from _begun(run, log, own, task._bind(args, kwargs)))


def _begun(run: Run, log: RunLog[Any], own: Keeping, parameters: dict[str, Any]) -> Steps:
    from oxtask._internal import cache_costs, cache_keys  # noqa: PLC0415 - start-up time
    from oxtask._internal.transactions.current import RunLogger  # noqa: PLC0415
    from oxtask.transactions import AsyncTransaction, Transaction  # noqa: PLC0415

    task: TaskMachinery = run.task
    options: dict[str, Any] = {"logger": RunLogger(run)}
    level = None
    log.keeping = own
    began = monotonic_ns()
    if own.persists:
        key = yield from cache_keys.key_of(log, task, own, parameters)
        options.update(
            store=own.store,
            key=own.store.storage_key_fn() if key is None else own.store._normal(key),
            overwrite=key is None or task.isgenerator or keeping.is_refreshed(task.refresh_cache),
        )
        level = getattr(task.cache_policy, "isolation_level", None)
        if level is not None:
            options["isolation_level"] = level
            options["lock_timeout"] = getattr(task.cache_policy, "lock_timeout", None)
    transaction = (AsyncTransaction if task.isasync else Transaction)(**options)
    parent = _parent_of(run)
    keyed = monotonic_ns()
    yield Work(lambda calls: transaction._enter(calls, parent=parent))
    kept = log.kept = Kept(own, transaction)
    kept.hashing, kept.reading = keyed - began, monotonic_ns() - keyed
    if parent is None and own.persists and level is None and not transaction.overwrite:
        kept.flight = yield Work(lambda calls: _take_turn(transaction, calls))
    if transaction.is_committed():
        kept.record = transaction._read()
        cache_costs.found(task, kept.hashing, kept.reading)
    return kept


async def _take_turn(transaction: BaseTransaction, calls: Calls) -> Flight | None:
    """Wait for whoever makes the same result already, and take it, or the turn to make it.

    Nobody waits inside of a transaction: what is made there is seen only when the outermost ends.
    """
    store, key = transaction.store, transaction.key
    if store is None or key is None:
        return None
    name = key if store._pack is not None else store._location(key)
    while not transaction.is_committed():
        flight = await calls.lead(name)
        # Whoever made it until now has stored it, unless he failed.
        await calls.call(transaction._look)
        if flight is not None:
            if not transaction.is_committed():
                return flight
            flight.end()
    return None


def _parent_of(run: Run) -> BaseTransaction | None:
    """Return the transaction that a run is in; a run around it gets one if it has none."""
    from oxtask._internal.transactions.current import (  # noqa: PLC0415 - start-up time
        current_transaction,
        transaction_of,
    )

    found, outer = current_transaction(), _outer_run(run)
    return transaction_of(outer) if found is None and outer is not None else found


def _outer_run(run: Run) -> Run | None:
    outer = None if run.context is None else run.context.get(_core.current_run)
    return outer if isinstance(outer, _core.Run) else None


# --- the end of an attempt ------------------------------------------------------------------------


def failed(
    run: Run, log: RunLog[Any] | None, error: BaseException | None, *, is_last: bool = True
) -> Steps:
    """Roll back what an attempt did that did not end well.

    Args:
        run: The run.
        log: Its log, unless the run is no longer this attempt's.
        error: What it failed with.
        is_last: Whether no other attempt follows: that goes for the transaction around it, too.
    """
    if error is None:  # its truth is up to its class
        error = RuntimeError("the run did not complete")
    if log is not None and log.kept is not None:
        kept = log.kept
        yield from kept.leave(error)
        if is_last:
            log.kept = None
            yield from kept.give_up()
    if (own := run.transaction) is not None:
        run.set_transaction(None)
        yield Work(lambda calls: own._leave(calls, error))


def lost(kept: Kept | None) -> Steps:
    """Roll back what an attempt did that the run was taken from."""
    if kept is not None:
        yield from kept.leave(RuntimeError("the run was taken from this attempt"))


def completed(run: Run, log: RunLog[Any] | None) -> Steps:
    """Commit what an attempt did that ended well.

    Returns:
        Why the run fails all the same, or ``None``.
    """
    kept = None
    if log is not None and log.kept is not None:
        kept, log.kept = log.kept, None
        is_new, began = kept.transaction.is_staged(), monotonic_ns()
        yield from kept.leave(None)
        if is_new and kept.keeping.persists:
            from oxtask._internal import cache_costs  # noqa: PLC0415 - start-up time

            writing = monotonic_ns() - began
            cache_costs.stored(run.task, kept.hashing, kept.reading, writing, kept.body)
    if (own := run.transaction) is not None:
        run.set_transaction(None)
        yield Work(lambda calls: own._leave(calls, None))
    return None if kept is None else why_it_fails(run.task, kept.transaction.error)


def plainly_completed(run: Run, output: Any) -> Steps:
    """Commit what a plain run did that ended well: see `completed`.

    Args:
        run: The run.
        output: Its value, or the state it chose.
    """
    own = run.transaction
    if run.cache_key is not None:
        from oxtask._internal.state import is_state, unwrap  # noqa: PLC0415 - start-up time
        from oxtask._internal.transactions.current import transaction_of  # noqa: PLC0415

        own = transaction_of(run)
        if own is not None and own.store is not None:
            value = unwrap(output.data) if is_state(output) else output
            span = _expiration(run.task)
            own.stage(own.store.create_result_record(value, own.key, span))
    yield from completed(run, None)
    return None if own is None else why_it_fails(run.task, own.error)


def why_it_fails(task: TaskMachinery, cause: BaseException | None) -> Exception | None:
    """Return why a run fails whose value could not be stored, if it does fail."""
    if not isinstance(cause, ResultStoreError):
        return None
    if get_current_settings().results.on_persist_error == "warn":
        return None
    error = ResultPersistenceError(
        f"The result of task {task.name!r} could not be stored: {cause}. To let such runs "
        "complete, set OXTASK_RESULTS_ON_PERSIST_ERROR=warn"
    )
    error.__cause__ = cause
    return error


def keep_error(log: RunLog[Any], task: TaskMachinery, error: Any) -> Steps:
    """Store the exception with which a run failed, if results are kept."""
    if log.keeping is None or not log.keeping.persists or not isinstance(error, Exception):
        return
    try:
        store = log.keeping.store
        record = store.create_result_record(error)
        yield Work(lambda calls: calls.call(store.persist_result_record, record))
        log.stored = link_to(record.metadata)
    except Exception as problem:  # noqa: BLE001 - logged; the failure stands
        log_lines.error_not_stored(log, task, problem)
