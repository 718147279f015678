"""A cached map over real files: the first run parses them all, the second one none.

    python examples/cached.py                  the standard library of this Python
    python examples/cached.py --folder src     the .py files of a folder

Results usually stay in ~/.oxtask. Here they are in a temporary folder, so that the first run finds
nothing and the example leaves nothing.
"""

import ast
import shutil
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from sources import folder_from_command_line, python_files

from oxtask import flow, task
from oxtask.cache import explain, price
from oxtask.cache_policies import INPUTS, TASK_SOURCE
from oxtask.settings import temporary_settings
from oxtask.task_runners import ThreadPoolTaskRunner


@dataclass(frozen=True)
class Source:
    """A file as it is now. When it changes this does, and so does the key of the cache."""

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Look at a file."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)


@task(cache_policy=INPUTS + TASK_SOURCE)
def count_nodes(source: Source) -> int:
    """Count the syntax nodes of a file; 0 if it does not parse."""
    try:
        tree = ast.parse(source.path.read_bytes())
    except (SyntaxError, ValueError):
        return 0
    return sum(1 for _ in ast.walk(tree))


# Parsing holds the interpreter lock. More workers would wait for each other, and the price below,
# which is measured by the clock, would count their waiting.
@flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
def survey(paths: list[Path]) -> int:
    """Return the number of syntax nodes in all files."""
    return sum(count_nodes.map(Source.of(path) for path in paths).result())


def timed_survey(name: str, paths: list[Path]) -> None:
    """Print what a survey found, how long it took, and what it computed."""
    before, began = price(count_nodes), time.perf_counter()
    nodes = survey(paths)
    seconds, after = time.perf_counter() - began, price(count_nodes)
    print(
        f"{name}: {nodes:,} nodes in {seconds:.3f} s; "
        f"{after.misses - before.misses:,} files parsed, {after.hits - before.hits:,} found"
    )


def show_a_change(path: Path, folder: Path) -> None:
    """Change a copy of a file, and print why its result is not found any more."""
    copy = Path(shutil.copy2(path, folder))
    before = explain(count_nodes, Source.of(copy))
    with copy.open("a") as file:
        file.write("pass\n")
    after = explain(count_nodes, Source.of(copy))
    print(f"{path.name} with one more line has another key:")
    for line in before.difference(after):
        print(f"    {line}")


def main() -> None:
    """Survey a folder twice."""
    folder = folder_from_command_line("Count the syntax nodes of Python files, twice.")
    paths = python_files(folder)
    warnings.simplefilter("ignore", SyntaxWarning)  # what is odd in the files is not our subject
    with tempfile.TemporaryDirectory() as home, temporary_settings({"home": home}):
        timed_survey("first", paths)
        timed_survey("second", paths)
        print(f"price: {price(count_nodes)}")
        show_a_change(paths[0], Path(home))


if __name__ == "__main__":
    main()
