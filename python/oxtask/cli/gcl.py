"""``oxtask gcl``: global concurrency limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oxtask.cli.output import (
    ago,
    confirm,
    json_option,
    write_fields,
    write_json,
    write_table,
    yes_option,
)

if TYPE_CHECKING:
    from oxtask.client._limits import ConcurrencyLimitClient

_MANY = 1_000_000


def _client() -> ConcurrencyLimitClient:
    from oxtask.client._limits import ConcurrencyLimitClient  # noqa: PLC0415 - start-up time

    return ConcurrencyLimitClient()


@click.group()
def gcl() -> None:
    """Manage global concurrency limits.

    They hold for all processes of this user. A limit named "tag:x" holds for task runs with the
    tag x.
    """


@gcl.command()
@json_option
def ls(output: str | None, as_json: bool) -> None:
    """List all global concurrency limits."""
    limits = _client().read_global_concurrency_limits(limit=_MANY)
    if output or as_json:
        write_json([limit.model_dump(mode="json") for limit in limits])
        return
    write_table(
        "Global concurrency limits",
        ("Name", "Active", "Limit", "Active slots", "Waited for", "Decay per second", "Updated"),
        [
            (
                limit.name,
                "yes" if limit.active else "no",
                limit.limit,
                limit.active_slots,
                limit.denied_slots,
                limit.slot_decay_per_second,
                ago(limit.updated),
            )
            for limit in limits
        ],
    )


@gcl.command()
@click.argument("name")
@json_option
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write JSON into this file.",
)
def inspect(name: str, output: str | None, as_json: bool, path: Path | None) -> None:
    """Inspect a global concurrency limit."""
    limit = _client().read_global_concurrency_limit_by_name(name).model_dump(mode="json")
    if path is not None:
        import json  # noqa: PLC0415 - start-up time

        path.write_text(json.dumps(limit, indent=2) + "\n", encoding="utf-8")
        click.echo(f"Wrote global concurrency limit {name!r} to {path}.")
    elif output or as_json:
        write_json(limit)
    else:
        write_fields(limit)


@gcl.command()
@click.argument("name")
@click.option("-l", "--limit", type=int, required=True, help="How many slots there are.")
@click.option("--disable", is_flag=True, help="Create it inactive.")
@click.option("--active-slots", type=int, default=0, help="How many slots are taken at first.")
@click.option(
    "--slot-decay-per-second",
    type=float,
    default=0.0,
    help="How many slots come free again by themselves each second.",
)
def create(
    name: str, limit: int, disable: bool, active_slots: int, slot_decay_per_second: float
) -> None:
    """Create a global concurrency limit."""
    from oxtask.client.schemas.actions import (  # noqa: PLC0415 - start-up time
        GlobalConcurrencyLimitCreate,
    )

    _client().create_global_concurrency_limit(
        GlobalConcurrencyLimitCreate(
            name=name,
            limit=limit,
            active=not disable,
            active_slots=active_slots,
            slot_decay_per_second=slot_decay_per_second,
        )
    )
    click.echo(f"Created global concurrency limit {name!r}.")


@gcl.command()
@click.argument("name")
@click.option("--enable", is_flag=True, help="Let it hold.")
@click.option("--disable", is_flag=True, help="Let it not hold.")
@click.option("-l", "--limit", type=int, help="How many slots there are.")
@click.option("--active-slots", type=int, help="How many slots are taken; 0 to begin anew.")
@click.option(
    "--slot-decay-per-second",
    type=float,
    help="How many slots come free again by themselves each second.",
)
def update(
    *,
    name: str,
    enable: bool,
    disable: bool,
    limit: int | None,
    active_slots: int | None,
    slot_decay_per_second: float | None,
) -> None:
    """Update a global concurrency limit; programs under way hear of it."""
    if enable and disable:
        raise click.UsageError("--enable and --disable contradict each other.")
    fields = {
        "active": enable if enable or disable else None,
        "limit": limit,
        "active_slots": active_slots,
        "slot_decay_per_second": slot_decay_per_second,
    }
    if all(value is None for value in fields.values()):
        raise click.UsageError("Say what to change: --limit, --enable, ...")
    _update(name, **fields)
    click.echo(f"Updated global concurrency limit {name!r}.")


def _update(name: str, **fields: Any) -> None:
    from oxtask.client.schemas.actions import (  # noqa: PLC0415 - start-up time
        GlobalConcurrencyLimitUpdate,
    )

    given = {field: value for field, value in fields.items() if value is not None}
    _client().update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(**given))


@gcl.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a global concurrency limit."""
    _client().read_global_concurrency_limit_by_name(name)
    confirm(f"Delete the global concurrency limit {name!r}?", yes)
    _client().delete_global_concurrency_limit_by_name(name)
    click.echo(f"Deleted global concurrency limit {name!r}.")


@gcl.command()
@click.argument("name")
def enable(name: str) -> None:
    """Enable a global concurrency limit."""
    _switch(name, active=True)


@gcl.command()
@click.argument("name")
def disable(name: str) -> None:
    """Disable a global concurrency limit: nobody waits for it."""
    _switch(name, active=False)


def _switch(name: str, *, active: bool) -> None:
    word = "enabled" if active else "disabled"
    if _client().read_global_concurrency_limit_by_name(name).active == active:
        raise click.ClickException(f"Global concurrency limit {name!r} is already {word}.")
    _update(name, active=active)
    click.echo(f"{word.capitalize()} global concurrency limit {name!r}.")
