"""The life of a task run that is more than one call: retries, hooks, timeouts, names, states.

`life` says what happens, in what order; it yields every step that may be asynchronous. The drivers
of `oxtask._internal.steps` carry the steps out: here on a worker thread (`run_attempt`) and on an
event loop (`arun_attempt`), in `oxtask._internal.calls` where a task is called directly. The core
calls `run_attempt`, `arun_attempt`, `expired`, `raised`, `returned`, `not_ready` and `unresolved`,
and reads their answers: a code and what goes with it.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from oxtask._internal import log_lines, plan_watch, task_transactions
from oxtask._internal.deadlines import BodyTimedOut, awithin
from oxtask._internal.interruptions import FlowInterrupted, RaisedElsewhere, RunInterrupted
from oxtask._internal.log_lines import MAX_REPR_LENGTH
from oxtask._internal.run_history import observe
from oxtask._internal.run_sources import note_sources
from oxtask._internal.state import engine_state, is_state, is_state_iterable, unwrap
from oxtask._internal.state_types import StateType
from oxtask._internal.steps import (
    Answer,
    Body,
    Call,
    Steps,
    adrive,
    call_nothing,
    drive,
    from_user_code,
    run_awaitable,
)
from oxtask._internal.task_runs import (
    CACHED,
    CANCELLED,
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    CRASHED,
    FAILED,
    NOT_READY,
    TIMED_OUT,
    RunLog,
    awaiting_retry,
    final_state,
    new_log,
)
from oxtask._internal.text import short_repr
from oxtask.exceptions import (
    TaskRunTimeoutError,
    TransferError,
    UpstreamTaskError,
    WorkerDiedError,
)
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.flows import Flow
    from oxtask.states import State


__all__ = [
    "Body",
    "Call",
    "RunInterrupted",
    "adrive",
    "arun_attempt",
    "call_nothing",
    "drive",
    "expired",
    "hooks",
    "not_ready",
    "raised",
    "returned",
    "run_attempt",
    "run_awaitable",
    "unresolved",
]

DELAY, LOST = 13, 14
"""Answers that do not end the run: try again later, and somebody else has ended it."""


# --- what happens ---------------------------------------------------------------------------------


def life(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """Run a task up to its end, or up to a retry that must wait."""
    try:
        log: RunLog[Any] = run.record or new_record(run)
        if not log.record.run_count:
            observe(run.future, log)
            log_lines.created(log, run.task)
            failure = name_run(run.task, log, args, kwargs)
            if failure is not None:
                log_lines.failed(log, run.task, failure)
                return (yield from end(run, FAILED, failure))
        if plan_watch.tags_may_be_limited():
            from oxtask._internal import tag_limits  # noqa: PLC0415 - start-up time

            return (yield from tag_limits.attempts(run, log, args, kwargs))
        return (yield from attempts(run, log, args, kwargs))
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - what is not the body's own crashes the run
        return (yield from end(run, CRASHED, error))
    finally:
        del run


def new_record(run: Run) -> RunLog[Any]:
    """Make the record of a run."""
    note_sources(run)
    log = new_log(run.future)
    run.set_record(log)
    return log


def attempts(run: Run, log: RunLog[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """Call the function until it succeeds, or no other attempt follows at once."""
    task: TaskMachinery = run.task
    while True:
        name = "Retrying" if log.record.run_count else "Running"
        log.enter(engine_state(StateType.RUNNING, name))
        refresh_view(run, log)
        yield from hooks(task.on_running_hooks, task, log)
        log_lines.executing(log, task)
        code, output = yield from attempt(run, log, args, kwargs)
        if not is_good(code, output):
            error = output if isinstance(output, BaseException) else None
            own = None if code == LOST else log
            yield from task_transactions.failed(run, own, error, is_last=False)
        if code == LOST:
            return LOST, None
        delay = yield from retry_delay(task, log, code, output)
        if delay is None:
            return (yield from conclude(run, code, output))
        if delay > 0:
            log.enter(awaiting_retry(output, delay, time.time_ns()))
            return DELAY, delay
        if not run.begin_again():
            return LOST, None


def attempt(run: Run, log: RunLog[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """Call the function once, unless what it returns is known, and judge what came of it."""
    task: TaskMachinery = run.task
    kept: task_transactions.Kept | None = None
    answer: Answer
    try:
        kept = yield from task_transactions.begin(run, log, args, kwargs)
        if kept is not None and kept.record is not None:
            answer = CACHED, kept.record.result
            is_own = run.seal()
        else:
            began = time.monotonic_ns()
            value = yield Body(task._body(), args, kwargs, task.timeout_seconds)
            if kept is not None:
                kept.body = time.monotonic_ns() - began
            is_own = run.seal()
            answer = judge_value(value) if is_own else (LOST, None)
    except BaseException as error:  # noqa: BLE001 - judged here, whatever it is
        error.__traceback__ = from_user_code(error.__traceback__)
        is_own = run.seal()
        answer = judge_error(error) if is_own else (LOST, None)
    finally:
        # The collector cannot look into a run: no frame of a traceback may hold one.
        del run
    if is_own:
        return answer
    yield from task_transactions.lost(kept)
    return LOST, None


def judge_error(error: BaseException) -> Answer:
    """Tell how a body ended that raised."""
    if isinstance(error, BodyTimedOut):
        return TIMED_OUT, TaskRunTimeoutError.after(error.seconds)
    if isinstance(error, TimeoutError):
        return TIMED_OUT, error
    if isinstance(error, RaisedElsewhere):
        return (CRASHED, error.error) if error.is_crash else judge_error(error.error)
    if isinstance(error, FlowInterrupted):
        return CANCELLED, error
    return (FAILED if isinstance(error, Exception) else CRASHED), error


def judge_value(value: Any) -> Answer:
    """Tell how a body ended that returned."""
    if isinstance(value, GeneratorType):
        try:
            value = list(value)
        except Exception as error:  # noqa: BLE001 - judged like one of the body
            return judge_error(error)
    elif isinstance(value, ResultRecord):
        value = value.result
    elif is_state(value) or is_state_iterable(value):
        from oxtask.states import (  # noqa: PLC0415 - start-up time
            return_value_to_state,
            settled_return_state,
        )

        state = settled_return_state(return_value_to_state(value))
        is_bad = not (state.is_completed() or state.is_paused())
        return (CHOSEN_FAILED if is_bad else CHOSEN), state
    return COMPLETED, value


def is_good(code: int, output: Any) -> bool:
    """Tell whether an attempt ended so that what it did is committed."""
    return code in {COMPLETED, CACHED} or (code == CHOSEN and output.is_completed())


def retry_delay(task: TaskMachinery, log: RunLog[Any], code: int, output: Any) -> Steps:
    """Return the seconds to wait before the next attempt, or ``None`` if there is none."""
    failed_state = code == CHOSEN_FAILED and output.is_failed()
    if code == CRASHED:
        if not isinstance(output, WorkerDiedError):
            return None
    elif code not in {FAILED, TIMED_OUT} and not failed_state:
        return None
    if isinstance(output, TransferError):
        log_lines.failed(log, task, output)  # the function did its part; once more is no better
        return None
    done = log.record.run_count
    if done > task.retries:
        if code == CRASHED:
            return None
        log_lines.failed(log, task, output, exhausted=task.retries > 0)
        return None
    condition = task.retry_condition_fn
    if condition is not None:
        state = output if failed_state else condition_state(output)
        try:
            wanted = bool((yield Call(condition, (task, log.record, state))))
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
    message = f"Task run encountered unexpected exception: {short_repr(error, MAX_REPR_LENGTH)}"
    return engine_state(StateType.FAILED, message=message, data=error)


def end(run: Run, code: int, output: Any) -> Steps:
    """End a run out of turn, unless somebody else has."""
    if not run.seal():
        return LOST, None
    return (yield from conclude(run, code, output))


def conclude(run: Run, code: int, output: Any) -> Steps:
    """Let the run enter its final state, and run the hooks that belong to it."""
    task: TaskMachinery = run.task
    log: RunLog[Any] = run.record
    ends_well = is_good(code, output)
    if not ends_well:
        error = output if isinstance(output, BaseException) else None
        yield from task_transactions.failed(run, log, error)
        yield from task_transactions.keep_error(log, task, output)
    kept = log.kept
    if kept is not None and code != CACHED:
        chosen: Any = output
        kept.stage(log, task, output if code == COMPLETED else unwrap(chosen.data))
    record = None if kept is None else kept.record
    state = final_state(code, output, time.time_ns(), record)
    log.enter(state)
    log.release_slots()
    if ends_well:
        try:
            error = yield from task_transactions.completed(run, log)
        except BaseException as raised_by_hook:  # noqa: BLE001 - the run has ended; its caller hears
            log.hook_error = raised_by_hook
        else:
            if error is not None:
                code, output = FAILED, error
                state = final_state(code, output, time.time_ns())
                log.overrule(state)
                log_lines.failed(log, task, output)
    if code == CRASHED:
        log_lines.crashed(log, task, state, output)
    try:
        if state.is_completed():
            yield from hooks(task.on_completion_hooks, task, log)
        elif state.is_failed():
            yield from hooks(task.on_failure_hooks, task, log)
    except BaseException as error:  # noqa: BLE001 - the run has ended; its caller hears, if any
        log.hook_error = error
    log_lines.finished(log, task)
    return code, output


def hooks(functions: list[Any], owner: TaskMachinery | Flow[..., Any], log: RunLog[Any]) -> Steps:
    """Call hooks in order; one that fails is logged and does not keep the others."""
    for function in tuple(functions):
        log_lines.hook_begins(log, owner, function)
        try:
            yield Call(function, (owner, log.record, log.record.state))
        except Exception as error:  # noqa: BLE001 - a hook never changes the run
            log_lines.hook_failed(log, owner, function, error)
        else:
            log_lines.hook_done(log, owner, function)


def name_run(
    task: TaskMachinery, log: RunLog[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Exception | None:
    """Give the run the name its task asks for; return what went wrong, if anything did."""
    if task.task_run_name is None or task.task_run_name == "":
        return None
    from oxtask._internal.run_names import custom_name  # noqa: PLC0415 - start-up time

    try:
        name = custom_name(task.task_run_name, task._bind(args, kwargs), "task_run_name")
    except Exception as error:  # noqa: BLE001 - fails the run, and nothing else
        return error
    log_lines.renamed(log, task, name)
    log.record.name = name
    return None


def refresh_view(run: Run, log: RunLog[Any]) -> None:
    """Let the body of the next attempt see a context of its own."""
    if run.view is not None:
        state = log.record.state
        own = {"start_time": state and state.timestamp, "asset_metadata": {}}
        run.set_view(run.view.model_copy(update=own))


# --- called by the core ---------------------------------------------------------------------------


def run_attempt(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
    """Run an attempt on a worker thread: its deadline takes the run away from the thread."""
    body = _WorkerBody(run)
    try:
        answer: Answer = drive(life(run, args, kwargs), body)
        return answer
    finally:
        del run, body.run


class _WorkerBody:
    """Calls the function on a worker thread."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.task: TaskMachinery = run.task

    def __call__(self, step: Body) -> Any:
        if step.timeout_seconds is not None:
            log_lines.cannot_interrupt(self.run.record, self.task)
        self.run.enter_body()
        if step.timeout_seconds is not None:
            self.run.arm(step.timeout_seconds)
        value = call_body(self.task, step)
        return collected(value) if self.task.isgenerator else value


