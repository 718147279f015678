"""Where the processes of one machine see who makes which result; the rest is in Rust."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def lock_file() -> Path | None:
    """Return the file of locks, whose folder is there; ``None`` if it cannot be made."""
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    folder = get_current_settings().home / "locks"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        unavailable(error)
        return None
    return folder / "flights"


def unavailable(error: OSError) -> None:
    """Tell that other processes are not seen: each makes what it wants."""
    logging.getLogger("oxtask.flights").warning(
        "Results that several processes want at once may be made by each of them, because the file "
        "of locks cannot be opened: %s. Set OXTASK_HOME to a folder that can be written to.",
        error,
    )
