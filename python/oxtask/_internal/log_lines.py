"""What the engines log, and when: nothing is formatted, and `logging` not imported, for lines that nobody sees.

The lines are those of `oxtask.logging.messages`; here is decided whether they are written.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from oxtask._internal.task_runs import RunLog, log_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask.flows import Flow
    from oxtask.states import State
    from oxtask.tasks import Task

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


def is_on(level: int, name: str = "oxtask.task_runs") -> bool:
    """Tell whether lines of this level are written.

    Before anybody imported `logging` nobody can have asked for more than the settings say.
    """
    if "oxtask.logging" not in sys.modules and "logging" not in sys.modules:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        return level >= _LEVELS.get(get_current_settings().logging.level, WARNING)
    from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

    return get_logger(name).isEnabledFor(level)


_LEVELS = {"DEBUG": DEBUG, "INFO": INFO, "WARNING": WARNING, "ERROR": ERROR, "CRITICAL": 50}


def write(log: RunLog, task: Task[..., Any] | Flow[..., Any], level: int, text: str, error: Any = None) -> None:
    """Write a line of a task run."""
    is_flow = hasattr(log.record, "flow_id")
    if not is_on(level, "oxtask.flow_runs" if is_flow else "oxtask.task_runs"):
        return
    from oxtask.logging import flow_run_logger, task_run_logger  # noqa: PLC0415 - start-up time

    shown = error if isinstance(error, BaseException) else None
    logger = flow_run_logger(log.record, task) if is_flow else task_run_logger(log.record, task)
    logger.log(level, text, exc_info=shown)


def failed(log: RunLog, task: Task[..., Any], output: Any, *, exhausted: bool = False) -> None:
    """Write that an attempt failed and no other follows."""
    text = f"Task run failed with {_kind(output)}: {_short(output)}"
    end = " - Retries are exhausted" if exhausted else ""
    write(log, task, ERROR, text + end, output)


def retrying(log: RunLog, task: Task[..., Any], output: Any, count: int, delay: float) -> None:
    """Write that an attempt failed and another follows."""
    if not is_on(INFO):
        return
    from oxtask.logging import messages  # noqa: PLC0415 - start-up time

    again = messages.retrying(count, task.retries, delay)
    write(log, task, INFO, f"Task run failed with {_kind(output)}: {_short(output)} - {again}")


def _kind(output: Any) -> str:
    return "exception" if isinstance(output, BaseException) else "state"


def _short(output: Any) -> str:
    from oxtask._internal.text import short_repr  # noqa: PLC0415 - start-up time

    return short_repr(output, 2_000)


def finished(log: RunLog, task: Task[..., Any]) -> None:
    """Write the state in which a run ended."""
    state = log.record.state
    if state is None or not is_on(INFO if state.is_completed() else ERROR):
        return
    from oxtask.logging import messages  # noqa: PLC0415 - start-up time
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    debug = get_current_settings().debug_mode
    level, text = messages.finished(state, debug_mode=debug)
    write(log, task, level, text)


def plain_end(run: Any, code: int, output: Any) -> None:
    """Write how a run without a record ended, if it did not end well."""
    if not is_on(ERROR):
        return
    from oxtask._internal.task_runs import NOT_READY, final_state  # noqa: PLC0415 - a cycle else

    log, task = log_of(run.future), run.task
    if code != NOT_READY:
        failed(log, task, output)
    import time  # noqa: PLC0415 - start-up time

    log.enter(final_state(code, output, time.time_ns()))
    finished(log, task)


def condition_failed(log: RunLog, task: Task[..., Any], error: Exception) -> None:
    """Write that a retry condition raised."""
    text = "An error was encountered while running `retry_condition_fn`; the run is not retried"
    write(log, task, ERROR, text, error)


def hook_begins(log: RunLog, task: Task[..., Any], hook: Callable[..., Any]) -> None:
    """Write that a hook is called."""
    if is_on(INFO):
        state = log.record.state
        name = state and state.name
        text = f"Running hook {hook_name(hook)!r} in response to entering state {name!r}"
        write(log, task, INFO, text)


def hook_done(log: RunLog, task: Task[..., Any], hook: Callable[..., Any]) -> None:
    """Write that a hook returned."""
    if is_on(INFO):
        write(log, task, INFO, f"Hook {hook_name(hook)!r} finished running successfully")


def hook_failed(
    log: RunLog, task: Task[..., Any], hook: Callable[..., Any], error: Exception
) -> None:
    """Write that a hook raised."""
    text = f"An error was encountered while running hook {hook_name(hook)!r}"
    write(log, task, ERROR, text, error)


def hook_name(hook: Callable[..., Any]) -> str:
    """Name a hook: the function's name, that inside a partial, or the class of the object."""
    inner = getattr(hook, "func", hook)
    return getattr(hook, "__name__", None) or getattr(inner, "__name__", type(hook).__name__)


def renamed(log: RunLog, task: Task[..., Any], name: str) -> None:
    """Write that a run got the name its task asks for."""
    write(log, task, DEBUG, f"Renamed task run {log.record.name!r} to {name!r}")


def cannot_interrupt(log: RunLog, task: Task[..., Any]) -> None:
    """Write what a deadline on a worker thread can do."""
    text = (
        f"Task {task.name!r} has a timeout and is running in a worker thread: at the deadline its run "
        "ends, but a call into C code that blocks keeps the thread until it returns"
    )
    write(log, task, DEBUG, text)


def stuck(log: RunLog, task: Task[..., Any], thread_id: int) -> None:
    """Write where the thread is whose run is out of time."""
    if not is_on(WARNING):
        return
    import traceback  # noqa: PLC0415 - start-up time

    frame = sys._current_frames().get(thread_id)
    where = "" if frame is None else "".join(traceback.format_stack(frame)[-3:]).rstrip()
    text = (
        f"Task run exceeded timeout of {task.timeout_seconds} second(s) while running in a worker thread; "
        f"the run ends now, and what it still returns is dropped. The thread is at:\n{where}"
    )
    write(log, task, WARNING, text)


# --- flows ------------------------------------------------------------------------------------------------


def flow_begins(log: RunLog, flow: Flow[..., Any], *, is_subflow: bool) -> None:
    """Write that an attempt of a flow run begins."""
    if is_on(INFO, "oxtask.flow_runs"):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        text = messages.flow_run_began(log.record.name, flow.name, is_subflow=is_subflow)
        write(log, flow, INFO, text)


def flow_failed(log: RunLog, flow: Flow[..., Any], error: Exception) -> None:
    """Write that the function of a flow raised."""
    write(log, flow, ERROR, f"Encountered exception during execution: {_short(error)}", error)


def flow_retries(
    log: RunLog, flow: Flow[..., Any], state: State[Any], count: int, delay: float
) -> None:
    """Write that an attempt failed and another follows."""
    if is_on(INFO, "oxtask.flow_runs"):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        again = messages.retrying(count, flow.retries, delay)
        write(log, flow, INFO, f"Flow run ended in state {state.name!r} - {again}")


def crashed(log: RunLog, flow: Flow[..., Any], state: State[Any], error: BaseException) -> None:
    """Write that a flow run crashed."""
    if is_on(ERROR, "oxtask.flow_runs"):
        from oxtask.logging import messages  # noqa: PLC0415 - start-up time

        write(log, flow, ERROR, messages.crashed(state.message or ""))
        write(log, flow, DEBUG, "Crash details:", error)
