"""The life of a flow run: what happens, in what order.

The functions here are generators that yield every step that may be asynchronous; the flow engine
carries the steps out. Whatever goes wrong on the way, the run ends in a final state: `guarded` sees
to that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import (
    flow_cancel,
    flow_parameters,
    flow_results,
    flow_signals,
    inputs,
    log_lines,
    run_history,
)
from oxtask._internal.deadlines import BodyTimedOut
from oxtask._internal.engine import Body, Call, hooks
from oxtask._internal.interruptions import FlowInterrupted, original
from oxtask._internal.state import engine_state, is_state
from oxtask._internal.state_types import StateType
from oxtask._internal.steps import from_user_code
from oxtask.exceptions import (
    CancelledRun,
    FlowRunTimeoutError,
    OxtaskSignal,
    ParameterTypeError,
    UpstreamTaskError,
)
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask._internal.flow_runs import FlowRunning
    from oxtask.flows import Flow
    from oxtask.states import State

_HOOKS = "OXTASK__ENABLE_CANCELLATION_AND_CRASHED_HOOKS"
"""Set to ``false`` by a process that calls ``on_cancellation`` for the outermost runs itself."""

Steps = Any  # a generator of steps: see `oxtask._internal.engine`


def guarded(running: FlowRunning, steps: Steps) -> Steps:
    """Carry on steps; if they end otherwise than they should, end the run.

    A signal of oxtask leaves the run as it is, and so does the end of a coroutine that nobody
    awaits any more.
    """
    try:
        return (yield from steps)
    except (OxtaskSignal, GeneratorExit):
        raise
    except BaseException as error:
        if running.state.is_final():
            raise
        return (yield from finish(running, state_of_error(running, error)))


def prepared(running: FlowRunning, wait_for: Any) -> Steps:
    """Resolve and check the parameters, name the run, and carry out its first attempt."""
    flow: Any = running.flow
    record = running.record
    if record.state is not None and record.state.is_final():
        return _read_back(running)
    try:
        if flow.isasync and _core.needs_resolving((running.parameters, wait_for)):
            yield Call(inputs.await_futures, ((running.parameters, wait_for),))
        if wait_for is not None:
            inputs.check_wait_for(wait_for)
        if _core.needs_resolving(running.parameters):
            running.parameters = _resolved(running)
    except UpstreamTaskError as error:
        running.error = error
        running.enter(engine_state(StateType.PENDING, "NotReady", message=str(error)))
        log_lines.finished(running.log, flow)
        return None
    try:
        running.parameters = flow_parameters.validated(flow, running.parameters)
    except ParameterTypeError as error:
        running.error = error
        message = f"Validation of flow parameters failed with error: {error}"
        log_lines.write(running.log, flow, log_lines.ERROR, message)
        state = engine_state(StateType.FAILED, message=message, data=error)
        return (yield from finish(running, state))
    running.show_parameters()
    if flow.flow_run_name:
        from oxtask._internal.run_names import custom_name  # noqa: PLC0415 - start-up time

        record.name = custom_name(flow.flow_run_name, running.parameters, "flow_run_name")
    return (yield from attempt(running))


def _resolved(running: FlowRunning) -> dict[str, Any]:
    """Return the parameters with results in place of futures and states.

    What a flow is bound to is not looked into: a method gets that very object.
    """
    given = running.parameters
    receiver = running.flow._receiver_name()
    resolved = inputs.resolve_one({name: given[name] for name in given if name != receiver})
    return {name: given[name] if name == receiver else resolved[name] for name in given}


def _read_back(running: FlowRunning) -> None:
    """Take what a run came to that had ended before."""
    state = running.state
    if state.is_completed():
        running.value = state
    else:
        from oxtask.states import get_state_exception  # noqa: PLC0415 - start-up time

        running.error = get_state_exception(state)


def attempt(running: FlowRunning) -> Steps:
    """Carry out an attempt; return whether there is another."""
    flow: Any = running.flow
    record = running.record
    log_lines.flow_begins(running.log, flow, is_subflow=running.parent is not None)
    running.begin_attempt()
    yield from hooks(flow.on_running_hooks, flow, running.log)
    args, kwargs = flow._signature_plan().arguments(running.parameters)
    _log_executing(running)
    try:
        running.value = yield Body(flow.fn, args, kwargs, flow.timeout_seconds)
        if running.is_to_be_cancelled:
            raise FlowInterrupted  # noqa: TRY301 - who swallows it, or is too quick, has ended with it
        state = state_of_value(running)
    except (OxtaskSignal, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - judged here, whatever it is
        state = state_of_error(running, error)
    if not state.is_failed() or record.run_count > running.retries:
        return (yield from finish(running, state))
    delay = running.await_retry(state)
    _log_retry(running, state, delay)
    return True


def _log_executing(running: FlowRunning) -> None:
    if log_lines.is_on(log_lines.DEBUG, "oxtask.flow_runs"):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        text = messages.flow_executing(running.record.name, running.flow.name)
        log_lines.write(running.log, running.flow, log_lines.DEBUG, text)


def _log_retry(running: FlowRunning, state: State[Any], delay: float) -> None:
    if log_lines.is_on(log_lines.INFO, "oxtask.flow_runs"):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        again = messages.retrying(running.record.run_count, running.retries, delay)
        text = f"Flow run ended in state {state.name!r} - {again}"
        log_lines.write(running.log, running.flow, log_lines.INFO, text)


def state_of_value(running: FlowRunning) -> State[Any]:
    """Return the state of a run whose function returned."""
    from oxtask.states import return_value_to_state, settled_return_state  # noqa: PLC0415 - start-up

    value = running.value
    if running.was_generator:
        return engine_state(StateType.COMPLETED, data=ResultRecord(value))
    return settled_return_state(return_value_to_state(value), "Flow run")


def state_of_error(running: FlowRunning, error: BaseException) -> State[Any]:
    """Return the state of a run in which something was raised, and keep that for the caller."""
    from oxtask.states import (  # noqa: PLC0415 - start-up time
        exception_to_crashed_state,
        exception_to_failed_state,
    )

    flow = running.flow
    error = original(error)
    if isinstance(error, BodyTimedOut) and not running.is_to_be_cancelled:
        running.is_out_of_time = True
        running.error = FlowRunTimeoutError.after(error.seconds)
        message = f"Flow run exceeded timeout of {error.seconds} second(s)"
        return engine_state(StateType.FAILED, "TimedOut", message=message, data=running.error)
    running.error = error = flow_cancel.meant(running, flow_signals.meant(error))
    error.__traceback__ = from_user_code(error.__traceback__)
    if isinstance(error, FlowInterrupted) or running.is_to_be_cancelled:
        running.is_interrupted = True
        if running.is_to_be_cancelled:
            running.error = CancelledRun("Flow run was cancelled.")
        return engine_state(StateType.CANCELLED, message="Flow run was cancelled.")
    if not isinstance(error, Exception):
        state = exception_to_crashed_state(error)
        log_lines.crashed(running.log, flow, state, error)
        return state
    log_lines.flow_failed(running.log, flow, error)
    if isinstance(error, TimeoutError):
        message = f"Flow run failed due to timeout: {error!r}"
        return engine_state(StateType.FAILED, "TimedOut", message=message, data=error)
    return exception_to_failed_state(error, "Flow run encountered an exception:")


def finish(running: FlowRunning, state: State[Any]) -> Steps:
    """Let the run enter its last state, and call the hooks that belong to it."""
    if running.is_interrupted:
        yield from _entered(running, engine_state(StateType.CANCELLING, message=state.message))
    yield from flow_results.keep(running, state)
    yield from _entered(running, state)
    log_lines.finished(running.log, running.flow)
    return False


def _entered(running: FlowRunning, state: State[Any]) -> Steps:
    flow: Any = running.flow
    running.enter(state)
    try:
        yield from hooks(_hooks_for(running, state), flow, running.log)
    except GeneratorExit:
        raise
    except BaseException as raised:  # noqa: BLE001 - the run has ended
        error = original(raised)
        text = f"A hook raised after the run had ended: {type(error).__name__}"
        log_lines.write(running.log, flow, log_lines.DEBUG, text, error)
        del error  # an exception must not keep itself alive


def _hooks_for(running: FlowRunning, state: State[Any]) -> list[Any]:
    flow: Flow[..., Any] = running.flow
    if state.is_completed():
        return flow.on_completion_hooks
    if state.is_failed():
        return flow.on_failure_hooks
    if state.is_cancelling():
        is_muted = running.parent is None and os.environ.get(_HOOKS, "").lower() == "false"
        return [] if is_muted else flow.on_cancellation_hooks
    if not state.is_crashed():
        return []
    if flow.isasync:
        return [_Shielded(hook) for hook in flow.on_crashed_hooks]
    return flow.on_crashed_hooks


class _Shielded:
    """A hook that comes to its end however often the task it runs in is cancelled."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.func = hook
        self.__name__ = log_lines.hook_name(hook)

    def __call__(self, *args: Any) -> Any:
        result = self.func(*args)
        return self._to_its_end(result) if hasattr(result, "__await__") else result

    async def _to_its_end(self, awaitable: Any) -> Any:
        import asyncio  # noqa: PLC0415 - start-up time

        task = asyncio.ensure_future(awaitable)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                continue
        return task.result()


def conclude(running: FlowRunning, *, return_state: bool) -> Any:
    """Return or raise what the run came to."""
    error = running.error
    if error is None:
        run_history.flow_produced(running.log, running.value)
    try:
        if error is not None and not (return_state and isinstance(error, Exception)):
            raise error
        if return_state:
            return running.state
        if is_state(running.value):
            return running.state._value(raise_on_failure=True)
        return running.value
    finally:
        del error  # an exception must not keep itself alive
