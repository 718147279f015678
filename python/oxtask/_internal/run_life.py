"""The life of a task run that is more than one call: retries, hooks, timeouts, names, states.

`life` says what happens, in what order; it yields every step that may be asynchronous. The drivers
of `oxtask._internal.steps` carry the steps out: in `oxtask._internal.engine` for the core, in
`oxtask._internal.calls` where a task is called directly.
"""

from __future__ import annotations

import time
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from oxtask._internal import log_lines, plan_watch, task_transactions
from oxtask._internal.deadlines import BodyTimedOut
from oxtask._internal.interruptions import FlowInterrupted, RaisedElsewhere, original
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
    from_user_code,
)
from oxtask._internal.stored_links import link_to
from oxtask._internal.task_runs import (
    CACHED,
    CANCELLED,
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    CRASHED,
    FAILED,
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
    WorkerDiedError,
)
from oxtask.results import ResultRecord

if TYPE_CHECKING:
    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.flows import Flow
    from oxtask.states import State


DELAY, LOST = 13, 14
"""Answers that do not end the run: try again later, and somebody else has ended it."""


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
        return (yield from end(run, CRASHED, original(error)))
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
    if record is not None:
        log.stored = link_to(record.metadata)
    state = final_state(code, output, time.time_ns(), record)
    log.enter(state)
    log.release_slots()
    if ends_well:
        try:
            error = yield from task_transactions.completed(run, log)
        except BaseException as raised_by_hook:  # noqa: BLE001 - the run has ended; its caller hears
            log.hook_error = original(raised_by_hook)
        else:
            if error is not None:
                code, output = FAILED, error
                state = final_state(code, output, time.time_ns())
                log.stored = None
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
        log.hook_error = original(error)
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
