"""Where records of runs that have ended are kept, and lines of their logs.

`RunStore` is all that the rest of oxtask knows of it. A store keeps what `pack` leaves of a run: no
arguments, no results, no exceptions. Which runs get here, and how those that have not ended are
found, is decided in `oxtask._internal.run_history`.
"""

from __future__ import annotations

import marshal
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol

from oxtask._internal.fork_locks import fork_rlock
from oxtask._internal.run_packing import Packed, RunT, number_of, pack, unpack
from oxtask._internal.task_runs import CompletedRun
from oxtask.client.schemas.objects import FlowRun, TaskRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask._internal.task_runs import RunLog


class LogLine(NamedTuple):
    """A line that a run logged.

    Attributes:
        name: The logger.
        level: As in `logging`.
        message: The text, with the traceback if there is one.
        timestamp: Unix nanoseconds.
        flow_run_id: The flow run in text form, or ``None``.
        task_run_id: The task run in text form, or ``None``.
    """

    name: str
    level: int
    message: str
    timestamp: int
    flow_run_id: str | None
    task_run_id: str | None


LineFields = tuple[str, int, str, int, "str | None", "str | None"]
"""The fields of a `LogLine`: a plain tuple of them is nothing to the garbage collector."""


class RunStore(Protocol):
    """Keeps runs by id, the newest ones; ids are the integers of their UUIDs."""

    def put_task_run(self, run: RunLog[TaskRun]) -> None:
        """Keep a run, in place of what is known of it."""

    def put_completed(self, run: CompletedRun) -> None:
        """Keep a task run, unless it is known."""

    def put_flow_run(self, run: RunLog[FlowRun]) -> None:
        """Keep a run, in place of what is known of it."""

    def put_line(self, line: LineFields) -> None:
        """Keep a line of a log."""

    def task_run(self, number: int) -> RunLog[TaskRun] | None:
        """Return a run, or ``None`` if it is not known."""
        ...

    def flow_run(self, number: int) -> RunLog[FlowRun] | None:
        """Return a run, or ``None`` if it is not known."""
        ...

    def has_task_run(self, number: int) -> bool:
        """Tell whether a run is known."""
        ...

    def flow_run_of(self, number: int) -> RunLog[FlowRun] | None:
        """Return the flow run for which a task run stands in the flow run that called it."""
        ...

    def task_runs(self) -> list[RunLog[TaskRun]]:
        """Return all runs, in the order in which they were put."""
        ...

    def flow_runs(self) -> list[RunLog[FlowRun]]:
        """Return all runs, in the order in which they were put."""
        ...

    def lines(self) -> list[LogLine]:
        """Return all lines, in the order in which they were put."""
        ...

    def drop_task_run(self, number: int) -> bool:
        """Forget a run; false if it was not known."""
        ...

    def drop_flow_run(self, number: int) -> bool:
        """Forget a run; false if it was not known."""
        ...


