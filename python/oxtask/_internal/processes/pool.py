"""The worker processes of a task runner: started when they are needed, handed out, replaced.

A worker is idle, or belongs to one thread, which uses it, hands it back or ends it. Threads wait
for a worker only where more runs are under way than there may be workers: one whose run was
cancelled keeps its worker until that has ended.
"""

from __future__ import annotations

import time
from multiprocessing.util import Finalize
from threading import Condition
from typing import Any

from oxtask._internal.processes.channel import GivenUpError
from oxtask._internal.processes.worker_process import WorkerProcess, WorkerStartError

LEAVE_SECONDS = 2.0
"""How long workers that have nothing more to do may take to leave."""
MAX_STARTS = 5
"""How often a worker is started for a run, if each is killed before it is ready."""
HAND_BACK_SECONDS = 1.0
"""How long to wait at the end for those whose runs were cancelled."""


class Ticket:
    """A thread's claim to a worker, which others may revoke.

    Attributes:
        worker: The worker, while the thread has one.
        is_revoked: Whether the run, for which the worker was wanted, has ended.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.worker: WorkerProcess | None = None
        self.is_revoked = False

    def revoke(self, _: Any = None) -> None:
        """Have the thread give up what it does with its worker."""
        with self._pool.changed:
            self.is_revoked = True
            if self.worker is not None:
                self.worker.channel.give_up()
            self._pool.changed.notify_all()


class WorkerPool:
    """Worker processes.

    Args:
        size: How many there may be.
        start_method: As `multiprocessing` calls it.
        setup: The initializer and its arguments, pickled.
        runs_per_worker: After how many runs a worker is replaced; ``None`` for never.

    Attributes:
        changed: Held around what changes here; told of every change that somebody may wait for.
    """

    def __init__(
        self, size: int, start_method: str, setup: bytes, runs_per_worker: int | None
    ) -> None:
        self.changed = Condition()
        self._size = size
        self._start_method = start_method
        self._setup = setup
        self._runs_per_worker = runs_per_worker
        self._idle: list[WorkerProcess] = []
        self._workers: set[WorkerProcess] = set()
        self._leaving: list[tuple[WorkerProcess, float]] = []
        self._starting = 0
        self._is_closed = False
        self._start_error: str | None = None
        self._has_started = False
        # Runs before `multiprocessing` waits for its processes at the end of the program.
        self._at_exit = Finalize(None, self._kill_all, exitpriority=100)

    # --- handing out ------------------------------------------------------------------------------

    def acquire(self, ticket: Ticket, wanted: WorkerProcess | None) -> WorkerProcess:
        """Take a worker, when there is one.

        Args:
            ticket: Gets the worker.
            wanted: Take this one and no other, as long as it is there.

        Raises:
            GivenUpError: If the ticket was revoked, or the pool closed.
            WorkerStartError: If no worker can be started.
        """
        self._see_off()
        for left in reversed(range(MAX_STARTS)):
            try:
                return self._idle_or_new(ticket, wanted)
            except WorkerStartError as error:
                if not (error.was_killed and left):
                    raise
        raise AssertionError

    def _idle_or_new(self, ticket: Ticket, wanted: WorkerProcess | None) -> WorkerProcess:
        while True:
            dead = None
            with self.changed:
                self._check(ticket)
                if self._start_error is not None:
                    raise WorkerStartError(self._start_error)
                worker = self._next(wanted)
                if worker is not None and worker.channel.is_open():
                    ticket.worker = worker
                    return worker
                if worker is not None:
                    dead = worker
                    self._workers.discard(worker)
                elif self._has_room() and wanted not in self._workers:
                    self._starting += 1
                    break
                else:
                    self.changed.wait()
            if dead is not None:
                dead.end()
        return self._started(ticket)

    def _check(self, ticket: Ticket) -> None:
        if ticket.is_revoked or self._is_closed:
            raise GivenUpError

    def _has_room(self) -> bool:
        return len(self._workers) + self._starting < self._size

    def _next(self, wanted: WorkerProcess | None) -> WorkerProcess | None:
        """Take an idle worker out of the list."""
        if wanted is not None and wanted in self._workers:
            if wanted in self._idle:
                self._idle.remove(wanted)
                return wanted
            return None
        for place in range(len(self._idle) - 1, -1, -1):  # those used last have warm caches
            if not self._is_used_up(self._idle[place]):
                return self._idle.pop(place)
        return None

    def _started(self, ticket: Ticket) -> WorkerProcess:
        worker = None
        try:
            worker = WorkerProcess(self._start_method, self._setup)
            with self.changed:
                ticket.worker = worker
                self._workers.add(worker)
                self._starting -= 1
            self._check(ticket)
            worker.wait_until_ready()
        except BaseException as error:
            with self.changed:
                if worker is None:
                    self._starting -= 1
                is_lasting = isinstance(error, WorkerStartError) and not error.was_killed
                if is_lasting and not self._has_started:
                    # The next would end in the same way, and so on for all runs.
                    self._start_error = str(error)
            if worker is not None:
                self.discard(ticket)
            raise
        self._has_started = True
        return worker

    def give_back(self, ticket: Ticket) -> None:
        """Take a worker back that waits for its next run."""
        with self.changed:
            worker, ticket.worker = ticket.worker, None
            assert worker is not None
            # Whoever revoked the ticket came too late for the run, but has rung the bell.
            worker.channel.listen_again()
            leaves = self._is_closed or (self._is_used_up(worker) and not worker.kept)
            if leaves:
                self._workers.discard(worker)
                self._leaving.append((worker, time.monotonic() + LEAVE_SECONDS))
            else:
                self._idle.append(worker)
            self.changed.notify_all()
        if leaves:
            worker.leave()

    def discard(self, ticket: Ticket) -> WorkerProcess:
        """End a worker, if it has not ended, and make room for another."""
        with self.changed:
            worker, ticket.worker = ticket.worker, None
        assert worker is not None
        worker.end()
        with self.changed:
            self._workers.discard(worker)
            self.changed.notify_all()
        return worker

    def _is_used_up(self, worker: WorkerProcess) -> bool:
        return self._runs_per_worker is not None and worker.runs >= self._runs_per_worker

    def _see_off(self) -> None:
        """Look after workers that were told to leave, and have, or should have."""
        if not self._leaving:
            return
        now = time.monotonic()
        with self.changed:
            gone = [each for each in self._leaving if each[1] <= now or each[0].has_ended()]
            self._leaving = [each for each in self._leaving if each not in gone]
        for worker, until in gone:
            worker.end(until)

    def forget(self, worker: WorkerProcess, key: int) -> None:
        """Let a worker that has kept the call of a run let go of it."""
        with self.changed:
            if key not in worker.kept:
                return
            worker.kept.discard(key)
            worker.forgotten.append(key)
            leaves = worker in self._idle and self._is_used_up(worker) and not worker.kept
            if leaves:
                self._idle.remove(worker)
                self._workers.discard(worker)
                self._leaving.append((worker, time.monotonic() + LEAVE_SECONDS))
                self.changed.notify_all()
        if leaves:
            worker.leave()

    # --- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """End all workers; those whose runs were cancelled are waited for a moment."""
        until = time.monotonic() + HAND_BACK_SECONDS
        with self.changed:
            self._is_closed = True
            self.changed.notify_all()
            idle, self._idle = self._idle, []
            self._workers.difference_update(idle)
        leave_until = time.monotonic() + LEAVE_SECONDS
        for worker in idle:
            worker.leave()
        self._wait_for_others(until)
        with self.changed:
            leaving, self._leaving = self._leaving, []
        for worker in (*idle, *(each for each, _ in leaving)):
            worker.end(leave_until)
        self._kill_all()
        self._wait_for_others(time.monotonic() + HAND_BACK_SECONDS)
        self._at_exit.cancel()

    def _wait_for_others(self, until: float) -> None:
        """Wait for the threads that still have a worker."""
        with self.changed:
            self.changed.wait_for(
                lambda: not self._workers and not self._starting, until - time.monotonic()
            )

    def _kill_all(self) -> None:
        """Kill the workers that there are; who has one notices."""
        with self.changed:
            self._is_closed = True
            workers = [*self._workers, *(each for each, _ in self._leaving)]
        for worker in workers:
            worker.kill()
