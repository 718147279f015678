"""Runs works of one peer in this process: ``isolated.py PEER JOBS_AS_JSON OUT``.

For what needs a process of its own: memory, and a peer whose dependencies clash with the others'.
Appends one line of JSON a job to OUT, so that what was measured before a crash is not lost.
Needs the standard library and the peer only.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from pathlib import Path

from harness import Job, describe, measure
from peers import load_peer
from workloads import Load, check, units

PROC = Path("/proc/self")


def resident() -> int:
    """Return the bytes of memory this process has now (or had at most, off Linux)."""
    try:
        pages = int((PROC / "statm").read_text().split()[1])
    except OSError:
        return highest()
    import resource

    return pages * resource.getpagesize()


def highest() -> int:
    """Return the most bytes of memory this process has had since `forget_highest`."""
    try:
        lines = (PROC / "status").read_text().splitlines()
    except OSError:
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return usage if sys.platform == "darwin" else usage * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_highest() -> None:
    """Let `highest` start from now, where the system can do that."""
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")


def held_memory(peer, job: Job, load: Load) -> int:
    """Return how many bytes a finished map holds on to."""

    def grown():
        # The first map starts threads and imports what is imported on first use.
        values = warm_up()
        del values
        gc.collect()
        before = resident()
        values = body()
        gc.collect()
        after = resident()
        return after - before, values()

    warm_up = peer.work(job.work, Load(min(1000, load.count)))
    body = peer.work(job.work, load)
    size, result = peer.inside(job.work, grown)
    check(job.work, result, load)
    return size


def streamed(peer, job: Job, load: Load) -> tuple[list[float], int]:
    """Return the seconds of each round and the bytes by which the process grew in the worst."""
    measure(peer, job.work, Load(min(1000, load.count)))
    seconds, growth = [], 0
    for _ in range(job.rounds):
        gc.collect()
        forget_highest()
        before = resident()
        seconds.append(measure(peer, job.work, load))
        growth = max(growth, highest() - before)
    return seconds, growth


def run(peer, job: Job) -> dict:
    """Do one job and return its record."""
    load = Load(job.count, job.seconds)
    record = {
        "row": job.row,
        "able": True,
        "count": units(job.work, load) * job.repeat,
        "full": units(job.work, Load(job.full)) * job.repeat,
    }
    try:
        if peer.work(job.work, Load(1, job.seconds)) is None:
            record["able"] = False
        elif job.kind == "memory":
            record["bytes"] = held_memory(peer, job, load)
        elif job.kind == "stream":
            record["seconds"], record["bytes"] = streamed(peer, job, load)
        else:
            record["seconds"] = [
                measure(peer, job.work, load, job.repeat) for _ in range(job.rounds)
            ]
    except Exception as error:  # noqa: BLE001 - reported in the record
        record["error"] = describe(error)
    return record


def main(name: str, jobs: str, out: str) -> None:
    """Run all jobs."""
    peer = load_peer(name)

    def run_all():
        for arguments in json.loads(jobs):
            record = run(peer, Job(**arguments))
            with Path(out).open("a") as stream:
                stream.write(json.dumps(record) + "\n")
        # All is measured. Prefect would now spend a minute on telling its server.
        os._exit(0)

    # One flow for all: to start one, Prefect may wait half a minute for its busy server.
    peer.inside("", run_all)


if __name__ == "__main__":
    main(*sys.argv[1:])
