"""What functions and classes do, taken apart to hash it.

A function is its code without names of files and numbers of lines, its defaults, the values it
closes over, the globals it reads, and the same of every function and class of the program that it
refers to. A value that it writes into counts by its type: see `oxtask._internal.keys_writes`.
Functions and classes of libraries stand there by name: a library is told by its version, and who
depends on that says so. The code is the compiled one, because that is what runs: the text in the
file may have been edited since. It is another one for another version of Python, which is a miss,
never a wrong answer.
"""

from __future__ import annotations

import sys
import threading
from functools import cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from oxtask import _core
from oxtask._internal.keys_guards import Seen
from oxtask._internal.keys_names import uses_of
from oxtask._internal.keys_parts import HOOK, Parts, name_of
from oxtask._internal.keys_writes import is_written
from oxtask.exceptions import HashError

_IN_LIBRARY = object()
_ENTRIES_LEFT_OUT = {
    "__annotations__",
    "__annotate__",
    "__annotate_func__",
    "__annotations_cache__",
    "__classdictcell__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
    "__slotnames__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}


def function_parts(function: Any) -> Parts:
    """Take a function apart."""
    if is_of_library(function):
        return "function", None, name_of(function)
    return Program(function).parts()


def class_parts(cls: type) -> Parts:
    """Take a class apart."""
    if is_of_library(cls):
        return "class", None, name_of(cls)
    return Program(cls).parts()


def module_parts(module: ModuleType) -> Parts:
    """Take a module apart: one of a library by name, one of the program by its text."""
    name = module.__name__
    path = getattr(module, "__file__", None)
    if path is None or not _is_own_module(name):
        return "module", None, name
    from oxtask.utilities.hashing import file_hash  # noqa: PLC0415 - imports this package

    try:
        return "module", None, name, file_hash(path)
    except OSError:
        return "module", None, name


def code_parts(code: CodeType) -> Parts:
    """Take code apart: all that decides what it does, nothing of where it stands."""
    return (
        "code",
        None,
        f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}",
        code.co_name,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        code.co_code,
        getattr(code, "co_exceptiontable", b""),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_consts,
    )


# --- what belongs to the program ------------------------------------------------------------------


