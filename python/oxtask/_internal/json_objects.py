"""Objects that JSON has no notion of, as JSON: what `oxtask.serializers.JSONSerializer` uses.

An object becomes ``{"__class__": "module.Class", "data": ...}``, an exception
``{"__exc_type__": "module.Class", "message": ...}``. A dict of the user that has one of these keys
is written as its items, so that it comes back as it was.

Reading imports nothing: a class is found only in a module that is loaded already. A text that
somebody else wrote can so at most make objects of classes which the program itself uses.
"""

from __future__ import annotations

import io
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_CLASS = "__class__"
_EXCEPTION = "__exc_type__"
_RESERVED = (_CLASS, _EXCEPTION)
_DICT = "builtins.dict"
_MISSING = object()


def class_path(cls: type) -> str:
    """Return ``"module.Class"``; a parametrised pydantic class goes by the class it was made of."""
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        cls = generic["origin"]
    return f"{cls.__module__}.{cls.__qualname__}"


def encode(obj: Any) -> Any:
    """Return an object that `json.dumps` can write in place of ``obj``.

    Raises:
        ValueError: If nothing is known about the type of ``obj``.
    """
    path = class_path(type(obj))
    if "<locals>" in path:  # reading it would yield a dict
        raise ValueError(
            f"A {path} cannot be written as JSON: its class is made in a function, where reading "
            "would not find it. Define the class in a module."
        )
    if isinstance(obj, BaseException):
        return {_EXCEPTION: path, "message": str(obj)}
    if isinstance(obj, io.IOBase):
        shown = (
            f"<OxtaskIOStream Placeholder: type={path}, repr={short_repr(obj)} "
            "(original content not read)>"
        )
        return {_CLASS: path, "data": shown}
    if isinstance(obj, (set, frozenset)):  # its items are written one by one, with their classes
        return {_CLASS: path, "data": list(obj)}
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - a third of the module's cost

    return {_CLASS: path, "data": to_jsonable_python(obj)}


class CountingEncoder:
    """`encode`, and how often it was called, so that `has_reserved_keys` can tell."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, obj: Any) -> Any:
        self.count += 1
        return encode(obj)

    def has_reserved_keys(self, text: str | bytes) -> bool:
        """Tell whether ``text`` may hold reserved keys that are not this encoder's."""
        if isinstance(text, bytes):
            found = sum(text.count(f'"{key}"'.encode()) for key in _RESERVED)
        else:
            found = sum(text.count(f'"{key}"') for key in _RESERVED)
        return found > self.count


def encode_escaped(obj: Any) -> Any:
    """Do what `encode` does, and escape dicts that would be taken for objects."""
    encoded = encode(obj)
    if "data" in encoded:
        encoded["data"] = escaped(encoded["data"])
    return encoded


def escaped(value: Any) -> Any:
    """Return ``value`` with its dicts that have reserved keys written as their items."""
    if isinstance(value, dict):
        items = {key: escaped(item) for key, item in value.items()}
        if any(key in items for key in _RESERVED):
            return {_CLASS: _DICT, "data": [[key, item] for key, item in items.items()]}
        return items
    if isinstance(value, (list, tuple)):
        return [escaped(item) for item in value]
    return value


def decode(result: dict[str, Any]) -> Any:
    """Return the object that `encode` was given; any other dict as it is.

    Raises:
        ValueError: If the class is there, but its module has not been imported, or if it is none
            that may be made from data.
    """
    if _EXCEPTION in result:
        return _decode_exception(result)
    path = result.get(_CLASS, _MISSING)
    if not isinstance(path, str) or "." not in path or "data" not in result:
        return result
    data = result["data"]
    if path == _DICT and isinstance(data, list):
        return {key: item for key, item in data}  # noqa: C416 - pairs are lists here
    cls = _loaded(path)
    if cls is _MISSING:
        return result
    return _adapter(cls).validate_python(data)


def _decode_exception(result: dict[str, Any]) -> Any:
    path = result[_EXCEPTION]
    cls = _loaded(path) if isinstance(path, str) else _MISSING
    if not (isinstance(cls, type) and issubclass(cls, BaseException)):
        raise ValueError(  # noqa: TRY004 - it is the text that is wrong
            f"Invalid exception type {short_repr(path)}: it is no class of exceptions"
        )
    return cls(result.get("message"))


def _loaded(path: str) -> Any:
    """Return what ``path`` names in the modules that are loaded, or `_MISSING`.

    Namespaces are read without attribute access: that could run code of the module.
    """
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:cut]))
        if module is None:
            continue
        found: Any = module
        for name in parts[cut:]:
            space = vars(found) if hasattr(type(found), "__dict__") else {}
            found = space.get(name, _MISSING)
            if found is _MISSING or not isinstance(found, type):
                break
        if isinstance(found, type):
            return found
        if cut == len(parts) - 1:
            return _MISSING
    if parts[0] in sys.modules or _is_installed(parts[0]):
        raise ValueError(
            f"The class {short_repr(path)} is in a module that has not been imported, and reading "
            "a value imports nothing: import that module first."
        )
    return _MISSING


def _is_installed(package: str) -> bool:
    """Tell whether a top-level module could be imported, without importing it."""
    try:
        return package.isidentifier() and find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@lru_cache(maxsize=256)
def _adapter(cls: type) -> TypeAdapter[Any]:
    from pydantic import BaseModel, TypeAdapter  # noqa: PLC0415 - start-up time

    module = cls.__module__
    if (
        module.partition(".")[0] == "pydantic"
        and module != "pydantic.networks"
        and not issubclass(cls, BaseModel)
    ):  # among its types is one that imports what the data names
        raise ValueError(f"A {cls.__name__} cannot be made from data")
    return TypeAdapter(cls)
