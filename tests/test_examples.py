"""The examples, run as a user runs them, on small input whose answers are known."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with 25 files that parse, in folders of their own, and two that do not."""
    for number in range(25):
        (tmp_path / f"package_{number % 3}").mkdir(exist_ok=True)
        text = f"import os\n\n# {number}\n@property\ndef f(x):\n    return x + {number}\n"
        (tmp_path / f"package_{number % 3}" / f"module_{number}.py").write_text(text)
    (tmp_path / "package_0" / "broken.py").write_text("def f(:\n")
    (tmp_path / "coding.py").write_text("# coding: no-such-encoding\n")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "skipped.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("not Python\n")
    return tmp_path


def run(name, *arguments):
    """Run an example, and return what it prints."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def numbers(output):
    """Return the figures of a summary by what they count."""
    rows = [line.split(maxsplit=1) for line in output.splitlines() if line.startswith(" ")]
    return {
        what.rstrip(":"): int(figure.replace(",", ""))
        for figure, what in rows
        if figure.replace(",", "").isdigit()
    }


def test_syntax_nodes_counts_what_parses_and_names_what_does_not(folder):
    output = run("syntax_nodes", "--folder", folder)

    source = (folder / "package_0" / "module_0.py").read_text()
    nodes = 25 * sum(1 for _ in ast.walk(ast.parse(source)))
    counted = numbers(output)
    assert counted["files"] == 27
    assert counted["parsed"] == 25
    assert counted["lines in them"] == 25 * 6
    assert counted["syntax nodes; the most frequent"] == nodes
    assert counted["FunctionDef"] == 25
    assert counted["failed"] == 2
    assert "package_0/broken.py: SyntaxError: " in output
    assert "coding.py: SyntaxError: unknown encoding: no-such-encoding" in output


def test_syntax_nodes_reports_a_folder_where_nothing_parses(tmp_path):
    (tmp_path / "broken.py").write_text("(")

    counted = numbers(run("syntax_nodes", "--folder", tmp_path))

    assert counted["files"] == 1
    assert counted["parsed"] == 0
    assert counted["failed"] == 1


def test_stdlib_lines_counts_every_line_once(folder):
    output = run("stdlib_lines", "--folder", folder)

    counted = numbers(output)
    assert counted["import"] == 25
    assert counted["blank"] == 25
    assert counted["comment"] == 25 + 1
    assert counted["definition"] == 2 * 25 + 1
    assert counted["end of a function"] == 25
    assert "152 lines, a run each, in " in output
    assert "152 calls in a plain loop: " in output


@pytest.fixture
def traces(tmp_path_factory, monkeypatch):
    """Return the home and the folder for temporary files, in which examples must leave nothing."""
    folder = tmp_path_factory.mktemp("traces")
    for variable in ("HOME", "OXTASK_HOME", "TMPDIR"):
        (folder / variable).mkdir()
        monkeypatch.setenv(variable, str(folder / variable))
    return folder


def left_in(traces):
    return sorted(path.name for path in traces.rglob("*") if path.parent != traces)


def test_cached_computes_once_and_tells_what_a_change_does(folder, traces):
    output = run("cached", "--folder", folder)

    first, second, price, changed, *reasons = output.splitlines()
    source = (folder / "package_0" / "module_0.py").read_text()
    nodes = 25 * sum(1 for _ in ast.walk(ast.parse(source)))
    assert first.startswith(f"first: {nodes:,} nodes in ")
    assert first.endswith(" s; 27 files parsed, 0 found")
    assert second.startswith(f"second: {nodes:,} nodes in ")
    assert second.endswith(" s; 0 files parsed, 27 found")
    assert price.startswith("price: 27 of 54 runs found their result, which saved ")
    assert changed == "coding.py with one more line has another key:"
    size = (folder / "coding.py").stat().st_size
    assert reasons[0].strip() == f"input source.size: {size} / {size + len('pass') + 1}"
    assert reasons[1].startswith("    input source.modified: ")
    assert len(reasons) == 2
    assert left_in(traces) == []


def test_transactions_publish_all_pages_or_none(traces):
    output = run("transactions")

    _, *steps = output.split("publish ")
    first, broken, repaired = (sorted(step.splitlines()) for step in steps)
    assert first == ["    index.html is published", "  index.html: welcome", "index.html:"]
    assert broken == [
        "    blog.html is removed",
        "    failed: blog.html names old.html, which is not there",
        "    index.html is as it was",
        "  index.html: welcome",
        "index.html, blog.html:",
    ]
    assert repaired == [
        "    index.html is published",
        "    news.html is published",
        "  index.html: see news.html",
        "  news.html: none",
        "index.html, news.html:",
    ]
    assert left_in(traces) == []


@pytest.mark.parametrize("name", ["syntax_nodes", "stdlib_lines", "cached"])
def test_a_folder_without_python_files_is_an_error_that_names_it(tmp_path, name):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == 2
    assert f"there is no .py file in {str(tmp_path)!r}; name another folder" in done.stderr


def test_retries_come_to_an_answer_an_error_or_a_refusal():
    slow, down, missing = run("retries").splitlines()

    assert slow.split(maxsplit=3) == ["slow", "3", "attempts:", "'the text of slow'"]
    assert down.startswith("down     4 attempts: ConnectionError(")
    assert missing == "missing  1 attempts: FileNotFoundError('missing')"


def test_async_runs_wait_at_the_same_time():
    lines = run("async_fan_out").splitlines()

    assert [line.partition(" in ")[0] for line in lines] == [
        "a sync flow: 332,833,500",
        "an async flow: 332,833,500",
    ]


def test_a_stream_reads_no_further_than_its_window():
    squares, ahead = run("streaming").splitlines()

    assert squares == "squares of primes: [4, 9, 25, 49, 121, 169, 289, 361]"
    assert 0 <= int(ahead.split()[-2]) <= 64


def test_nested_runs_measure_a_deep_folder_on_one_worker(tmp_path):
    folder = tmp_path
    for _ in range(60):
        (folder / "data").write_bytes(b"x" * 1000)
        folder = folder / "deeper"
        folder.mkdir()

    assert run("nested", "--folder", tmp_path) == f"{tmp_path}: 60,000 bytes\n"