def is_of_library(value: Any) -> bool:
    """Tell whether a function or class is found by its name in a module that is not the user's."""
    if is_own(value):
        return False
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def is_own(value: Any) -> bool:
    """Tell whether a function or class cannot be found by a name in a module of a library."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    return not isinstance(module, str) or "<locals>" in name or _is_own_module(module)


@cache
def _library_folders() -> tuple[str, ...]:
    import sysconfig  # noqa: PLC0415 - on first use
    from pathlib import Path  # noqa: PLC0415

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {path for name in names if (path := sysconfig.get_paths().get(name))}
    own = str(Path(__file__).resolve().parents[1])
    return (*(folder + ("" if folder.endswith("/") else "/") for folder in folders), own)


_OWN_MODULES: dict[str, bool] = {}


def _is_own_module(name: str) -> bool:
    known = _OWN_MODULES.get(name)
    if known is None:
        known = _OWN_MODULES[name] = _judged_module(name)
    return known


def _judged_module(name: str) -> bool:
    root = name.partition(".")[0]
    if name == "__main__":
        return True
    if root in sys.stdlib_module_names:
        return False
    path = getattr(sys.modules.get(name), "__file__", None)
    if path is None:
        # A namespace, or code that was made while the program runs.
        return True
    return not (
        path.startswith(_library_folders()) or "site-packages" in path or "dist-packages" in path
    )


# --- the functions and classes that one refers to -------------------------------------------------

_busy = threading.local()


class Program:
    """A function or class and all those of the program that it refers to, each once, in order.

    Attributes:
        seen: What was looked at to describe them.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.places: dict[int, int] = {}
        self.nodes: list[Any] = []
        self.seen = Seen()

    def parts(self) -> Parts:
        """Take them apart."""
        busy: set[int] = _busy.__dict__.setdefault("roots", set())
        if id(self.root) in busy:
            # A value that the function refers to refers to the function.
            return "again", None, name_of(self.root)
        busy.add(id(self.root))
        try:
            self.reference(self.root)
            described = []
            # Describing one finds more of them.
            for node in self.nodes:
                describe = self.class_node if isinstance(node, type) else self.function_node
                described.append(describe(node))
        finally:
            busy.discard(id(self.root))
        return "program", None, described

    def reference(self, value: Any) -> Parts:
        """Return what stands for a value: the place of its node, or the value itself."""
        if isinstance(value, _core.TaskBase) or type(value).__name__ == "Flow":
            self.seen.attribute(value, "fn")
            value = getattr(value, "fn", value)
        if isinstance(value, (staticmethod, classmethod)):
            return type(value).__name__, self.reference(value.__func__)
        if isinstance(value, property):
            return "property", *(self.reference(f) for f in (value.fget, value.fset, value.fdel))
        if type(value) is MethodType:
            return "method", self.reference(value.__func__), self.reference(value.__self__)
        if type(value) is partial:
            self.seen.mapping(value.keywords)
            self.seen.value(value.args)
            keywords = {name: self.reference(item) for name, item in value.keywords.items()}
            return "partial", self.reference(value.func), value.args, keywords
        if isinstance(value, ModuleType):
            return "module", value.__name__
        if not isinstance(value, (FunctionType, type)):
            self.seen.value(value)
            return "value", value
        if not is_own(value):
            self.seen.library(value)
            if is_of_library(value):
                return "library", f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, type) and HOOK in vars(type(value)):
            self.seen.value(value)
            return "value", value
        if id(value) not in self.places:
            self.places[id(value)] = len(self.nodes)
            self.nodes.append(value)
        return "node", self.places[id(value)]

    def function_node(self, function: Any) -> Parts:
        self.seen.function(function)
        code = function.__code__
        uses = uses_of(code)
        closure = {}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                self.seen.cell(cell)
                continue
            self.seen.cell(cell, value)
            closure[name] = self.outer(value, uses.cells.get(name, set()))
        found = {}
        for name in sorted(uses.globals):
            if name not in function.__globals__:
                self.seen.name(function.__globals__, name)
            else:
                value = function.__globals__[name]
                self.seen.name(function.__globals__, name, value)
                found[name] = self.global_(value, uses.globals[name])
        defaults = [self.reference(value) for value in function.__defaults__ or ()]
        named = function.__kwdefaults__ or {}
        return (
            "function",
            uses.digest,
            defaults,
            {name: self.reference(value) for name, value in named.items()},
            closure,
            found,
        )

    def outer(self, value: Any, chains: set[tuple[str, ...]]) -> Parts:
        """Return what stands for a value that a function finds around it.

        What it writes into is something it produces: that counts by its type.
        """
        if is_written(value, chains):
            return "written", name_of(type(value))
        return self.reference(value)

    def global_(self, value: Any, chains: set[tuple[str, ...]]) -> Parts:
        if isinstance(value, ModuleType):
            return "module", value.__name__, self.members(value, chains)
        return _hashed(self.outer(value, chains), value)

    def members(self, module: ModuleType, ways: set[tuple[str, ...]]) -> list[Parts]:
        """Return what stands for what a function reaches in a module."""
        found: dict[tuple[str, ...], tuple[Any, set[tuple[str, ...]]]] = {}
        for way in ways:
            steps, value = self.member(module, way)
            found.setdefault(steps, (value, set()))[1].add(way[len(steps) :])
        described: list[Parts] = []
        for steps, (value, rest) in sorted(found.items(), key=lambda item: item[0]):
            if value is _IN_LIBRARY:
                described.append(("library", steps))
            else:
                described.append((steps, _hashed(self.outer(value, rest), value)))
        return described

    def member(self, module: ModuleType, way: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
        """Return what ``module.a.b`` leads to: functions are followed there, too.

        Returns:
            The steps up to what is no module, and that; `_IN_LIBRARY` if they lead into a library.
        """
        value: Any = module
        for place, name in enumerate(way):
            if not isinstance(value, ModuleType):
                return way[:place], value
            if not _is_own_module(value.__name__):
                return way, _IN_LIBRARY
            self.seen.attribute(value, name)
            value = getattr(value, name, None)
        return way, value

    def class_node(self, cls: type) -> Parts:
        self.seen.class_(cls)
        entries = {
            name: _hashed(self.reference(value), value)
            for name, value in vars(cls).items()
            if name not in _ENTRIES_LEFT_OUT and not name.startswith("__pydantic")
        }
        bases = [self.reference(base) for base in cls.__bases__]
        return "class", cls.__qualname__, bases, entries


def _hashed(reference: Parts, value: Any) -> Parts:
    """Return the key of a global in place of its value, or its type if it has no key.

    A lock, a client or a logger that a function finds around it is not refused, as one that it is
    given is: there is no way to leave it out.
    """
    if reference[0] != "value":
        return reference
    try:
        return "value", _core.hash_value(value)
    except HashError:
        return "of type", name_of(type(value))
