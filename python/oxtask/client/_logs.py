"""What clients can do with lines of run loggers: base classes of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import run_queries

if TYPE_CHECKING:
    from oxtask.client.schemas.filters import LogFilter
    from oxtask.client.schemas.logs import Log
    from oxtask.client.schemas.sorting import LogSort

__all__ = ["LogAsyncClient", "LogClient"]


class LogClient:
    """The lines of run loggers of this process."""

    def read_logs(
        self,
        log_filter: LogFilter | dict[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort: LogSort | str | None = None,
    ) -> list[Log]:
        """Return lines of run loggers, from the level on that is logged at all.

        Args:
            log_filter: Only those that pass it.
            limit: How many at most.
            offset: How many to leave out from the beginning.
            sort: In which order; by default the oldest come first.

        Raises:
            ValueError: If the filter, the order or a number makes no sense.
        """
        return run_queries.read_logs(log_filter, sort, limit, offset)


class LogAsyncClient:
    """The same as coroutine functions; none of them ever waits."""

    async def read_logs(
        self,
        log_filter: LogFilter | dict[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort: LogSort | str | None = None,
    ) -> list[Log]:
        """Return lines of run loggers, from the level on that is logged at all.

        See `LogClient.read_logs`.
        """
        return run_queries.read_logs(log_filter, sort, limit, offset)
