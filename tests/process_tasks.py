"""Tasks that worker processes import, and what they need."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from oxtask import get_run_logger, runtime, task
from oxtask.context import FlowRunContext, TagsContext, TaskRunContext
from oxtask.settings import get_current_settings


@task
def add(x, y=0):
    return x + y


@task
def where(_=None):
    return os.getpid()


@task
def fail(text):
    raise LookupError(text)


@task
def gather(values):
    return list(values)


@task
async def doubled(x):
    await asyncio.sleep(0)
    return 2 * x


@task
def count_up(n):
    yield from range(n)


@task
async def acount_up(n):
    for number in range(n):
        yield number


@task
def environment(name):
    return os.environ.get(name)


@task
def setting():
    return get_current_settings().tasks.default_retries


@task
def context():
    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    return {
        "pid": os.getpid(),
        "flow_run_id": flow_context and flow_context.flow_run.id,
        "flow_run_name": runtime.flow_run.name,
        "detached": flow_context and flow_context.detached,
        "parameters": flow_context and flow_context.parameters,
        "task_run_id": task_context.task_run.id,
        "task_run_name": task_context.task_run.name,
        "task_tags": task_context.task_run.tags,
        "task_parameters": task_context.parameters,
        "state": task_context.task_run.state.name,
        "tags": sorted(TagsContext.get().current_tags),
    }


@task
def nested(x):
    return add.submit(x, 1).result(), os.getpid()


@task
def raising(error):
    raise error


@task
def unpicklable_result():
    return threading.Lock()


class NotPicklableError(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class NotUnpicklableError(Exception):
    def __init__(self, text, number):
        super().__init__(text)
        self.number = number


@task
def raise_not_picklable():
    raise NotPicklableError("no way out")


@task
def raise_not_unpicklable():
    raise NotUnpicklableError("no way back", 3)


@task(timeout_seconds=0.5)
def sleep_too_long(seconds):
    time.sleep(seconds)


@task(timeout_seconds=0.5)
async def asleep_too_long(seconds):
    await asyncio.sleep(seconds)


@task
def log(text):
    get_run_logger().warning(text)
    return text


@task(log_prints=True)
def say(text):
    print(text)


@task(log_prints=True)
def say_often(count):
    for number in range(count):
        print(number)


# --- what ends workers ----------------------------------------------------------------------------


@task
def die(how):
    end_process(how)


def end_process(how):
    if how == "exit":
        sys.exit(7)
    if how == "error":
        raise LookupError("on purpose")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "leave":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class AtUnpickle:
    """Ends the process that unpickles it."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return end_process, (self.how,)


class AtPickle:
    """Ends the process that pickles it."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        end_process(self.how)


@task
def give_at_pickle(how):
    return AtPickle(how)


@task
def give_at_unpickle(how):
    return AtUnpickle(how)


@task
def note_and_wait(path, seconds=60):
    """Note the process, and one it has started, and wait."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note(path, f"{os.getpid()} {child.pid}")
    time.sleep(seconds)


@task
def deaf(path, seconds=60):
    """Hear neither the deadline nor SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(path, str(os.getpid()))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(BaseException):
            time.sleep(until - time.monotonic())


@task
def stop_itself(path):
    note(path, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


@task
def hold_the_interpreter(path):
    """Compute in C code without letting go of the interpreter lock."""
    note(path, str(os.getpid()))
    sum(range(10**13))


@task
def clean_up(path):
    note(path, "began")
    try:
        time.sleep(60)
    finally:
        note(path, "cleaned up")


def note(path, text):
    """Append a line to a file, in one piece."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def lines_of(path, count=1, seconds=20):
    """Wait for lines in a file, and return them."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            if len(lines) >= count:
                return lines
        time.sleep(0.005)
    raise AssertionError(f"{path} did not get {count} lines")


def is_alive(pid):
    """Tell whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids, seconds=5):
    """Wait for processes to end, and return those that have not."""
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.01)
    return left
