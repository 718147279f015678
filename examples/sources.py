"""Which files the examples read: the standard library of this Python, or a folder of yours."""

import argparse
import sysconfig
from pathlib import Path

INSTALLED_LATER = {"site-packages", "dist-packages"}


def folder_from_command_line(description: str) -> Path:
    """Return what ``--folder`` names; without it, the folder of the standard library."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, help="read the .py files in here instead")
    folder: Path = parser.parse_args().folder or Path(sysconfig.get_path("stdlib"))
    if not python_files(folder):
        parser.error(f"there is no .py file in {str(folder)!r}; name another folder")
    return folder


def python_files(folder: Path) -> list[Path]:
    """Return the .py files below ``folder``, in a stable order."""
    return [
        path
        for path in sorted(folder.rglob("*.py"))
        if path.is_file() and INSTALLED_LATER.isdisjoint(path.relative_to(folder).parts)
    ]
