"""Which names around it some code writes into, read from its text.

A counter, a log or a table of what is known already that a function keeps in a global is something
it produces: what is in there is another thing after each run, and decides no result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ast import AST
    from types import CodeType

WRITTEN = "="
"""The last part of a way that ends in an assignment or a deletion."""
STORES = {"STORE_SUBSCR", "STORE_SLICE", "DELETE_SUBSCR", "STORE_ATTR", "DELETE_ATTR"}
"""The instructions without which code assigns to nothing but names."""
PART = "[]"
"""The step of a way from a container to what is in it."""
_CONTAINERS = (MutableMapping, MutableSequence, MutableSet)
_MOST_PARTS = 100
METHODS = {
    *("add", "append", "appendleft", "clear", "difference_update", "discard", "extend"),
    *("extendleft", "insert", "intersection_update", "pop", "popitem", "popleft", "remove"),
    *("reverse", "rotate", "setdefault", "sort", "subtract", "symmetric_difference_update"),
    *("update", "write", "writelines"),
}
"""Methods of containers that change them."""

Ways = set[tuple[str, ...]]


def is_written(value: Any, ways: Ways) -> bool:
    """Tell whether a value is one that code writes into which uses it in these ways.

    Functions, classes and other things that are called are not: what they do counts.
    """
    if callable(value):
        return False
    return any(
        way[-1:] == (WRITTEN,) or (way[-1:] and way[-1] in METHODS and _leads(value, way[:-1]))
        for way in ways
    )


def _leads(value: Any, steps: tuple[str, ...]) -> bool:
    """Tell whether steps lead from a value to containers, as far as can be seen."""
    if not steps:
        return isinstance(value, _CONTAINERS)
    step, rest = steps[0], steps[1:]
    if step != PART:
        own = getattr(value, "__dict__", {})
        return step in own and _leads(own[step], rest)
    if not isinstance(value, _CONTAINERS):
        return False
    try:
        parts = list(islice(value.values() if isinstance(value, Mapping) else value, _MOST_PARTS))
    except RuntimeError:  # it is written into right now
        return True
    return all(_leads(part, rest) for part in parts)


def writes_of(code: CodeType) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the names into which code writes, each with the way to the part that is changed.

    There are none if the text of the code cannot be had.
    """
    import ast  # noqa: PLC0415 - only needed for new code that writes

    for node in ast.walk(_definition(code)):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            target: Any = node
            way: list[str] = []
            while isinstance(target, (ast.Attribute, ast.Subscript)):
                # Only what comes before the first subscript can be followed.
                way = [] if isinstance(target, ast.Subscript) else [target.attr, *way]
                target = target.value
            if isinstance(target, ast.Name):
                yield target.id, (*way, WRITTEN)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target, way = node.func, []
            while isinstance(target, (ast.Attribute, ast.Subscript)):
                way.insert(0, target.attr if isinstance(target, ast.Attribute) else PART)
                target = target.value
            if isinstance(target, ast.Name) and way[-1] in METHODS:
                yield target.id, tuple(way)


def _definition(code: CodeType) -> AST:
    """Return the definition of a function, or an empty module in its place."""
    import ast  # noqa: PLC0415 - only needed for new code that writes
    from inspect import getsource  # noqa: PLC0415

    try:
        text = getsource(code)
        tree = ast.parse(f"if 1:\n{text}" if text[:1].isspace() else text)
    except (OSError, TypeError, SyntaxError, ValueError):
        return ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            return node
    return ast.Module([], [])
