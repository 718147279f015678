"""Programs in processes of their own, which are watched from inside and from outside."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

import pytest

LIMIT_SECONDS = 12

PREAMBLE = """\
import faulthandler, os, signal, sys, threading, time
faulthandler.dump_traceback_later({limit}, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
_ledger = os.open(sys.argv[1], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
def write(line):
    os.write(_ledger, (str(line) + "\\n").encode())
def tell(line):
    os.write(1, (str(line) + "\\n").encode())
"""


class Finished(NamedTuple):
    """What became of a program."""

    code: int
    output: list[str]
    errors: str
    ledger: list[str]
    seconds: float
    """From the last signal, or from the start, to the end of the process."""


class Child:
    """A program that runs."""

    def __init__(self, script, path, arguments, limit):
        self.path = path
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `finish`
        code = PREAMBLE.format(limit=limit - 2) + script
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", code, str(path), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self._watchdog = threading.Timer(limit, self.kill)
        self._watchdog.start()
        self._since = time.monotonic()
        self._output = []

    def wait_for(self, line):
        """Read the output up to a line."""
        for found in self._process.stdout:
            self._output.append(found.strip())
            if self._output[-1] == line:
                return
        pytest.fail(f"{line!r} never came: {self.finish()}")

    def interrupt(self, number=signal.SIGINT):
        """Send a signal."""
        self._since = time.monotonic()
        os.kill(self._process.pid, number)

    def kill(self):
        """End the program and all of its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def finish(self):
        """Wait for the end."""
        self._process.wait()
        seconds = time.monotonic() - self._since
        self._output.extend(line.strip() for line in self._process.stdout)
        self._process.stdout.close()
        self._watchdog.cancel()
        self._watchdog.join()
        self.kill()
        self._errors.seek(0)
        errors = self._errors.read()
        self._errors.close()
        ledger = self.path.read_text().splitlines() if self.path.exists() else []
        return Finished(self._process.returncode, self._output, errors, ledger, seconds)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a program: ``start(script, *arguments)``.

    The script may use ``write(line)`` for the ledger and ``tell(line)`` for its output; both are
    single system calls. Its arguments begin at ``sys.argv[2]``.
    """
    children = []

    def begin(script, *arguments, limit=LIMIT_SECONDS):
        path = tmp_path / f"ledger-{len(children)}"
        children.append(Child(script, path, arguments, limit))
        return children[-1]

    yield begin
    for child in children:
        child.kill()


@pytest.fixture
def seed():
    """Return a seed, printed with a failure; set ``OXTASK_TEST_SEED`` to use it again."""
    chosen = int(os.environ.get("OXTASK_TEST_SEED", random.randrange(1 << 32)))
    print(f"OXTASK_TEST_SEED={chosen}")
    return chosen
