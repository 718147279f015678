"""Loggers: oxtask's own, those of runs, and what switches them off or listens to them."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oxtask._internal.fork_locks import fork_lock
from oxtask.logging.formatters import UNKNOWN
from oxtask.logging.handlers import ROOT, OwnHandler, setup_logging

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, MutableMapping
    from types import TracebackType
    from uuid import UUID

    from typing_extensions import Self

    from oxtask.client.schemas.objects import FlowRun, TaskRun
    from oxtask.context import FlowRunContext, TaskRunContext
    from oxtask.flows import Flow
    from oxtask.tasks import Task

    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter  # subscriptable from Python 3.11 on

FLOW_RUNS = "oxtask.flow_runs"
TASK_RUNS = "oxtask.task_runs"


class OxtaskLogAdapter(Adapter):
    """A logger that adds fields to its records; ``extra=`` of a call is merged in and wins."""

    extra: Mapping[str, object]  # pyright: ignore[reportIncompatibleVariableOverride]

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields of this adapter to those of the call."""
        kwargs["extra"] = {**self.extra, **(kwargs.get("extra") or {})}
        return msg, kwargs

    def getChild(  # noqa: N802 - `logging.Logger`'s name
        self, suffix: str, extra: Mapping[str, object] | None = None
    ) -> OxtaskLogAdapter:
        """Return an adapter of a child logger with the same fields and those of ``extra``."""
        return OxtaskLogAdapter(self.logger.getChild(suffix), {**self.extra, **(extra or {})})

    def with_fields(self, fields: Mapping[str, object]) -> OxtaskLogAdapter:
        """Return an adapter of the same logger that adds ``fields`` as well."""
        return OxtaskLogAdapter(self.logger, {**self.extra, **fields})


def get_logger(name: str | None = None) -> logging.Logger:
    """Return the logger ``oxtask`` or one below it.

    Args:
        name: The name below ``oxtask``; a name that begins with ``oxtask`` is taken as it is.

    Example:
        >>> get_logger("engine").name, get_logger("oxtask.engine").name, get_logger().name
        ('oxtask.engine', 'oxtask.engine', 'oxtask')
    """
    setup_logging()
    if not name or name == ROOT:
        return logging.getLogger(ROOT)
    return logging.getLogger(name if name.startswith(ROOT + ".") else f"{ROOT}.{name}")


def current_run_context() -> FlowRunContext | TaskRunContext | None:
    """Return the context of the run that executes this code, if there is one.

    That is the task run, unless its task has called a flow: then it is that flow's run.
    """
    from oxtask.context import FlowRunContext, TaskRunContext  # noqa: PLC0415 - start-up time

    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    if task_context is None:
        return flow_context
    if flow_context is None or _belongs(task_context.task_run, flow_context):
        return task_context
    return flow_context


def _belongs(task_run: TaskRun, flow_context: FlowRunContext) -> bool:
    return str(task_run.flow_run_id) == str(flow_context.flow_run.id)


def get_run_logger(
    context: FlowRunContext | TaskRunContext | None = None, **extra: Any
) -> OxtaskLogAdapter | logging.Logger:
    """Return the logger of the current run.

    Args:
        context: The run, if it is not the current one.
        **extra: Fields to add to each record.

    Returns:
        A logger with the run's ids and names in its records. Outside runs, while
        `disable_run_logger` is active: a logger that drops everything.

    Raises:
        MissingContextError: If no run is active.
        TypeError: If ``context`` is not the context of a run.
    """
    from oxtask.context import FlowRunContext, TaskRunContext  # noqa: PLC0415 - start-up time

    run = current_run_context() if context is None else context
    if isinstance(run, TaskRunContext):
        return task_run_logger(run.task_run, run.task).with_fields(extra)
    if isinstance(run, FlowRunContext):
        return flow_run_logger(run.flow_run, run.flow).with_fields(extra)
    if run is not None:
        raise TypeError(
            f"context must be a FlowRunContext or a TaskRunContext, not {type(run).__name__!r}."
        )
    if get_logger(FLOW_RUNS).disabled and get_logger(TASK_RUNS).disabled:
        silent = logging.Logger("null")  # noqa: LOG001 - nobody else is to get this one
        silent.disabled = True
        return silent

    from oxtask.exceptions import MissingContextError  # noqa: PLC0415 - start-up time

    raise MissingContextError(
        "There is no active flow or task run context. Use `get_run_logger` in a flow or a task, "
        "or `oxtask.logging.get_logger` elsewhere."
    )


