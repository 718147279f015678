"""What the engines log, and when.

Nothing is formatted for a line that nobody sees, and `logging` not imported. The lines are those of
`oxtask.logging.messages`; here is decided whether they are written.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from oxtask._core import frame_of
from oxtask._internal import plan_watch
from oxtask._internal.run_sources import note_sources
from oxtask._internal.task_runs import (
    CHOSEN,
    COMPLETED,
    NOT_READY,
    RunLog,
    final_state,
    log_of,
)
from oxtask._internal.text import short_repr
from oxtask.exceptions import HashError, SerializationError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from oxtask._core import Run
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.flows import Flow
    from oxtask.states import State

    AnyFlow = Flow[..., Any]

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
TASK_RUNS, FLOW_RUNS = "oxtask.task_runs", "oxtask.flow_runs"
MAX_REPR_LENGTH = 2_000


def is_on(level: int, name: str = TASK_RUNS) -> bool:
    """Tell whether lines of this level are written.

    Before anybody imported `logging` nobody can have asked for more than the settings say.
    """
    if "oxtask.logging" not in sys.modules and "logging" not in sys.modules:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        return level >= _LEVELS.get(get_current_settings().logging.level, WARNING)
    return bool(logger(name).isEnabledFor(level))


def may_be_on(level: int) -> bool:
    """Tell whether lines of task runs of this level are written, but for `disable_run_logger`.

    What is worked out once per task must not depend on that: nobody hears of its end.
    """
    if is_on(level):
        return True
    known = _loggers.get(TASK_RUNS)
    return bool(
        known is not None
        and known.disabled
        and known.manager.disable < level
        and known.getEffectiveLevel() <= level
    )


def logger(name: str) -> logging.Logger:
    """Return a logger of runs; plans are forgotten when its level changes."""
    known = _loggers.get(name)
    if known is None:
        from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

        known = _loggers[name] = get_logger(name)
        plan_watch.watch(known)
    return known


_loggers: dict[str, logging.Logger] = {}
"""Loggers by name: asking `logging` for one takes its lock."""
_LEVELS = {"DEBUG": DEBUG, "INFO": INFO, "WARNING": WARNING, "ERROR": ERROR, "CRITICAL": 50}


def write(
    log: RunLog[Any], owner: TaskMachinery | AnyFlow, level: int, text: str, error: Any = None
) -> None:
    """Write a line of a run.

    Args:
        log: The log of the run.
        owner: Its task or flow.
        level: As in `logging`.
        text: The line.
        error: What to show the traceback of, if it is an exception.
    """
    is_flow = _is_flow(log)
    if not is_on(level, FLOW_RUNS if is_flow else TASK_RUNS):
        return
    from oxtask.logging import flow_run_logger, task_run_logger  # noqa: PLC0415 - start-up time

    run_logger: Any = flow_run_logger if is_flow else task_run_logger
    shown = None
    if isinstance(error, BaseException):
        # Not the exception itself: `logging` asks for its truth, which is up to its class.
        shown = type(error), error, error.__traceback__
    run_logger(log.record, owner).log(level, text, exc_info=shown)


def _is_flow(log: RunLog[Any]) -> bool:
    return hasattr(log.record, "flow_id")


def created(log: RunLog[Any], task: TaskMachinery) -> None:
    """Write that a run was made."""
    if is_on(DEBUG):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        write(log, task, DEBUG, messages.task_run_created(log.record.name, task.name))


def executing(log: RunLog[Any], task: TaskMachinery) -> None:
    """Write that the function is about to be called."""
    if is_on(DEBUG):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        write(log, task, DEBUG, messages.task_executing(log.record.name, task.name))


def failed(log: RunLog[Any], task: TaskMachinery, output: Any, *, exhausted: bool = False) -> None:
    """Write that an attempt failed and no other follows."""
    end = " - Retries are exhausted" if exhausted else ""
    write(log, task, ERROR, f"Task run failed with {_shown(output)}{end}", output)


def retrying(log: RunLog[Any], task: TaskMachinery, output: Any, count: int, delay: float) -> None:
    """Write that an attempt failed and another follows."""
    if is_on(INFO):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        again = messages.retrying(count, task.retries, delay)
        write(log, task, INFO, f"Task run failed with {_shown(output)} - {again}")


def _shown(output: Any) -> str:
    kind = "exception" if isinstance(output, BaseException) else "state"
    return f"{kind}: {short_repr(output, MAX_REPR_LENGTH)}"


def crashed(
    log: RunLog[Any], owner: TaskMachinery | AnyFlow, state: State[Any], error: BaseException
) -> None:
    """Write that a run crashed."""
    if is_on(ERROR, FLOW_RUNS if _is_flow(log) else TASK_RUNS):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        write(log, owner, ERROR, messages.crashed(state.message or ""))
        write(log, owner, DEBUG, "Crash details:", error)


def finished(log: RunLog[Any], owner: TaskMachinery | AnyFlow) -> None:
    """Write the state in which a run ended."""
    state = log.record.state
    if state is None or not is_on(INFO if state.is_completed() else ERROR):
        return
    from oxtask.logging import messages  # noqa: PLC0415 - start-up time
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    debug = get_current_settings().debug_mode
    level, text = messages.finished(state, debug_mode=debug)
    write(log, owner, level, text)


def plain_end(run: Run, code: int, output: Any) -> None:
    """Write how a run without a record ended, unless a plain value is all that came of it."""
    if not is_on(ERROR):
        return
    from oxtask._internal.run_history import observe  # noqa: PLC0415 - circular

    note_sources(run)
    observe(run.future)  # the lines name the run
    log, task = log_of(run.future), run.task
    state = final_state(code, output, time.time_ns())
    log.enter(state)
    if state.is_crashed() and isinstance(output, BaseException):
        crashed(log, task, state, output)
    elif code not in {COMPLETED, CHOSEN, NOT_READY}:
        failed(log, task, output, exhausted=task.retries > 0)
    finished(log, task)


def plain_completed(run: Run, code: int, output: Any) -> None:
    """Write how a run without a record ended that ended well."""
    if code == COMPLETED:
        from oxtask._internal.plain_lines import PlainLines  # noqa: PLC0415 - start-up time

        PlainLines().completing(run, output)
    else:
        plain_end(run, code, output)


def not_stored(run: Run, error: BaseException) -> None:
    """Write that a value could not be stored, and the run completes all the same."""
    if is_on(WARNING):
        log = log_of(run.future)
        text = "Encountered an error while serializing result"
        if not isinstance(error, SerializationError):
            text = "The result could not be stored"
        write(log, run.task, WARNING, f"{text}: {error}")


def condition_failed(log: RunLog[Any], task: TaskMachinery, error: Exception) -> None:
    """Write that a retry condition raised."""
    text = "An error was encountered while running `retry_condition_fn`; the run is not retried"
    write(log, task, ERROR, text, error)


def key_failed(log: RunLog[Any], task: TaskMachinery, error: Exception) -> None:
    """Write that a run has no cache key, and goes on without."""
    text = "Error encountered when computing cache key - result will not be cached."
    if isinstance(error.__cause__, HashError):
        write(log, task, ERROR, f"{text} {error}")
    else:
        write(log, task, ERROR, text, error)


def error_not_stored(log: RunLog[Any], task: TaskMachinery, error: Exception) -> None:
    """Write that the exception with which a run failed could not be stored."""
    write(log, task, WARNING, f"The exception of the run could not be stored: {error}")


# --- hooks ----------------------------------------------------------------------------------------


def hook_begins(log: RunLog[Any], owner: TaskMachinery | AnyFlow, hook: Callable[..., Any]) -> None:
    """Write that a hook is called."""
    if is_on(INFO):
        state = log.record.state
        name = state and state.name
        text = f"Running hook {hook_name(hook)!r} in response to entering state {name!r}"
        write(log, owner, INFO, text)


def hook_done(log: RunLog[Any], owner: TaskMachinery | AnyFlow, hook: Callable[..., Any]) -> None:
    """Write that a hook returned."""
    if is_on(INFO):
        write(log, owner, INFO, f"Hook {hook_name(hook)!r} finished running successfully")


def hook_failed(
    log: RunLog[Any], owner: TaskMachinery | AnyFlow, hook: Callable[..., Any], error: Exception
) -> None:
    """Write that a hook raised."""
    text = f"An error was encountered while running hook {hook_name(hook)!r}"
    write(log, owner, ERROR, text, error)


def hook_name(hook: Callable[..., Any]) -> str:
    """Name a hook: the function's name, that inside a partial, or the class of the object."""
    try:
        inner = getattr(hook, "func", hook)
        name = getattr(hook, "__name__", None) or getattr(inner, "__name__", None)
        return str(name or type(hook).__name__)
    except Exception:  # noqa: BLE001 - an object without a usable name is known by its class
        return type(hook).__name__


