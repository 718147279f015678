"""The commands as a whole: how they start, what they answer, and where they are written down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import oxtask as package
from oxtask.cli.root import root

DOCS = Path(__file__).parents[2] / "docs" / "command-line.md"


def commands(group=root, words=("oxtask",)):
    """Return all commands, by the words that call them."""
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found.update(commands(command, (*words, name)))
        else:
            found[" ".join((*words, name))] = command
    return found


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "oxtask", *words], capture_output=True, text=True, check=False
    )


def test_the_package_is_a_program():
    """DESIGN, layout: `cli/`"""
    assert run("gcl", "create", "a", "-l", "1").stdout == "Created global concurrency limit 'a'.\n"
    assert "'a'" not in run("gcl", "ls").stdout
    wrong = run("gcl", "inspect", "x")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("Error: there is no concurrency limit 'x'")
    assert run("nothing").returncode == 2


def test_a_file_that_cannot_be_written_is_a_line(tmp_path, monkeypatch):
    """RELIABILITY D4"""
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("OXTASK_HOME", str(tmp_path / "home"))

    done = run("variable", "set", "a", "1")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_version_says_what_is_in_use(oxtask):
    """DESIGN, layout: `cli/`"""
    output = oxtask("version")

    assert package.__version__ in output
    assert "Home:" in output


def test_help_is_there_without_the_engine():
    """DESIGN: everything that is not needed is imported on first use"""
    code = """
    import sys
    from oxtask.cli.root import root
    try:
        root.main(["--help"])
    except SystemExit:
        heavy = {"oxtask.tasks", "oxtask._core", "rich", "pydantic", "asyncio"}
        print(sorted(heavy & set(sys.modules)))
    """
    import textwrap

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_says_what_it_is_for(oxtask, name):
    """DESIGN, layout: `cli/`"""
    output = oxtask(*name.split()[1:], "--help")

    assert f"Usage: {name}" in output
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_written_down_with_its_options(name):
    """docs/command-line.md"""
    command = commands()[name]
    lines = DOCS.read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{name}")]

    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            assert parameter.name.upper() in line
        else:
            assert parameter.opts[-1] in line or parameter.opts[0] in line, parameter.opts


def test_nothing_is_written_down_that_is_not_there():
    """docs/command-line.md"""
    written = [
        line.split("`")[1] for line in DOCS.read_text().splitlines() if line.startswith("| `oxtask")
    ]
    known = set(commands())
    for usage in written:
        assert any(usage == name or usage.startswith(f"{name} ") for name in known), usage


def test_long_names_of_the_reference_are_understood(oxtask):
    """CC-13"""
    assert oxtask("global-concurrency-limit", "ls") == oxtask("gcl", "ls")
