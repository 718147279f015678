"""Classify every line of the standard library: a run a line, more than half a million of them.

    python examples/stdlib_lines.py                  the standard library of this Python
    python examples/stdlib_lines.py --folder src     the .py files of a folder

The same function is then called in a plain loop: are the answers the same, and what did it cost?
"""

import sys
import time
from collections import Counter
from pathlib import Path

from sources import folder_from_command_line, python_files

from oxtask import flow, task

KINDS = {
    "import": ("import", "from"),
    "definition": ("def", "class", "async", "@"),
    "branch or loop": ("if", "elif", "else", "for", "while", "match", "case"),
    "end of a function": ("return", "yield", "raise"),
    "cleaning up": ("try", "except", "finally", "with"),
}
KIND_OF_WORD = {word: kind for kind, words in KINDS.items() for word in words}


@task
def classify(line: str) -> str:
    """Tell what kind of line this is, judged by its first word."""
    text = line.lstrip()
    if not text:
        return "blank"
    if text[0] == "#":
        return "comment"
    word = "@" if text[0] == "@" else text.split(None, 1)[0].rstrip(":(")
    return KIND_OF_WORD.get(word, "anything else")


@flow
def count_kinds(lines: list[str]) -> Counter[str]:
    """Return how many lines there are of each kind."""
    return Counter(classify.map(lines).result())


def count_kinds_in_a_loop(lines: list[str]) -> Counter[str]:
    """Return the same without any run: `Task.fn` is the function that was decorated."""
    return Counter([classify.fn(line) for line in lines])


def read_lines(folder: Path) -> list[str]:
    """Return the lines of all .py files; what is not UTF-8 is replaced."""
    texts = (path.read_text("utf-8", "replace") for path in python_files(folder))
    return [line for text in texts for line in text.splitlines()]


def main() -> int:
    """Classify the lines of a folder twice and print what was found; 1 if the answers differ."""
    folder = folder_from_command_line("Classify every line of Python files.")
    lines = read_lines(folder)
    started = time.perf_counter()
    kinds = count_kinds(lines)
    as_runs = time.perf_counter() - started
    started = time.perf_counter()
    expected = count_kinds_in_a_loop(lines)
    in_a_loop = time.perf_counter() - started

    print(f"{folder}:")
    for kind, count in kinds.most_common():
        print(f"{count:>12,} {kind}")
    total = kinds.total()
    print(f"{total:>12,} lines, a run each, in {as_runs:.2f} s: {total / as_runs:,.0f} a second")
    print(f"{len(lines):>12,} calls in a plain loop: {in_a_loop:.2f} s")
    if kinds != expected or total != len(lines):
        print(f"The answers differ: {kinds - expected} and {expected - kinds}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
