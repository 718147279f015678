"""Runs of tasks in one another, in a process that is killed at every operation of their commit.

Run with the fault shim. Arguments: the home. Prints how many operations there were, and which of
the results were there afterwards, as JSON.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import sys

from oxtask import task
from oxtask.results import ResultStore
from oxtask.settings import temporary_settings

faulthandler.dump_traceback_later(50, exit=True)
shim = ctypes.PyDLL(None)
VALUES = {"inner": b"i" * 10, "middle": b"m" * 100_000, "outer": b"o" * 50_000}


def keyed(function, number):
    key = f"{function.__name__} {number}"
    return task(function, cache_key_fn=lambda *_: key, persist_result=True)


def run(number):
    """Run three tasks; the process is killed in their commit, which begins when ``outer`` ends."""

    def inner():
        return VALUES["inner"]

    def middle():
        keyed(inner, number)()
        return VALUES["middle"]

    def outer():
        keyed(middle, number)()
        return VALUES["outer"]

    made = keyed(outer, number)
    made.on_commit(lambda txn: shim.fault_arm(number, 0, 0))
    made()


def is_killed_at(number):
    process = os.fork()
    if process == 0:
        run(number)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -9


with temporary_settings({"home": sys.argv[1]}):
    outcomes = set()
    store = ResultStore()
    store.write("there", key="before")
    for number in range(1, 100):
        is_killed = is_killed_at(number)
        found = {name: store.lookup(f"{name} {number}") for name in VALUES}
        for name, record in found.items():
            assert record is None or record.result == VALUES[name], (number, name)
        outcomes.add(" ".join(name for name, record in found.items() if record is not None))
        if not is_killed:
            break
    assert store.read("before").result == "there"
print(json.dumps({"count": number, "seen": sorted(outcomes)}))
