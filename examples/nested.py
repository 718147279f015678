"""Runs in runs: the size of a folder is that of its files and its folders, on a single worker.

    python examples/nested.py --folder src

A run that waits for a run gives its worker's place back, so this cannot deadlock at any depth.
"""

import argparse
from pathlib import Path

from oxtask import flow, task
from oxtask.task_runners import ThreadPoolTaskRunner


@task
def size(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    entries = [entry for entry in folder.iterdir() if not entry.is_symlink()]
    below = size.map([entry for entry in entries if entry.is_dir()])
    here = sum(entry.stat().st_size for entry in entries if entry.is_file())
    return here + sum(below.result())


@flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
def measure(folder: Path) -> int:
    """Return the size of a folder in bytes."""
    return size.submit(folder).result()


def main() -> None:
    """Print the size of a folder."""
    parser = argparse.ArgumentParser(description="Measure a folder, recursively.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().folder
    print(f"{folder}: {measure(folder):,} bytes")


if __name__ == "__main__":
    main()
