"""How the steps of a flow run are carried out: on the caller's thread, or on its event loop.

What the steps are is said in `oxtask._internal.flow_life`.
"""

from __future__ import annotations

from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from oxtask._internal import flow_cancel, flow_drain, flow_signals, inputs
from oxtask._internal.deadlines import awithin, within
from oxtask._internal.engine import Body, adrive, call_nothing, drive, run_awaitable
from oxtask._internal.flow_life import (
    attempt,
    conclude,
    finish,
    guarded,
    prepared,
    state_of_error,
)
from oxtask._internal.flow_runs import FlowRunning
from oxtask._internal.interruptions import FlowInterrupted
from oxtask.exceptions import OxtaskSignal

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask.client.schemas.objects import FlowRun
    from oxtask.flows import Flow

Steps = Any  # a generator of steps: see `oxtask._internal.engine`
PLAIN = {bool, bytes, float, int, str, type(None)}
"""Types of values that hold no futures."""


def run(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    wait_for: Any,
    *,
    return_state: bool,
    record: FlowRun | None = None,
) -> Any:
    """Run a sync flow on this thread."""
    running = FlowRunning(flow, parameters, record, wait_for)
    try:
        with flow_signals.watched():
            steps = prepared(running, wait_for)
            try:
                while _carry_out(running, steps):
                    steps = attempt(running)
            except FlowInterrupted:
                # On threads it may arrive when the run has ended; one around it must hear it.
                if not running.is_to_be_cancelled:
                    raise
            return conclude(running, return_state=return_state)
    finally:
        running.let_go()


def _carry_out(running: FlowRunning, steps: Steps) -> bool:
    """Carry out an attempt, wait for the next, and return whether there is one."""
    try:
        runner = running.new_runner()
        with running.entered(runner):
            with runner:
                try:
                    another = drive(guarded(running, steps), lambda step: _body(running, step))
                    flow_drain.stop(running, runner)
                except BaseException as error:
                    if not isinstance(error, Exception):
                        runner.cancel_all()
                    raise
            if another:
                flow_drain.pause(running.seconds_to_retry())
            return bool(another)
    except OxtaskSignal:
        raise
    except BaseException as error:
        if running.state.is_final():
            raise
        with running.entered(None):
            drive(finish(running, state_of_error(running, error)), call_nothing)
        return False


def _body(running: FlowRunning, step: Body) -> Any:
    def whole() -> Any:
        value = step.function(*step.args, **step.kwargs)
        return value if type(value) in PLAIN else settled(running, value)

    return within(step.timeout_seconds, _printing(whole) if running.log_prints else whole)


def settled(running: FlowRunning, value: Any) -> Any:
    """Return what a function returned, with states in place of futures.

    A coroutine is run to its end, a generator is read to its end.
    """
    if isinstance(value, CoroutineType):
        value = run_awaitable(value)
    if isinstance(value, GeneratorType):
        running.was_generator = True
        return list(value)
    from oxtask.futures import resolve_futures_to_states  # noqa: PLC0415 - start-up time

    return resolve_futures_to_states(value)


def _printing(call: Callable[[], Any]) -> Callable[[], Any]:
    def printing() -> Any:
        from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

        with patch_print():
            return call()

    return printing


async def arun(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    wait_for: Any,
    *,
    return_state: bool,
    record: FlowRun | None = None,
) -> Any:
    """Run an async flow on the running event loop."""
    running = FlowRunning(flow, parameters, record, wait_for)
    flow_cancel.begin_async(running)
    try:
        with flow_signals.awatched():
            steps = prepared(running, wait_for)
            while await _acarry_out(running, steps):
                steps = attempt(running)
            return conclude(running, return_state=return_state)
    finally:
        running.let_go()


async def _acarry_out(running: FlowRunning, steps: Steps) -> bool:
    is_closed = False
    try:
        runner = running.new_runner()
        with running.entered(runner):
            with runner:
                try:
                    another = await adrive(
                        guarded(running, steps), lambda step: _abody(running, step)
                    )
                    await flow_drain.astop(running, runner)
                except BaseException as error:
                    is_closed = isinstance(error, GeneratorExit)
                    if not isinstance(error, Exception):
                        runner.cancel_all()
                    raise
            if another:
                import asyncio  # noqa: PLC0415 - start-up time

                await asyncio.sleep(running.seconds_to_retry())
            return bool(another)
    except (OxtaskSignal, GeneratorExit):
        raise
    except BaseException as error:
        if is_closed:
            # A coroutine that nobody awaits any more is closed from elsewhere, where the context
            # variables of the run cannot be put back.
            raise GeneratorExit from None
        if running.state.is_final():
            raise
        with running.entered(None):
            await adrive(finish(running, state_of_error(running, error)), _acall_nothing)
        return False


async def _acall_nothing(step: Body) -> None:
    call_nothing(step)


async def _abody(running: FlowRunning, step: Body) -> Any:
    async def whole(*args: Any, **kwargs: Any) -> Any:
        value = await step.function(*args, **kwargs)
        if type(value) in PLAIN:
            return value
        if isinstance(value, CoroutineType):
            value = await value
        await inputs.await_futures(value)
        return settled(running, value)

    function = _aprinting(whole) if running.log_prints else whole
    return await awithin(step.timeout_seconds, function, step.args, step.kwargs)


def _aprinting(function: Any) -> Any:
    async def printing(*args: Any, **kwargs: Any) -> Any:
        from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

        with patch_print():
            return await function(*args, **kwargs)

    return printing
