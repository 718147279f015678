"""Carrying out the steps of a run: on this thread, or on an event loop.

`oxtask._internal.engine` says what happens in a run as a generator of steps, so that it is said
once for sync and async runs. A step is something that calls the user's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oxtask._internal.interruptions import RaisedElsewhere

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from contextvars import Context
    from types import TracebackType

    from oxtask._internal.slots import Lease

Answer = tuple[int, Any]
"""How a run, or an attempt of it, ended: a code and what goes with it."""
Steps = Any
"""A generator of steps, which returns an answer."""


class Body(NamedTuple):
    """A step: call the function of a task or a flow, within the time it has."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    timeout_seconds: float | None


class Call(NamedTuple):
    """A step: call a hook or a condition of the user, and await what it returns."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


class Wait(NamedTuple):
    """A step: wait for slots of concurrency limits; true when they are there."""

    lease: Lease


class Work(NamedTuple):
    """A step: something that calls hooks and stores; see `transactions.settling`."""

    begin: Callable[[Any], Coroutine[Any, Any, Any]]


def drive(steps: Steps, body: Callable[[Body], Any]) -> Any:
    """Carry out the steps on this thread; async hooks run on an event loop of their own.

    Returns:
        What the steps return.
    """
    resume, value = steps.send, None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            return stop.value
        except RaisedElsewhere as raised:
            escaped = raised.error
            break
        finally:
            value = None  # an exception must not keep itself alive
        try:
            value = body(step) if type(step) is Body else call_step(step)
            resume = steps.send
        except BaseException as error:  # noqa: BLE001 - handed to the steps, which judge
            resume, value = steps.throw, throwable(error)
    try:
        raise escaped
    finally:
        del escaped  # an exception must not keep itself alive


def call_step(step: Call | Wait | Work) -> Any:
    """Call a hook or a condition; what it returns is run to its end if it is awaitable."""
    if isinstance(step, Wait):
        return step.lease.wait()
    if isinstance(step, Work):
        from oxtask._internal.transactions import settling  # noqa: PLC0415 - start-up time

        return settling.drive(step.begin(settling.BLOCKING))
    result = step.function(*step.args)
    return run_awaitable(result) if hasattr(result, "__await__") else result


async def adrive(steps: Steps, body: Callable[[Body], Coroutine[Any, Any, Any]]) -> Any:
    """Carry out the steps on the running event loop."""
    resume, value = steps.send, None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            return stop.value
        except RaisedElsewhere as raised:
            escaped = raised.error
            break
        finally:
            value = None
        try:
            value = await (body(step) if type(step) is Body else acall_step(step))
            resume = steps.send
        except BaseException as error:  # noqa: BLE001 - handed to the steps, which judge
            resume, value = steps.throw, throwable(error)
    try:
        raise escaped
    finally:
        del escaped  # an exception must not keep itself alive


def throwable(error: BaseException) -> BaseException:
    """Return what to throw into steps, one of which raised.

    A `GeneratorExit` that a body has raised comes as `RaisedElsewhere`. One that closes a coroutine
    is made anew in each that is closed, and so has no frames of others.
    """
    if not isinstance(error, GeneratorExit):
        return error
    traceback = error.__traceback__
    if traceback is None or traceback.tb_next is None:
        return error
    error.__traceback__ = from_user_code(traceback)
    return RaisedElsewhere(error, is_crash=True)


async def acall_step(step: Call | Wait | Work) -> Any:
    """Call a hook or a condition, and await what it returns if it is awaitable."""
    if isinstance(step, Wait):
        return await step.lease.wait_async()
    if isinstance(step, Work):
        from oxtask._internal.transactions import settling  # noqa: PLC0415 - start-up time

        return await step.begin(settling.AWAITING)
    result = step.function(*step.args)
    return await result if hasattr(result, "__await__") else result


def call_nothing(step: Body) -> Any:
    """Refuse to call a body: for steps that have none."""
    raise AssertionError(step)


async def acall_nothing(step: Body) -> Any:
    """Refuse to call a body: for steps that have none."""
    raise AssertionError(step)


def from_user_code(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the first frame on that is not of the engine, if there is one."""
    rest = traceback
    while rest is not None:
        module = rest.tb_frame.f_globals.get("__name__", "")
        if not str(module).startswith("oxtask._internal."):
            return rest
        rest = rest.tb_next
    return traceback


def run_awaitable(awaitable: Awaitable[Any]) -> Any:
    """Run an awaitable to its end from code that is not async, in a copy of the current context."""
    import asyncio  # noqa: PLC0415 - start-up time

    async def whole() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up time
    from contextvars import copy_context  # noqa: PLC0415

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, whole()).result()


class InContext:
    """An awaitable that is awaited in a context of its own.

    What it sets in context variables is not seen by the code that awaits it.
    """

    __slots__ = ("_awaitable", "_context")

    def __init__(self, context: Context, awaitable: Awaitable[Any]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        run, inner = self._context.run, self._awaitable.__await__()
        resume: Any = inner.send
        value: Any = None
        try:
            while True:
                try:
                    request = run(resume, value)
                except StopIteration as stop:
                    return stop.value
                try:
                    value = yield request
                    resume = inner.send
                except GeneratorExit:
                    run(inner.close)
                    raise
                except BaseException as error:  # noqa: BLE001 - the awaitable's to handle
                    resume, value = inner.throw, error
        finally:
            # A traceback keeps this frame, and the context a run, into which the collector cannot
            # look.
            del run, resume, value, self._context
