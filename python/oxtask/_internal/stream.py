"""`Task.stream`: results of a task over an iterable of any length."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from oxtask import _core
from oxtask._internal.inputs import note
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

    from oxtask._internal.task_machinery import TaskMachinery

R = TypeVar("R")
DEFAULT_WINDOW = 1_024
Stream = _core.Stream


def open_stream(
    task: TaskMachinery,
    iterable: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    ordered: bool,
    window: int | None,
) -> Any:
    """Start a stream in the current flow."""
    from oxtask.task_runners import (  # noqa: PLC0415 - start-up time
        ThreadPoolTaskRunner,
        current_runner,
    )

    size = _checked_window(window)
    source = _iterator(iterable)
    task._check_binding((None, *args), kwargs)
    runner = current_runner("streaming", task.name)
    if hasattr(source, "__anext__"):
        return AsyncStream(task, source, args, kwargs, ordered=ordered, window=size, runner=runner)
    core = runner._runner if isinstance(runner, ThreadPoolTaskRunner) else None
    if core is None:
        kind = type(runner).__name__
        msg = f"'stream' needs a ThreadPoolTaskRunner; the flow has a {kind}. Use map"
        raise TypeError(msg)
    return Stream(core, task, source, args, kwargs, ordered, size)


def _checked_window(window: Any) -> int:
    if window is None:
        return DEFAULT_WINDOW
    if isinstance(window, bool) or not isinstance(window, int):
        msg = f"'window' must be an int or None; got {short_repr(window)}"
        raise TypeError(msg)
    if not 1 <= window < 1 << 31:
        msg = f"'window' must be from 1 to {(1 << 31) - 1}; got {window}"
        raise ValueError(msg)
    return window


def _iterator(iterable: Any) -> Any:
    if hasattr(iterable, "__aiter__"):
        return iterable.__aiter__()
    try:
        return iter(iterable)
    except TypeError:
        msg = f"'iterable' must be an iterable or an async iterable; got {short_repr(iterable)}"
        raise TypeError(msg) from None


class AsyncStream(Generic[R]):
    """An async iterator of results; items are pulled ahead by an asyncio task of its own."""

    def __init__(
        self,
        task: TaskMachinery,
        source: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        ordered: bool,
        window: int,
        runner: Any,
    ) -> None:
        self._call = (task, args, kwargs, runner)
        self._source = source
        self._ordered = ordered
        self._window = window
        self._pulled = 0
        self._yielded = 0
        self._error: BaseException | None = None
        self._is_over = False
        self._ready: deque[Any] = deque()
        self._under_way: set[Any] = set()
        self._changed: asyncio.Event | None = None
        self._puller: asyncio.Task[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        import asyncio  # noqa: PLC0415 - start-up time

        if self._changed is None:
            self._changed = asyncio.Event()
            self._puller = asyncio.ensure_future(self._pull(self._changed))
        while not self._ready:
            if self._is_over and not self._under_way:
                error, self._error = self._error, None
                raise StopAsyncIteration if error is None else error
            self._changed.clear()
            await self._changed.wait()
        future = self._ready.popleft()
        try:
            result: R = await future.aresult()
        finally:
            self._under_way.discard(future)
            self._yielded += 1
            self._changed.set()
        return result

    async def _pull(self, changed: asyncio.Event) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        loop = asyncio.get_running_loop()
        task, args, kwargs, runner = self._call

        def ended(future: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._append, future, changed)

        try:
            async for item in self._source:
                future = runner._submit_call(task, (item, *args), kwargs, None)
                self._pulled += 1
                self._under_way.add(future)
                if self._ordered:
                    self._append(future, changed)
                else:
                    future.add_done_callback(ended)
                while self._pulled - self._yielded >= self._window:
                    changed.clear()
                    await changed.wait()
        except Exception as error:  # noqa: BLE001 - raised from `__anext__`, after the results before it
            count = self._pulled
            note(error, f"raised by the iterable at item {count}; {count} items came before it")
            self._error = error
        except asyncio.CancelledError as error:
            if not self._is_over:  # else it is `aclose` that cancels
                self._error = error
            raise
        finally:
            self._is_over = True
            changed.set()

    def _append(self, future: Any, changed: asyncio.Event) -> None:
        self._ready.append(future)
        changed.set()

    async def aclose(self) -> None:
        """Pull no more, and cancel what has not started."""
        if self._puller is not None:
            self._puller.cancel()
        for future in tuple(self._under_way):
            future.cancel()
        self._under_way.clear()
        self._ready.clear()
        self._is_over = True
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()