def flow_run_logger(
    flow_run: FlowRun | None = None,
    flow: Flow[..., Any] | None = None,
    flow_run_id: UUID | str | None = None,
    **extra: Any,
) -> OxtaskLogAdapter:
    """Return the logger of a flow run; works anywhere.

    Args:
        flow_run: The run.
        flow: Its flow.
        flow_run_id: The run's id, if there is no record of it.
        **extra: Fields to add to each record.

    Raises:
        ValueError: If neither ``flow_run`` nor ``flow_run_id`` is given.
    """
    if flow_run is None and flow_run_id is None:
        raise ValueError("flow_run_logger needs a run: give flow_run or flow_run_id.")
    fields = {
        "flow_run_id": str(flow_run_id if flow_run is None else flow_run.id),
        "flow_run_name": UNKNOWN if flow_run is None else str(flow_run.name),
        "flow_name": UNKNOWN if flow is None else flow.name,
        "deployment_name": None,
    }
    return OxtaskLogAdapter(get_logger(FLOW_RUNS), {**fields, **extra})


def task_run_logger(
    task_run: TaskRun,
    task: Task[..., Any] | None = None,
    flow_run: FlowRun | None = None,
    flow: Flow[..., Any] | None = None,
    **extra: Any,
) -> OxtaskLogAdapter:
    """Return the logger of a task run; works anywhere.

    Args:
        task_run: The run.
        task: Its task.
        flow_run: The flow run it belongs to; by default the current one, if that is so.
        flow: The flow of that run.
        **extra: Fields to add to each record.
    """
    if flow_run is None or flow is None:
        from oxtask.context import FlowRunContext  # noqa: PLC0415 - start-up time

        context = FlowRunContext.get()
        if context is not None and _belongs(task_run, context):
            flow_run, flow = flow_run or context.flow_run, flow or context.flow
    flow_run_id = task_run.flow_run_id or (None if flow_run is None else flow_run.id)
    fields = {
        "task_run_id": str(task_run.id),
        "task_run_name": str(task_run.name),
        "task_name": UNKNOWN if task is None else task.name,
        "flow_run_id": None if flow_run_id is None else str(flow_run_id),
        "flow_run_name": UNKNOWN if flow_run is None else str(flow_run.name),
        "flow_name": UNKNOWN if flow is None else flow.name,
    }
    return OxtaskLogAdapter(get_logger(TASK_RUNS), {**fields, **extra})


_disable_lock = fork_lock()
_disabled: dict[str, tuple[int, bool]] = {}  # by logger: open blocks, what it was before


@contextmanager
def disable_logger(name: str) -> Generator[None, None, None]:
    """Switch a logger off for a block of code, in all threads.

    Blocks may overlap: the logger is as it was before the first when the last has ended.

    Args:
        name: The logger's whole name.
    """
    logger = logging.getLogger(name)
    with _disable_lock:
        blocks, before = _disabled.get(name, (0, logger.disabled))
        _disabled[name] = blocks + 1, before
        logger.disabled = True
    try:
        yield
    finally:
        with _disable_lock:
            blocks, before = _disabled.pop(name)
            if blocks > 1:
                _disabled[name] = blocks - 1, before
            else:
                logger.disabled = before


@contextmanager
def disable_run_logger() -> Generator[None, None, None]:
    """Switch the loggers of runs off for a block of code, in all threads.

    In such a block `get_run_logger` works outside runs too, so that the function of a task can be
    tested alone.
    """
    with disable_logger(FLOW_RUNS), disable_logger(TASK_RUNS):
        yield


class LogEavesdropper(OwnHandler):
    """Collects the lines of a logger and of those below it, for a block of code.

    Args:
        eavesdrop_on: The logger's whole name.
        level: Collect lines from this level on. The logger lets them pass in the block, even if
            its own level is higher.

    Example:
        >>> with LogEavesdropper("oxtask.example", level=logging.INFO) as heard:
        ...     get_logger("example").info("hello")
        >>> heard.text()
        'hello'
    """

    def __init__(self, eavesdrop_on: str, level: int = logging.NOTSET) -> None:
        super().__init__(level=level)
        self._logger = logging.getLogger(eavesdrop_on)
        self._level_before: int | None = None
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        if self.level != logging.NOTSET and self._logger.getEffectiveLevel() > self.level:
            self._level_before = self._logger.level
            self._logger.setLevel(self.level)
        self._logger.addHandler(self)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._logger.removeHandler(self)
        if self._level_before is not None:
            self._logger.setLevel(self._level_before)
            self._level_before = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's line."""
        self._lines.append(self.format(record))

    def text(self) -> str:
        """Return what was heard so far, one line a record."""
        return "\n".join(self._lines)
