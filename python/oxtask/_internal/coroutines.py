"""Coroutines awaited by code that cannot await."""

from __future__ import annotations

import inspect
from typing import Any


def settle(value: Any) -> Any:
    """Return ``value``, or what it results in if it can be awaited.

    On a thread with a running event loop it is awaited in another thread, in a copy of the context.
    """
    if not inspect.isawaitable(value):
        return value
    import asyncio  # noqa: PLC0415 - start-up time

    async def whole() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up time
    from contextvars import copy_context  # noqa: PLC0415

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, whole()).result()
