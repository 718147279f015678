"""Ctrl-C: nothing new starts, the flow has crashed, and the process leaves within a second."""

from __future__ import annotations

import random
import signal
import time

import pytest

LIMIT_SECONDS = 1.0
SECOND_LIMIT_SECONDS = 0.5

SCRIPT = """
import asyncio, ctypes, hashlib
from collections import Counter
from oxtask import flow, task
from oxtask.futures import as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner

what, how, workers = sys.argv[2], sys.argv[3], int(sys.argv[4]) or None
first = threading.Event()

def begin():
    write(f"start {time.monotonic_ns()}")
    first.set()

def sleep(x):
    begin()
    time.sleep(60)

def compute(x):
    begin()
    while True:
        pass

def c(x):
    begin()
    ctypes.CDLL(None).usleep(30_000_000)

def hashing(x):
    begin()
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 200_000_000)

def lock(x):
    begin()
    threading.Event().wait()

def quick(x):
    begin()

def swallow(x):
    begin()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            time.sleep(60)
        except BaseException:
            pass

def retry(x):
    begin()
    raise ValueError

async def coroutine(x):
    begin()
    await asyncio.sleep(60)

async def blocking(x):
    begin()
    time.sleep(60)

options = dict(retries=1, retry_delay_seconds=60) if what == "retry" else {}
body = task(globals()[what], **options)
child = task(lambda x: None, name="child")
parts = []

def crashed(flow, run, state):
    write(f"crashed {state.type.value} {state.message}")

def runs():
    futures = body.map(range(100_000 if what == "quick" else 1_000))
    parts.extend([futures, [child.submit(futures[0])]])
    assert first.wait(10)
    tell("ready")
    if how == "wait":
        futures.wait()
    elif how == "result":
        futures.result()
    elif how == "one":
        futures[-1].result()
    elif how == "child":
        parts[1][0].wait()
    elif how == "wait()":
        wait(futures)
    elif how == "as_completed":
        list(as_completed(futures))
    elif how == "busy":
        while True:
            pass
    elif how == "return":
        return
    time.sleep(60)

def streaming():
    tell("ready")
    list(body.stream(range(1_000)))

def direct():
    tell("ready")
    body(0)

@flow(on_crashed=[crashed])
def inner():
    runs()

def subflow():
    inner()

async def coroutine_flow():
    futures = body.map(range(1_000))
    parts.append(futures)
    assert first.wait(10)
    tell("ready")
    await futures[0].aresult()

def main():
    options = dict(task_runner=ThreadPoolTaskRunner(workers), on_crashed=[crashed], name="main")
    if how == "runner":
        with ThreadPoolTaskRunner(workers):
            runs()
    elif how == "async flow":
        asyncio.run(flow(coroutine_flow, **options)())
    else:
        bodies = {"stream": streaming, "direct": direct, "subflow": subflow}
        flow(bodies.get(how, runs), **options)()

try:
    main()
except KeyboardInterrupt:
    write(f"caught {time.monotonic_ns()}")
    for futures in parts:
        some = futures[:: max(1, len(futures) // 1_000)]
        write("states " + " ".join(sorted({future.state.name for future in some})))
    raise
"""


def check(finished, crashes=1):
    """Check the end of a program that was interrupted."""
    detail = (finished.output, finished.errors[-3000:], finished.ledger[-5:])
    # A process that dies of its KeyboardInterrupt ends by the signal; a shell shows 130.
    assert finished.code == -signal.SIGINT, detail
    assert finished.seconds < LIMIT_SECONDS, detail
    crashed = [line for line in finished.ledger if line.startswith("crashed")]
    assert crashes in {len(crashed), None}, detail
    for line in crashed:
        assert line.startswith("crashed CRASHED Execution was "), detail
    caught = [int(line.split()[1]) for line in finished.ledger if line.startswith("caught")]
    starts = [int(line.split()[1]) for line in finished.ledger if line.startswith("start")]
    assert len(caught) == 1, detail
    assert max(starts, default=0) < caught[0], detail
    states = [line.split()[1:] for line in finished.ledger if line.startswith("states")]
    final = {"Cancelled", "Crashed", "Completed", "Failed", "NotReady"}
    assert {name for names in states for name in names} <= final, detail
    assert finished.errors.count("\nKeyboardInterrupt\n") <= 2, detail


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "what",
    ["sleep", "compute", "c", "hashing", "lock", "swallow", "retry", "coroutine", "blocking"],
)
def test_whatever_the_runs_do(start, what, workers):
    """K1, engine.md 20.5"""
    if workers == 0 and what == "compute":
        workers = 4  # a thousand threads that all want the interpreter
    program = start(SCRIPT, what, "wait", workers)
    program.wait_for("ready")
    program.interrupt()
    check(program.finish())


@pytest.mark.parametrize(
    ("how", "crashes"),
    [
        ("result", 1),
        ("one", 1),
        ("child", 1),
        ("wait()", 1),
        ("as_completed", 1),
        ("busy", 1),
        ("sleep", 1),
        ("stream", 1),
        ("direct", 1),
        ("subflow", 2),
        ("async flow", 1),
        ("runner", 0),
        ("return", None),  # the body has returned, and its runs are being waited for
    ],
)
def test_wherever_the_program_is(start, how, crashes):
    """K1"""
    program = start(SCRIPT, "sleep", how, 2)
    program.wait_for("ready")
    program.interrupt()
    check(program.finish(), crashes)


def test_a_stream_is_interrupted_though_its_runs_are_deaf(start):
    """K1"""
    program = start(SCRIPT, "c", "stream", 2)
    program.wait_for("ready")
    program.interrupt()
    check(program.finish())


@pytest.mark.parametrize("what", ["quick", "retry", "coroutine"])
@pytest.mark.parametrize("turn", range(4))
def test_at_any_instant(start, seed, what, turn):
    """K1: `seed` and `turn` choose the instant"""
    program = start(SCRIPT, what, "wait", 2)
    program.wait_for("ready")
    time.sleep(random.Random(seed + turn).random() * 0.2)
    program.interrupt()
    check(program.finish())


SECOND = """
from oxtask import flow, task
from oxtask.task_runners import ThreadPoolTaskRunner

def stubborn(*args):
    tell("stubborn")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.01)

where = sys.argv[2]

@task
def swallow():
    try:
        tell("ready")
        time.sleep(60)
    except KeyboardInterrupt:
        stubborn()

@task
def sleep():
    time.sleep(60)

hooks = [stubborn] if where == "hook" else []

@flow(on_crashed=hooks)
def main():
    futures = [sleep.submit() for _ in range(10)]
    if where == "body":
        swallow()
    else:
        tell("ready")
    futures[0].wait()

main()
"""


@pytest.mark.parametrize("where", ["hook", "body"])
def test_a_second_interrupt_ends_what_the_first_could_not(start, where):
    """K3"""
    program = start(SECOND, where)
    program.wait_for("ready")
    program.interrupt()
    program.wait_for("stubborn")
    program.interrupt()
    finished = program.finish()
    assert finished.code == -signal.SIGINT, finished
    assert finished.seconds < SECOND_LIMIT_SECONDS, finished
