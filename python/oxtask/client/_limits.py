"""What clients can do with concurrency limits: base classes of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oxtask._internal import limit_queries

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask._internal.limit_records import (
        GlobalConcurrencyLimitCreate,
        GlobalConcurrencyLimitResponse,
        GlobalConcurrencyLimitUpdate,
    )

__all__ = ["ConcurrencyLimitAsyncClient", "ConcurrencyLimitClient"]


class ConcurrencyLimitClient:
    """The limits of this user: `oxtask.concurrency` says what they do."""

    def create_global_concurrency_limit(
        self, concurrency_limit: GlobalConcurrencyLimitCreate
    ) -> UUID:
        """Make a limit, and return its id.

        Args:
            concurrency_limit: The limit.

        Raises:
            ObjectAlreadyExists: If there is one of that name.
        """
        return limit_queries.create(concurrency_limit)

    def read_global_concurrency_limit_by_name(self, name: str) -> GlobalConcurrencyLimitResponse:
        """Return a limit as it is now.

        Args:
            name: Its name.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        return limit_queries.read(name)

    def read_global_concurrency_limits(
        self, limit: int = 10, offset: int = 0
    ) -> list[GlobalConcurrencyLimitResponse]:
        """Return limits as they are now, ordered by name.

        Args:
            limit: How many at most.
            offset: How many to leave out from the beginning.

        Raises:
            ValueError: If a number makes no sense.
        """
        return limit_queries.read_all(limit, offset)

    def update_global_concurrency_limit(
        self, name: str, concurrency_limit: GlobalConcurrencyLimitUpdate
    ) -> None:
        """Change a limit; those who wait for it get what they can have now.

        Args:
            name: Its name.
            concurrency_limit: What is to change.

        Raises:
            ObjectNotFound: If there is none of that name.
            ObjectAlreadyExists: If it is to get a name that another one has.
        """
        limit_queries.update(name, concurrency_limit)

    def delete_global_concurrency_limit_by_name(self, name: str) -> None:
        """Remove a limit; those who wait for it go on without.

        Args:
            name: Its name.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        limit_queries.delete(name)

    def upsert_global_concurrency_limit_by_name(
        self, name: str, limit: int, slot_decay_per_second: float | None = None
    ) -> None:
        """Make a limit, or change it if there is one of that name.

        Args:
            name: Its name.
            limit: How many slots there are.
            slot_decay_per_second: How many come free again by themselves; ``None`` to leave it.
        """
        limit_queries.upsert(name, limit, slot_decay_per_second)


class ConcurrencyLimitAsyncClient:
    """The same, as coroutines."""

    async def create_global_concurrency_limit(
        self, concurrency_limit: GlobalConcurrencyLimitCreate
    ) -> UUID:
        """Make a limit, and return its id.

        Args:
            concurrency_limit: The limit.

        Raises:
            ObjectAlreadyExists: If there is one of that name.
        """
        return limit_queries.create(concurrency_limit)

    async def read_global_concurrency_limit_by_name(
        self, name: str
    ) -> GlobalConcurrencyLimitResponse:
        """Return a limit as it is now.

        Args:
            name: Its name.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        return limit_queries.read(name)

    async def read_global_concurrency_limits(
        self, limit: int = 10, offset: int = 0
    ) -> list[GlobalConcurrencyLimitResponse]:
        """Return limits as they are now, ordered by name.

        Args:
            limit: How many at most.
            offset: How many to leave out from the beginning.

        Raises:
            ValueError: If a number makes no sense.
        """
        return limit_queries.read_all(limit, offset)

    async def update_global_concurrency_limit(
        self, name: str, concurrency_limit: GlobalConcurrencyLimitUpdate
    ) -> None:
        """Change a limit; those who wait for it get what they can have now.

        Args:
            name: Its name.
            concurrency_limit: What is to change.

        Raises:
            ObjectNotFound: If there is none of that name.
            ObjectAlreadyExists: If it is to get a name that another one has.
        """
        limit_queries.update(name, concurrency_limit)

    async def delete_global_concurrency_limit_by_name(self, name: str) -> None:
        """Remove a limit; those who wait for it go on without.

        Args:
            name: Its name.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        limit_queries.delete(name)

    async def upsert_global_concurrency_limit_by_name(
        self, name: str, limit: int, slot_decay_per_second: float | None = None
    ) -> None:
        """Make a limit, or change it if there is one of that name.

        Args:
            name: Its name.
            limit: How many slots there are.
            slot_decay_per_second: How many come free again by themselves; ``None`` to leave it.
        """
        limit_queries.upsert(name, limit, slot_decay_per_second)
