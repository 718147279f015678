"""The boundary of Python and Rust: lock orders, and who may let go of the interpreter."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STALL_SECONDS = 2.0

SCRIPT = """
import asyncio, gc, logging, mmap
from oxtask import flow, task
from oxtask.futures import FutureList, as_completed, resolve_futures_to_results, wait
from oxtask.task_runners import ThreadPoolTaskRunner

sys.setswitchinterval(1e-6)
gc.set_threshold(10)
progress = memoryview(mmap.mmap(os.open(sys.argv[2], os.O_RDWR), 8 * 32)).cast("Q")
until = time.monotonic() + float(sys.argv[3])
failures = []

def touch(x):
    # No waiting: this runs in the midst of things, where the lock of a log handler may be held.
    futures = add.map([x, x])
    doomed = add.submit(futures[0])
    doomed.cancel()
    repr(doomed), doomed.state, doomed.task_run_id, futures[1].done()
    doomed.add_done_callback(lambda future: future.state)
    return futures

class Last:
    def __del__(self):
        try:
            touch(1)
        except RuntimeError:
            pass  # no runner where the collector happened to run

class Handler(logging.Handler):
    def emit(self, record):
        if not busy.active:
            busy.active = True
            try:
                touch(1)
            except RuntimeError:
                pass
            finally:
                busy.active = False

class Busy(threading.local):
    active = False

busy = Busy()

def hook(task, run, state):
    wait(touch(1), timeout=5)

@task
def add(x, y=1):
    return x

@task(on_completion=[hook], on_running=[hook], retries=1)
def hooked(x):
    return x

@task(retries=1, retry_delay_seconds=0.0001)
def fails(x):
    raise ValueError(x)

@task(timeout_seconds=0.001)
def late(x):
    end = time.monotonic() + 0.002
    while time.monotonic() < end:
        pass

@task
async def loop(x):
    await asyncio.sleep(0)
    return await add.submit(x).aresult()

@task
def nested(x):
    return add.submit(loop.submit(x)).result()

def turn(x):
    cycle = [Last()]
    cycle.append(cycle)
    futures = FutureList(
        [add.submit(Last()), hooked.submit(x), fails.submit(x), late.submit(x), loop.submit(x)]
        + [nested.submit(x), add.submit(loop.submit(x))] + add.map([Last(), x])
    )
    futures[0].add_done_callback(lambda future: future.state)
    for future in as_completed(futures[:4], timeout=10):
        future.result(raise_on_failure=False)
    futures[5].cancel()
    futures.wait(timeout=10)
    resolve_futures_to_results([futures[0]])
    list(add.stream(range(3)))
    asyncio.run(futures[4].aresult())
    add(x), hooked(x)

def drive(place):
    count = 0
    while time.monotonic() < until:
        try:
            with ThreadPoolTaskRunner((place % 4) or None) as runner:
                for x in range(2):
                    turn(x)
                    count += 1
                    progress[place] = count
                if count % 5 == 0:
                    add.map(range(20))
                    runner.cancel_all()
        except BaseException as error:
            failures.append(repr(error))
            return

logger = logging.getLogger("oxtask")
logger.handlers[:] = [Handler()]
logger.propagate = False
threads = [threading.Thread(target=drive, args=(place,), daemon=True) for place in range(16)]
for thread in threads:
    thread.start()
tell("ready")
for thread in threads:
    thread.join()
tell("done")
print("\\\\n".join(failures))
sys.exit(bool(failures))
"""


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_no_lock_order_of_interpreter_and_core_stalls(start, tmp_path, seconds):
    """N1: everything is called from 16 threads while callbacks call back in"""
    counters = tmp_path / "progress"
    counters.write_bytes(bytes(8 * 32))
    program = start(SCRIPT, counters, seconds, limit=seconds + 15)
    program.wait_for("ready")
    began = moved = time.monotonic()
    last, longest = bytes(8 * 32), 0.0
    while (now := time.monotonic()) < began + seconds:
        current = counters.read_bytes()
        if current != last:
            last, moved = current, now
        longest = max(longest, now - moved)
        time.sleep(0.05)
    finished = program.finish()
    assert finished.code == 0, finished
    assert longest < STALL_SECONDS, finished
    assert any(last)


def sources(folder):
    return {path: path.read_text() for path in sorted((ROOT / folder).rglob("*.rs"))}


def test_the_core_knows_nothing_of_python():
    """N2: what the core locks, it locks without Python code or objects"""
    manifest = (ROOT / "rust/core/Cargo.toml").read_text()
    assert "pyo3" not in manifest
    text = "\n".join(sources("rust/core/src").values())
    assert "pyo3" not in text
    assert "forbid(unsafe_code)" in text or 'unsafe_code = "forbid"' in manifest


def test_the_interpreter_is_left_in_one_place_only():
    """N2: `boundary.rs`, through `unwinding.rs`, is the only way out, and knows the rules"""
    ways_out = re.compile(
        r"\.detach\(|allow_threads|PyEval_SaveThread|PyEval_RestoreThread|PyGILState_"
        r"|Py_BEGIN_ALLOW_THREADS"
    )
    found = {
        path.name
        for path, text in sources("rust/src").items()
        if any(ways_out.search(line.split("//")[0]) for line in text.splitlines())
    }
    assert found == {"boundary.rs", "unwinding.rs"}


def test_only_threads_that_the_core_starts_attach():
    """N2: nothing attaches in the middle of things, where a lock might be held"""
    attach = re.compile(r"Python::(try_)?attach|Python::with_gil|assume_attached")
    found = {
        path.name
        for path, text in sources("rust/src").items()
        if any(attach.search(line.split("//")[0]) for line in text.splitlines())
    }
    assert found <= {"workers.rs", "loops.rs", "stream.rs", "collector.rs", "gather.rs"}