# --- names and deadlines --------------------------------------------------------------------------


def renamed(log: RunLog[Any], task: TaskMachinery, name: str) -> None:
    """Write that a run got the name its task asks for."""
    write(log, task, DEBUG, f"Renamed task run {log.record.name!r} to {name!r}")


def cannot_interrupt(log: RunLog[Any], task: TaskMachinery) -> None:
    """Write what a deadline on a worker thread can do."""
    if is_on(DEBUG):
        text = (
            f"Task {task.name!r} has a timeout and is running in a worker thread: at the deadline "
            "its run ends, but a call into C code that blocks keeps the thread until it returns"
        )
        write(log, task, DEBUG, text)


def stuck(log: RunLog[Any], task: TaskMachinery, thread_id: int) -> None:
    """Write where the thread is whose run is out of time."""
    if not is_on(WARNING):
        return
    import traceback  # noqa: PLC0415 - start-up time

    frame = frame_of(thread_id)
    where = "" if frame is None else "".join(traceback.format_stack(frame)[-3:]).rstrip()
    text = (
        f"Task run exceeded timeout of {task.timeout_seconds} second(s) while running in a worker "
        "thread; the run ends now, and what it still returns is dropped. "
        f"The thread is at:\n{where}"
    )
    write(log, task, WARNING, text)


# --- flows ----------------------------------------------------------------------------------------


def flow_begins(log: RunLog[Any], flow: AnyFlow, *, is_subflow: bool) -> None:
    """Write that an attempt of a flow run begins."""
    if is_on(INFO, FLOW_RUNS):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        text = messages.flow_run_began(log.record.name, flow.name, is_subflow=is_subflow)
        write(log, flow, INFO, text)


def flow_failed(log: RunLog[Any], flow: AnyFlow, error: Exception) -> None:
    """Write that the function of a flow raised."""
    text = f"Encountered exception during execution: {short_repr(error, MAX_REPR_LENGTH)}"
    write(log, flow, ERROR, text, error)
