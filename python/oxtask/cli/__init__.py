"""The command line: ``oxtask``, or ``python -m oxtask``."""

from __future__ import annotations

from oxtask.cli.root import main

__all__ = ["main"]
