"""What commands show: tables for people, JSON for programs; and what they ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

F = TypeVar("F", bound="Callable[..., Any]")

_WIDTH_OF_FILES = 200
"""Characters a line, where no terminal has a say."""
_UNITS = ("B", "kB", "MB", "GB", "TB")
_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def json_option(function: F) -> F:
    """Let a command write JSON: with ``--json``, or with ``--output json`` as in Prefect."""
    as_output = click.option(
        "-o",
        "--output",
        type=click.Choice(["json"], case_sensitive=False),
        help="Write JSON.",
    )
    return as_output(click.option("--json", "as_json", is_flag=True, help="Write JSON.")(function))


def yes_option(function: F) -> F:
    """Let a command be carried out without a question."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def confirm(question: str, yes: bool) -> None:
    """Ask whether to go on, if somebody is there who could answer.

    Raises:
        click.Abort: If the answer is no.
    """
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True)


def write_json(value: Any) -> None:
    """Write a value as JSON."""
    import json  # noqa: PLC0415 - start-up time

    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def write_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; what is in the cells is text, whatever it looks like."""
    from rich.console import Console  # noqa: PLC0415 - start-up time
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(Text(_shown(cell)) for cell in row))
        count += 1
    if count:
        console.print(table)
    else:
        click.echo(f"{title}: none")


def write_fields(fields: Mapping[str, Any]) -> None:
    """Write names and values, one a line."""
    width = max(len(name) for name in fields) + 1
    for name, value in fields.items():
        click.echo(f"{name + ':':<{width}} {_shown(value)}")


def _shown(value: Any) -> str:
    text = "-" if value is None else str(value)
    # Characters that would move the cursor or change colours are shown, not obeyed.
    return "".join(
        char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text
    )


def size(count: float) -> str:
    """Return a number of bytes in words.

    Example:
        >>> size(999), size(1_500_000)
        ('999 B', '1.5 MB')
    """
    power = 0
    while count >= 1000 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.1f} {_UNITS[power]}" if power else f"{count:.0f} B"


def ago(moment: datetime | None) -> str | None:
    """Return how long ago something was, or how long it is until then, in words."""
    if moment is None:
        return None
    from datetime import datetime, timezone  # noqa: PLC0415 - start-up time

    seconds = (datetime.now(timezone.utc) - moment).total_seconds()
    for span, word in _SPANS:
        count = int(abs(seconds) // span)
        if count:
            words = f"{count} {word}{'s' if count > 1 else ''}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "now"
