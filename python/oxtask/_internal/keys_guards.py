"""What the key of a function was made of, so that the core can tell whether it still holds.

`oxtask._internal.keys_code` tells a `Seen` what it looks at. Most of it is compared by identity: a
name that is bound to the same number, the same code. What can be changed in place is hashed anew
each time.
"""

from __future__ import annotations

import builtins
import sys
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from oxtask._internal.keys_parts import name_of

_FIXED = {
    *(
        "builtins." + name
        for name in ["bool", "bytes", "code", "complex", "ellipsis", "float", "int", "range", "str"]
    ),
    "builtins.NoneType",
    "builtins.NotImplementedType",
    *(f"builtins.{kind}_descriptor" for kind in ("classmethod", "getset", "member", "method")),
    "builtins.wrapper_descriptor",
    "dataclasses._DataclassParams",
    "datetime.date",
    "datetime.timedelta",
    "decimal.Decimal",
    "fractions.Fraction",
    "re.Pattern",
    "uuid.UUID",
    *(f"pathlib.{name}" for name in ("PosixPath", "WindowsPath", "PurePosixPath")),
    *(f"pathlib._local.{name}" for name in ("PosixPath", "WindowsPath", "PurePosixPath")),
    # Have no key, or always the same: what they do is not what makes a result.
    "_thread.lock",
    "_thread.RLock",
    "logging.Logger",
}
"""The names of types whose objects always have the same key."""
_FIELD = "dataclasses.Field"


class Seen:
    """What a walk over a function has looked at, as it was then.

    Attributes:
        is_whole: Whether nothing was left out; else the key must be made anew each time.
    """

    def __init__(self) -> None:
        self.is_whole = True
        self._items: dict[tuple[int, str], tuple[Any, ...]] = {}
        self._cells: list[tuple[Any, ...]] = []
        self._functions: list[tuple[Any, ...]] = []
        self._dicts: list[tuple[Any, ...]] = []
        self._classes: list[tuple[Any, ...]] = []
        self._values: dict[int, Any] = {}

    def parts(self) -> tuple[Any, ...] | None:
        """Return what the core is to look at, by kind; ``None`` if that is not all."""
        if not self.is_whole:
            return None
        return (
            tuple(self._items.values()),
            tuple(self._cells),
            self._functions,
            self._dicts,
            self._classes,
            list(self._values.values()),
        )

    def name(self, names: dict[str, Any], name: str, *value: Any) -> None:
        """Take note of what a name is bound to, or that there is no such name."""
        self._items[id(names), name] = (names, name, *value)

    def cell(self, cell: Any, *content: Any) -> None:
        """Take note of what a cell holds, if it holds something."""
        self._cells.append((cell, *content))

    def function(self, function: Any) -> None:
        """Take note of the code and the defaults of a function."""
        named = function.__kwdefaults__
        self._functions.append((function, function.__code__, function.__defaults__, named))
        if named:
            self.mapping(named)

    def mapping(self, mapping: dict[str, Any]) -> None:
        """Take note of all entries of a dict."""
        self._dicts.append((mapping, list(mapping.items())))

    def class_(self, cls: type) -> None:
        """Take note of the entries, the bases and the name of a class."""
        entries = list(vars(cls).items())
        self._classes.append((cls, entries, cls.__bases__, cls.__qualname__))

    def value(self, value: Any) -> None:
        """Take note of a value that somebody else holds: can it be changed in place?"""
        if not _is_fixed(value):
            self._values[id(value)] = value

    def attribute(self, owner: Any, name: str) -> None:
        """Take note of what an object, or a module, has under a name."""
        names = getattr(owner, "__dict__", None)
        if type(names) is not dict:
            self.is_whole = False
        elif name in names:
            self.name(names, name, names[name])
        elif isinstance(owner, ModuleType) and "__getattr__" not in names:
            self.name(names, name)
            self.name(names, "__getattr__")
        else:
            self.is_whole = False

    def library(self, value: Any) -> None:
        """Take note of where a function or class of a library was looked for by its name."""
        module, name = value.__module__, value.__qualname__
        owner = sys.modules.get(module)
        if owner is builtins or "<locals>" in name:
            return
        if owner is None:
            self.name(sys.modules, module)
        elif "." in name:
            self.is_whole = False
        else:
            self.name(sys.modules, module, owner)
            self.attribute(owner, name)


def _is_fixed(value: Any) -> bool:
    cls = type(value)
    if cls is tuple or cls is frozenset:
        return all(map(_is_fixed, value))
    if cls is BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, ModuleType)
    if isinstance(value, Enum):
        return _is_fixed(value.value)
    if cls is dict:
        # What the decorator `dataclass` leaves in a class: its methods are compiled.
        return bool(value) and all(name_of(type(item)) == _FIELD for item in value.values())
    return name_of(cls) in _FIXED


def seen_in(function: Any) -> tuple[Any, ...] | None:
    """Return what makes the key of a function; ``None`` if the core cannot look at all of it.

    Raises:
        HashError: If a value that it closes over cannot be hashed.
    """
    from oxtask._internal.keys_code import Program, is_of_library  # noqa: PLC0415 - circular

    if type(function) is not FunctionType or is_of_library(function):
        return None
    program = Program(function)
    program.parts()
    return program.seen.parts()


def key_of_function(function: Any) -> str:
    """Return the key of a function, made anew.

    Raises:
        HashError: If a value that it closes over cannot be hashed; it names the part.
    """
    from oxtask._internal.keys import key_of  # noqa: PLC0415 - circular
    from oxtask._internal.keys_tasks import fn_name  # noqa: PLC0415

    return key_of(function, fn_name(function))
