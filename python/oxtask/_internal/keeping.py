"""Whether the results of runs are kept, and in which store: what the runs around have decided.

`_core.current_keeping` holds a `Keeping` in the runs that have decided something. Inside of a
transaction that, or ``None``, stands in a tuple: there no run is left to the core alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from oxtask._internal.storage.store import ResultStore
    from oxtask.settings import Settings


class Keeping:
    """What a run has decided about results, for itself and for the runs in it.

    Attributes:
        persists: Whether results are kept.
    """

    __slots__ = ("_for_tasks", "_make_store", "_store", "persists")

    def __init__(self, persists: bool, make_store: Callable[[], ResultStore]) -> None:
        self.persists = persists
        self._make_store = make_store
        self._store: ResultStore | None = None
        self._for_tasks: ResultStore | None = None

    @property
    def store(self) -> ResultStore:
        """The store, made when it is first asked for."""
        if self._store is None:
            self._store = self._make_store()
        return self._store

    def store_for(self, task: Any) -> ResultStore:
        """Return the store for the runs of a task.

        Tasks without a say of their own share one.
        """
        from oxtask._internal.transactions.current import (  # noqa: PLC0415 - start-up time
            current_transaction,
        )

        if has_own_store(task) or getattr(current_transaction(), "store", None) is not None:
            own: ResultStore = self.store.update_for_task(task, _sync=True)
            return own
        return self.plain_store

    @property
    def plain_store(self) -> ResultStore:
        """The store for the runs of tasks that have no say of their own."""
        if self._for_tasks is None:
            from oxtask.filesystems import NullFileSystem  # noqa: PLC0415 - start-up time

            store = self.store
            if isinstance(store.metadata_storage, NullFileSystem):
                store = store.model_copy(update={"metadata_storage": None})
            self._for_tasks = store
        return self._for_tasks


def current() -> Keeping:
    """Return what the runs around have decided; outside of runs it is up to the settings."""
    found: Any = _core.current_keeping.get(None)
    if type(found) is tuple:
        found = found[0]
    own: Keeping = _of_settings() if found is None else found
    return own


def is_decided() -> bool:
    """Tell whether the runs around have decided something, or a transaction is open."""
    return _core.current_keeping.get(None) is not None


def decide(own: Keeping) -> Token[Any]:
    """Let what follows in this context go by a decision."""
    return _core.current_keeping.set((own,) if is_in_transaction() else own)


def is_in_transaction() -> bool:
    """Tell whether a transaction was entered around this code."""
    return type(_core.current_keeping.get(None)) is tuple


def enter_transaction() -> Token[Any] | None:
    """Let what follows in this context be in a transaction; ``None`` if it is in one already."""
    if is_in_transaction():
        return None
    return _core.current_keeping.set((_core.current_keeping.get(None),))


def leave_transactions() -> None:
    """Let what follows in this context be in no transaction."""
    if is_in_transaction():
        _core.current_keeping.set(_core.current_keeping.get(None)[0])


def of_flow(flow: Any) -> Keeping:
    """Return what a run of a flow decides that is called here."""
    outer = current()
    own = outer.persists if flow.persist_result is None else flow.persist_result
    return Keeping(bool(own), lambda: outer.store.update_for_flow(flow, _sync=True))


def of_task(task: Any) -> Keeping:
    """Return what a run of a task decides, in the context it was submitted in."""
    outer = current()
    return Keeping(persists(task.persist_result, outer), lambda: outer.store_for(task))


def persists(option: bool | None, outer: Keeping) -> bool:
    """Tell whether a task keeps its results that has this option, in runs that decided this."""
    if option is not None:
        return option
    default = get_current_settings().tasks.default_persist_result
    return outer.persists if default is None else default


def has_own_store(task: Any) -> bool:
    """Tell whether a task has a say of its own about the store of its results."""
    policy = task.cache_policy
    return (
        task.result_storage is not None
        or task.result_serializer is not None
        or not task.cache_result_in_memory
        or getattr(policy, "lock_manager", None) is not None
        or getattr(policy, "key_storage", None) is not None
    )


def is_refreshed(option: bool | None) -> bool:
    """Tell whether what is stored for a task does not count that has this option."""
    return get_current_settings().tasks.refresh_cache if option is None else option


def of_run(run: Any) -> Keeping | None:
    """Return what a task run has decided whose body is under way, if it had to decide."""
    if not isinstance(run, _core.Run):
        return None
    log = run.record
    if log is not None and log.keeping is not None:
        found: Keeping = log.keeping
        return found
    return None if run.cache_key is None else of_task(run.task)  # else the core has decided


_known: list[tuple[Settings, Keeping]] = []


def _of_settings() -> Keeping:
    settings = get_current_settings()
    for known, keeping in _known:
        if known is settings:
            return keeping
    keeping = Keeping(settings.results.persist_by_default, _new_store)
    _known[:] = [(settings, keeping)]
    return keeping


def _new_store() -> ResultStore:
    from oxtask.results import ResultStore  # noqa: PLC0415 - start-up time

    return ResultStore()
