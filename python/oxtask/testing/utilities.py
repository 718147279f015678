"""Helpers for tests: files of their own, and comparisons that the standard library lacks."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from oxtask.settings import reload_settings, temporary_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from oxtask.client.orchestration import OxtaskClient
    from oxtask.client.schemas.objects import FlowRun

__all__ = [
    "assert_does_not_warn",
    "exceptions_equal",
    "get_most_recent_flow_run",
    "oxtask_test_harness",
]

_HOME = "OXTASK_HOME"


@contextmanager
def oxtask_test_harness(
    server_startup_timeout: int | None = 30,  # noqa: ARG001 - there is no server to wait for
) -> Generator[None]:
    """Let oxtask keep its files in a temporary folder for a block of code.

    Threads and processes that are started in the block do so as well. Afterwards the folder is
    removed, and everything is as it was. Blocks nest; as a fixture of a test session it works too.

    Args:
        server_startup_timeout: Not used.

    >>> from oxtask.settings import get_current_settings
    >>> before = get_current_settings().home
    >>> with oxtask_test_harness():
    ...     get_current_settings().home == before
    False
    >>> get_current_settings().home == before
    True
    """
    before = os.environ.get(_HOME)
    with TemporaryDirectory(prefix="oxtask-", ignore_cleanup_errors=True) as folder:
        os.environ[_HOME] = folder
        reload_settings()
        try:
            with temporary_settings({_HOME: folder}):
                yield
        finally:
            if before is None:
                del os.environ[_HOME]
            else:
                os.environ[_HOME] = before
            reload_settings()
            limits = sys.modules.get("oxtask._internal.limits")
            if limits is not None:
                limits.drop(folder)


def exceptions_equal(a: BaseException | None, b: BaseException | None) -> bool:
    """Tell whether two exceptions are of the same type and hold the same arguments.

    >>> exceptions_equal(ValueError("a"), ValueError("a")), exceptions_equal(ValueError(), None)
    (True, False)
    """
    if a is None or b is None:
        return a is b
    return type(a) is type(b) and a.args == b.args


@contextmanager
def assert_does_not_warn(ignore_warnings: list[type[Warning]] | None = None) -> Generator[None]:
    """Turn the first warning of a block of code into an `AssertionError`.

    Args:
        ignore_warnings: Kinds of warnings that are let through.

    Raises:
        AssertionError: If the block warns.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ignore_warnings or ():
            warnings.simplefilter("ignore", kind)
        try:
            yield
        except Warning as warning:
            msg = f"Warning was raised: {type(warning).__name__}: {warning}"
            raise AssertionError(msg) from warning


async def get_most_recent_flow_run(
    client: OxtaskClient | None = None, flow_name: str | None = None
) -> FlowRun:
    """Return the record of the flow run that was made last.

    Args:
        client: Not used: all clients know the same runs.
        flow_name: The name of the flow; by default runs of all flows count.

    Raises:
        ObjectNotFound: If there is none.

    >>> import asyncio
    >>> from oxtask import flow
    >>> @flow(name="first", flow_run_name="mine")
    ... def main():
    ...     pass
    >>> main()
    >>> asyncio.run(get_most_recent_flow_run(flow_name="first")).name
    'mine'
    """
    from oxtask._internal import run_queries  # noqa: PLC0415 - the history is imported on first use
    from oxtask._internal.flow_runs import flow_id  # noqa: PLC0415
    from oxtask.exceptions import ObjectNotFound  # noqa: PLC0415

    del client
    wanted = None if flow_name is None else {"flow_id": {"any_": [flow_id(flow_name)]}}
    runs = run_queries.read_flow_runs(wanted, None, "EXPECTED_START_TIME_DESC", 1, 0)
    if not runs:
        kind = "flow" if flow_name is None else f"flow {flow_name!r}"
        raise ObjectNotFound(f"No run of a {kind} is known in this process. Call the flow first.")
    return runs[0]
