"""``oxtask variable``: named values that programs share."""

from __future__ import annotations

from typing import Any

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


@click.group()
def variable() -> None:
    """Manage variables."""


def _read(name: str) -> Any:
    from oxtask._internal import variable_files  # noqa: PLC0415 - start-up time

    found = variable_files.read(name)
    if found is None:
        raise click.ClickException(f"There is no variable {name!r}.")
    return found


def _to_json(value: Any) -> str:
    import json  # noqa: PLC0415 - start-up time

    return json.dumps(value, ensure_ascii=False)


@variable.command()
@click.option("--limit", type=click.IntRange(0), default=100, help="How many at most.")
@json_option
def ls(limit: int, output: str | None, as_json: bool) -> None:
    """List variables."""
    from oxtask._internal import variable_files  # noqa: PLC0415 - start-up time

    found = variable_files.read_all(limit)
    if output or as_json:
        write_json([each.model_dump(mode="json") for each in found])
        return
    rows = [
        (
            each.name,
            _to_json(each.value),
            ", ".join(each.tags),
            ago(each.created),
            ago(each.updated),
        )
        for each in found
    ]
    write_table("Variables", ("Name", "Value", "Tags", "Created", "Updated"), rows)


@variable.command()
@click.argument("name")
def get(name: str) -> None:
    """Write the value of a variable, as JSON."""
    click.echo(_to_json(_read(name).value))


@variable.command()
@click.argument("name")
@json_option
def inspect(name: str, output: str | None, as_json: bool) -> None:
    """Show all that is known of a variable."""
    found = _read(name).model_dump(mode="json")
    if output or as_json:
        write_json(found)
    else:
        write_fields({**found, "value": _to_json(found["value"]), "tags": ", ".join(found["tags"])})


@variable.command("set")
@click.argument("name")
@click.argument("value")
@click.option("--overwrite", is_flag=True, help="Replace a variable of that name.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given several times.")
def set_(name: str, value: str, overwrite: bool, tags: tuple[str, ...]) -> None:
    """Set a variable. A VALUE that is not JSON is taken as text."""
    import json  # noqa: PLC0415 - start-up time

    from oxtask._internal import variable_files  # noqa: PLC0415
    from oxtask._internal.stored_records import VariableCreate  # noqa: PLC0415
    from oxtask.exceptions import ObjectAlreadyExists  # noqa: PLC0415

    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    wanted = VariableCreate(name=name, value=parsed, tags=list(tags))
    try:
        variable_files.put(wanted, overwrite=overwrite)
    except ObjectAlreadyExists:
        raise click.ClickException(
            f"Variable {name!r} already exists. Use --overwrite to update it."
        ) from None
    click.echo(f"Set variable {name!r}.")


@variable.command()
@click.argument("name")
@yes_option
def unset(name: str, yes: bool) -> None:
    """Remove a variable."""
    from oxtask._internal import variable_files  # noqa: PLC0415 - start-up time

    _read(name)
    confirm(f"Remove the variable {name!r}?", yes)
    variable_files.delete(name)
    click.echo(f"Unset variable {name!r}.")
