"""A transaction, but for how it calls hooks and stores.

Its life: PENDING until it is entered, ACTIVE, STAGED once it has a value, then COMMITTED or
ROLLED_BACK, which are final. One that has a parent when it is left is adopted by it, and settled
with it. `ADOPTION` is held while a transaction is adopted and while a tree to be settled is
gathered, so that one that comes late knows: it waits, and does what the tree did. No user code runs
while it is held.
"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from oxtask import _core
from oxtask._internal import keeping
from oxtask._internal.lock_waits import check_seconds
from oxtask._internal.text import short_repr
from oxtask._internal.transactions import settling
from oxtask._internal.transactions.current import CURRENT, default_logger, get_transaction
from oxtask._internal.transactions.kinds import (
    ADOPTION,
    FINAL,
    CommitMode,
    IsolationLevel,
    TransactionState,
)
from oxtask.exceptions import ConfigurationError, LockTimeoutError, TransactionCommitError
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from contextvars import Token

    from oxtask._internal.transactions.settling import Calls
    from oxtask.results import ResultStore

_MISSING: Any = object()


_FIELDS = (
    "store",
    "key",
    "children",
    "commit_mode",
    "isolation_level",
    "state",
    "on_commit_hooks",
    "on_rollback_hooks",
    "overwrite",
    "logger",
    "write_on_commit",
)


class BaseTransaction:
    """What `Transaction` and `AsyncTransaction` share.

    Attributes:
        store: Where the value is stored, or ``None``.
        key: Under which key, or ``None``.
        children: The transactions that are settled with this one.
        commit_mode: See `CommitMode`; ``None`` until it is entered.
        isolation_level: See `IsolationLevel`.
        state: See `TransactionState`.
        on_commit_hooks: Called with the transaction when it is committed, in this order.
        on_rollback_hooks: Called with the transaction when it is rolled back, the last one first.
        overwrite: Whether a record that is there does not count.
        lock_timeout: How many seconds it waits for the lock on its key; ``None`` is for good.
        logger: Where hooks and failures are logged.
        write_on_commit: Whether the value is stored.
        error: Why the commit failed, or ``None``.
        rollback_errors: What rollback hooks have raised.
    """

    def __init__(
        self,
        *,
        store: ResultStore | None = None,
        key: str | None = None,
        children: Iterable[BaseTransaction] = (),
        commit_mode: CommitMode | str | None = None,
        isolation_level: IsolationLevel | str = IsolationLevel.READ_COMMITTED,
        state: TransactionState | str = TransactionState.PENDING,
        on_commit_hooks: Iterable[Callable[[Any], Any]] = (),
        on_rollback_hooks: Iterable[Callable[[Any], Any]] = (),
        overwrite: bool = False,
        logger: Any = None,
        write_on_commit: bool = True,
        raise_on_commit_failure: bool = False,
        lock_timeout: float | None = None,
    ) -> None:
        self.store: ResultStore | None = store
        self.key: str | None = key
        self.children: list[BaseTransaction] = list(children)
        self.commit_mode: CommitMode | None = (
            None if commit_mode is None else CommitMode(commit_mode)
        )
        self.isolation_level: IsolationLevel = IsolationLevel(isolation_level)
        self.state: TransactionState = TransactionState(state)
        self.on_commit_hooks: list[Callable[[Any], Any]] = list(on_commit_hooks)
        self.on_rollback_hooks: list[Callable[[Any], Any]] = list(on_rollback_hooks)
        self.overwrite: bool = overwrite
        self.lock_timeout: float | None = check_seconds(lock_timeout, "lock_timeout")
        self.logger: Any = logger
        self.write_on_commit: bool = write_on_commit
        self.error: BaseException | None = None
        self.rollback_errors: list[BaseException] = []
        self._raises = raise_on_commit_failure
        self._values: dict[str, Any] = {}
        self._staged: Any = None
        self._found: ResultRecord[Any] | None = None
        self._parent: BaseTransaction | None = None
        self._token: Token[BaseTransaction | None] | None = None
        self._keeping_token: Token[Any] | None = None
        self._is_entered = False
        self._settling: Future[None] | None = None
        self._begin_anew(None)

    _tree: BaseTransaction
    _holder: str

    def _begin_anew(self, tree: BaseTransaction | None) -> None:
        """Forget what happened when the object was used before; it may be used again."""
        self._tree = tree or self
        self._holder = self._tree._holder if tree else uuid4().hex
        self._lock: str | None = None
        self._fence: int | None = None
        # Of the root only: who has a lock in the tree, and who has staged a value last.
        self._locks: dict[str, BaseTransaction] = {}
        self._latest: dict[str, BaseTransaction] = {}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={short_repr(self.key)}, state={self.state})"

    # --- state ------------------------------------------------------------------------------------

    def is_pending(self) -> bool:
        """Tell whether it has not been entered."""
        return self.state == TransactionState.PENDING

    def is_active(self) -> bool:
        """Tell whether it has been entered and has no value."""
        return self.state == TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Tell whether it has a value and is not settled."""
        return self.state == TransactionState.STAGED

    def is_committed(self) -> bool:
        """Tell whether it is committed, now or by an earlier one of that key."""
        return self.state == TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Tell whether it is rolled back."""
        return self.state == TransactionState.ROLLED_BACK

    @classmethod
    def get_active(cls) -> BaseTransaction | None:
        """Return the innermost transaction this code is in, or ``None``."""
        return get_transaction()

    def get_parent(self) -> BaseTransaction | None:
        """Return the transaction in which this one was entered, or ``None``."""
        return self._parent

    # --- values -----------------------------------------------------------------------------------

    def set(self, name: str, value: Any) -> None:
        """Keep a value for hooks and for transactions inside this one."""
        self._values[name] = value

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """Return a copy of a value set here, or else in a transaction around this one.

        A value that cannot be copied, such as a connection, is returned itself.

        Raises:
            ValueError: If there is none and no default.
        """
        if name in self._values:
            value = self._values[name]
            try:
                return deepcopy(value)
            except Exception:  # noqa: BLE001 - whatever it is that cannot be copied
                return value
        if self._parent is not None:
            return self._parent.get(name, default)
        if default is _MISSING:
            raise ValueError(
                f"Could not retrieve value for unknown key: {short_repr(name)}. Set it with "
                "`set`, or give a default."
            )
        return default

    def stage(
        self,
        value: Any,
        on_rollback_hooks: Iterable[Callable[[Any], Any]] = (),
        on_commit_hooks: Iterable[Callable[[Any], Any]] = (),
    ) -> None:
        """Give the transaction its value, in place of one staged before, and further hooks.

        Nothing happens if it is committed already.

        Args:
            value: What is stored on commit: a value, or a `ResultRecord` with a key of its own.
            on_rollback_hooks: Called with the transaction when it is rolled back.
            on_commit_hooks: Called with the transaction when it is committed.

        Raises:
            RuntimeError: If it is rolled back.
        """
        if self.is_committed():
            return
        if self.is_rolled_back():
            raise RuntimeError(
                "The transaction has been rolled back: nothing can be staged any more. Open "
                "another one."
            )
        self._staged = value
        self.on_rollback_hooks += on_rollback_hooks
        self.on_commit_hooks += on_commit_hooks
        self.state = TransactionState.STAGED
        if self.store is not None and self.key is not None:
            self._tree._latest[self.store._location(self.key)] = self

    def _read(self) -> ResultRecord[Any] | None:
        if self._found is not None:
            return self._found
        if self.store is None or self.key is None:
            return None
        return self.store.lookup(self.key)

    def staged_record(self) -> ResultRecord[Any]:
        """Return the record that is written on commit."""
        assert self.store is not None
        value = self._staged
        if not isinstance(value, ResultRecord):
            return self.store.create_result_record(value, self.key)
        if value.metadata is None or value.metadata.storage_key is None:
            made = self.store.create_result_record(value.result, self.key, value.expiration)
            value.metadata = made.metadata
        return value

    # --- entering and leaving ---------------------------------------------------------------------

    async def _enter(
        self, calls: Calls, parent: BaseTransaction | None = _MISSING, *, is_shown: bool = True
    ) -> None:
        """Enter the transaction.

        Args:
            calls: How hooks and stores are called.
            parent: The transaction around it; by default the one this code is in.
            is_shown: Whether the code that follows finds it in its context.
        """
        if self._is_entered:
            raise RuntimeError("Context already entered. Use another transaction inside this one.")
        if parent is _MISSING:
            parent = get_transaction()
        self._parent = parent
        with ADOPTION:
            self._is_adoptable = (
                parent is not None and parent._settling is None and parent.state not in FINAL
            )
        # Work in a rollback hook stands for itself; so does what follows a commit.
        self._is_doomed = (
            parent is not None and parent.is_rolled_back() and parent._settling is None
        )
        # Locks held around this transaction are its own too, or it would wait for ever.
        is_inside = self._is_adoptable or (
            parent is not None and (parent._is_entered or parent._settling is not None)
        )
        self._begin_anew(parent._tree if parent is not None and is_inside else None)
        if self.commit_mode is None:
            inherited = None if parent is None else parent.commit_mode
            self.commit_mode = inherited or CommitMode.LAZY
        if self.logger is None:
            self.logger = default_logger()
        self.children = []
        self.error = None
        self.rollback_errors = []
        self._found = self._settling = None
        self.state = TransactionState.ACTIVE
        try:
            await self._begin(calls)
        except BaseException:
            self._release()
            raise
        self._is_entered = True
        if is_shown:
            self._token = CURRENT.set(self)
            self._keeping_token = keeping.enter_transaction()

    async def _begin(self, calls: Calls) -> None:
        store, key = self.store, self.key
        if store is None or key is None:
            return
        if not store.supports_isolation_level(self.isolation_level):
            raise ConfigurationError(
                f"Isolation level {self.isolation_level} is not supported by provided "
                "configuration. Pass a store with a lock manager, such as "
                "`ResultStore(lock_manager=MemoryLockManager())`."
            )
        location = store._location(key)
        if self.isolation_level == IsolationLevel.SERIALIZABLE:
            with ADOPTION:
                is_held = location in self._tree._locks
            if not is_held:
                if not await calls.acquire(store, key, self._holder, self.lock_timeout):
                    raise LockTimeoutError(
                        f"The lock on the key {short_repr(key)} was not free within "
                        f"{self.lock_timeout:g} seconds: another holder has it. Wait longer with "
                        "`lock_timeout=...`, or for good with `lock_timeout=None`."
                    )
                self._lock = location
                self._fence = store.fencing_token(key, self._holder)
                with ADOPTION:
                    self._tree._locks[location] = self
            earlier = self._tree._latest.get(location)
            if earlier is not None and earlier.is_staged():
                self._found = earlier.staged_record()
        if self._found is None and not self.overwrite:
            self._found = await calls.call(store.lookup, key)
        if self._found is not None:
            self.state = TransactionState.COMMITTED

    def _look(self) -> None:
        """Look once more whether there is a record; if so, the transaction is committed."""
        if self.store is not None and self.key is not None:
            self._found = self.store.lookup(self.key)
            if self._found is not None:
                self.state = TransactionState.COMMITTED

    async def _leave(
        self, calls: Calls, error: BaseException | None, *, spreads: bool = True
    ) -> None:
        """Leave the transaction.

        Args:
            calls: How hooks and stores are called.
            error: What the work in it failed with.
            spreads: Whether the one around it is rolled back if this one is.
        """
        if not self._is_entered:
            raise RuntimeError(
                "Asymmetric use of context. It was left without having been entered."
            )
        self._is_entered = False
        try:
            if error is not None or self._is_doomed:
                await self._rollback(calls)
            elif self.commit_mode == CommitMode.EAGER or not await self._is_adopted(calls):
                is_off = self.commit_mode == CommitMode.OFF and self._parent is None
                await (self._rollback(calls) if is_off else self._commit(calls))
        finally:
            self._hide()
            if self.state in FINAL:
                self._release()
        if spreads and self.is_rolled_back():
            await self._roll_back_parent(calls)
        if error is None and self.error is not None and self._raises:
            raise TransactionCommitError(
                f"The transaction with key {short_repr(self.key)} was not committed: "
                f"{short_repr(self.error)}"
            ) from self.error

    async def _roll_back_parent(self, calls: Calls) -> None:
        if self._parent is not None and self._is_adoptable:
            await self._parent._rollback(calls)

    def _begin_doomed(self) -> None:
        """Take a value and hooks after the rollback: they are rolled back when it is left."""
        self.state = TransactionState.ACTIVE
        self.children, self.on_rollback_hooks = [], []
        self._is_doomed = True

    def _hide(self) -> None:
        """Let the context be as it was before."""
        for name, variable in (("_token", CURRENT), ("_keeping_token", _core.current_keeping)):
            token = getattr(self, name)
            setattr(self, name, None)
            if token is not None:
                try:
                    variable.reset(token)
                except ValueError:  # left in another context than entered: a fixture, a generator
                    before = token.old_value
                    variable.set(None if before is token.MISSING else before)

    async def _is_adopted(self, calls: Calls) -> bool:
        """Leave the rest to the parent, if it has one that can still see to it."""
        parent = self._parent
        if parent is None or not self._is_adoptable:
            return False
        while True:
            with ADOPTION:
                pending = parent._settling
                if pending is None and parent.state not in FINAL:
                    if self.state not in FINAL:
                        parent.children.append(self)
                    return True
            if pending is None:
                break
            await calls.wait(pending)
        if parent.is_rolled_back():
            await self._rollback(calls)
            return True
        return False

    async def _commit(self, calls: Calls) -> bool:
        return await settling.commit(self, calls)

    async def _rollback(self, calls: Calls) -> bool:
        return await settling.rollback(self, calls)

    def _release(self) -> None:
        """Release the lock; a second time, nothing happens."""
        location, self._lock = self._lock, None
        if location is None:
            return
        with ADOPTION:
            self._tree._locks.pop(location, None)
        assert self.store is not None
        assert self.key is not None
        with suppress(ValueError):  # it has run out, and another has it
            self.store.release_lock(self.key, self._holder)
