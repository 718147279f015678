"""``oxtask artifact``: what runs have left for people to look at."""

from __future__ import annotations

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
def artifact() -> None:
    """Inspect and delete artifacts."""


@artifact.command()
@click.option("--limit", type=click.IntRange(0), default=100, help="How many at most.")
@click.option("-a", "--all", "every", is_flag=True, help="Not only the newest of each key.")
@json_option
def ls(limit: int, every: bool, output: str | None, as_json: bool) -> None:
    """List artifacts."""
    from oxtask._internal import artifact_files  # noqa: PLC0415 - start-up time

    found = artifact_files.read_all(sort="KEY_ASC", limit=limit, latest=not every)
    if output or as_json:
        write_json([each.model_dump(mode="json") for each in found])
        return
    rows = [(each.id, each.key, each.type, ago(each.updated)) for each in found]
    write_table("Artifacts", ("ID", "Key", "Type", "Updated"), rows)


@artifact.command()
@click.argument("key")
@click.option("--limit", type=click.IntRange(1), default=10, help="How many at most.")
@json_option
def inspect(key: str, limit: int, output: str | None, as_json: bool) -> None:
    """Show the artifacts of a key, the newest first."""
    from oxtask._internal import artifact_files  # noqa: PLC0415 - start-up time

    found = artifact_files.read_all({"key": {"any_": [key]}}, limit=limit)
    if not found:
        raise click.ClickException(f"There is no artifact with the key {key!r}.")
    dumps = [each.model_dump(mode="json") for each in found]
    if output or as_json:
        write_json(dumps)
        return
    for place, fields in enumerate(dumps):
        if place:
            click.echo()
        write_fields(fields)


@artifact.command()
@click.argument("key", required=False)
@click.option("--id", "artifact_id", type=click.UUID, help="The id of one artifact.")
@yes_option
def delete(key: str | None, artifact_id: object, yes: bool) -> None:
    """Delete an artifact by its id, or all with a KEY."""
    from oxtask._internal import artifact_files  # noqa: PLC0415 - start-up time

    if (key is None) == (artifact_id is None):
        raise click.UsageError("Give either a key or an --id.")
    if artifact_id is not None:
        confirm(f"Delete the artifact {artifact_id}?", yes)
        artifact_files.delete(str(artifact_id))
        click.echo(f"Deleted artifact {artifact_id}.")
        return
    found = artifact_files.read_all({"key": {"any_": [key]}})
    if not found:
        raise click.ClickException(f"There is no artifact with the key {key!r}.")
    confirm(f"Delete {len(found)} artifact(s) with the key {key!r}?", yes)
    for each in found:
        artifact_files.delete(each.id)
    click.echo(f"Deleted {len(found)} artifact(s) with the key {key!r}.")
