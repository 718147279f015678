"""A program that is killed, or gets errors, at every operation of a write. Run with the fault shim.

Arguments: the folder, the size of values, "kill" or the number of an error, "durable" or "default".
Prints how many operations there were and which values were seen, as JSON.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import sys
from pathlib import Path

from oxtask._core import Pack
from oxtask.exceptions import ResultStoreError

faulthandler.dump_traceback_later(50, exit=True)
shim = ctypes.PyDLL(None)
folder, size, how, durability = sys.argv[1:]
KEY = bytes(range(32))
values = {"old": b"old" * int(size), "new": b"new" * int(size)}


def pack():
    return Pack(folder, lambda: [KEY], durable=durability == "durable", memory_records=0)


def seen(opened):
    found = opened.lookup("k")
    return next((name for name, value in values.items() if value == found), repr(found)[:20])


def left():
    files = [name for _, _, names in os.walk(f"{folder}/files") for name in names]
    return len(files) + len(list(Path(folder, "new").iterdir()))


def kill_at(number):
    """Rewrite the value in a forked process that is killed; return whether it was."""
    process = os.fork()
    if process == 0:
        shim.fault_arm(number, 0, 0)
        pack().keep("k", values["new"])
        shim.fault_disarm()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -9


def fail_at(number):
    """Rewrite the value while an operation fails; return whether any did."""
    is_short = how == "short"
    shim.fault_arm(number, 0 if is_short else int(how), is_short)
    try:
        opened.keep("k", values["new"])
    except ResultStoreError as error:
        told.add((error.errno, type(error).__name__))
        assert seen(opened) == "old", number
    finally:
        count = shim.fault_disarm()
    return count >= number


told = set()
outcomes = set()
opened = pack()
opened.keep("k", values["old"])
most_files = 1 if int(size) > 20_000 else 0
for number in range(1, 200):
    if not (kill_at if how == "kill" else fail_at)(number):
        break
    if how == "kill":
        again = pack()  # which tidies up
        outcomes.add(seen(again))
        assert left() == most_files, (number, left())
        again.verify()
        del again
    outcomes.add(seen(opened))
    opened.keep("k", values["old"])
    assert seen(opened) == "old"
opened.prune()
assert left() == most_files, left()
assert opened.verify() == {"records": 1, "damaged": 0}
print(json.dumps({"count": number, "seen": sorted(outcomes), "told": sorted(told)}))