def call_body(task: TaskMachinery, step: Body) -> Any:
    """Call the function, with its prints logged if the task wants that."""
    with printing(task):
        return step.function(*step.args, **step.kwargs)


def printing(task: TaskMachinery) -> AbstractContextManager[None]:
    """Return what is entered around a body whose prints are logged, or need not be."""
    if not task._logs_prints():
        return nullcontext()
    from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

    return patch_print()


def collected(items: Any) -> list[Any]:
    """Return what a generator, async or not, yields."""
    if not hasattr(items, "__aiter__"):
        return list(items)

    async def collect() -> list[Any]:
        return [item async for item in items]

    return run_awaitable(collect())  # type: ignore[no-any-return]


async def arun_attempt(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
    """Run an attempt on an event loop."""
    task: TaskMachinery = run.task
    steps = life(run, args, kwargs)
    del run
    answer: Answer = await adrive(steps, lambda step: acall_body(task, step))
    return answer


async def acall_body(task: TaskMachinery, step: Body) -> Any:
    """Call the coroutine function; at its deadline it is cancelled."""
    with printing(task):
        return await awithin(step.timeout_seconds, step.function, step.args, step.kwargs)


def expired(run: Run, thread_id: int) -> Answer:
    """Take over a run whose deadline passed while a thread was in its body.

    Args:
        run: The run, as the attempt that now speaks for it.
        thread_id: The thread, as in `threading.get_ident`.
    """
    task: TaskMachinery = run.task
    log: RunLog[Any] = run.record
    seconds = task.timeout_seconds or 0.0
    log_lines.stuck(log, task, thread_id)
    run.interrupt()

    def steps() -> Steps:
        error = TaskRunTimeoutError.after(seconds)
        delay = yield from retry_delay(task, log, TIMED_OUT, error)
        if delay is None:
            return (yield from conclude(run, TIMED_OUT, error))
        yield from task_transactions.failed(run, log, error, is_last=False)
        if delay > 0:
            log.enter(awaiting_retry(error, delay, time.time_ns()))
        log.release_slots()
        return DELAY, delay

    answer: Answer = drive(steps(), call_nothing)
    return answer


def raised(run: Run, error: BaseException) -> Answer:
    """Tell how a run ended that has nothing to its name and raised."""
    had_transaction = run.transaction is not None
    if had_transaction:
        drive(task_transactions.failed(run, None, error), call_nothing)
    if not run.is_current():
        return LOST, None
    code, output = judge_error(error)
    if had_transaction and code in {FAILED, TIMED_OUT}:
        delay = run.retry_after(output)  # otherwise the core has seen to it
        if delay is not None:
            return DELAY, delay
    log_lines.plain_end(run, code, output)
    return code, output


def returned(run: Run, value: Any) -> Answer:
    """Tell how a run ended that returned a state, a list of states or a generator."""
    code, output = judge_value(value)
    if is_good(code, output):
        error = drive(task_transactions.plainly_completed(run, output), call_nothing)
        if error is not None:
            code, output = FAILED, error
    else:
        drive(task_transactions.failed(run, None, None), call_nothing)
    if code not in {COMPLETED, CHOSEN}:
        if not run.is_current():
            return LOST, None
        if code == FAILED or (code == CHOSEN_FAILED and output.is_failed()):
            delay = run.retry_after(output)
            if delay is not None:
                return DELAY, delay
        log_lines.plain_end(run, code, output)
    elif log_lines.is_on(log_lines.INFO):
        if not run.seal():
            return LOST, None
        log_lines.plain_completed(run, code, output)
    return code, output


def not_stored(run: Run, value: Any, cause: BaseException) -> Answer:
    """Tell how a run ended whose value the core could not store."""
    error = task_transactions.why_it_fails(run.task, cause)
    if error is None:
        log_lines.not_stored(run, cause)
        return COMPLETED, value
    if not run.is_current():
        return LOST, None
    log_lines.plain_end(run, FAILED, error)
    return FAILED, error


def not_ready(run: Run, upstream: Any) -> Answer:
    """Tell how a run ended one of whose inputs did not complete."""
    from oxtask._internal.inputs import upstream_message  # noqa: PLC0415 - start-up time

    return refuse(run, UpstreamTaskError(upstream_message(upstream.task_run_id)))


def unresolved(run: Run, error: BaseException) -> Answer:
    """Tell how a run ended whose inputs could not be resolved."""
    if isinstance(error, UpstreamTaskError):
        return refuse(run, error)
    log = run.record or new_record(run)
    observe(run.future, log)
    code = FAILED if isinstance(error, Exception) else CRASHED
    if code == FAILED:
        log_lines.failed(log, run.task, error)
    answer: Answer = drive(conclude(run, code, error), call_nothing)
    return answer


def refuse(run: Run, error: UpstreamTaskError) -> Answer:
    """Log that a run never starts."""
    log_lines.plain_end(run, NOT_READY, error)
    return NOT_READY, error
