"""``python -m oxtask.compat``: a program sees and shows what it does under ``python`` alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import oxtask

PROGRAMS = {
    "surroundings.py": """
        "A docstring."
        from __future__ import annotations
        import sys, __main__
        print(sys.argv, sys.path[0], __name__, __file__, __doc__, __spec__, __package__)
        print(sorted(globals()), __main__.__dict__ is globals(), type(__loader__).__name__)
        x: NotThere = 1
        print(__annotations__)
        """,
    "latin.py": "# coding: latin-1\nprint(len('\xe4'))\n",
    "code.py": "import sys; print('before'); sys.exit(7)",
    "message.py": "raise SystemExit('the reason')",
    "error.py": """
        def f(n):
            return f(n - 1) if n else {}["x"]
        try:
            f(2)
        except KeyError:
            raise ValueError("no") from None
        """,
    "chained.py": """
        try:
            {}["x"]
        except KeyError as error:
            raise ValueError("no") from error
        """,
    "syntax.py": "def f(:\n",
    "interrupt.py": "raise KeyboardInterrupt",
    "hook.py": """
        import sys, traceback
        sys.excepthook = lambda *args: print("hook:", "".join(traceback.format_exception(*args)))
        1 / 0
        """,
    "late.py": """
        import atexit, threading
        value = "still here"
        atexit.register(lambda: print("at exit:", value))
        threading.Thread(target=lambda: print("thread:", value)).start()
        """,
    "package/__init__.py": "",
    "package/__main__.py": "import sys; print(sys.argv, sys.path[0], __name__, __package__)",
    "package/module.py": "import sys; print(sys.argv, sys.path[0], __name__, __spec__.name)",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in PROGRAMS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
        path.write_text("".join(f"{line[indent:]}\n" for line in lines), encoding="latin-1")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link.py").symlink_to("../surroundings.py")
    return tmp_path


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(oxtask.__file__).parent.parent)},
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["surroundings.py", "a", "-x", "--help"],
        ["./deep/../surroundings.py"],
        ["deep/link.py"],
        ["latin.py"],
        ["code.py"],
        ["message.py"],
        ["error.py"],
        ["chained.py"],
        ["syntax.py"],
        ["interrupt.py"],
        ["hook.py"],
        ["late.py"],
        ["not-there.py"],
        ["package", "a"],
        ["-m", "package", "-x"],
        ["-m", "package.module", "a", "b"],
        ["-m", "not_there"],
        ["-c", "import sys; print(sys.argv, repr(sys.path[0])); sys.exit('no')", "a"],
        ["-c", "raise SystemExit(3)"],
    ],
    ids=" ".join,
)
def test_a_program_does_what_it_does_under_python(arguments, folder):
    plain = run(folder, *arguments)

    ours = run(folder, "-m", "oxtask.compat", *arguments)

    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr
    assert ours.returncode == plain.returncode


@pytest.mark.parametrize("arguments", [["-m", "package.fails"], ["package"]])
def test_a_traceback_of_a_module_begins_with_its_own_code(arguments, folder):
    for name in ("fails", "__main__"):
        (folder / "package" / f"{name}.py").write_text("1 / 0\n")

    shown = run(folder, "-m", "oxtask.compat", *arguments).stderr.splitlines()

    assert shown[0] == "Traceback (most recent call last):"
    assert shown[1].endswith('.py", line 1, in <module>')
    assert "package" in shown[1]
    assert shown[-1] == "ZeroDivisionError: division by zero"


def test_an_isolated_interpreter_is_given_no_folder_to_import_from(folder):
    site = str(Path(oxtask.__file__).parent.parent)
    program = "import sys; print(sys.path[0])"
    start = f"import sys; sys.path.insert(0, {site!r}); from oxtask.compat.program import main"

    done = run(folder, "-I", "-c", f"{start}; main(['-c', {program!r}])")

    assert done.stdout == f"{site}\n", done.stderr


def test_what_the_program_imports_is_oxtask(folder):
    code = "from prefect import flow; import oxtask; print(flow is oxtask.flow)"

    assert run(folder, "-m", "oxtask.compat", "-c", code).stdout == "True\n"


def test_variables_of_prefect_that_the_program_sets_itself_count(folder):
    code = (
        "import os; os.environ['PREFECT_TASKS_DEFAULT_RETRIES'] = '2'; "
        "from prefect import task; print(task(len).retries)"
    )

    assert run(folder, "-m", "oxtask.compat", "-c", code).stdout == "2\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "name a program"),
        (["-m"], "-m needs a module after it"),
        (["-c"], "-c needs code after it"),
        (["--fast", "x.py"], "there is no option '--fast'"),
    ],
)
def test_a_command_line_without_a_program_is_an_error_that_shows_the_usage(
    arguments, problem, folder
):
    done = run(folder, "-m", "oxtask.compat", *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m oxtask.compat script.py")
    assert done.stderr.endswith(f"error: {problem}\n")


def test_help_is_printed(folder):
    done = run(folder, "-m", "oxtask.compat", "--help")

    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m oxtask.compat script.py")
