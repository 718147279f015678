"""Working with collections: walking through nested ones, and small helpers for plain ones."""

from __future__ import annotations

from enum import Enum, auto
from io import IOBase
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from oxtask._internal.text import short_repr
from oxtask.utilities._containers import is_model_class
from oxtask.utilities._visit import StopVisiting, Walk
from oxtask.utilities.annotations import BaseAnnotation, Quote, opaque, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator

__all__ = [
    "AutoEnum",
    "BaseAnnotation",
    "Quote",
    "StopVisiting",
    "batched_iterable",
    "deep_merge",
    "deep_merge_dicts",
    "dict_to_flatdict",
    "distinct",
    "ensure_iterable",
    "extract_instances",
    "flatdict_to_dict",
    "get_from_dict",
    "isiterable",
    "listrepr",
    "opaque",
    "quote",
    "remove_nested_keys",
    "set_in_dict",
    "visit_collection",
]

T = TypeVar("T")


class AutoEnum(str, Enum):
    """An enumeration whose values are the names of its members, for use in JSON.

    Example:
        >>> class Color(AutoEnum):
        ...     RED = AutoEnum.auto()
        >>> Color.RED.value
        'RED'
        >>> Color.RED
        Color.RED
    """

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[Any]) -> str:
        del start, count, last_values
        return name

    @staticmethod
    def auto() -> Any:
        """Return a placeholder that becomes the name of the member."""
        return auto()

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.value}"

    # Without it, Python versions disagree on what a string mix-in shows.
    __str__ = __repr__


@overload
def visit_collection(
    expr: Any,
    visit_fn: Callable[[Any, dict[str, Any]], Any],
    *,
    return_data: bool = ...,
    max_depth: int = ...,
    context: dict[str, Any],
    remove_annotations: bool = ...,
) -> Any: ...
@overload
def visit_collection(
    expr: Any,
    visit_fn: Callable[[Any], Any],
    *,
    return_data: bool = ...,
    max_depth: int = ...,
    context: None = ...,
    remove_annotations: bool = ...,
) -> Any: ...
def visit_collection(
    expr: Any,
    visit_fn: Callable[..., Any],
    *,
    return_data: bool = False,
    max_depth: int = -1,
    context: dict[str, Any] | None = None,
    remove_annotations: bool = False,
) -> Any:
    """Call a function on an object and on everything nested in it.

    The order is depth first, left to right, an object before its contents and a key before its
    value. Entered are `list`, `tuple`, `dict`, `set`, `frozenset`, `collections.deque` and their
    subclasses, instances of dataclasses, attrs classes and pydantic models, and annotations. The
    content of `opaque` is visited, but not entered. Nothing else is entered: strings, iterators,
    arrays, mocks, exceptions and classes are visited as they are.

    An object met several times is visited each time, but entered once. Cycles end.

    Args:
        expr: The object to start from.
        visit_fn: Called with each object, and with the context if there is one. It may raise
            `StopVisiting` to keep an object as it is and not to enter it.
        return_data: Whether what the visitor returns replaces the visited object; the contents of
            the replacement are visited next. Otherwise return values are ignored.
        max_depth: How many levels of containers are entered; 0 visits only ``expr``, a negative
            number sets no limit.
        context: If given, passed to the visitor. Each object gets its own copy of its container's
            context: changes are seen by the contents of an object and by nothing else. Under an
            annotation, the key ``"annotation"`` holds the innermost one and ``"annotations"`` the
            tuple of all, outermost first; elsewhere the keys are absent.
        remove_annotations: Whether entered annotations are replaced by their content.

    Returns:
        With ``return_data``, the object after replacement: the very same object if nothing in it
        changed, else a copy that shares all unchanged parts. References shared in the input are
        shared in the copy, cycles included. Copies are structural, constructors and validators are
        not called. Without ``return_data``, None.

    Example:
        >>> visit_collection(
        ...     {"a": [1, 2]},
        ...     lambda item: item + 1 if isinstance(item, int) else item,
        ...     return_data=True,
        ... )
        {'a': [2, 3]}
    """
    walk = Walk(visit_fn, return_data=return_data, remove_annotations=remove_annotations)
    result = walk.run(expr, context, max_depth)
    return result if return_data else None


def isiterable(obj: Any) -> bool:
    """Tell whether ``map`` iterates over an object.

    Strings, bytes, files and instances of pydantic models can be iterated in Python, but count as
    single values here.

    Example:
        >>> [isiterable(item) for item in ([], range(3), {}, "text", 1)]
        [True, True, True, False, False]
    """
    if isinstance(obj, (str, bytes, IOBase)) or is_model_class(type(obj)):
        return False
    try:
        iter(obj)
    except TypeError:
        return False
    return True


def ensure_iterable(obj: T | Iterable[T]) -> Collection[T]:
    """Return sequences and sets as they are, and anything else as the only item of a list.

    A string is a sequence; a dict and an iterator are not.
    """
    from collections import abc  # noqa: PLC0415 - start-up time

    if isinstance(obj, (abc.Sequence, abc.Set)):
        return obj
    return [cast("T", obj)]


def listrepr(objs: Iterable[Any], sep: str = " ") -> str:
    """Return the representations of the objects, joined by a separator."""
    return sep.join(repr(obj) for obj in objs)


