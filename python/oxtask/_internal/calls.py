"""Direct calls of tasks: on the caller's thread, on the caller's event loop, or item by item.

A task without retries, hooks and the like that is called with plain values does not come here: the
core calls it.
"""

from __future__ import annotations

import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import engine, inputs
from oxtask._internal.deadlines import within
from oxtask._internal.outcomes import state_of
from oxtask._internal.task_runs import CHOSEN, CHOSEN_FAILED, COMPLETED, CRASHED, NOT_READY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from oxtask.tasks import Task

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def call(
    task: Task[..., Any], args: Any, kwargs: Any, wait_for: Any, return_state: bool
) -> Any:
    """Run a sync task here and now."""
    return copy_context().run(_call, task, (args, kwargs), wait_for, return_state)


def _call(task: Task[..., Any], given: Arguments, wait_for: Any, return_state: bool) -> Any:
    run = _core.begin_direct(task, *given)
    _core.current_run.set(run)
    try:
        inputs.check_wait_for(wait_for)
        args, kwargs = _core.resolve(given)
    except BaseException as error:  # noqa: BLE001 - judged by the engine
        return _refused(run, error, return_state)
    run.set_arguments(args, kwargs)
    value: Any = None

    def body(step: engine.Body) -> Any:
        nonlocal value
        value = within(step.timeout_seconds, lambda: engine.call_body(run, step))
        return value

    code, output = engine.drive(engine.life(run, args, kwargs), body)
    while code == engine.DELAY:
        time.sleep(output)
        if not run.begin_again():
            break
        code, output = engine.drive(engine.life(run, args, kwargs), body)
    return _end(run, code, output, value, return_state)


def _refused(run: Any, error: BaseException, return_state: bool) -> Any:
    code, output = engine.unresolved(run, error)
    _core.settle(run, code, output)
    if return_state and code != CRASHED:
        return state_of(run.future)
    raise output.with_traceback(error.__traceback__) if output is error else output


def _end(run: Any, code: int, output: Any, value: Any, return_state: bool) -> Any:
    _core.settle(run, code, output)
    log = run.record
    if log is not None and log.hook_error is not None:
        raise log.hook_error
    if code == CRASHED:
        raise output
    if return_state:
        return state_of(run.future)
    if code == COMPLETED:
        return output
    if code in {CHOSEN, CHOSEN_FAILED}:
        return value
    raise output


async def acall(
    task: Task[..., Any], given: Arguments, wait_for: Any, return_state: bool
) -> Any:
    """Run an async task on the running event loop, in the task that awaits it."""
    run = _core.begin_direct(task, *given)
    token = _core.current_run.set(run)
    try:
        try:
            if wait_for is not None:
                await inputs.await_futures(wait_for)
                inputs.check_wait_for(wait_for)
            if _core.needs_resolving(given):
                await inputs.await_futures(given)
                given = _core.resolve(given)
                run.set_arguments(*given)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return _refused(run, error, return_state)
        if not task._is_rich() and not return_state:
            return await _acall_plain(run, task, given)
        return await _acall_rich(run, given, return_state)
    finally:
        _core.current_run.reset(token)


async def _acall_plain(run: Any, task: Task[..., Any], given: Arguments) -> Any:
    try:
        value = await task._callable()(*given[0], **given[1])
    except BaseException as error:
        _core.settle(run, *engine.raised(run, error))
        raise
    if type(value) in _PLAIN:
        _core.settle(run, COMPLETED, value)
        return value
    code, output = engine.returned(run, value)
    _core.settle(run, code, output)
    return output if code == COMPLETED else value


_PLAIN = {int, float, str, bytes, bool, type(None), dict}


async def _acall_rich(run: Any, given: Arguments, return_state: bool) -> Any:
    import asyncio  # noqa: PLC0415 - start-up time

    value: Any = None

    async def body(step: engine.Body) -> Any:
        nonlocal value
        value = await engine.acall_body(run, step)
        return value

    code, output = await engine.adrive(engine.life(run, *given), body)
    while code == engine.DELAY:
        await asyncio.sleep(output)
        if not run.begin_again():
            break
        code, output = await engine.adrive(engine.life(run, *given), body)
    return _end(run, code, output, value, return_state)


# --- generators -----------------------------------------------------------------------------------


