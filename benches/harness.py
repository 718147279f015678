"""Measuring: one work of one peer, many peers in turn, and in a process of one's own."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads import Load, check, units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peers import Peer
    from workloads import Row

# A measurement that takes longer hangs: show where, and give up.
HANG_SECONDS = 180
ISOLATED = Path(__file__).resolve().parent / "isolated.py"


@dataclass
class Sample:
    """What one peer needed for one row.

    Attributes:
        count: Runs in one measurement, repetitions included.
        full: Runs the row asks for; more than ``count`` where the peer did fewer.
        seconds: Every measurement, in seconds.
        bytes: Memory, for the rows that measure it.
        error: What went wrong, if anything did; a wrong answer included.
    """

    count: int = 0
    full: int = 0
    seconds: list[float] = field(default_factory=list)
    bytes: int | None = None
    error: str | None = None

    @property
    def best(self) -> float | None:
        """Seconds of the fastest measurement."""
        return min(self.seconds, default=None)

    @property
    def per_item(self) -> float | None:
        """Seconds per item in the fastest measurement."""
        return self.best / self.count if self.seconds else None

    @property
    def scaled(self) -> bool:
        """Whether the peer did fewer runs than the row asks for."""
        return self.count < self.full


def timed(body: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """Call ``body`` ``repeat`` times; return the seconds of all and the last answer."""
    gc.collect()
    result = None
    start = time.perf_counter()
    for _ in range(repeat):
        result = body()
    return time.perf_counter() - start, result


def measure(peer: Peer, work: str, load: Load, repeat: int = 1) -> float | None:
    """Do a work once and check its answer.

    Returns:
        Seconds, or None if the peer cannot do this work.

    Raises:
        AssertionError: If the answer is wrong.
    """
    body = peer.work(work, load)
    if body is None:
        return None
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    try:
        seconds, result = peer.inside(work, lambda: timed(body, repeat))
        check(work, peer.answer(work, result), load)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return seconds


def describe(error: BaseException) -> str:
    """Return one line about an error."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def take_turns(row: Row, peers: dict[str, Peer], *, quick: bool) -> dict[str, Sample]:
    """Measure a row on all peers, in turn, so that a slow spell of the machine hits everybody."""
    samples = {}
    for turn in range(1 if quick else max(row.rounds, row.peer_rounds)):
        for name, peer in peers.items():
            rounds = row.rounds if name in {"plain", "native", "oxtask"} else row.peer_rounds
            sample = samples.get(name)
            if (row.peers and name not in row.peers) or turn >= rounds or (sample and sample.error):
                continue
            load = row.load(name, quick=quick)
            repeat = 1 if quick else row.repeat
            try:
                seconds = measure(peer, row.work, load, repeat)
            except Exception as error:  # noqa: BLE001 - one peer's failure is a cell of the table
                samples[name] = Sample(error=describe(error))
                continue
            if seconds is None:
                continue
            runs, full = units(row.work, load), units(row.work, row.load("plain", quick=quick))
            sample = samples.setdefault(name, Sample(runs * repeat, full * repeat))
            sample.seconds.append(seconds)
    return samples


# Measurements that need a fresh process.


@dataclass(frozen=True)
class Job:
    """One measurement for `isolated.py`: a row's work for one peer."""

    row: str
    work: str
    kind: str
    count: int
    full: int
    seconds: float
    repeat: int
    rounds: int

    @classmethod
    def of(cls, row: Row, peer: str, *, quick: bool, rounds: int) -> Job:
        load, full = row.load(peer, quick=quick), row.load("plain", quick=quick)
        repeat = 1 if quick else row.repeat
        rounds = 1 if quick else rounds
        return cls(
            row.name, row.work, row.kind, load.count, full.count, load.seconds, repeat, rounds
        )


def end_session(process: subprocess.Popen) -> None:
    """End a process that leads a session, and what it has left behind in it."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def run_isolated(
    peer: str,
    jobs: Iterable[Job],
    *,
    python: str = sys.executable,
    environment: dict[str, str] | None = None,
    timeout: float = HANG_SECONDS,
) -> dict[str, Sample]:
    """Run jobs one after the other in one new process.

    Returns:
        Samples by row name; a job that the process did not get to has an error.
    """
    jobs = list(jobs)
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "samples"
        command = [python, str(ISOLATED), peer, json.dumps([asdict(job) for job in jobs]), str(out)]
        # A session of its own, so that a server that the peer has started can be ended with it.
        # Standard error goes to a file, not to a pipe: the server would hold the pipe open.
        log = Path(directory) / "log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                command,
                env=os.environ | (environment or {}),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            status = process.wait(timeout)
            failure = f"exit status {status}: {log.read_text(errors='replace').strip()[-300:]}"
        except subprocess.TimeoutExpired:
            failure = f"no answer within {timeout:.0f} s"
        finally:
            end_session(process)
        lines = out.read_text().splitlines() if out.exists() else []
    samples = {}
    for line in lines:
        record = json.loads(line)
        name = record.pop("row")
        if record.pop("able"):
            samples[name] = Sample(**record)
    answered = {json.loads(line)["row"] for line in lines}
    for job in jobs:
        if job.row not in answered:
            samples[job.row] = Sample(error=failure)
    return samples


def import_seconds(statements: dict[str, tuple[str, str]], rounds: int) -> dict[str, float]:
    """Time fresh interpreters that run one statement each, in turn.

    Args:
        statements: Interpreter and statement, by name.
        rounds: Starts of each; the best one counts.

    Returns:
        Seconds by name, without those that fail (the module is not there).
    """
    best = {}
    failed = set()
    with tempfile.TemporaryDirectory() as neutral:
        for _ in range(rounds):
            for name, (python, statement) in statements.items():
                if name in failed:
                    continue
                start = time.perf_counter()
                done = subprocess.run(
                    [python, "-c", statement], cwd=neutral, capture_output=True, check=False
                )
                seconds = time.perf_counter() - start
                if done.returncode:
                    failed.add(name)
                else:
                    best[name] = min(seconds, best.get(name, seconds))
    return best
