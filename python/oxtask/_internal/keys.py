"""How the core takes values apart to hash them: one plan for each type that is not built in.

`plan_of` is asked once for each type. Most plans are a function that returns a tuple: a label that
tells types apart, a dict of attributes or ``None``, and whatever else decides what the object is.
The core encodes all of these as it encodes any value, so an object has the same key however its
parts are shared, and an error can name the part.
"""

from __future__ import annotations

import datetime
import enum
import sys
from functools import partial
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GenericAlias,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.keys_objects import Reduction, has_own_state, is_derived, of_base
from oxtask._internal.keys_parts import HOOK, Parts, UnhashableError, name_of
from oxtask.exceptions import HashError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_PATH = 200


def refused(path: str, kind: type, reason: str) -> HashError:
    """Return the error about a part of a value."""
    shown = path if len(path) <= _MAX_PATH else f"{path[:_MAX_PATH]}..."
    error = HashError(
        f"Unable to create hash: `{shown or 'value'}` (a {name_of(kind)}) cannot be hashed: "
        f"{reason}"
    )
    error.path = path
    error.is_read_once = hasattr(kind, "__next__")
    return error


def plan_of(cls: type) -> Parts:
    """Return the plan for values of a type; the core knows what the first item asks of it."""
    if plan := _exact().get(cls):
        return plan
    if issubclass(cls, type):
        return "call", _code("class_parts")
    if issubclass(cls, _core.TaskBase):
        return "call", lambda task: ("task", None, task.fn)
    if getattr(cls, HOOK, None) is not None:
        return "call", _own_key
    for found in (_of_library(cls), _of_structure(cls), of_base(cls)):
        if found is not None:
            return found
    return "call", Reduction(cls)


def _own_key(value: Any) -> Parts:
    return f"key:{name_of(type(value))}", None, getattr(value, HOOK)()


# --- types that are known -------------------------------------------------------------------------

_EXACT: dict[type, Parts] = {}


def _exact() -> dict[type, Parts]:
    if not _EXACT:
        from array import array  # noqa: PLC0415 - on first use
        from decimal import Decimal  # noqa: PLC0415
        from uuid import UUID  # noqa: PLC0415

        _EXACT.update(
            {
                datetime.date: ("date",),
                datetime.time: ("time", _with_zone),
                datetime.datetime: ("datetime", _with_zone),
                datetime.timedelta: ("timedelta",),
                UUID: ("uuid",),
                Decimal: ("call", lambda value: ("decimal", None, str(value))),
                memoryview: ("buffer", "memoryview"),
                array: ("buffer", "array.array"),
                range: ("call", _range_parts),
                SimpleNamespace: ("call", lambda value: ("namespace", vars(value))),
                GenericAlias: (
                    "call",
                    lambda value: ("alias", None, value.__origin__, value.__args__),
                ),
                partial: ("call", _partial_parts),
                FunctionType: ("call", _code("function_parts")),
                BuiltinFunctionType: ("call", _builtin_parts),
                MethodType: (
                    "call",
                    lambda value: ("method", None, value.__func__, value.__self__),
                ),
                CodeType: ("call", _code("code_parts")),
                ModuleType: ("call", _code("module_parts")),
            }
        )
    return _EXACT


def _code(name: str) -> Callable[[Any], Parts]:
    from oxtask._internal import keys_code  # noqa: PLC0415 - imports this module

    found: Callable[[Any], Parts] = getattr(keys_code, name)
    return found


def _with_zone(value: Any) -> Parts:
    """Take apart a time of day with a zone: equal only where the offset and the zone are."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - on first use

    zone: Any = value.tzinfo
    if isinstance(zone, ZoneInfo) and zone.key:
        zone = None if zone.key == "UTC" else zone.key
    elif type(zone) is datetime.timezone:
        zone = None
    return "zoned", None, value.replace(tzinfo=None, fold=0), value.utcoffset(), zone


def _range_parts(value: range) -> Parts:
    # Equal ranges can have different bounds.
    return "range", None, len(value), *value[:1], *([value.step] if len(value) > 1 else [])


def _partial_parts(value: Any) -> Parts:
    return "partial", vars(value), value.func, value.args, value.keywords


def _builtin_parts(value: Any) -> Parts:
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType):
        return "builtin", None, f"{value.__module__}.{value.__qualname__}"
    return "builtin", None, value.__qualname__, owner


# --- libraries ------------------------------------------------------------------------------------


def _of_library(cls: type) -> Parts | None:
    """Return the plan for a type of a library for arrays or frames, or derived from one."""
    for base in cls.__mro__:
        root = base.__module__.partition(".")[0]
        if root in {"numpy", "pandas", "polars", "pyarrow", "torch"}:
            from oxtask._internal import keys_arrays  # noqa: PLC0415 - start-up time

            return keys_arrays.plan_of(cls, root)
    return None


# --- types that tell their structure --------------------------------------------------------------


def _of_structure(cls: type) -> Parts | None:
    if issubclass(cls, enum.Enum):
        return "call", _enum_parts
    fields = cls.__dict__.get("__dataclass_fields__")
    # One that was derived without the decorator can have attributes that are no fields.
    if fields is not None and has_own_state(cls) and not is_derived(cls):
        names = [name for name, field in fields.items() if field._field_type.name == "_FIELD"]
        return "fields", name_of(cls), names
    if hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_fields"):
        return "call", _model_parts
    if hasattr(cls, "__next__"):
        return "call", _refuse_iterator
    if _is_path(cls):
        return "call", _path_parts
    return None


def _enum_parts(value: Any) -> Parts:
    return f"enum:{name_of(type(value))}", None, value.name, value.value


def _model_parts(value: Any) -> Parts:
    fields = type(value).model_fields
    shown = {
        name: item
        for name, item in vars(value).items()
        if name in fields and not fields[name].exclude
    }
    return f"model:{name_of(type(value))}", shown, value.__pydantic_extra__


def _refuse_iterator(_: Any) -> Parts:
    msg = "it can be read only once, and the task must be the one who reads it"
    raise UnhashableError(msg)


def _is_path(cls: type) -> bool:
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and issubclass(cls, pathlib.PurePath)


def _path_parts(value: Any) -> Parts:
    from pathlib import PosixPath, WindowsPath  # noqa: PLC0415 - on first use

    cls = type(value)
    # Python 3.13 has the classes in a module `pathlib._local`.
    name = "pathlib.Path" if cls in {PosixPath, WindowsPath} else name_of(cls)
    name = name.replace("pathlib._local.", "pathlib.")
    return f"path:{name}", None, value.as_posix()


def key_of(value: Any, root: str = "value") -> str:
    """Return the key of a value.

    Raises:
        HashError: If it cannot be hashed; it names the part by its path from ``root``.
    """
    return _core.hash_value(value, None, root)