@overload
def extract_instances(objects: Iterable[Any], types: type[T]) -> list[T]: ...
@overload
def extract_instances(
    objects: Iterable[Any], types: tuple[type[T], ...]
) -> dict[type[T], list[T]]: ...
@overload
def extract_instances(objects: Iterable[Any]) -> list[Any]: ...
def extract_instances(
    objects: Iterable[Any], types: type[Any] | tuple[type[Any], ...] = object
) -> list[Any] | dict[Any, list[Any]]:
    """Pick the instances of one type or of several types out of an iterable.

    Returns:
        For one type, a list. For a tuple of types, a dict of lists by type; an object that is an
        instance of several of them appears under each, a type without instances does not appear.
    """
    if not isinstance(types, tuple):
        return [obj for obj in objects if isinstance(obj, types)]
    found: dict[type[Any], list[Any]] = {}
    for obj in objects:
        for cls in types:
            if isinstance(obj, cls):
                found.setdefault(cls, []).append(obj)
    return found


def batched_iterable(iterable: Iterable[T], size: int) -> Generator[tuple[T, ...], None, None]:
    """Yield tuples of ``size`` items; the last one may be shorter.

    Raises:
        ValueError: If ``size`` is less than 1.
    """
    if size < 1:
        msg = f"size must be at least 1; got {size}."
        raise ValueError(msg)
    iterator = iter(iterable)
    while batch := tuple(islice(iterator, size)):
        yield batch


def distinct(iterable: Iterable[T], key: Callable[[T], Hashable] | None = None) -> Iterator[T]:
    """Yield the items whose key was not seen before, in order.

    Args:
        iterable: The items.
        key: What makes two items the same; by default the item itself, which must be hashable.
    """
    seen: set[Any] = set()
    for item in iterable:
        mark = item if key is None else key(item)
        if mark not in seen:
            seen.add(mark)
            yield item


def dict_to_flatdict(dct: dict[Any, Any]) -> dict[tuple[Any, ...], Any]:
    """Turn nested dicts into one dict with a tuple of keys for each value.

    Empty dicts are values. The result has the type of ``dct``.

    Example:
        >>> dict_to_flatdict({"a": {"b": 1}, "c": 2})
        {('a', 'b'): 1, ('c',): 2}
    """
    flat = type(dct)()

    def add(path: tuple[Any, ...], nested: dict[Any, Any]) -> None:
        for key, value in nested.items():
            place = (*path, key)
            if isinstance(value, dict) and value:
                add(place, value)
            else:
                flat[place] = value

    add((), dct)
    return flat


def flatdict_to_dict(dct: dict[tuple[Any, ...], Any]) -> dict[Any, Any]:
    """Undo `dict_to_flatdict`; all dicts of the result have the type of ``dct``.

    Raises:
        TypeError: If a path leads through a value, as in ``{("a",): 1, ("a", "b"): 2}``.
    """
    result: dict[Any, Any] = type(dct)()
    for path, value in dct.items():
        nested = result
        for key in path[:-1]:
            nested = nested.setdefault(key, type(dct)())
            if not isinstance(nested, dict):
                msg = (
                    f"dct holds a value at {key!r} and a path through it: {short_repr(path)}. "
                    "Remove one of them."
                )
                raise TypeError(msg)
        nested[path[-1]] = value
    return result


def remove_nested_keys(keys_to_remove: list[Any], obj: Any) -> Any:
    """Return a copy of nested dicts without the given keys; pass through what is not a dict."""
    if not isinstance(obj, dict):
        return obj
    return {
        key: remove_nested_keys(keys_to_remove, value)
        for key, value in obj.items()
        if key not in keys_to_remove
    }


def get_from_dict(dct: Any, keys: str | list[str], default: Any = None) -> Any:
    """Look up a value in nested dicts and lists.

    Args:
        dct: The outermost dict or list.
        keys: A path such as ``"a.b[0].c"``, or its parts.
        default: What to return if the path does not exist.

    Example:
        >>> get_from_dict({"a": {"b": [1, 2]}}, "a.b[1]")
        2
    """
    current = dct
    try:
        for key in _path(keys):
            current = _item(current, key)
    except (KeyError, IndexError, TypeError):
        return default
    return current


def _item(container: Any, key: str) -> Any:
    """Look up a part of a path, where digits may be an index or a text."""
    try:
        return container[int(key)]
    except (KeyError, TypeError, ValueError):
        return container[key]


def set_in_dict(dct: dict[str, Any], keys: str | list[str], value: Any) -> None:
    """Set a value in nested dicts; missing dicts are created.

    Args:
        dct: The outermost dict, changed in place.
        keys: A path such as ``"a.b.c"``, or its parts.
        value: The value to set.

    Raises:
        TypeError: If the path leads through something that is not a dict.
        ValueError: If the path is empty.
    """
    path = _path(keys)
    if not path:
        msg = "keys must name at least one key; got an empty list."
        raise ValueError(msg)
    nested = dct
    for key in path[:-1]:
        nested = nested.setdefault(key, {})
        if not isinstance(nested, dict):
            msg = (
                f"keys {short_repr(path)} lead through {key!r}, which is not a dict: "
                f"{short_repr(nested)}. Choose another path or remove that value first."
            )
            raise TypeError(msg)
    nested[path[-1]] = value


def _path(keys: str | list[str]) -> list[str]:
    if isinstance(keys, str):
        return keys.replace("[", ".").replace("]", "").split(".")
    return keys


def deep_merge(dct: dict[str, Any], merge: dict[str, Any]) -> dict[str, Any]:
    """Return a new dict with the entries of both; nested dicts are merged, ``merge`` wins.

    Example:
        >>> deep_merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    result = dct.copy()
    for key, value in merge.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = deep_merge(cast("dict[str, Any]", old), value) if both else value
    return result


def deep_merge_dicts(*dicts: dict[str, Any]) -> dict[str, Any]:
    """Return a new dict with the entries of all; see `deep_merge`, later dicts win."""
    result: dict[str, Any] = {}
    for dct in dicts:
        result = deep_merge(result, dct)
    return result
