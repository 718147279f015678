"""The transaction that code is in, and the one that the body of a run gets when it asks for it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import keeping
from oxtask._internal.transactions import settling
from oxtask._internal.transactions.kinds import ADOPTION

if TYPE_CHECKING:
    from oxtask._core import Run
    from oxtask._internal.transactions.base import BaseTransaction

#: The innermost transaction that was entered around this code.
CURRENT: ContextVar[BaseTransaction | None] = ContextVar("oxtask_transaction", default=None)


def current_transaction() -> BaseTransaction | None:
    """Return the innermost transaction that was entered around this code, or ``None``."""
    return CURRENT.get()


def step_out() -> None:
    """Let code in the current context be in no transaction from here on."""
    if CURRENT.get() is not None:
        CURRENT.set(None)
        keeping.leave_transactions()


def get_transaction() -> BaseTransaction | None:
    """Return the innermost transaction this code is in, or ``None``.

    The body of a task is always in one.
    """
    found = CURRENT.get()
    if found is not None:
        return found
    run = _core.current_run.get(None)
    return transaction_of(run) if isinstance(run, _core.Run) else None


def transaction_of(run: Run) -> BaseTransaction | None:
    """Return the transaction of a run whose body is under way; it gets one if it has none.

    `oxtask._internal.task_transactions` leaves it when the attempt ends.
    """
    found: BaseTransaction | None = run.transaction
    if found is not None or not run.is_current():
        return found
    from oxtask.transactions import AsyncTransaction, Transaction  # noqa: PLC0415 - circular

    options: dict[str, Any] = {"logger": RunLogger(run)}
    if run.cache_key is not None:  # the core has looked, and found nothing
        options.update(store=keeping.of_task(run.task).store, key=run.cache_key, overwrite=True)
    made = (AsyncTransaction if run.task.isasync else Transaction)(**options)
    settling.drive(made._enter(settling.BLOCKING, parent=None, is_shown=False))
    with ADOPTION:  # threads of the body may ask at the same time
        found = run.transaction
        if found is None:
            run.set_transaction(made)
    return made if found is None else found


def default_logger() -> Any:
    from oxtask.exceptions import MissingContextError  # noqa: PLC0415 - for this only
    from oxtask.logging import get_logger, get_run_logger  # noqa: PLC0415

    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("transactions")


class RunLogger:
    """The logger of a run, made when something is logged."""

    def __init__(self, run: Run) -> None:
        self._future = run.future

    def __getattr__(self, name: str) -> Any:
        from oxtask._internal.task_runs import log_of  # noqa: PLC0415 - start-up time
        from oxtask.logging import task_run_logger  # noqa: PLC0415

        future = self._future
        return getattr(task_run_logger(log_of(future).record, future._task), name)
