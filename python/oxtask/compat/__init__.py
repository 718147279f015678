"""Programs written for Prefect, unchanged.

`install` makes ``import prefect`` and ``from prefect.tasks import task`` lead to oxtask, and
``PREFECT_*`` environment variables count where no ``OXTASK_*`` variable is set. Call it before
anything imports ``prefect``, or leave that to the command line::

    python -m oxtask.compat script.py [arguments]
    python -m oxtask.compat -m module [arguments]

`NAMES` lists what is called otherwise in oxtask. What is not there raises an error that says what
to do instead. Nothing of this is loaded, and nothing costs time, unless it is asked for.

>>> install()
>>> import prefect, oxtask
>>> prefect.flow is oxtask.flow
True
>>> from prefect import serve
Traceback (most recent call last):
    ...
ImportError: oxtask has no 'prefect.serve': oxtask has no server and no schedules; call the flow ...
>>> uninstall()
"""

from __future__ import annotations

from oxtask.compat.modules import install, uninstall
from oxtask.compat.names import NAMES, VERSION

__all__ = ["NAMES", "VERSION", "install", "uninstall"]
