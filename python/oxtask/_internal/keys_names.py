"""Which names around it some code reads, and its digest: found once for each code object."""

from __future__ import annotations

from types import CodeType
from typing import Any, NamedTuple

from oxtask import _core
from oxtask._internal.keys_writes import METHODS, STORES, WRITTEN, writes_of

_MAX_KNOWN = 4_096
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}
_CELL = {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}
_SUBSCRIPT = {"BINARY_SUBSCR", "BINARY_SLICE", "BINARY_OP"}
"""What ``x[y]`` may be, or else the operator of something that is no way to a global."""
_BIND = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF"}

Chains = dict[str, set[tuple[str, ...]]]


class Uses(NamedTuple):
    """What some code reads, with the attributes that it reads of it at once.

    What it writes into has a way that ends in `WRITTEN`.

    Attributes:
        digest: The key of the code itself.
        globals: Names that are looked up among the globals.
        cells: Names that are looked up in the functions around it.
    """

    digest: str
    globals: Chains
    cells: Chains


# By identity, with the code kept alive: comparing code would compare all of it.
_known: dict[int, tuple[CodeType, Uses]] = {}


def uses_of(code: CodeType) -> Uses:
    """Return what some code reads, with the functions that are made in it."""
    known = _known.get(id(code))
    if known is not None:
        return known[1]
    uses = Uses(_core.hash_value(code), {}, {})
    writes: set[tuple[str, tuple[str, ...]]] = set()
    if _collect(code, uses, writes):
        writes.update(writes_of(code))
    for name, way in writes:
        for found in (uses.globals, uses.cells):
            if name in found:
                found[name].add(way)
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    _known[id(code)] = (code, uses)
    return uses


def _collect(code: CodeType, uses: Uses, writes: set[tuple[str, tuple[str, ...]]]) -> bool:
    """Gather what code reads and the names it binds; tell whether it stores anything elsewhere."""
    import dis  # noqa: PLC0415 - slow to import, and only needed for new code

    stores = False
    found: Chains | None = None
    name = ""
    chain: list[str] = []
    is_part = False
    for instruction in dis.get_instructions(code):
        is_attribute = instruction.opname in _ATTRIBUTE
        is_part = instruction.opname in _SUBSCRIPT or (is_part and is_attribute)
        if is_attribute and (is_part or chain):
            stores = stores or instruction.argval in METHODS
        if found is not None:
            if is_attribute:
                chain.append(instruction.argval)
                continue
            found.setdefault(name, set()).add(tuple(chain))
        stores = stores or instruction.opname in STORES
        if instruction.opname in _BIND:
            writes.add((instruction.argval, (WRITTEN,)))
        found = _table(instruction.opname, uses)
        if found is not None:
            name, chain = instruction.argval, []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            stores |= _collect(constant, uses, writes)
    return stores


def _table(opname: str, uses: Uses) -> Any:
    if opname in _GLOBAL:
        return uses.globals
    return uses.cells if opname in _CELL else None
