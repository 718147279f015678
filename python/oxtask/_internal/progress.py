"""One line on a terminal while somebody waits for many runs."""

from __future__ import annotations

import sys
import time
from typing import Any

from oxtask import _core

SHOW_AFTER_SECONDS = 0.5
REFRESH_SECONDS = 0.1
FEWEST_RUNS = 2


def watched_wait(
    futures: list[Any], timeout: float | None, *, fail_fast: bool
) -> tuple[bool, int | None]:
    """Wait as `_core.wait_all` does; long waits show how far the runs are."""
    if len(futures) < FEWEST_RUNS or not _is_wanted():
        return _core.wait_all(futures, timeout, fail_fast)
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = SHOW_AFTER_SECONDS
    line: Any = None
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            is_last = left is not None and left <= pause
            done, failed = _core.wait_all(futures, left if is_last else pause, fail_fast)
            if done or is_last:
                return done, failed
            pause = REFRESH_SECONDS
            if line is None:
                line = _Line(futures)
            line.show()
    finally:
        if line is not None:
            line.close()


def _is_wanted() -> bool:
    import threading  # noqa: PLC0415 - start-up time

    if threading.current_thread() is not threading.main_thread():
        return False
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    wanted = get_current_settings().progress
    if wanted == "auto":
        return sys.stderr is not None and sys.stderr.isatty()
    return bool(wanted == "on")


class _Line:
    """The line: a bar, a count, a rate and the time left."""

    def __init__(self, futures: list[Any]) -> None:
        from rich.console import Console  # noqa: PLC0415 - only long waits need it
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._futures = futures
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
        )
        name = futures[0]._task.name
        self._bar = self._progress.add_task(name, total=len(futures))
        self._progress.start()

    def show(self) -> None:
        done = len(self._futures) - _core.unsettled(self._futures)
        self._progress.update(self._bar, completed=done)
        self._progress.refresh()

    def close(self) -> None:
        self._progress.stop()
