"""The life of a task run that is more than one call: retries, hooks, timeouts, names, states.

`life` says what happens, in what order; it yields every step that may be asynchronous. Drivers carry
the steps out: `run_attempt` on a worker thread, `arun_attempt` on an event loop, and those in
`oxtask._internal.calls` where a task is called directly. The core calls `run_attempt`, `expired`,
`raised`, `returned`, `not_ready` and `unresolved`, and reads their answers: a code and what goes
with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oxtask._internal import log_lines
from oxtask._internal.deadlines import BodyTimedOut
from oxtask._internal.state import engine_state, is_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import (
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    CRASHED,
    FAILED,
    NOT_READY,
    TIMED_OUT,
    RunLog,
    final_state,
    new_log,
)
from oxtask.exceptions import TaskRunTimeoutError, UpstreamTaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from oxtask.states import State
    from oxtask.tasks import Task

DELAY, LOST = 8, 9
"""Answers that do not end the run: try again later, and somebody else has ended it."""

Answer = tuple[int, Any]


class RunInterrupted(BaseException):
    """Raised in a body whose run was cancelled or timed out, to make it stop.

    Derives from `BaseException`, so that an ``except Exception`` in the body does not swallow it.
    """


class Body(NamedTuple):
    """A step: call the task's function, within the time it has."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    timeout_seconds: float | None


