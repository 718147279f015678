"""Ctrl-C and SIGTERM while flows run; the lines are of engine.md, sections 4.9 and 20."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from flow_ways import made

from oxtask import flow

BEGIN = """
    import asyncio, os, signal, sys, threading, time
    from oxtask import flow, task
    from oxtask.context import FlowRunContext
    from oxtask.exceptions import TerminationSignal
    from oxtask._internal import flow_runs
    from oxtask._internal.task_runs import RunLog

    logs = []

    class Recorded(RunLog):
        __slots__ = ()
        def __init__(self, record):
            super().__init__(record)
            logs.append(self)

    flow_runs.RunLog = Recorded

    def soon(number):
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    def say(*words):
        print(*words, flush=True)

    def told(flow, flow_run, state):
        say(flow.name, state.name, state.message)
"""


def run(code, seconds=20):
    """Run a program; return its exit code, its lines, and how long it took."""
    program = textwrap.dedent(BEGIN) + textwrap.dedent(code)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), time.monotonic() - started


SLEEPS = {
    "sync": """
        @flow(on_crashed=[told])
        def child(number):
            soon(number)
            time.sleep(15)

        @flow(on_crashed=[told])
        def main(number):
            child(number)

        def start(number):
            main(number)
    """,
    "async": """
        @flow(on_crashed=[told])
        async def child(number):
            soon(number)
            await asyncio.sleep(15)

        @flow(on_crashed=[told])
        async def main(number):
            await child(number)

        def start(number):
            asyncio.run(main(number))
    """,
    "sync in async": """
        @flow(on_crashed=[told])
        def child(number):
            soon(number)
            time.sleep(15)

        @flow(on_crashed=[told])
        async def main(number):
            child(number)

        def start(number):
            asyncio.run(main(number))
    """,
}
TERMINATED = [
    "child Crashed Execution was aborted by a termination signal.",
    "main Crashed Execution was aborted by a termination signal.",
]


@pytest.mark.parametrize("way", SLEEPS)
def test_sigterm_crashes_the_runs_and_then_ends_the_process(way):
    """FL-88"""
    code, lines, seconds = run(SLEEPS[way] + "\n        start(signal.SIGTERM)")
    assert lines == TERMINATED
    assert code == -signal.SIGTERM
    assert seconds < 10


@pytest.mark.parametrize("way", SLEEPS)
def test_sigterm_is_handed_on_to_the_handler_that_was_there_before(way):
    """FL-88"""
    after = """
        def handler(number, frame):
            say("handler", number == signal.SIGTERM)

        signal.signal(signal.SIGTERM, handler)
        try:
            start(signal.SIGTERM)
        except TerminationSignal as error:
            say("raised", error.signal == signal.SIGTERM)
        say(signal.getsignal(signal.SIGTERM) is handler)
    """
    code, lines, _ = run(SLEEPS[way] + after)
    assert lines == [*TERMINATED, "handler True", "raised True", "True"]
    assert code == 0


def test_sigterm_reaches_all_async_flows_of_the_loop():
    """FL-88"""
    code, lines, _ = run(
        """
        @flow(on_crashed=[told])
        async def main(number):
            if number:
                soon(number)
            await asyncio.sleep(15)

        async def both():
            await asyncio.gather(main(0), main(signal.SIGTERM))

        asyncio.run(both())
        """
    )
    assert lines == [TERMINATED[1]] * 2
    assert code == -signal.SIGTERM


def test_sigterm_tells_tasks_to_stop():
    """FL-88, FL-92"""
    code, lines, seconds = run(
        """
        begun = threading.Event()

        @task
        def busy():
            begun.set()
            time.sleep(15)

        @flow(on_crashed=[told])
        def main():
            future = busy.submit()
            begun.wait()
            soon(signal.SIGTERM)
            future.result()

        main()
        """
    )
    assert lines == TERMINATED[1:]
    assert code == -signal.SIGTERM
    assert seconds < 10


def test_only_the_outermost_flow_of_the_main_thread_looks_after_sigterm():
    """FL-88"""
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def look(attempt=None):
        seen.append(signal.getsignal(signal.SIGTERM))

    @flow
    def main():
        look()
        made("sync", look)()
        look()

    main()
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(set(seen)) == 1
    assert seen[0] != before
    seen.clear()
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert set(seen) == {before}


def test_a_handler_that_the_function_puts_in_place_stays():
    """FL-88"""
    before = signal.getsignal(signal.SIGTERM)

    def own(number, frame):
        pass

    try:
        made("sync", lambda attempt: signal.signal(signal.SIGTERM, own))()
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("way", SLEEPS)
def test_ctrl_c_crashes_the_runs(way):
    """FL-85, 20.5: the first one, also where sync code blocks the event loop"""
    code, lines, seconds = run(SLEEPS[way] + "\n        start(signal.SIGINT)")
    assert [line.split()[:2] for line in lines] == [["child", "Crashed"], ["main", "Crashed"]]
    assert code in {-signal.SIGINT, 130, 1}
    assert seconds < 10


def test_ctrl_c_interrupts_sync_code_in_a_child_of_the_main_task():
    """FL-85: asyncio's handler is back afterwards"""
    code, lines, seconds = run(
        """
        @task
        def block():
            soon(signal.SIGINT)
            time.sleep(15)

        @flow(on_crashed=[told])
        async def main():
            async def child():
                block()
            await asyncio.gather(child(), asyncio.sleep(15))

        @flow
        async def quick():
            return signal.getsignal(signal.SIGINT)

        async def whole():
            before = signal.getsignal(signal.SIGINT)
            during = await quick()
            say(during != before, signal.getsignal(signal.SIGINT) == before)
            await main()

        asyncio.run(whole())
        """
    )
    replaced = sys.version_info >= (3, 11)
    assert lines[0] == f"{replaced} True"
    assert lines[1].split()[:2] == ["main", "Crashed"]
    assert code in {-signal.SIGINT, 130, 1}
    assert seconds < 10


@pytest.mark.parametrize(
    "ends",
    ["raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGINT); time.sleep(15)", "pass"],
)
def test_ctrl_c_does_not_wait_for_tasks(ends):
    """20.5: also while the flow, which has ended, waits for its tasks"""
    code, lines, seconds = run(
        f"""
        begun = threading.Semaphore(0)
        futures = []

        @task
        def busy(number):
            begun.release()
            time.sleep(60)

        @flow
        def main():
            futures.extend(busy.map(range(100)))
            for _ in range(2):
                begun.acquire()
            {"soon(signal.SIGINT)" if ends == "pass" else ends}

        try:
            main()
        except KeyboardInterrupt:
            say("interrupted", logs[0].record.state_name)
        finals = {{future.state.name for future in futures}}
        say(finals <= {{"Crashed", "Cancelled"}})
        sys.exit(130)
        """
    )
    state = "Completed" if ends == "pass" else "Crashed"
    assert lines == [f"interrupted {state}", "True"]
    assert code == 130
    assert seconds < 10
