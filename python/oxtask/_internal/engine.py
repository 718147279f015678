"""What the core calls: attempts of runs, and what becomes of runs that end out of the ordinary.

The core calls `run_attempt`, `arun_attempt`, `expired`, `raised`, `returned`, `not_stored`,
`not_ready` and `unresolved`, and reads their answers: a code and what goes with it. What happens in
a run is said in `oxtask._internal.run_life`.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from oxtask._internal import log_lines, task_transactions
from oxtask._internal.deadlines import awithin
from oxtask._internal.interruptions import RunInterrupted
from oxtask._internal.run_history import observe
from oxtask._internal.run_life import (
    DELAY,
    LOST,
    attempts,
    conclude,
    end,
    hooks,
    is_good,
    judge_error,
    judge_value,
    life,
    new_record,
    retry_delay,
)
from oxtask._internal.steps import (
    Answer,
    Body,
    Call,
    Steps,
    adrive,
    call_nothing,
    drive,
    run_awaitable,
)
from oxtask._internal.task_runs import (
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    CRASHED,
    FAILED,
    NOT_READY,
    TIMED_OUT,
    RunLog,
    awaiting_retry,
)
from oxtask.exceptions import (
    TaskRunTimeoutError,
    UpstreamTaskError,
)

if TYPE_CHECKING:
    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery


__all__ = [
    "DELAY",
    "LOST",
    "Body",
    "Call",
    "RunInterrupted",
    "adrive",
    "arun_attempt",
    "attempts",
    "call_nothing",
    "conclude",
    "drive",
    "end",
    "expired",
    "hooks",
    "judge_error",
    "judge_value",
    "life",
    "not_ready",
    "raised",
    "returned",
    "run_attempt",
    "run_awaitable",
    "unresolved",
]


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
