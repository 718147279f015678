"""``oxtask cache``: the results that tasks have stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from oxtask.cli.output import (
    ago,
    confirm,
    json_option,
    size,
    write_fields,
    write_json,
    write_table,
    yes_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask._internal.storage.upkeep import Place

F = TypeVar("F", bound="Callable[..., Any]")

_SHOWN = 1000


def _storage_option(function: F) -> F:
    return click.option(
        "--storage",
        metavar="FOLDER",
        help="The folder of the results; by default that of the settings.",
    )(function)


def _place(folder: str | None) -> Place:
    from oxtask._internal.storage.upkeep import place  # noqa: PLC0415 - start-up time

    return place(folder)


@click.group()
def cache() -> None:
    """Look at stored results, and remove them."""


@cache.command()
@_storage_option
@json_option
def stats(storage: str | None, output: str | None, as_json: bool) -> None:
    """Count the results and their bytes."""
    place = _place(storage)
    counts = place.stats()
    if output or as_json:
        write_json({"folder": place.folder, "kind": place.kind, **counts})
        return
    write_fields(
        {
            "Folder": place.folder,
            "Kind": place.kind,
            "Results": counts["records"],
            "Size": size(counts["bytes"]),
            "Files": counts["files"],
            "Damaged": counts["damaged"],
        }
    )


@cache.command()
@click.argument("prefix", default="")
@click.option("--limit", type=click.IntRange(0), default=_SHOWN, help="How many at most.")
@_storage_option
@json_option
def ls(prefix: str, limit: int, storage: str | None, output: str | None, as_json: bool) -> None:
    """List the results whose key begins with PREFIX."""
    found = _place(storage).ls(prefix)
    if output or as_json:
        rows = [entry._asdict() for entry in found[:limit]]
        times = ("expires", "used")
        write_json([{**row, **{name: _iso(row[name]) for name in times}} for row in rows])
        return
    write_table(
        "Results",
        ("Key", "Size", "Expires", "Used"),
        [(each.key, size(each.size), ago(each.expires), ago(each.used)) for each in found[:limit]],
    )
    if len(found) > limit:
        click.echo(f"{len(found) - limit} more: --limit shows them.")


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()


@cache.command()
@click.argument("target")
@click.argument("arguments", required=False)
@_storage_option
@json_option
def explain(
    target: str,
    arguments: str | None,
    storage: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Tell what is known of a stored result, or which key a call would have.

    TARGET is a key, or a task as module:name. ARGUMENTS are those of the call, in JSON: a list, or
    an object with the names of parameters. The task is not run, but its module is imported.
    """
    if arguments is None:
        envelope = _place(storage).envelope(target)
        if envelope is not None:
            _show_record(envelope, as_json=as_json or bool(output))
            return
        if ":" not in target:
            raise click.ClickException(f"There is no result with the key {target!r}.")
    args, kwargs = _call(arguments)
    from oxtask.cache import explain as explain_call  # noqa: PLC0415 - start-up time

    try:
        explanation = explain_call(_task(target), *args, **kwargs)
    except TypeError as error:
        raise click.ClickException(str(error)) from error
    is_stored = None
    if explanation.key is not None:
        is_stored = _place(storage).envelope(explanation.key) is not None
    if as_json or output:
        names = ("task", "key", "problem", "parts", "inputs")
        fields = {name: getattr(explanation, name) for name in names}
        write_json({**fields, "stored": is_stored})
        return
    click.echo(str(explanation))
    if is_stored is not None:
        click.echo(f"  there is {'a' if is_stored else 'no'} result with this key")


def _show_record(envelope: Any, *, as_json: bool) -> None:
    from oxtask._internal.storage.upkeep import details  # noqa: PLC0415 - start-up time

    found = details(envelope)
    times = {name: _iso(found[name]) for name in ("written", "expires")}
    if as_json:
        write_json({**found, **times})
        return
    words = {name: f"{_iso(found[name])} ({ago(found[name])})" for name in times if found[name]}
    write_fields({**found, **times, **words, "size": size(found["size"])})


def _call(arguments: str | None) -> tuple[list[Any], dict[str, Any]]:
    import json  # noqa: PLC0415 - start-up time

    try:
        given = [] if arguments is None else json.loads(arguments)
    except ValueError as error:
        raise click.UsageError(f"ARGUMENTS are not JSON: {error}") from error
    if isinstance(given, list):
        return given, {}
    if isinstance(given, dict):
        return [], given
    raise click.UsageError("ARGUMENTS must be a JSON list, or an object with names of parameters.")


def _task(target: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - start-up time

    from oxtask.tasks import Task  # noqa: PLC0415

    module_name, _, path = target.partition(":")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"There is neither a result with the key {target!r} nor a module {error.name!r}."
        ) from error
    except Exception as error:
        raise click.ClickException(
            f"The module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    for name in path.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, Task):
        raise click.ClickException(f"There is no task {path!r} in the module {module_name!r}.")
    return found


@cache.command()
@click.argument("keys", nargs=-1, required=True)
@_storage_option
@yes_option
def rm(keys: tuple[str, ...], storage: str | None, yes: bool) -> None:
    """Remove the results of KEYS."""
    place = _place(storage)
    confirm(f"Remove {len(keys)} result(s)?", yes)
    missing = [key for key in keys if not place.delete(key)]
    if len(missing) < len(keys):
        click.echo(f"Removed {len(keys) - len(missing)} result(s).")
    if missing:
        raise click.ClickException(f"There is no result with the key(s) {', '.join(missing)}.")


@cache.command()
@_storage_option
@json_option
def prune(storage: str | None, output: str | None, as_json: bool) -> None:
    """Remove results that have expired or are over a limit, and files that nobody needs."""
    counts = _place(storage).prune()
    if output or as_json:
        write_json(counts)
    else:
        click.echo(f"Removed {counts['records']} result(s) and {counts['files']} other file(s).")
