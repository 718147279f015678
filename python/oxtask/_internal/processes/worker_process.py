"""A worker process as its program sees it: started, watched and ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from oxtask._internal.processes import worker
from oxtask._internal.processes.channel import (
    FAILED_START,
    STOP,
    Channel,
    ChannelClosedError,
    GivenUpError,
)
from oxtask._internal.processes.warden import warden

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_EXIT_CODE_SECONDS, _NAP_SECONDS = 1.0, 0.001
"""How long to look for the exit code of a process that has ended, and how often."""
_ending = Lock()
_multiprocessing = Lock()
"""Held while `multiprocessing` starts a process or looks for its end.

It looks after all of its processes when it starts another one, and where two threads look after the
same, one of them misses the exit code.
"""


class WorkerStartError(Exception):
    """A worker process could not be started, or ended before it could do anything.

    Attributes:
        was_killed: Whether it was killed by a signal, so that the next one may fare better.
    """

    def __init__(self, message: str, *, was_killed: bool = False) -> None:
        super().__init__(message)
        self.was_killed = was_killed


class WorkerProcess:
    """A process that carries out the bodies of runs, one at a time.

    Whoever has it from the pool is the only one that uses it, but for `interrupt`.

    Attributes:
        pid: The number of the process; also that of its process group.
        runs: How many runs it was given.
        kept: The runs whose task and arguments it still has, for their next attempt.
        forgotten: Those of which it can let go; told with the next run.
        environment: The environment variables it has.
        flow_key: Says which flow run it was told of last.
        exit_code: That of the process, once `end` was called; ``None`` if it is not known.
    """

    def __init__(self, start_method: str, setup: bytes) -> None:
        ours, theirs = socket.socketpair()
        try:
            process: BaseProcess = multiprocessing.get_context(start_method).Process(  # type: ignore[attr-defined]
                target=worker.main, args=(theirs, setup), name="oxtask worker"
            )
            with _multiprocessing:
                process.start()
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                msg = f"a worker process could not be started: {error!r}"
                raise WorkerStartError(msg) from error
            raise
        finally:
            theirs.close()
        self._process = process
        self.pid: int = process.pid  # type: ignore[assignment] # it was started
        warden.watch(self.pid)
        self._life = _life_of(self.pid)
        self.channel = Channel(ours, process.sentinel if self._life is None else self._life)
        self.runs = 0
        self.kept: set[int] = set()
        self.forgotten: list[int] = []
        self.environment: dict[Any, Any] | None = None
        self.flow_key: object = None
        self._is_ended = False
        self.exit_code: int | None = None

    def wait_until_ready(self) -> None:
        """Wait until the process can be given runs.

        Raises:
            WorkerStartError: If it ended first, or its initializer raised.
        """
        try:
            kind, content = self.channel.receive()
        except ChannelClosedError:
            self.end()
            msg = (
                f"worker process {self.pid} {self.how_it_ended()} before it was ready. The process "
                "imports the script of the program anew: what starts the flow there must stand "
                "under `if __name__ == '__main__':`"
            )
            raise WorkerStartError(msg, was_killed=(self.exit_code or 0) < 0) from None
        if kind == FAILED_START:
            self.end()
            msg = f"the initializer of worker process {self.pid} raised:\n{content.decode()}"
            raise WorkerStartError(msg)

    def interrupt(self) -> None:
        """Raise an exception in the run that the process carries out."""
        with suppress(ProcessLookupError), _multiprocessing:
            self._process.terminate()

    def leave(self) -> None:
        """Tell the process to end when it is idle."""
        with suppress(ChannelClosedError, GivenUpError):
            self.channel.send(STOP)

    def kill(self) -> None:
        """Kill the process and all of its process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        # Until it has made a group of its own, it is in that of the program.
        with _multiprocessing:
            self._process.kill()

    def has_ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._is_ended or self.channel.wait_for_end(0.0)

    def end(self, leave_until: float | None = None) -> None:
        """See to it that the process, and what is left of its process group, has ended.

        Args:
            leave_until: Until when it may end by itself, as `time.monotonic` counts. What the runs
                of a process that does so have left in the background is left alone.
        """
        with _ending:
            if self._is_ended:
                return
            self._is_ended = True
        if leave_until is None or not self.channel.wait_for_end(leave_until):
            self.kill()
        self.exit_code = self._collect_exit_code()
        warden.release(self.pid)
        self.channel.close()
        if self._life is not None:
            os.close(self._life)

    def _collect_exit_code(self) -> int | None:
        until = time.monotonic() + _EXIT_CODE_SECONDS
        self.channel.wait_for_end(until)
        while time.monotonic() < until:
            with _multiprocessing:
                code = self._process.exitcode
                if code is not None:
                    self._process.close()
                    return code
            time.sleep(_NAP_SECONDS)
        return None

    def how_it_ended(self) -> str:
        """Return a phrase such as "was killed by signal 9 (SIGKILL)"."""
        code = self.exit_code
        if code is None:
            return "ended"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        return f"was killed by signal {-code}{name}"


def _life_of(pid: int) -> int | None:
    """Return a file descriptor that is readable when a process has ended, if the system has such.

    The sentinel of `multiprocessing` is a pipe, which a process forked by a task would keep open.
    """
    opened = getattr(os, "pidfd_open", None)
    if opened is None:
        return None
    try:
        return int(opened(pid))
    except OSError:
        return None
