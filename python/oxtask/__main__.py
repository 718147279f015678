"""The command line: ``python -m oxtask``."""

from __future__ import annotations

from oxtask.cli import main

if __name__ == "__main__":
    main()
