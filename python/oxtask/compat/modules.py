"""Modules named ``prefect`` and ``prefect.*`` that hold nothing and ask oxtask for everything.

An attribute is looked up on each access, so that modules whose attributes change from run to run,
such as ``prefect.runtime.flow_run``, show what holds now. Every module is made a package, because
then the import system, before it gives up on ``from prefect.tasks import nothing``, tries to import
``prefect.tasks.nothing``: there the finder can say what to do instead.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any

from oxtask.compat.names import NAMES, alternative
from oxtask.settings.table import read_also, read_no_longer

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "prefect"
_SETTINGS_PREFIX = "PREFECT_"
_MISSING = object()


class _Module(ModuleType):
    """A module of Prefect, answered by oxtask."""

    def __getattr__(self, name: str) -> Any:
        path = f"{self.__name__}.{name}"
        if path in NAMES and _target(path) is None:
            return resolve_name(NAMES[path])
        if name == "__all__":
            return _public_names(self.__name__)
        target = _target(self.__name__)
        if target is not None and not name.startswith("_"):
            value = getattr(import_module(target), name, _MISSING)
            # A module has to be the one below, under which renamed names are found too.
            if value is not _MISSING and not isinstance(value, ModuleType):
                return value
        if _is_module(path):
            return import_module(path)
        raise AttributeError(_explain(path))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_public_names(self.__name__)})


class _Finder(MetaPathFinder, Loader):
    """Finds and makes the modules of Prefect."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != _NAME:
            return None
        if not _is_module(fullname):
            # Not `ModuleNotFoundError`: of that, ``from prefect import ...`` drops the message.
            raise ImportError(_explain(fullname), name=fullname)
        return ModuleSpec(fullname, self, origin=__package__, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name, f"Prefect's `{spec.name}`, answered by oxtask.")

    def exec_module(self, module: ModuleType) -> None:
        pass


_FINDER = _Finder()


def install() -> None:
    """Make ``import prefect`` lead to oxtask, in this process; a second call does nothing.

    An installed Prefect is left aside. ``PREFECT_*`` environment variables and setting names are
    accepted for the settings oxtask has.

    Raises:
        RuntimeError: If Prefect itself has been imported already.
        ValueError: If a ``PREFECT_*`` variable holds what its setting does not accept, and settings
            have been used before; else their first use says so.
    """
    if _FINDER in sys.meta_path:
        return
    if _NAME in sys.modules:
        raise RuntimeError(
            f"{_NAME!r} has been imported already, from "
            f"{getattr(sys.modules[_NAME], '__file__', None) or 'an unknown place'}: call "
            "oxtask.compat.install() before anything imports it, "
            "or run the program with `python -m oxtask.compat`."
        )
    sys.meta_path.insert(0, _FINDER)
    read_also(_SETTINGS_PREFIX)


def uninstall() -> None:
    """Undo `install`; what a program has imported meanwhile it keeps."""
    if _FINDER not in sys.meta_path:
        return
    sys.meta_path.remove(_FINDER)
    read_no_longer(_SETTINGS_PREFIX)
    for name in [name for name, module in sys.modules.items() if isinstance(module, _Module)]:
        del sys.modules[name]


@cache
def _target(module: str) -> str | None:
    """Return the module of oxtask that answers for ``module``, if there is one."""
    path = module.split(".")[1:]
    if any(part.startswith("_") for part in path) or path[:1] == ["compat"]:
        return None
    target = NAMES.get(module, ".".join(("oxtask", *path)))
    try:
        return target if find_spec(target) else None
    except ImportError:  # what is above it is not there, or no package
        return None


def _is_module(path: str) -> bool:
    return _target(path) is not None or any(name.startswith(f"{path}.") for name in NAMES)


def _public_names(module: str) -> list[str]:
    """Return the names that ``from module import *`` takes."""
    renamed = [name for name in NAMES if name.rpartition(".")[0] == module and not _is_module(name)]
    names = {name.rpartition(".")[2] for name in renamed}
    target = _target(module)
    if target is not None:
        there = import_module(target)
        replaced = {NAMES[name].rpartition(".")[2] for name in renamed}
        names.update(set(getattr(there, "__all__", vars(there))) - replaced)
    return sorted(name for name in names if not name.startswith("_"))


def _explain(path: str) -> str:
    return f"oxtask has no {path!r}: {alternative(path)}."
