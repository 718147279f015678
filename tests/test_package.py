"""The surface of the package: what is there, and what it costs to get it."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import textwrap

import pytest

import oxtask

HEAVY = {
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "inspect",
    "logging",
    "pydantic",
    "rich",
    "typing_extensions",
    "uuid",
}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(oxtask.__path__, "oxtask.")
    if not module.name.startswith("oxtask._core")
)
PUBLIC = [name for name in MODULES if not any(part[0] == "_" for part in name.split(".")[1:])]


def run(code):
    """Run a program in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_says_what_it_holds():
    assert set(oxtask._HOMES) == set(oxtask.__all__) - {"__version__"}
    assert oxtask.__all__ == sorted(oxtask.__all__)
    assert set(oxtask.__all__) <= set(dir(oxtask))
    assert oxtask.__version__ == "0.1.0"


@pytest.mark.parametrize("name", oxtask.__all__)
def test_every_name_is_that_of_its_module(name):
    value = getattr(oxtask, name)
    if name != "__version__":
        assert value is getattr(importlib.import_module(oxtask._HOMES[name]), name)


def test_a_name_that_is_not_there_is_refused_as_in_other_modules():
    with pytest.raises(AttributeError, match="module 'oxtask' has no attribute 'nothing'"):
        oxtask.nothing
    with pytest.raises(ImportError):
        from oxtask import nothing  # noqa: F401


def test_nothing_is_loaded_before_it_is_asked_for():
    printed = run(
        """
        import sys
        import oxtask

        print(sorted(name for name in sys.modules if name.startswith("oxtask.")))
        dir(oxtask)
        print(sorted(name for name in sys.modules if name.startswith("oxtask.")))
        """
    )
    assert printed.splitlines() == ["[]", "[]"]


def test_decorators_load_nothing_heavy():
    """In 45 ms over a bare interpreter there is no time for these."""
    printed = run(
        f"""
        import sys

        before = set(sys.modules)
        from oxtask import flow, task

        print(sorted({HEAVY!r} & (sys.modules.keys() - before)))

        @task(name="add", retries=2)
        def add(x: int, y: int = 2) -> int:
            "Add two numbers."
            return x + y

        @flow(name="main", retries=1)
        def main(x: int) -> int:
            return add(x)

        print(sorted({HEAVY!r} & (sys.modules.keys() - before)))
        """
    )
    assert printed.splitlines() == ["[]", "[]"]


def test_a_flow_with_plain_arguments_loads_nothing_that_others_need():
    printed = run(
        f"""
        import sys
        from oxtask import flow, task

        @task
        def add(x: int, y: int = 2) -> int:
            return x + y

        @flow
        def main(x: int) -> int:
            return add(x) + add.submit(x).result() + sum(add.map([1, 2]).result())

        assert main(1) == 13
        print(sorted({HEAVY - {"uuid"}!r} & sys.modules.keys()))
        """
    )
    assert printed.splitlines() == ["[]"]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_module_says_what_it_holds(name):
    module = importlib.import_module(name)
    assert module.__doc__
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    for attribute in exported:
        assert hasattr(module, attribute), attribute


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported_first(name):
    """No two modules need each other at the top: whichever comes first, it works."""
    run(f"import {name}")


def test_there_are_annotations_for_type_checkers():
    from pathlib import Path

    assert (Path(oxtask.__file__).parent / "py.typed").exists()


def test_aliases_for_parameters_name_a_value_or_its_future():
    """tasks.md 1.2, 32.5 e"""
    from typing import get_args

    from oxtask import tasks
    from oxtask.futures import Future

    assert set(get_args(tasks.FutureOrResult[int])) == {Future[int], int}
    assert set(get_args(tasks.OneOrManyFutureOrResult[int])) > {Future[int], int}
    with pytest.raises(AttributeError, match=r"module 'oxtask.tasks' has no attribute 'nothing'"):
        tasks.nothing
