"""Keys that must never change without a new schema version.

If one of these fails, what bytes a value becomes has changed: results stored before would be found
under keys that mean something else, or not at all. Raise `SCHEMA` in rust/core/src/hashing/mod.rs,
say so in the changelog, and write the new keys here (`python golden_values.py numpy` prints them).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np  # noqa: F401 - its presence adds values
import pytest
from golden_values import keys, values

from oxtask.utilities.hashing import hash_objects

GOLDEN = {
    "nothing": ("027225423a98ce5d2468bd437e097cb4", "c2c1d08b66505b6a8235bdf9f9ba2496"),
    "booleans": ("f2295beacad4698d526e1d180c405d43", "4b7ab9a9d3a28f0677e6b221e2cb3cc9"),
    "integers": ("d2ad470a40b8a77e0f11f7b7fda33ee4", "f7e736e5650d8457d04dae035751080e"),
    "large integers": ("9dce08028d4c84def0eb942722d10e18", "2f3e991c387b92354c6f543339fa2b93"),
    "floats": ("a22cf9c04568cc16f0ab5a6d542068d1", "9dc5d9e90d1607b48e6824aa375142d8"),
    "complex": ("7d6d6ad9dd04a09a4df58664a96d6b42", "1258926507dde33ae992f33f164de15d"),
    "text": ("4f724d468e438d11830b22c58f85e6f9", "cda520634726c4dc9ddb247dad100608"),
    "bytes": ("bd311724f7f17e7d7ef695d4357aa3c4", "3414d417e1cb0bb729590193d22a4bcf"),
    "list": ("f89a055e2d8e0ba47d8ad77444284117", "53550c73239f0881d88c4a2eaf30e158"),
    "tuple": ("c03f57252d1e00d8bd8800ba4a66b114", "c197eced23092226ad9c835f6169666a"),
    "sets": ("98704551b5854e8a558c79c350321c89", "95581011594f7ee0a617ca1edf619047"),
    "dict": ("88192c27ae54aa9dbfacd1109bb833c8", "6375d0e6e46c6cf65ed2fb1c646d361c"),
    "large dict": ("e304f1e1ea03e8ed332e62a563a3863b", "da983fdf95dcced0c4e75ee73ae11c2d"),
    "dates": ("4ba7e4bbba642b19681a630e79b79cbb", "27203ebbfc1672e5a4a5ede467dc8bd6"),
    "zones": ("bfec6de7e074610d0b25a1487a012ed7", "45e7037cfe4e8bc83e3d822566bd03c2"),
    "durations": ("077a01f333122d71e4f1ff7af6d2a32d", "dba658fae91ea91963180592544cb8bb"),
    "decimal": ("0174ef3c295e0e1201832a8927f734b4", "886ecdbec2c3cefc06b89f0735cf6c29"),
    "uuid": ("f8611f5e30de52b03d3fad5a55051d49", "123d0c70ead4f7404c24272b913db1bc"),
    "paths": ("5d9ce1e2f3298d8f9b0b5644ce5bb68d", "fcfc76876ed29952114ce3c8e892a5b2"),
    "enumeration": ("d9d652a11b6cf4e84f4f2b0dfb293f25", "4134a182837a527bea2ebc7ea72fc3f3"),
    "dataclass": ("81ae038218369e7d9076829b2fda9eae", "2d1871b05de84f0c6436c9f45d5d6b04"),
    "object": ("7eb3462c8e2d433ad8488eb9cd6a404f", "3e01c478a5fab9197719ac2250ee1ef8"),
    "named tuple": ("7c4f91179bac03798fc441c8d08fdc6f", "34541d1f1594e949a2b576ffb563c9f4"),
    "containers": ("dc90ebe848f0e528f68682ae13f26abd", "51d531fff74b5dc3bd972fff9f13dc53"),
    "many leaves": ("3b7d13214c697a4902914cd3a439236c", "a0a12ea53edf72ce05d72c034bea3582"),
    "arrays": ("453daded1b56f565c0f278bb04631175", "1c0b3219da95b696b8cb108cf4c21fa2"),
    "other arrays": ("5170a2eb9700c3dca0447fb6fc4e1f59", "c77cc6a663bbd6592dadebb32cffbd66"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_key_is_what_it_always_was(name):
    """Issue: golden vectors; W-H11"""
    value = values()[name]
    xxh3, blake3 = GOLDEN[name]
    assert hash_objects(value, raise_on_failure=True) == xxh3
    assert hash_objects(value, hash_algo="blake3")[:32] == blake3


def test_every_value_has_a_golden_key():
    """Issue: golden vectors"""
    assert values().keys() == GOLDEN.keys()


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_key_is_the_same_in_each_process(seed):
    """2.5; W-H7, W-H8"""
    program = Path(__file__).with_name("golden_values.py")
    done = subprocess.run(
        [sys.executable, program, "numpy"],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
    )
    assert {name: tuple(pair) for name, pair in json.loads(done.stdout).items()} == keys()
