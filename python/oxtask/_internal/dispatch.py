"""Does the caller want a value or an awaitable? Decided for functions that exist in both worlds."""

from __future__ import annotations

import sys


def in_async_context() -> bool:
    """Tell whether the caller runs in an async run, or without a run on a running event loop.

    The current run decides first: a sync task called from an async flow shares the flow's thread,
    and so its running loop, but must get plain values. A context module that was never imported
    cannot hold a run, and an ``asyncio`` that was never imported cannot run a loop, so neither is
    imported to ask.
    """
    context = sys.modules.get("oxtask.context")
    in_async_run_context = getattr(context, "in_async_run_context", None)
    if in_async_run_context is not None:
        answer: bool | None = in_async_run_context()
        if answer is not None:
            return answer
    # getattr: another thread may be half way through importing asyncio; no loop runs here then.
    get_running_loop = getattr(sys.modules.get("asyncio"), "get_running_loop", None)
    if get_running_loop is None:
        return False
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True
