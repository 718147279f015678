"""What can be told of a function without calling it: its name, its text, of which kind it is."""

from __future__ import annotations

from functools import WRAPPER_ASSIGNMENTS, partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from oxtask import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200
"""`inspect.CO_GENERATOR` and so on."""


def unwrapped(fn: Any) -> Any:
    """Return what a partial, or a task used as a function, calls in the end."""
    while True:
        if isinstance(fn, partial):
            fn = fn.func
        elif isinstance(fn, _core.TaskBase):
            fn = vars(fn)["fn"]
        else:
            return fn


def name_of(fn: Any) -> str:
    """Return the name of a function; of another object that can be called, its class's."""
    inner = unwrapped(fn)
    name: str = getattr(inner, "__name__", None) or type(inner).__name__
    return name


def description_of(fn: Any) -> str | None:
    """Return the docstring of a function without its indentation."""
    doc = getattr(unwrapped(fn), "__doc__", None)
    if not isinstance(doc, str):
        return None
    if "\n" not in doc:
        return doc.strip()
    from inspect import cleandoc  # noqa: PLC0415 - start-up time

    return cleandoc(doc)


def look_of(fn: Any) -> dict[str, Any]:
    """Return the attributes that `functools.update_wrapper` gives an object to look like ``fn``."""
    own = {} if isinstance(fn, type) else getattr(fn, "__dict__", {})
    shown = {name: getattr(fn, name) for name in WRAPPER_ASSIGNMENTS if hasattr(fn, name)}
    return {**own, **shown, "__wrapped__": fn}


def source_of(fn: Any) -> str | None:
    """Return the text of a function, read from its file; ``None`` if there is none."""
    from inspect import getsource  # noqa: PLC0415 - start-up time

    try:
        return getsource(fn)
    except (TypeError, OSError):
        return None


# --- of which kind --------------------------------------------------------------------------------


def is_coroutine_function(fn: Any) -> bool:
    """Tell whether what a function returns is to be awaited, as far as its own code tells."""
    return bool(_flags(fn) & _COROUTINE)


def is_async(fn: Any) -> bool:
    """Tell whether a function is async.

    A wrapper that hands through what an async function returns counts as one if it says, as
    `functools.wraps` does, what it wraps.
    """
    return bool(_flags(fn) & _ASYNC_GENERATOR) or any(
        is_coroutine_function(inner) for inner in _wrapped(fn)
    )


def is_generator(fn: Any) -> bool:
    """Tell whether a function is a generator, async or not."""
    return bool(_flags(fn) & (_GENERATOR | _ASYNC_GENERATOR))


def _wrapped(fn: Any) -> Iterator[Any]:
    seen = set()
    while id(fn) not in seen:
        yield fn
        seen.add(id(fn))
        fn = getattr(unwrapped(fn), "__wrapped__", fn)


def _flags(fn: Any) -> int:
    code = _code_of(unwrapped(fn))
    return getattr(code, "co_flags", 0)


def _code_of(fn: Any) -> Any:
    """Return the code that runs when ``fn`` is called, if there is Python code."""
    if isinstance(fn, MethodType):
        fn = fn.__func__
    if not hasattr(fn, "__code__"):
        fn = type(fn).__call__
    return getattr(fn, "__code__", None)


# --- keys -----------------------------------------------------------------------------------------


def key_of(fn: Any) -> str:
    """Return a text that tells functions apart, and is the same in each process.

    It changes with the code, the file and the line of a function. What a partial has bound counts
    as far as it is of plain types.
    """
    inner = unwrapped(fn)
    if not hasattr(inner, "__qualname__"):
        return f"{type(inner).__module__}.{type(inner).__qualname__}"
    name = inner.__qualname__.split(".")[-1]
    code = _code_of(inner)
    if not isinstance(code, CodeType):
        return f"{name}-unknown"
    digest = _digest(code, 0)
    while isinstance(fn, partial):
        if fn.args or fn.keywords:
            digest = _add([_plain_text((fn.args, sorted(fn.keywords.items())))], digest)
        fn = fn.func
    return f"{name}-{digest:08x}"


def _digest(code: CodeType, digest: int) -> int:
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
    place = (code.co_filename, code.co_firstlineno)
    digest = _add([code.co_code, repr(names), repr(place)], digest)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            digest = _digest(constant, digest)
        else:
            digest = _add([_plain_text(constant)], digest)
    return digest


def _add(parts: list[bytes | str], digest: int) -> int:
    from zlib import crc32  # noqa: PLC0415 - start-up time

    for part in parts:
        digest = crc32(part if isinstance(part, bytes) else part.encode("utf-8", "replace"), digest)
    return digest


def _plain_text(value: Any) -> str:
    """Return the text of a value that has the same text in each process, else that of its type."""
    if value is None or value is ... or type(value) in {bool, int, float, complex, str, bytes}:
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(_plain_text, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{{{','.join(sorted(map(_plain_text, value)))}}}"
    if isinstance(value, (FunctionType, MethodType)):
        return key_of(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"
