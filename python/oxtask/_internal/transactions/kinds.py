"""What transactions are, and where they stand."""

from __future__ import annotations

from enum import Enum

from oxtask._internal.fork_locks import fork_lock

ADOPTION = fork_lock()
"""Held while a transaction is adopted, and while a tree to be settled is gathered."""


class _Text(str, Enum):
    def __str__(self) -> str:
        return str(self.value)


class IsolationLevel(_Text):
    """What transactions with one key that run at the same time do."""

    READ_COMMITTED = "READ_COMMITTED"
    """They all run; the later record replaces the earlier."""
    SERIALIZABLE = "SERIALIZABLE"
    """They run one after the other; needs a store with a lock manager."""


class CommitMode(_Text):
    """When a transaction is committed."""

    EAGER = "EAGER"
    """When it is left."""
    LAZY = "LAZY"
    """When the outermost one is left."""
    OFF = "OFF"
    """When its `commit` is called, or that of one around it; else it is rolled back."""


class TransactionState(_Text):
    """Where a transaction stands."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


FINAL = (TransactionState.COMMITTED, TransactionState.ROLLED_BACK)
