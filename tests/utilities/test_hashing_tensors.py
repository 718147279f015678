"""Hashing tensors of PyTorch, for which a module stands in: see `torch_keys`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("torch_keys.py")


@pytest.fixture(scope="module")
def keys():
    """Return the keys that two processes make."""
    made = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, PROGRAM],
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            timeout=55,
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        made.append(json.loads(done.stdout))
    return made


def test_a_tensor_has_the_same_key_in_two_processes(keys):
    """results.md 2.3, H7: whichever object it is"""
    one, two = keys
    assert one == two
    assert one["it"] == one["the same"]


@pytest.mark.parametrize("other", ["an element", "dtype", "shape", "flat", "array"])
def test_a_tensor_that_differs_has_another_key(keys, other):
    """results.md 2.3, H7: in one element, the dtype or the shape; nor is an array a tensor"""
    assert keys[0][other] != keys[0]["it"]


def test_a_tensor_elsewhere_than_in_memory_is_refused(keys):
    """results.md 2.3: with the way out"""
    assert "tensor.cpu()" in keys[0]["elsewhere"]
