"""Where code runs: the flow run, the task run and the tags around it.

A context is entered with ``with`` and found with ``get()``; it travels with `contextvars`, so a task
sees the context of the place that called or submitted it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask import _core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

    from oxtask.client.schemas.objects import FlowRun, TaskRun
    from oxtask.flows import Flow
    from oxtask.task_runners import TaskRunner
    from oxtask.tasks import Task

__all__ = [
    "EngineContext",
    "FlowRunContext",
    "TagsContext",
    "TaskRunContext",
    "get_run_context",
    "tags",
]


class _Context:
    """Base of contexts: entered once at a time, through a context variable."""

    _variable: ClassVar[ContextVar[Any]]
    _fields: ClassVar[dict[str, Any]] = {}

    def __init__(self, **fields: Any) -> None:
        unknown = fields.keys() - self._fields.keys()
        if unknown:
            msg = f"{type(self).__name__} has no field {sorted(unknown)[0]!r}"
            raise TypeError(msg)
        self.__dict__.update(self._fields)
        self.__dict__.update(fields)
        self._token: Token[Any] | None = None

    @classmethod
    def get(cls) -> Self | None:
        """Return the current context of this kind, or ``None``."""
        return cls._variable.get(None)

    def __enter__(self) -> Self:
        if self._token is not None:
            msg = "Context already entered. Make a copy with `model_copy()` to enter it again."
            raise RuntimeError(msg)
        self._token = self._variable.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is None:
            msg = "Asymmetric use of context. It was left without having been entered."
            raise RuntimeError(msg)
        token, self._token = self._token, None
        self._variable.reset(token)

    def model_copy(self, *, update: dict[str, Any] | None = None) -> Self:
        """Return a copy that can be entered on its own, with the fields in ``update`` replaced."""
        fields = {name: self.__dict__[name] for name in self._fields}
        return type(self)(**{**fields, **(update or {})})


class FlowRunContext(_Context):
    """The context of a flow run.

    Attributes:
        flow: The flow.
        flow_run: The record of the run.
        task_runner: The runner that `Task.submit` hands work to.
        parameters: The validated parameters.
        log_prints: Whether prints become log lines.
        start_time: When this attempt began.
        detached: Whether the run is carried on in another process.
        is_async: Whether the flow's function is a coroutine function.
    """

    _variable: ClassVar[ContextVar[Any]] = ContextVar("oxtask_flow_run")
    _fields: ClassVar[dict[str, Any]] = {
        "flow": None,
        "flow_run": None,
        "task_runner": None,
        "parameters": None,
        "log_prints": False,
        "persist_result": False,
        "start_time": None,
        "detached": False,
        "is_async": False,
    }

    flow: Flow[..., Any]
    flow_run: FlowRun
    task_runner: TaskRunner
    parameters: dict[str, Any] | None
    log_prints: bool
    persist_result: bool
    start_time: datetime | None
    detached: bool
    is_async: bool


EngineContext = FlowRunContext


class TaskRunContext(_Context):
    """The context of a task run.

    Attributes:
        task: The task.
        task_run: The record of the run.
        parameters: The bound and resolved parameters.
        log_prints: Whether prints become log lines.
        start_time: When this attempt began.
    """

    _variable: ClassVar[ContextVar[Any]] = _core.current_run
    _fields: ClassVar[dict[str, Any]] = {
        "task": None,
        "task_run": None,
        "parameters": None,
        "log_prints": False,
        "persist_result": False,
        "start_time": None,
    }

    task: Task[..., Any]
    task_run: TaskRun
    parameters: dict[str, Any]
    log_prints: bool
    persist_result: bool
    start_time: datetime | None

    @classmethod
    def get(cls) -> Self | None:
        """Return the context of the task run this code is in, or ``None``.

        It is made on first use: a run whose body never asks has none.
        """
        current = _core.current_run.get(None)
        if current is None or isinstance(current, cls):
            return current
        view: Self | None = current.view
        if view is None:
            from oxtask._internal.task_runs import context_of  # noqa: PLC0415 - start-up time

            view = cls(**context_of(current))
            current.set_view(view)
        return view


class TagsContext(_Context):
    """The tags that runs get which are made in this context."""

    _variable: ClassVar[ContextVar[Any]] = ContextVar("oxtask_tags")
    _fields: ClassVar[dict[str, Any]] = {"current_tags": frozenset()}

    current_tags: frozenset[str]

    @classmethod
    def get(cls) -> Self:
        """Return the current context; never ``None``."""
        return cls._variable.get(None) or cls()


@contextmanager
def tags(*new_tags: str) -> Iterator[frozenset[str]]:
    """Add tags to the task and flow runs made in this context.

    Args:
        *new_tags: Added to the tags of the contexts around it.

    Yields:
        All tags in force.

    Raises:
        TypeError: If a tag is not a string.

    >>> with tags("a", "b"), tags("c") as current:
    ...     sorted(current)
    ['a', 'b', 'c']
    """
    for tag in new_tags:
        if not isinstance(tag, str):
            from oxtask._internal.text import short_repr  # noqa: PLC0415 - start-up time

            msg = f"tags must be strings; got {short_repr(tag)}"
            raise TypeError(msg)
    current = TagsContext.get().current_tags | frozenset(new_tags)
    with TagsContext(current_tags=current):
        yield current


def get_run_context() -> FlowRunContext | TaskRunContext:
    """Return the context of the run this code is in.

    That is the task run, unless its task has called a flow: then it is that flow's run.

    Raises:
        MissingContextError: If there is neither.
    """
    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    if task_context is not None and (
        flow_context is None or task_context.task_run.flow_run_id == flow_context.flow_run.id
    ):
        return task_context
    if flow_context is not None:
        return flow_context
    from oxtask.exceptions import MissingContextError  # noqa: PLC0415 - start-up time

    msg = "No run context available. You are not in a flow or task run context."
    raise MissingContextError(msg)


def in_async_run_context() -> bool | None:
    """Tell whether the current run is async; ``None`` outside of runs."""
    current = _core.current_run.get(None)
    flow_context = FlowRunContext.get()
    if current is not None:
        task_context = TaskRunContext.get()
        if task_context is not None and (
            flow_context is None or task_context.task_run.flow_run_id == flow_context.flow_run.id
        ):
            return bool(task_context.task.isasync)
    return None if flow_context is None else flow_context.is_async
