"""What can be done with task runs from outside of them.

>>> import asyncio, uuid
>>> from oxtask import task
>>> from oxtask.task_engine import run_task_async
>>> @task
... async def hello():
...     return "hello"
>>> async def main():
...     run_id = uuid.uuid4()
...     run = asyncio.ensure_future(run_task_async(hello, task_run_id=run_id))
...     state = await TaskRunWaiter.wait_for_task_run(run_id)
...     return state.name, await run
>>> asyncio.run(main())
('Completed', 'hello')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.run_waiters import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from oxtask.states import State

__all__ = ["TaskRunWaiter"]


class TaskRunWaiter(Waiter):
    """Waits for task runs of this process by their ids.

    A run need not have begun, nor be known. There is one waiter a process, which has nothing to
    start and nothing to stop: the run itself tells those who wait.
    """

    @classmethod
    async def wait_for_task_run(
        cls, task_run_id: UUID | str, timeout: float | None = None
    ) -> State[Any] | None:
        """Wait until a run has ended.

        Args:
            task_run_id: The run.
            timeout: How long to wait, in seconds.

        Returns:
            The state that the run ended in, without its data; ``None`` if it has not ended in time.

        Raises:
            ValueError: If ``task_run_id`` is no id, or ``timeout`` is negative.
        """
        from oxtask._internal import run_history  # noqa: PLC0415 - start-up time

        run = await cls._ended(run_history.task_run, task_run_id, "task_run_id", timeout)
        return None if run is None else run.record.state

    @classmethod
    def add_done_callback(cls, task_run_id: UUID | str, callback: Callable[[], object]) -> None:
        """Call a function when a run has ended; at once if it has.

        Every function is called that was added, in that order. What it raises is logged.

        Args:
            task_run_id: The run.
            callback: The function; it takes no argument.

        Raises:
            ValueError: If ``task_run_id`` is no id.
        """
        from oxtask._internal import run_history  # noqa: PLC0415 - start-up time

        cls._expect(run_history.task_run, task_run_id, "task_run_id", callback)
