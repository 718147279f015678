"""The life of a flow run.

`life` says what happens, in what order, and yields every step that may be asynchronous; `run` and
`arun` carry the steps out, as the task engine does.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from oxtask._internal import flow_parameters, inputs, log_lines
from oxtask._internal.deadlines import BodyTimedOut, awithin, within
from oxtask._internal.engine import Body, adrive, drive, hooks
from oxtask._internal.state import engine_state, is_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import RunLog
from oxtask.client.schemas.objects import FlowRun, FlowRunPolicy
from oxtask.context import FlowRunContext, TagsContext
from oxtask.exceptions import FlowRunTimeoutError, ParameterTypeError, UpstreamTaskError

if TYPE_CHECKING:
    from oxtask.flows import Flow
    from oxtask.states import State
    from oxtask.task_runners import TaskRunner

Steps = Any  # a generator of steps: see `oxtask._internal.engine`


class FlowRunning:
    """A flow run on its way: its record, and what the last attempt came to."""

    def __init__(self, flow: Flow[..., Any], parameters: dict[str, Any]) -> None:
        self.flow = flow
        self.parameters = parameters
        parent = FlowRunContext.get()
        policy = FlowRunPolicy(retries=flow.retries, retry_delay=int(flow.retry_delay_seconds))
        record = FlowRun.new_pending(
            flow_version=flow.version,
            parameters=parameters,
            tags=sorted(TagsContext.get().current_tags),
            empirical_policy=policy,
        )
        self.log = RunLog(record)
        self.is_subflow = parent is not None
        self.log_prints = flow.log_prints
        if self.log_prints is None and parent is not None:
            self.log_prints = parent.log_prints
        self.value: Any = None
        self.error: BaseException | None = None

    def context(self, runner: TaskRunner[Any]) -> FlowRunContext:
        """Make the context of the next attempt."""
        state = self.log.record.state
        return FlowRunContext(
            flow=self.flow,
            flow_run=self.log.record,
            task_runner=runner,
            parameters=self.parameters,
            log_prints=bool(self.log_prints),
            start_time=None if state is None else state.timestamp,
            is_async=self.flow.isasync,
        )

    def runner(self) -> TaskRunner[Any]:
        """Return a runner for the next attempt."""
        from oxtask.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415 - start-up time

        chosen = self.flow.task_runner
        return ThreadPoolTaskRunner() if chosen is None else chosen.duplicate()

    def enter(self, state: State[Any]) -> State[Any]:
        """Let the run enter a state."""
        self.log.enter(state)
        return state


def run(flow: Flow[..., Any], parameters: dict[str, Any], wait_for: Any, *, return_state: bool) -> Any:
    """Run a sync flow on this thread."""
    running = FlowRunning(flow, parameters)
    steps = _prepared(running, wait_for)
    while True:
        runner = running.runner()
        with ExitStack() as stack:
            stack.enter_context(running.context(runner))
            stack.enter_context(runner)
            delay = drive(steps, lambda step: _body(running, step))
            _stop(running, runner)
        if delay is None:
            return conclude(running, return_state=return_state)
        time.sleep(delay)
        steps = _attempt(running)


def _body(running: FlowRunning, step: Body) -> Any:
    call = _printing(running, lambda: step.function(*step.args, **step.kwargs))
    value = within(step.timeout_seconds, call)
    return _states_of(value)


def _states_of(value: Any) -> Any:
    from oxtask.futures import resolve_futures_to_states  # noqa: PLC0415 - start-up time

    return resolve_futures_to_states(value)


def _printing(running: FlowRunning, call: Any) -> Any:
    if not running.log_prints:
        return call

    def printing() -> Any:
        from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

        with patch_print():
            return call()

    return printing


async def arun(
    flow: Flow[..., Any], parameters: dict[str, Any], wait_for: Any, *, return_state: bool
) -> Any:
    """Run an async flow on the running event loop."""
    running = FlowRunning(flow, parameters)
    await inputs.await_futures((parameters, wait_for))
    steps = _prepared(running, wait_for)
    while True:
        runner = running.runner()
        with ExitStack() as stack:
            stack.enter_context(running.context(runner))
            stack.enter_context(runner)
            delay = await adrive(steps, lambda step: _abody(running, step))
            await _astop(running, runner)
        if delay is None:
            return conclude(running, return_state=return_state)
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.sleep(delay)
        steps = _attempt(running)


async def _abody(running: FlowRunning, step: Body) -> Any:
    value = await awithin(
        step.timeout_seconds, _aprinting(running, step.function), step.args, step.kwargs
    )
    await inputs.await_futures(value)
    return _states_of(value)


def _aprinting(running: FlowRunning, function: Any) -> Any:
    if not running.log_prints:
        return function

    async def printing(*args: Any, **kwargs: Any) -> Any:
        from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

        with patch_print():
            return await function(*args, **kwargs)

    return printing


# --- the runner's end -----------------------------------------------------------------------------


def _stop(running: FlowRunning, runner: TaskRunner[Any]) -> None:
    """Drop what the attempt left behind, unless it ended well: then leaving the runner drains it."""
    if _must_not_wait(running):
        runner.cancel_all()
    elif running.error is not None:
        _drop_queued(running, runner)


async def _astop(running: FlowRunning, runner: TaskRunner[Any]) -> None:
    _stop(running, runner)
    core = getattr(runner, "_runner", None)
    if core is not None and not core.drain(0):
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.get_running_loop().run_in_executor(None, core.drain)


def _must_not_wait(running: FlowRunning) -> bool:
    """Tell whether running tasks are told to stop: after a crash, and when the flow is out of time."""
    error = running.error
    return error is not None and (
        isinstance(error, FlowRunTimeoutError) or not isinstance(error, Exception)
    )


def _drop_queued(running: FlowRunning, runner: TaskRunner[Any]) -> None:
    core = getattr(runner, "_runner", None)
    if core is None:
        return
    count = core.cancel_all()
    if count:
        text = f"The flow failed: {count} task run(s) that had not started were cancelled"
        log_lines.write(running.log, running.flow, log_lines.WARNING, text)


# --- what happens -----------------------------------------------------------------------------------


def _prepared(running: FlowRunning, wait_for: Any) -> Steps:
    """Resolve and check the parameters, name the run, and run the first attempt."""
    flow, record = running.flow, running.log.record
    try:
        inputs.check_wait_for(wait_for)
        running.parameters = inputs.resolve_one(running.parameters)
    except UpstreamTaskError as error:
        running.error = error
        running.enter(engine_state(StateType.PENDING, "NotReady", message=str(error)))
        return None
    record.parameters = running.parameters
    try:
        running.parameters = flow_parameters.validated(flow, running.parameters)
        record.parameters = running.parameters
    except ParameterTypeError as error:
        message = f"Validation of flow parameters failed with error: {error}"
        log_lines.write(running.log, flow, log_lines.ERROR, message)
        running.error = error
        state = running.enter(engine_state(StateType.FAILED, message=message, data=error))
        record.start_time = record.end_time = state.timestamp
        yield from hooks(flow.on_failure_hooks, flow, running.log)
        return None
    context = FlowRunContext.get()
    if context is not None:
        context.parameters = running.parameters
    if flow.flow_run_name:
        from oxtask._internal.run_names import custom_name  # noqa: PLC0415 - start-up time

        record.name = custom_name(flow.flow_run_name, running.parameters, "flow_run_name")
    return (yield from _attempt(running))


def _attempt(running: FlowRunning) -> Steps:
    """Run an attempt; return the seconds to wait before the next, or ``None`` if there is none."""
    flow, record = running.flow, running.log.record
    log_lines.flow_begins(running.log, flow, is_subflow=running.is_subflow)
    running.value, running.error = None, None
    running.enter(engine_state(StateType.RUNNING, "Retrying" if record.run_count else "Running"))
    yield from hooks(flow.on_running_hooks, flow, running.log)
    function, args, kwargs = _call_of(running)
    try:
        running.value = yield Body(function, args, kwargs, flow.timeout_seconds)
        state = _state_of_value(running.value)
    except BaseException as error:  # noqa: BLE001 - judged here, whatever it is
        state = _state_of_error(running, error)
    if state.is_failed() and record.run_count <= flow.retries:
        delay = flow.retry_delay_seconds
        again = {"scheduled_time": time.time_ns() + int(delay * 1e9)}
        log_lines.flow_retries(running.log, flow, state, record.run_count, delay)
        running.enter(
            engine_state(
                StateType.SCHEDULED,
                "AwaitingRetry",
                message=state.message,
                data=state.data,
                details=again,
            )
        )
        return delay
    running.enter(state)
    yield from _final_hooks(running, state)
    log_lines.finished(running.log, flow)
    return None


def _call_of(running: FlowRunning) -> Any:
    flow = running.flow
    args, kwargs = flow._signature_plan().arguments(running.parameters)
    return flow.fn, args, kwargs


def _state_of_value(value: Any) -> State[Any]:
    from oxtask.states import return_value_to_state, settled_return_state  # noqa: PLC0415 - start-up

    return settled_return_state(return_value_to_state(value), "Flow run")


def _state_of_error(running: FlowRunning, error: BaseException) -> State[Any]:
    from oxtask.states import (  # noqa: PLC0415 - start-up time
        exception_to_crashed_state,
        exception_to_failed_state,
    )

    flow = running.flow
    if isinstance(error, BodyTimedOut):
        message = f"Flow run exceeded timeout of {error.seconds} second(s)"
        running.error = FlowRunTimeoutError.after(error.seconds)
        return engine_state(StateType.FAILED, "TimedOut", message=message, data=running.error)
    running.error = error
    if isinstance(error, TimeoutError):
        message = f"Flow run failed due to timeout: {error!r}"
        return engine_state(StateType.FAILED, "TimedOut", message=message, data=error)
    if isinstance(error, Exception):
        log_lines.flow_failed(running.log, flow, error)
        return exception_to_failed_state(error, "Flow run encountered an exception")
    state = exception_to_crashed_state(error)
    log_lines.crashed(running.log, flow, state, error)
    return state


def _final_hooks(running: FlowRunning, state: State[Any]) -> Steps:
    flow = running.flow
    functions: list[Any] = []
    if state.is_completed():
        functions = flow.on_completion_hooks
    elif state.is_failed():
        functions = flow.on_failure_hooks
    elif state.is_crashed():
        functions = flow.on_crashed_hooks
    elif state.is_cancelling():
        functions = flow.on_cancellation_hooks
    try:
        yield from hooks(functions, flow, running.log)
    except BaseException as error:  # noqa: BLE001 - the run has ended
        log_lines.write(running.log, flow, log_lines.DEBUG, "A hook raised", error)


def conclude(running: FlowRunning, *, return_state: bool) -> Any:
    """Return or raise what the run came to."""
    state = running.log.record.state
    assert state is not None  # noqa: S101 - a run begins with a state
    error = running.error
    if error is not None and not isinstance(error, Exception):
        raise error
    if return_state:
        return state
    if error is not None:
        raise error
    if is_state(running.value):
        return state._value(raise_on_failure=True)
    return running.value if not _was_generator(running.value) else state.data.result


def _was_generator(value: Any) -> bool:
    return hasattr(value, "gi_frame")
