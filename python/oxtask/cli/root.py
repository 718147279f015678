"""The root of the commands, and what all of them have in common: how errors are shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from oxtask.cli.artifact import artifact
from oxtask.cli.cache import cache
from oxtask.cli.gcl import gcl
from oxtask.cli.variable import variable

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALIASES = {"global-concurrency-limit": "gcl", "artifacts": "artifact", "variables": "variable"}


class _Root(click.Group):
    """Commands whose errors are for people: what a user can cause is a line, not a traceback."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> Any:
        from oxtask.exceptions import OxtaskException  # noqa: PLC0415 - start-up time

        try:
            return super().invoke(ctx)
        except (OxtaskException, OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Look after what oxtask keeps on this machine.

    Files are in OXTASK_HOME, ~/.oxtask if that is not set. Exit codes: 0 if all went well, 1 if
    not, 2 if the command was not understood.
    """


@root.command()
def version() -> None:
    """Show which versions are in use, and where files are kept."""
    import platform  # noqa: PLC0415 - start-up time

    from oxtask import __version__  # noqa: PLC0415
    from oxtask._internal.home_files import home  # noqa: PLC0415

    rows = {
        "Version": __version__,
        "Python": platform.python_version(),
        "System": f"{platform.system()} {platform.machine()}",
        "Home": home(),
    }
    for name, value in rows.items():
        click.echo(f"{name + ':':<9} {value}")


root.add_command(artifact)
root.add_command(cache)
root.add_command(gcl)
root.add_command(variable)


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command, and end the process with its exit code.

    Args:
        arguments: The words of the command; by default those the program was started with.
    """
    # Modules that a command names are looked for where it is given, as `python -m` does.
    if "" not in sys.path:
        sys.path.insert(0, "")
    root.main(args=None if arguments is None else list(arguments), prog_name="oxtask")
