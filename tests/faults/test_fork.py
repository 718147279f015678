"""Forks: the child gets a clear error or an engine of its own, the parent notices nothing."""

from __future__ import annotations

import os

import pytest

LIMIT_SECONDS = 5

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SCRIPT = """
import asyncio, logging, multiprocessing, warnings
from oxtask import flow, task
from oxtask.exceptions import ForkedProcessError
from oxtask.futures import as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner

warnings.simplefilter("ignore", DeprecationWarning)  # forks with threads, from Python 3.12 on
where = sys.argv[2]

@task
def add(x, y=1):
    return x + y

@task
async def add_async(x):
    await asyncio.sleep(0)
    return x + 1

@task(retries=1, retry_delay_seconds=0.01)
def flaky(x, seen):
    seen.append(x)
    if len(seen) == 1:
        raise ValueError
    return x

@task(timeout_seconds=0.05)
def late():
    time.sleep(0.2)

@task
def hold(gate):
    assert gate.wait(10)
    return "held"

@flow
def everything():
    logging.disable()
    assert add.map(range(100)).result() == list(range(1, 101))
    assert add(add.submit(add_async.submit(1))) == 4
    assert flaky.submit(7, []).result() == 7
    late.submit().wait()
    assert list(add.stream(range(10))) == list(range(1, 11))
    logging.disable(logging.NOTSET)
    return "all right"

def watch():
    \"\"\"End a forked child that hangs: the watchdog's thread did not survive the fork.\"\"\"
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(4)

def child(function=everything):
    \"\"\"Run a function in a forked child; return whether it went well.\"\"\"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            watch()
            function()
            code = 0
        except BaseException as error:
            write(f"child: {error!r}")
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def worst(codes):
    return next((code for code in codes if code), 0)

def in_flow():
    @flow
    def main():
        gate = threading.Event()
        held, parked = hold.submit(gate), add.submit(1)
        code = child()
        gate.set()
        assert held.result() == "held"
        assert parked.result() == 2
        return code
    return main()

def in_task():
    @task
    def forks():
        return child()
    with ThreadPoolTaskRunner(2):
        futures = [forks.submit() for _ in range(3)]
        assert add.map(range(50)).result() == list(range(1, 51))
        return worst(future.result() for future in futures)

def in_async_task():
    @task
    async def forks():
        return child()
    with ThreadPoolTaskRunner(2):
        return forks.submit().result()

def in_a_thread():
    codes = []
    with ThreadPoolTaskRunner(2):
        thread = threading.Thread(target=lambda: codes.append(child()))
        thread.start()
        for _ in range(20):
            assert add.map(range(50)).result() == list(range(1, 51))
        thread.join()
    return codes[0]

def preload():
    assert everything() == "all right"
    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                watch()
                everything()
                everything()
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert everything() == "all right"
    return worst(codes)

def grandchildren():
    def deeper():
        everything()
        assert child(lambda: (everything(), child())) == 0
        everything()
    return child(deeper)

def refused():
    gate = threading.Event()
    with ThreadPoolTaskRunner(2) as runner:
        held, done = hold.submit(gate), add.submit(1)
        done.wait()

        def use():
            assert done.result() == 2
            assert done.state.is_completed()
            for use in (
                held.result, held.wait, lambda: wait([held]), lambda: list(as_completed([held])),
                lambda: add.submit(1), lambda: add.map([1]), lambda: add.submit(held),
                lambda: runner.submit(add, {"x": 1}), lambda: asyncio.run(held.aresult()),
                lambda: list(add.stream([1])),
            ):
                try:
                    use()
                except ForkedProcessError:
                    continue
                raise AssertionError(use)
            held.cancel()
            runner.cancel_all()
            assert everything() == "all right"

        code = child(use)
        gate.set()
        assert held.result() == "held"
        assert add.submit(1).result() == 2
    return code

def leaves_the_runner():
    def use():
        stack.__exit__(None, None, None)
        everything()
    gate = threading.Event()
    stack = ThreadPoolTaskRunner(2)
    with stack:
        held = hold.submit(gate)
        code = child(use)
        gate.set()
        assert held.result() == "held"
    return code

def in_pool(_):
    return everything()

def processes():
    context = multiprocessing.get_context("fork")
    def begin():
        process = context.Process(target=in_pool, args=(0,))
        process.start()
        process.join()
        return process.exitcode
    forks = task(begin)
    with ThreadPoolTaskRunner(3):
        codes = [begin(), *[future.result() for future in [forks.submit() for _ in range(3)]]]
    with context.Pool(2) as pool:
        assert pool.map(in_pool, range(4)) == ["all right"] * 4
    return worst(codes)

def under_load():
    stop = threading.Event()
    @task
    def busy(x):
        while not stop.is_set():
            assert add.map(range(20)).result()[0] == 1
            assert add_async.submit(1).result() == 2
            logging.getLogger("oxtask").debug("busy")
    with ThreadPoolTaskRunner() as runner:
        futures = [busy.submit(x) for x in range(4)]
        codes = [child() for _ in range(12)]
        stop.set()
        for future in futures:
            future.result()
    return worst(codes)

code = globals()[where]()
assert everything() == "all right"
write("parent: all right")
sys.exit(code)
"""


@pytest.mark.parametrize(
    "where",
    [
        "in_flow",
        "in_task",
        "in_async_task",
        "in_a_thread",
        "preload",
        "grandchildren",
        "refused",
        "leaves_the_runner",
        pytest.param("processes", marks=pytest.mark.soak),
        pytest.param("under_load", marks=pytest.mark.soak),
    ],
)
def test_a_fork(start, where):
    """K5"""
    finished = start(SCRIPT, where).finish()
    assert finished.code == 0, finished
    assert finished.ledger == ["parent: all right"], finished
    assert finished.seconds < LIMIT_SECONDS, finished
