"""Count the syntax nodes in every file of the standard library: one run a file, reduced in a tree.

    python examples/syntax_nodes.py                  the standard library of this Python
    python examples/syntax_nodes.py --folder src     the .py files of a folder

Some files of the standard library's own tests are broken on purpose, so some runs fail. The others
go on, and the failures are reported with their files.
"""

import ast
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sources import folder_from_command_line, python_files

from oxtask import allow_failure, flow, task
from oxtask.futures import Future
from oxtask.logging import disable_logger

FAN_IN = 10
SHOWN = 20


class Count(NamedTuple):
    """What was counted in some files; ``nodes`` by type of syntax node."""

    files: int
    lines: int
    nodes: Counter[str]


@task
def count_nodes(path: Path) -> Count:
    """Parse one file; raises what `ast.parse` raises."""
    source = path.read_bytes()
    tree = ast.parse(source, filename=str(path))
    nodes = Counter(type(node).__name__ for node in ast.walk(tree))
    return Count(1, len(source.splitlines()), nodes)


@task
def combine(parts: list[Count | Exception]) -> Count:
    """Add counts up; a file that could not be counted stands there as its exception."""
    counts = [part for part in parts if isinstance(part, Count)]
    nodes: Counter[str] = Counter()
    for count in counts:
        nodes.update(count.nodes)
    return Count(sum(c.files for c in counts), sum(c.lines for c in counts), nodes)


def combine_in_tree(level: list[Future[Count]]) -> Future[Count]:
    """Submit the whole tree at once: a node starts when its last input is there."""
    while True:
        groups = [level[start : start + FAN_IN] for start in range(0, len(level), FAN_IN)]
        # Without `allow_failure`, one broken file would keep every node above it from running.
        level = [combine.submit(allow_failure(group)) for group in groups]
        if len(level) == 1:
            return level[0]


@flow
def survey(paths: list[Path]) -> tuple[Count, dict[Path, Exception]]:
    """Return what was counted in all files, and the failures by file."""
    counted = count_nodes.map(paths)
    total = combine_in_tree(counted)
    counted.wait()  # shows a progress line on a terminal
    failures: dict[Path, Exception] = {}
    for path, future in zip(paths, counted, strict=True):
        outcome = future.result(raise_on_failure=False)
        if isinstance(outcome, Exception):
            failures[path] = outcome
    return total.result(), failures


def show(total: Count, failures: dict[Path, Exception], folder: Path, seconds: float) -> None:
    """Print the summary."""
    print(f"{folder}: {seconds:.1f} s")
    print(f"{total.files + len(failures):>12,} files")
    print(f"{total.files:>12,} parsed")
    print(f"{total.lines:>12,} lines in them")
    print(f"{total.nodes.total():>12,} syntax nodes; the most frequent:")
    for name, count in total.nodes.most_common(8):
        print(f"{count:>12,} {name}")
    print(f"{len(failures):>12,} failed" + (":" if failures else ""))
    for path, error in list(failures.items())[:SHOWN]:
        print(f"    {path.relative_to(folder)}: {type(error).__name__}: {error}")
    if len(failures) > SHOWN:
        print(f"    and {len(failures) - SHOWN:,} more")


def main() -> None:
    """Survey a folder and print what was found."""
    folder = folder_from_command_line("Count the syntax nodes of Python files.")
    warnings.simplefilter("ignore", SyntaxWarning)  # what is odd in the files is not our subject
    started = time.perf_counter()
    # A run that fails is logged with its traceback. Here failures are expected and reported below,
    # so the logger of task runs is switched off; that of the flow stays on.
    with disable_logger("oxtask.task_runs"):
        total, failures = survey(python_files(folder))
    show(total, failures, folder, time.perf_counter() - started)


if __name__ == "__main__":
    main()
