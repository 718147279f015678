"""The command line: ``python -m oxtask.compat script.py [arguments]``."""

from __future__ import annotations

import sys

from oxtask.compat.program import main

if __name__ == "__main__":
    main(sys.argv[1:])