def generate(task: Task[..., Any], given: Arguments, wait_for: Any) -> Generator[Any, Any, Any]:
    """Run a generator task, item by item; the run lasts until the generator ends or is closed.

    The body sees what the consumer sends and throws. Its time is counted only while it runs.
    """
    context = copy_context()
    run = _core.begin_direct(task, *given)
    context.run(_core.current_run.set, run)
    try:
        context.run(inputs.check_wait_for, wait_for)
        args, kwargs = context.run(_core.resolve, given)
    except BaseException as error:  # noqa: BLE001 - judged by the engine
        return context.run(_refused, run, error, False)
    steps = engine.life(run, args, kwargs)
    step: Any = context.run(next, steps)
    while True:
        answer = None
        try:
            if type(step) is engine.Body:
                result = yield from _produce(context, step)
            else:
                result = context.run(engine.call_step, step)
        except GeneratorExit:
            _finish_closed(context, run, steps)
            raise
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            answer = _advance(context, steps.throw, error)
        else:
            answer = _advance(context, steps.send, result)
        if not isinstance(answer, _Ended):
            step = answer
            continue
        code, output = answer.answer
        if code == engine.DELAY:
            time.sleep(output)
            run.begin_again()
            steps = engine.life(run, args, kwargs)
            step = context.run(next, steps)
            continue
        return _end(run, code, output, output, return_state=False)


class _Ended:
    """The answer of steps that have come to their end."""

    __slots__ = ("answer",)

    def __init__(self, answer: engine.Answer) -> None:
        self.answer = answer


def _advance(context: Any, resume: Any, value: Any) -> Any:
    try:
        return context.run(resume, value)
    except StopIteration as stop:
        return _Ended(stop.value)


def _produce(context: Any, step: engine.Body) -> Generator[Any, Any, Any]:
    body = context.run(step.function, *step.args, **step.kwargs)
    left = step.timeout_seconds
    resume, value = body.send, None
    while True:
        started = time.monotonic()
        try:
            item = context.run(within, left, lambda: resume(value))
        except StopIteration as stop:
            return stop.value
        if left is not None:
            left = max(left - (time.monotonic() - started), 1e-9)
        try:
            value = yield item
            resume = body.send
        except GeneratorExit:
            context.run(body.close)
            raise
        except BaseException as error:  # noqa: BLE001 - the body's to handle
            resume, value = body.throw, error


def _finish_closed(context: Any, run: Any, steps: Any) -> None:
    """End a run whose consumer wants no more: it completed, with no result."""
    try:
        step = context.run(steps.send, None)
        while True:
            step = context.run(steps.send, context.run(engine.call_step, step))
    except StopIteration as stop:
        code, output = stop.value
        _core.settle(run, code, output if code != NOT_READY else None)


async def agenerate(
    task: Task[..., Any], given: Arguments, wait_for: Any
) -> AsyncGenerator[Any, Any]:
    """Run an async generator task, item by item."""
    run = _core.begin_direct(task, *given)
    token = _core.current_run.set(run)
    if wait_for is not None:
        await inputs.await_futures(wait_for)
        inputs.check_wait_for(wait_for)
    await inputs.await_futures(given)
    args, kwargs = _core.resolve(given)
    _core.current_run.reset(token)
    steps = engine.life(run, args, kwargs)
    step: Any = next(steps)
    while True:
        try:
            if type(step) is engine.Body:
                body = step.function(*step.args, **step.kwargs)
                resume: Any = body.asend
                value: Any = None
                while True:
                    token = _core.current_run.set(run)
                    try:
                        item = await resume(value)
                    except StopAsyncIteration:
                        break
                    finally:
                        _core.current_run.reset(token)
                    try:
                        value = yield item
                        resume = body.asend
                    except GeneratorExit:
                        await body.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 - the body's to handle
                        resume, value = body.athrow, error
                result = None
            else:
                result = step.function(*step.args)
                if hasattr(result, "__await__"):
                    result = await result
        except GeneratorExit:
            _finish_closed(copy_context(), run, steps)
            raise
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            answer = _advance(copy_context(), steps.throw, error)
        else:
            answer = _advance(copy_context(), steps.send, result)
        if not isinstance(answer, _Ended):
            step = answer
            continue
        code, output = answer.answer
        if code == engine.DELAY:
            import asyncio  # noqa: PLC0415 - start-up time

            await asyncio.sleep(output)
            run.begin_again()
            steps = engine.life(run, args, kwargs)
            step = next(steps)
            continue
        _end(run, code, output, output, return_state=False)
        return
