"""The interpreter exits: whatever still runs, nothing hangs and nothing crashes."""

from __future__ import annotations

import random
import signal

import pytest

LIMIT_SECONDS = 2.0

SCRIPT = """
import asyncio, atexit, logging, weakref
from oxtask import flow, task
from oxtask.task_runners import ThreadPoolTaskRunner

where = sys.argv[2]
logging.disable()
begun = threading.Semaphore(0)

@task
def sleep(x):
    begun.release()
    time.sleep(60)

@task
def compute(x):
    begun.release()
    while True:
        pass

@task
async def coroutine(x):
    begun.release()
    await asyncio.sleep(60)

@task
async def blocking(x):
    begun.release()
    time.sleep(60)

@task(retries=1, retry_delay_seconds=60)
def retry(x):
    begun.release()
    raise ValueError

@task(timeout_seconds=0.05)
def late(x):
    begun.release()
    time.sleep(60)

@task
def add(x, y=1):
    return x + y

@task
def exits(x):
    sys.exit(7)

def fill(runner=None):
    \"\"\"Start runs of all kinds and leave them.\"\"\"
    runner = runner or ThreadPoolTaskRunner(20)
    runner.__enter__()
    futures = sleep.map(range(200))
    futures += coroutine.map(range(300))
    futures += retry.map(range(200))
    futures += [late.submit(1), blocking.submit(1)]
    futures += [add.submit(x, futures[0]) for x in range(300)]
    for _ in range(10):
        assert begun.acquire(timeout=5)
    return runner, futures

def normal():
    globals()["kept"] = fill()

def dropped():
    fill()

def computing():
    runner = ThreadPoolTaskRunner(4)
    runner.__enter__()
    globals()["kept"] = runner, compute.map(range(1_000))
    assert begun.acquire(timeout=5)

def exit_code():
    normal()
    sys.exit(3)

def exception():
    normal()
    raise LookupError("the end")

def system_exit_in_a_task():
    @flow
    def main():
        return exits.submit(1).result()
    main()

def hard_exit():
    normal()
    os._exit(5)

def hard_exit_in_a_task():
    @task
    def body():
        os._exit(6)
    normal()
    with ThreadPoolTaskRunner():
        body.submit()
        time.sleep(60)

def daemon_flow():
    @flow
    def main():
        futures = sleep.map(range(100))
        futures.wait()
    threading.Thread(target=main, daemon=True).start()
    assert begun.acquire(timeout=5)

def stuck_after_deadline():
    @flow
    def main():
        futures = [late.submit(x) for x in range(20)]
        for future in futures:
            future.wait()
        return None
    main()

def submit_at_exit():
    runner, futures = fill()
    def last():
        explicit = lambda: runner.submit(add, {"x": 1})
        for use in (lambda: add.submit(1), explicit, lambda: add.map([1])):
            try:
                use()
                write("submitted")
            except RuntimeError:
                write("refused")
        try:
            write(futures[0].result(timeout=0.05))
        except TimeoutError:
            write("timeout")
    atexit.register(last)

def flow_at_exit():
    @flow
    def main():
        try:
            return add.submit(1).result(timeout=1)
        except (RuntimeError, TimeoutError):
            return 2
    def last():
        try:
            write(main())
        except RuntimeError:
            write(2)
    normal()
    atexit.register(last)

def destructors():
    class Last:
        def __del__(self):
            try:
                add.submit(1)
                add(1)
            except BaseException:
                pass
    runner, futures = fill()
    futures += [add.submit(Last(), futures[0]), *add.map([Last()] * 10, y=[Last()] * 10)]
    globals()["kept"] = runner, futures, Last()

def callbacks():
    runner, futures = fill()
    for future in futures:
        future.add_done_callback(lambda future: add.submit(future))
    globals()["kept"] = runner, futures

def threads_that_wait():
    runner, futures = fill()
    for future in futures[::20]:
        threading.Thread(target=future.result, daemon=True).start()
        threading.Thread(target=lambda: asyncio.run(future.aresult()), daemon=True).start()
    globals()["kept"] = runner, futures

def alarms():
    @flow(timeout_seconds=60)
    def main():
        @flow(timeout_seconds=0.05)
        def inner():
            time.sleep(60)
        inner(return_state=True)
    main()
    long = flow(lambda: time.sleep(60), name="long", timeout_seconds=30)
    threading.Thread(target=long, daemon=True).start()

def busy():
    \"\"\"Runs come and go while the interpreter is taken down.\"\"\"
    runner = ThreadPoolTaskRunner()
    runner.__enter__()
    @task
    def again(x):
        add.map(range(10)).result()
        again.submit(x + 1)
    @task
    async def again_async(x):
        await asyncio.sleep(0)
        again_async.submit(x + 1)
    for x in range(20):
        again.submit(x)
        again_async.submit(x)
    globals()["kept"] = runner
    time.sleep(float(sys.argv[3]))

globals()[where]()
"""

CODES = {
    "exit_code": 3,
    "exception": 1,
    "system_exit_in_a_task": 7,
    "hard_exit": 5,
    "hard_exit_in_a_task": 6,
}


@pytest.mark.parametrize(
    "where",
    [
        "normal",
        "dropped",
        "computing",
        "exit_code",
        "exception",
        "system_exit_in_a_task",
        "hard_exit",
        "hard_exit_in_a_task",
        "daemon_flow",
        "stuck_after_deadline",
        "submit_at_exit",
        "flow_at_exit",
        "destructors",
        "callbacks",
        "threads_that_wait",
        "alarms",
    ],
)
def test_an_exit_with_a_thousand_runs_on_their_way(start, where):
    """K6"""
    finished = start(SCRIPT, where).finish()
    assert finished.code == CODES.get(where, 0), finished
    assert finished.seconds < LIMIT_SECONDS + 1, finished
    assert "Fatal" not in finished.errors, finished
    assert "panicked" not in finished.errors, finished
    if where == "exception":
        assert finished.errors.endswith("LookupError: the end\n")
    elif where == "submit_at_exit":
        assert finished.ledger[-1] == "timeout"
        assert set(finished.ledger[:3]) <= {"refused", "submitted"}
    elif where == "flow_at_exit":
        assert finished.ledger == ["2"]
    elif where not in {"system_exit_in_a_task", "alarms"}:
        assert finished.errors == ""


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_exits_under_load_at_random_instants(start, seed, count):
    """K7"""
    spread = random.Random(seed)
    for _ in range(0, count, 4):
        programs = [start(SCRIPT, "busy", spread.random() * 0.2) for _ in range(4)]
        for program in programs:
            finished = program.finish()
            assert finished.code == 0, finished
            assert finished.errors == "", finished


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_nobody_handles_ends_the_process(start, number):
    """K6: as any Python program"""
    program = start(
        SCRIPT.replace("globals()[where]()", 'normal(); tell("ready"); time.sleep(60)'), ""
    )
    program.wait_for("ready")
    program.interrupt(number)
    finished = program.finish()
    assert finished.code == -number, finished
    assert finished.seconds < 0.5
