"""The values whose keys are written down in test_hashing_golden.py; also run as a program.

As a program it prints the keys of all values as JSON, for other processes and other versions of
Python: names on the command line choose what else is imported.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import sys
import uuid
from typing import NamedTuple

from oxtask.utilities.hashing import hash_objects


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Pair:
    a: object
    b: object = None


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Point(NamedTuple):
    x: object
    y: object


# Wherever this file is imported from.
for kind in (Colour, Pair, Plain, Point):
    kind.__module__ = "golden"


def values():
    """Return the values by name."""
    found = {
        "nothing": None,
        "booleans": [True, False],
        "integers": [0, 1, -1, 2**31, 2**63 - 1, -(2**63)],
        "large integers": [2**63, 2**64, -(2**63) - 1, 10**40, -(10**40)],
        "floats": [0.0, -0.0, 1.5, -1e300, float("inf"), float("nan")],
        "complex": 1 - 2j,
        "text": ["", "a", "\u00e9", "\U0001f600", "\ud800", "x" * 5000],
        "bytes": [b"", b"a", bytes(5000), bytearray(b"ab"), memoryview(b"abc")],
        "list": [[], [1, "a", None], list(range(10_000))],
        "tuple": ((), (1,), (1, (2, 3))),
        "sets": [set(), {"b", "a", 1}, frozenset({1.5}), set(range(100))],
        "dict": {"b": 1, "a": {"z": [1], 1: 2}, (1, "x"): None},
        "large dict": {f"name {i}": i for i in range(1_000)},
        "dates": [dt.date(2020, 2, 29), dt.time(1, 2, 3, 4), dt.datetime(2020, 1, 2, 3, 4, 5, 6)],
        "zones": dt.datetime(2020, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
        "durations": [dt.timedelta(1, 2, 3), dt.timedelta(-1)],
        "decimal": decimal.Decimal("1.50"),
        "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "paths": [pathlib.Path("a/b"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a\\b")],
        "enumeration": Colour.RED,
        "dataclass": Pair(1, Pair("a")),
        "object": Plain(b=1, a=[2]),
        "named tuple": Point(1, 2),
        "containers": [collections.Counter("aab"), collections.OrderedDict(a=1), range(2, 9, 3)],
        "many leaves": bytes(range(256)) * 8192,
    }
    if "numpy" in sys.modules:
        np = sys.modules["numpy"]
        found["arrays"] = [np.arange(6).reshape(2, 3), np.linspace(0, 1, 70_000), np.float32(1.5)]
        found["other arrays"] = [np.array(["a", "bc"]), np.array(["2020-01-01"], "M8[D]")]
    return found


def keys():
    """Return the keys of all values, by both algorithms."""
    return {
        name: (hash_objects(value), hash_objects(value, hash_algo="blake3")[:32])
        for name, value in values().items()
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        __import__(name)
    print(json.dumps(keys()))
