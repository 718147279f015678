"""What waiters for task runs and for flow runs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal import run_ends, run_history
from oxtask._internal.ids import to_uuid
from oxtask.futures import check_timeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from typing_extensions import Self

    from oxtask._internal.task_runs import RunLog

    Find = Callable[[int], RunLog[Any] | None]


class Waiter:
    """Waits for runs by their ids, also for such that are not known yet."""

    _instance: ClassVar[Any] = None

    @classmethod
    def instance(cls) -> Self:
        """Return the one waiter of its kind."""
        if "_instance" not in cls.__dict__:
            cls._instance = cls()
        waiter: Self = cls._instance
        return waiter

    def start(self) -> None:
        """Do nothing: there is nothing to start."""

    def stop(self) -> None:
        """Do nothing: there is nothing to stop."""

    @classmethod
    async def _ended(
        cls, find: Find, run_id: UUID | str, name: str, timeout: float | None
    ) -> RunLog[Any] | None:
        """Return a run that has ended; ``None`` if it has not in time."""
        check_timeout(timeout)
        number = to_uuid(run_id, name).int
        is_over = _question(find, number)
        if not is_over():
            await run_ends.await_end(number, is_over, timeout)
        run = find(number)
        return run if run is not None and run_history.is_over(run) else None

    @classmethod
    def _expect(
        cls, find: Find, run_id: UUID | str, name: str, callback: Callable[[], object]
    ) -> None:
        number = to_uuid(run_id, name).int
        run_ends.expect(number, _question(find, number), callback)


def _question(find: Find, number: int) -> Callable[[], bool]:
    def is_over() -> bool:
        run = find(number)
        return run is not None and run_history.is_over(run)

    return is_over