class MemoryStore:
    """A `RunStore` that lasts as long as the process.

    Args:
        max_runs: Returns how many runs of a kind are kept.
        max_lines: Returns how many lines are kept.
    """

    def __init__(self, max_runs: Callable[[], int], max_lines: Callable[[], int]) -> None:
        self._task_runs: _Newest[TaskRun] = _Newest(TaskRun, max_runs)
        self._flow_runs: _Newest[FlowRun] = _Newest(FlowRun, max_runs)
        self._called: dict[int, int] = {}
        self._max_lines = max_lines
        self._lines: deque[LineFields] = deque()
        self._most_lines = 0

    def put_task_run(self, run: RunLog[TaskRun]) -> None:
        """Keep a run, in place of what is known of it."""
        self._task_runs.put(number_of(run.record), _squeezed(run, TaskRun))

    def put_completed(self, run: CompletedRun) -> None:
        """Keep a task run, unless it is known."""
        number, runs = run.number, self._task_runs
        if not runs.has(number):
            runs.put(number, run)

    def put_flow_run(self, run: RunLog[FlowRun]) -> None:
        """Keep a run, in place of what is known of it."""
        self._flow_runs.put(number_of(run.record), _squeezed(run, FlowRun))
        if run.tracking is not None:
            called = self._called
            called[run.tracking.number] = number_of(run.record)
            if len(called) > 2 * self._flow_runs.count() + 100:  # of runs that are gone by now
                self._called = {
                    tracking: number
                    for tracking, number in called.copy().items()
                    if self._flow_runs.has(number)
                }

    def put_line(self, line: LineFields) -> None:
        """Keep a line of a log."""
        lines = self._lines
        lines.append(line)
        if len(lines) > self._most_lines:
            self._trim_lines()

    def _trim_lines(self) -> None:
        lines, limit = self._lines, self._max_lines()
        self._most_lines = _with_room(limit)
        while len(lines) > limit:
            try:
                lines.popleft()
            except IndexError:  # another thread was faster
                return

    def task_run(self, number: int) -> RunLog[TaskRun] | None:
        """Return a run, or ``None`` if it is not known."""
        return self._task_runs.get(number)

    def flow_run(self, number: int) -> RunLog[FlowRun] | None:
        """Return a run, or ``None`` if it is not known."""
        return self._flow_runs.get(number)

    def flow_run_of(self, number: int) -> RunLog[FlowRun] | None:
        """Return the flow run for which a task run stands in the flow run that called it."""
        called = self._called.get(number)
        return None if called is None else self._flow_runs.get(called)

    def has_task_run(self, number: int) -> bool:
        """Tell whether a run is known."""
        return self._task_runs.has(number)

    def task_runs(self) -> list[RunLog[TaskRun]]:
        """Return all runs, in the order in which they were put."""
        return self._task_runs.all()

    def flow_runs(self) -> list[RunLog[FlowRun]]:
        """Return all runs, in the order in which they were put."""
        return self._flow_runs.all()

    def lines(self) -> list[LogLine]:
        """Return all lines, in the order in which they were put."""
        self._trim_lines()
        return [LogLine(*line) for line in self._lines.copy()]

    def drop_task_run(self, number: int) -> bool:
        """Forget a run; false if it was not known."""
        return self._task_runs.drop(number)

    def drop_flow_run(self, number: int) -> bool:
        """Forget a run; false if it was not known."""
        return self._flow_runs.drop(number)


# Guards the instants in which runs are put into a table and taken out; no user code runs under it.
# Reentrant because a signal handler may run at that instant and end a run, too.
_lock = fork_rlock()


Kept = bytes | Packed | CompletedRun
"""What is kept of a run; most that complete are never read, and need not be packed."""


def _with_room(limit: int) -> int:
    """Return how many there may be of what is limited before those too many are taken out.

    To ask for the limit each time, and to take out one at a time, costs as much as to put one in.
    """
    return limit + limit // 16


class _Newest(Generic[RunT]):
    """Packed runs by number; when there are too many, those go that came first."""

    def __init__(self, kind: type[RunT], limit: Callable[[], int]) -> None:
        self._kind: type[RunT] = kind
        self._limit = limit
        self._runs: dict[int, Kept] = {}
        self._most = 0

    def put(self, number: int, packed: Kept) -> None:
        runs = self._runs
        with _lock:
            runs[number] = packed
        if len(runs) > self._most:
            self._trim()

    def _trim(self) -> None:
        limit, runs = self._limit(), self._runs
        with _lock:
            first = list(islice(runs, max(0, len(runs) - limit)))
            gone = [runs.pop(number) for number in first]
            self._most = _with_room(limit)
        del gone  # not under the lock

    def get(self, number: int) -> RunLog[RunT] | None:
        self._trim()
        packed = self._runs.get(number)
        return None if packed is None else _loosened(packed, self._kind)

    def count(self) -> int:
        return len(self._runs)

    def has(self, number: int) -> bool:
        return number in self._runs

    def all(self) -> list[RunLog[RunT]]:
        with _lock:
            self._trim()
            runs = list(self._runs.values())
        return [_loosened(packed, self._kind) for packed in runs]

    def drop(self, number: int) -> bool:
        with _lock:
            return self._runs.pop(number, None) is not None


def _squeezed(run: RunLog[RunT], kind: type[RunT]) -> bytes | Packed:
    """Return a run as bytes, which take half the memory and no time of the garbage collector."""
    packed = pack(run, kind)
    try:
        return marshal.dumps(packed)
    except ValueError:  # something in it is not a plain value
        return packed


def _loosened(kept: Kept, kind: type[RunT]) -> RunLog[RunT]:
    if isinstance(kept, CompletedRun):
        kept = pack(kept.log(), kind)
    # What this process has packed itself.
    return unpack(marshal.loads(kept) if isinstance(kept, bytes) else kept, kind)  # noqa: S302
