"""How objects of any class are taken apart: as their class says, and as `pickle` would."""

from __future__ import annotations

import copyreg
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from oxtask._internal.keys_parts import Parts, UnhashableError, name_of
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable


def has_own_state(cls: type) -> bool:
    """Tell whether a class leaves it to Python what its objects consist of."""
    state = getattr(cls, "__getstate__", None)
    return (
        _method(cls, "__reduce_ex__") is object.__reduce_ex__
        and _method(cls, "__reduce__") is object.__reduce__
        # Python has one since 3.11, and `dataclass(slots=True)` adds one.
        and (
            state is None
            or state is getattr(object, "__getstate__", None)
            or state.__module__ == "dataclasses"
        )
    )


def is_derived(cls: type) -> bool:
    """Tell whether a class is derived from a built-in one that has a value."""
    return issubclass(cls, tuple(_BASES))


def _method(cls: Any, name: str) -> Any:
    return getattr(cls, name)


# --- types derived from built-in ones -------------------------------------------------------------


def _ordered(value: Any) -> list[Any]:
    return [list(pair) for pair in value.items()]


_BASES: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex(value.real, value.imag),
    str: str.__str__,
    bytes: lambda value: b"".join([value]),
    bytearray: lambda value: bytes(memoryview(value)),
    list: lambda value: list.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    set: lambda value: set().union(value),
    frozenset: lambda value: frozenset().union(value),
    dict: dict.copy,
}


def of_base(cls: type) -> Parts | None:
    """Return the plan for a type that is a built-in one with a name and attributes of its own."""
    for base, plain in _BASES.items():
        if issubclass(cls, base):
            from collections import Counter, OrderedDict, defaultdict  # noqa: PLC0415 - on first use

            known = (object, OrderedDict, defaultdict, Counter)
            if not any(_method(cls, "__reduce__") is other.__reduce__ for other in known):
                return None
            if issubclass(cls, OrderedDict):
                plain = _ordered  # noqa: PLW2901 - its order is part of it
            factory = issubclass(cls, defaultdict)
            return "call", partial(
                _derived_parts, f"{base.__name__}:{name_of(cls)}", plain, factory
            )
    return None


def _derived_parts(label: str, plain: Callable[[Any], Any], factory: bool, value: Any) -> Parts:
    own = _slots_of(value) | getattr(value, "__dict__", {})
    if factory:
        own = own | {"default_factory": value.default_factory}
    return label, own or None, plain(value)


def _slots_of(value: Any) -> dict[str, Any]:
    names = [name for name in copyreg._slotnames(type(value)) or [] if hasattr(value, name)]  # type: ignore[attr-defined]
    return {name: getattr(value, name) for name in names}


# --- everything else ------------------------------------------------------------------------------


class Reduction:
    """Takes objects of a type apart as `pickle` would, by what ``__reduce_ex__`` returns."""

    __slots__ = ("cached",)

    def __init__(self, cls: type) -> None:
        # What is computed on first access does not tell objects apart.
        self.cached = {
            name
            for base in cls.__mro__
            for name, attribute in vars(base).items()
            if isinstance(attribute, cached_property)
        }

    def __call__(self, value: Any) -> Parts:
        cls = type(value)
        reducer = copyreg.dispatch_table.get(cls)
        try:
            reduced: Any = reducer(value) if reducer else value.__reduce_ex__(4)
        except Exception as error:
            pickled = _pickled(value)
            if pickled is None:
                raise UnhashableError(_in_one_line(error)) from error
            return f"pickle:{name_of(cls)}", None, pickled
        if isinstance(reduced, str):
            return "global", None, f"{getattr(value, '__module__', '')}.{reduced}"
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        label, rest = _maker(make, args)
        attributes = None
        if isinstance(state, tuple) and len(state) == 2:
            whole, slots = state
            if isinstance(slots, dict) and isinstance(whole, (dict, type(None))):
                state = {**(whole or {}), **slots}
        if type(state) is dict and all(type(name) is str for name in state):
            own = {name: item for name, item in state.items() if name not in self.cached}
            attributes, state = own or None, None
        return (
            label,
            attributes,
            *rest,
            state,
            None if items is None else list(items),
            None if pairs is None else dict(pairs),
        )


_MAKERS: tuple[Any, ...] = (
    copyreg.__newobj__,  # type: ignore[attr-defined]
    copyreg.__newobj_ex__,  # type: ignore[attr-defined]
    copyreg._reconstructor,  # type: ignore[attr-defined]
)


def _maker(make: Any, args: Any) -> tuple[str, list[Any]]:
    """Return a label for what makes an object, and what it is made of.

    Classes stand there by name: what they do is not what tells their objects apart.
    """
    if any(make is known for known in _MAKERS):
        return f"object:{name_of(args[0])}", list(args[1:])
    if isinstance(make, type):
        return f"object:{name_of(make)}", list(args)
    return "made", [make, *(name_of(arg) if isinstance(arg, type) else arg for arg in args)]


def _pickled(value: Any) -> bytes | None:
    import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415 - slow, rarely needed

    try:
        pickled: bytes = cloudpickle.dumps(value, protocol=4)
    except Exception:  # noqa: BLE001 - whatever it is, the first error is told
        return None
    return pickled


def _in_one_line(error: Exception) -> str:
    return short_repr(error) if not str(error) else str(error).splitlines()[0]
