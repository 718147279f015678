"""Prints the keys of some tensors, of a stand-in for PyTorch that has what hashing asks of it."""

from __future__ import annotations

import json
import sys
import types

import numpy as np

torch = types.ModuleType("torch")
torch.nn = types.SimpleNamespace(Module=type("Module", (), {"__module__": "torch.nn"}))
torch.bfloat16 = object()


def public(cls):
    cls.__module__, cls.__qualname__ = "torch", cls.__name__
    setattr(torch, cls.__name__, cls)
    return cls


@public
class dtype:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


@public
class device:
    def __init__(self, kind):
        self.type = kind

    def __repr__(self):
        return self.type


@public
class Size(tuple):  # noqa: SLOT001 - as there
    pass


@public
class Tensor:
    is_sparse = is_quantized = False

    def __init__(self, values, kind="float32", device="cpu"):
        self.array = np.array(values, kind)
        self.dtype, self.device = dtype(kind), globals()["device"](device)

    def detach(self):
        return self

    def resolve_conj(self):
        return self

    def numpy(self):
        return self.array


sys.modules["torch"] = torch

from oxtask.exceptions import HashError  # noqa: E402 - it looks whether torch is loaded
from oxtask.utilities.hashing import hash_objects  # noqa: E402

TENSORS = {
    "it": Tensor([[1, 2], [3, 4]]),
    "the same": Tensor([[1, 2], [3, 4]]),
    "an element": Tensor([[1, 2], [3, 5]]),
    "dtype": Tensor([[1, 2], [3, 4]], "float64"),
    "shape": Tensor([[1, 2, 3, 4]]),
    "flat": Tensor([1, 2, 3, 4]),
}
keys = {name: hash_objects({"x": tensor}) for name, tensor in TENSORS.items()}
keys["array"] = hash_objects({"x": TENSORS["it"].array})
try:
    hash_objects(Tensor([1], device="cuda"), raise_on_failure=True)
except HashError as error:
    keys["elsewhere"] = str(error)
print(json.dumps(keys))