class Call(NamedTuple):
    """A step: call a hook or a condition of the user, and await what it returns."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


Steps = Any  # a generator of steps, which returns an answer


# --- what happens -------------------------------------------------------------------------------


def life(run: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """Run a task up to its end, or up to a retry that must wait."""
    task = run.task
    log = run.record
    if log is None:
        log = new_log(run.future)
        run.set_record(log)
        try:
            name_run(task, log, args, kwargs)
        except Exception as error:  # noqa: BLE001 - a bad name fails the run, nothing else (W21)
            log_lines.failed(log, task, error)
            return (yield from conclude(run, log, FAILED, error))
    while True:
        name = "Retrying" if log.record.run_count else "Running"
        log.enter(engine_state(StateType.RUNNING, name))
        refresh_view(run, log)
        yield from hooks(task.on_running_hooks, task, log)
        code, output = yield from attempt(run, task, args, kwargs)
        if code == LOST:
            return LOST, None
        delay = yield from retry_delay(task, log, code, output)
        if delay is None:
            return (yield from conclude(run, log, code, output))
        if delay > 0:
            await_retry(log, code, output, delay)
            return DELAY, delay
        if not run.begin_again():
            return LOST, None


def attempt(run: Any, task: Task[..., Any], args: Any, kwargs: Any) -> Steps:
    """Call the function once, and judge what came of it."""
    try:
        value = yield Body(task._callable(), args, kwargs, task.timeout_seconds)
    except BaseException as error:  # noqa: BLE001 - judged here, whatever it is
        return judge_error(error) if run.seal() else (LOST, None)
    if not run.seal():
        return LOST, None
    try:
        return judge_value(value)
    except Exception as error:  # noqa: BLE001 - a generator was read, and raised
        return judge_error(error)


def judge_error(error: BaseException) -> Answer:
    """Tell how a body ended that raised."""
    if isinstance(error, BodyTimedOut):
        return TIMED_OUT, TaskRunTimeoutError.after(error.seconds)
    if isinstance(error, TimeoutError):
        return TIMED_OUT, error
    return (FAILED if isinstance(error, Exception) else CRASHED), error


def judge_value(value: Any) -> Answer:
    """Tell how a body ended that returned."""
    from oxtask.states import (  # noqa: PLC0415 - start-up time
        is_state_iterable,
        return_value_to_state,
        settled_return_state,
    )

    state = return_value_to_state(value)
    if not (is_state(value) or is_state_iterable(value)):
        return COMPLETED, state.data.result
    state = settled_return_state(state)
    return (CHOSEN_FAILED if _is_bad(state) else CHOSEN), state


def _is_bad(state: State[Any]) -> bool:
    return not (state.is_completed() or state.is_paused())


def retry_delay(task: Task[..., Any], log: RunLog, code: int, output: Any) -> Steps:
    """Return the seconds to wait before the next attempt, or ``None`` if there is none."""
    failed_state = code == CHOSEN_FAILED and output.is_failed()
    if code not in {FAILED, TIMED_OUT} and not failed_state:
        return None
    done = log.record.run_count
    if done > task.retries:
        log_lines.failed(log, task, output, exhausted=task.retries > 0)
        return None
    condition = task.retry_condition_fn
    if condition is not None:
        state = output if failed_state else condition_state(output)
        try:
            wanted = yield Call(condition, (task, log.record, state))
        except Exception as error:  # noqa: BLE001 - logged; the failure stands
            log_lines.condition_failed(log, task, error)
            wanted = False
        if not wanted:
            log_lines.failed(log, task, output)
            return None
    delay = task._delay_before_retry(done - 1)
    log_lines.retrying(log, task, output, done, delay)
    return delay


def condition_state(error: BaseException) -> State[Any]:
    """Return the state that a retry condition is asked about."""
    message = f"Task run encountered unexpected exception: {error!r}"
    return engine_state(StateType.FAILED, message=message, data=error)


def await_retry(log: RunLog, code: int, output: Any, delay: float) -> None:
    """Let the run enter the state in which it waits for its next attempt."""
    import time  # noqa: PLC0415 - only runs that wait need it

    failed = output if is_state(output) else final_state(code, output, time.time_ns())
    log.enter(
        engine_state(
            StateType.SCHEDULED,
            "AwaitingRetry",
            message=failed.message,
            data=failed.data,
            details={"scheduled_time": time.time_ns() + int(delay * 1e9)},
        )
    )


def conclude(run: Any, log: RunLog, code: int, output: Any) -> Steps:
    """Let the run enter its final state, and run the hooks that belong to it."""
    import time  # noqa: PLC0415 - start-up time

    task = run.task
    state = final_state(code, output, time.time_ns())
    log.enter(state)
    try:
        if state.is_completed():
            yield from hooks(task.on_completion_hooks, task, log)
        elif state.is_failed():
            yield from hooks(task.on_failure_hooks, task, log)
    except BaseException as error:  # noqa: BLE001 - the run has ended; it goes to the caller, if any
        log.hook_error = error
    log_lines.finished(log, task)
    return code, output


def hooks(functions: list[Callable[..., Any]], task: Task[..., Any], log: RunLog) -> Steps:
    """Call hooks in order; one that fails is logged and does not keep the others."""
    for function in tuple(functions):
        log_lines.hook_begins(log, task, function)
        try:
            yield Call(function, (task, log.record, log.record.state))
        except Exception as error:  # noqa: BLE001 - a hook never changes the run
            log_lines.hook_failed(log, task, function, error)
        else:
            log_lines.hook_done(log, task, function)
    return COMPLETED, None


def name_run(task: Task[..., Any], log: RunLog, args: Any, kwargs: Any) -> None:
    """Give the run the name its task asks for."""
    if task.task_run_name is None or task.task_run_name == "":
        return
    from oxtask._internal.run_names import custom_name  # noqa: PLC0415 - start-up time

    name = custom_name(task.task_run_name, task._bind(args, kwargs), "task_run_name")
    log_lines.renamed(log, task, name)
    log.record.name = name


def refresh_view(run: Any, log: RunLog) -> None:
    """Let the body of the next attempt see a context of its own."""
    if run.view is not None:
        state = log.record.state
        run.set_view(run.view.model_copy(update={"start_time": state and state.timestamp}))


# --- how steps are carried out --------------------------------------------------------------------


def drive(steps: Any, body: Callable[[Body], Any]) -> Answer:
    """Carry out the steps on this thread; async hooks run on an event loop of their own."""
    result: Any = None
    raised: BaseException | None = None
    while True:
        try:
            step = steps.send(result) if raised is None else steps.throw(raised)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        result, raised = None, None
        try:
            if type(step) is Body:
                result = body(step)
            else:
                result = call_step(step)
        except BaseException as error:  # noqa: BLE001 - handed to `life`, which judges
            raised = error


def call_step(step: Call) -> Any:
    """Call a hook or a condition; what it returns is run to its end if it is awaitable."""
    result = step.function(*step.args)
    return run_awaitable(result) if hasattr(result, "__await__") else result


async def adrive(steps: Any, body: Callable[[Body], Coroutine[Any, Any, Any]]) -> Answer:
    """Carry out the steps on the running event loop."""
    result: Any = None
    raised: BaseException | None = None
    while True:
        try:
            step = steps.send(result) if raised is None else steps.throw(raised)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        result, raised = None, None
        try:
            if type(step) is Body:
                result = await body(step)
            else:
                result = step.function(*step.args)
                if hasattr(result, "__await__"):
                    result = await result
        except BaseException as error:  # noqa: BLE001 - handed to `life`, which judges
            raised = error


def run_awaitable(awaitable: Any) -> Any:
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


# --- called by the core --------------------------------------------------------------------------


def run_attempt(run: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
    """Run an attempt on a worker thread: its deadline takes the run away from the thread."""

    def body(step: Body) -> Any:
        if step.timeout_seconds is not None:
            log_lines.cannot_interrupt(run.record, run.task)
            run.arm(step.timeout_seconds)
        return call_body(run, step)

    return drive(life(run, args, kwargs), body)


def call_body(run: Any, step: Body) -> Any:
    """Call the function, with its prints logged if the task wants that."""
    if not run.task._logs_prints():
        return step.function(*step.args, **step.kwargs)
    from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

    with patch_print():
        return step.function(*step.args, **step.kwargs)


async def arun_attempt(run: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
    """Run an attempt on an event loop."""
    return await adrive(life(run, args, kwargs), lambda step: acall_body(run, step))


async def acall_body(run: Any, step: Body) -> Any:
    """Call the coroutine function; at its deadline it is cancelled."""
    from oxtask._internal.deadlines import awithin  # noqa: PLC0415 - start-up time

    if not run.task._logs_prints():
        return await awithin(step.timeout_seconds, step.function, step.args, step.kwargs)
    from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

    with patch_print():
        return await awithin(step.timeout_seconds, step.function, step.args, step.kwargs)


def expired(run: Any, thread_id: int) -> Answer:
    """Take over a run whose deadline passed while a thread was in its body.

    Args:
        run: The run, as the attempt that now speaks for it.
        thread_id: The thread, as in `threading.get_ident`.
    """
    task, log = run.task, run.record
    log_lines.stuck(log, task, thread_id)
    run.interrupt()

    def steps() -> Steps:
        error = TaskRunTimeoutError.after(task.timeout_seconds)
        delay = yield from retry_delay(task, log, TIMED_OUT, error)
        if delay is None:
            return (yield from conclude(run, log, TIMED_OUT, error))
        if delay > 0:
            await_retry(log, TIMED_OUT, error, delay)
        return DELAY, delay

    return drive(steps(), call_nothing)


def call_nothing(step: Body) -> Any:
    """Refuse to call a body: the steps at hand have none."""
    raise AssertionError(step)


def raised(run: Any, error: BaseException) -> Answer:
    """Tell how a run ended that has nothing to its name and raised."""
    if not run.is_current():
        return LOST, None
    code, output = judge_error(error)
    log_lines.plain_end(run, code, output)
    return code, output


def returned(run: Any, value: Any) -> Answer:
    """Tell how a run ended that returned a state, a list of states or a generator."""
    try:
        code, output = judge_value(value)
    except Exception as error:  # noqa: BLE001 - a generator was read, and raised
        return raised(run, error)
    if code == CHOSEN_FAILED:
        log_lines.plain_end(run, code, output)
    return code, output


def not_ready(run: Any, upstream: Any) -> Answer:
    """Tell how a run ended one of whose inputs did not complete."""
    from oxtask._internal.inputs import upstream_message  # noqa: PLC0415 - start-up time

    return refuse(run, UpstreamTaskError(upstream_message(upstream.task_run_id)))


def unresolved(run: Any, error: BaseException) -> Answer:
    """Tell how a run ended whose inputs could not be resolved."""
    if isinstance(error, UpstreamTaskError):
        return refuse(run, error)
    log = run.record or new_log(run.future)
    run.set_record(log)
    if not isinstance(error, Exception):
        return CRASHED, error
    log_lines.failed(log, run.task, error)
    return drive(conclude(run, log, FAILED, error), call_nothing)


def refuse(run: Any, error: UpstreamTaskError) -> Answer:
    """Log that a run never starts."""
    log_lines.plain_end(run, NOT_READY, error)
    return NOT_READY, error
