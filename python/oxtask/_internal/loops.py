"""The Python half of the event loops on which submitted async tasks run."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def run(reader: int, drain: Any) -> None:
    """Run an event loop on this thread, for as long as the process lives.

    Args:
        reader: A file descriptor that can be read when there is work.
        drain: Called then; steps coroutines of runs.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tasks: Any = asyncio.tasks
    # From 3.14 on the current task is kept in the thread's state, and the dict is not looked at.
    current = tasks._current_tasks if sys.version_info < (3, 14) else None
    drain.serve(loop, current, tasks._enter_task, tasks._leave_task)
    loop.add_reader(reader, drain)
    loop.run_forever()
