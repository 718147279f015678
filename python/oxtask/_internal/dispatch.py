"""Does the caller want a value or an awaitable? Decided for functions that exist in both worlds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


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


def with_async_twin(twin: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a sync function return what its async twin does if it is called in an async run.

    The argument ``_sync`` says which of the two is wanted, whoever calls: true for a value.

    Args:
        twin: A coroutine function of the same arguments.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        from functools import wraps  # noqa: PLC0415 - start-up time

        @wraps(function)
        def dispatch(*args: Any, _sync: bool | None = None, **kwargs: Any) -> Any:
            if _sync is False or (_sync is None and in_async_context()):
                return twin(*args, **kwargs)
            return function(*args, **kwargs)

        made: Any = dispatch
        made.is_dual = True
        return cast("Callable[P, R]", made)

    return decorate
