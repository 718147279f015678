"""Where code runs: the flow run, the task run and the tags around it.

A context is entered with ``with`` and found with ``get()``; it travels with `contextvars`, so a
task sees the context of the place that called or submitted it. Threads that a program starts itself
see none, unless it runs them in `contextvars.copy_context`.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from datetime import datetime

    from typing_extensions import Self

    from oxtask._internal.result_links import ResultLinks
    from oxtask.client.schemas.objects import FlowRun, TaskRun
    from oxtask.flows import Flow
    from oxtask.task_runners import TaskRunner
    from oxtask.tasks import Task

__all__ = [
    "ContextModel",
    "EngineContext",
    "FlowRunContext",
    "TagsContext",
    "TaskRunContext",
    "get_run_context",
    "hydrated_context",
    "serialize_context",
    "tags",
    "with_context",
]


class ContextModel:
    """The base of contexts, for those of one's own as well.

    A subclass names its context variable ``__var__`` and declares its fields as annotations, with
    defaults where there are some. Values are checked against the annotations.

    Raises:
        TypeError: If a field is missing, or there is none of that name.
        ValueError: If a value does not fit its field.

    >>> class Tenant(ContextModel):
    ...     __var__ = ContextVar("tenant")
    ...     name: str
    >>> with Tenant(name="blue"):
    ...     Tenant.get().name
    'blue'
    """

    __var__: ClassVar[ContextVar[Any]]
    _fields: ClassVar[tuple[str, ...]] = ()
    _required: ClassVar[frozenset[str]] = frozenset()
    _made: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Fields whose default is made when it is read first."""
    _is_checked: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = [
            name
            for name, kind in vars(cls).get("__annotations__", {}).items()
            if not name.startswith("_")
            and not str(kind).startswith(("ClassVar", "typing.ClassVar"))
        ]
        cls._fields = tuple(dict.fromkeys((*cls._fields, *own)))
        cls._required = frozenset(
            name for name in cls._fields if not hasattr(cls, name) and name not in cls._made
        )

    def __init__(self, **fields: Any) -> None:
        cls = type(self)
        for name in fields:
            if name not in cls._fields:
                msg = f"{cls.__name__} has no field {name!r}; it has {', '.join(cls._fields)}"
                raise TypeError(msg)
        if not cls._required <= fields.keys():
            missing = sorted(cls._required - fields.keys())
            msg = f"{cls.__name__} needs {', '.join(map(repr, missing))}"
            raise TypeError(msg)
        self.__dict__.update(_checked(cls, fields) if cls._is_checked else fields)
        self._token: Token[Any] | None = None
        self._made_at = time.time_ns()

    if not TYPE_CHECKING:  # or every misspelt attribute would type-check

        def __getattr__(self, name: str) -> Any:
            make = type(self)._made.get(name)
            if make is None:
                msg = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(msg)
            # Threads that get here at the same time must get the same object.
            return self.__dict__.setdefault(name, make(self))

    @classmethod
    def get(cls) -> Self | None:
        """Return the current context of this kind, or ``None``."""
        current: Self | None = cls.__var__.get(None)
        return current

    def __enter__(self) -> Self:
        if self._token is not None:
            msg = "Context already entered. Make a copy with `model_copy()` to enter it again."
            raise RuntimeError(msg)
        self._token = self.__var__.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is None:
            msg = "Asymmetric use of context. It was left without having been entered."
            raise RuntimeError(msg)
        token, self._token = self._token, None
        try:
            self.__var__.reset(token)
        except ValueError:
            # A coroutine that nobody awaits any more is closed from elsewhere; the context it ran
            # in is gone with it.
            if not error or error[0] is not GeneratorExit:
                raise

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy that can be entered on its own.

        Args:
            update: Fields that get another value in the copy.

        Raises:
            TypeError: If ``update`` names a field that does not exist.
        """
        fields = {name: self.__dict__[name] for name in self._fields if name in self.__dict__}
        copied = type(self)(**{**fields, **(update or {})})
        copied._made_at = self._made_at
        return copied

    def __repr__(self) -> str:
        from oxtask._internal.text import short_repr  # noqa: PLC0415 - start-up time

        shown = (
            f"{name}={short_repr(self.__dict__[name])}"
            for name in self._fields
            if name in self.__dict__
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def _checked(cls: type[ContextModel], fields: dict[str, Any]) -> dict[str, Any]:
    """Return values that fit the annotations of a class."""
    from oxtask._internal.flow_parameters import (  # noqa: PLC0415 - start-up time
        evaluated,
        type_adapter,
    )

    valid = dict(fields)
    for owner in reversed(cls.__mro__):
        scope = vars(sys.modules.get(owner.__module__, sys))
        for name, annotation in vars(owner).get("__annotations__", {}).items():
            if name in fields:
                adapter = type_adapter(evaluated(annotation, dict(scope)))
                valid[name] = adapter.validate_python(fields[name])
    return valid


def _start_time(context: ContextModel) -> datetime:
    from oxtask._internal.times import datetime_from_nanoseconds  # noqa: PLC0415 - start-up time

    return datetime_from_nanoseconds(context._made_at)


def _dict(_: ContextModel) -> dict[Any, Any]:
    return {}


def _result_links(_: ContextModel) -> ResultLinks:
    from oxtask._internal.result_links import ResultLinks  # noqa: PLC0415 - a cycle else

    return ResultLinks()


def _store_of_flow(context: FlowRunContext) -> Any:
    from oxtask._internal import keeping  # noqa: PLC0415 - start-up time

    own = context._keeping
    return (keeping.current() if own is None else own).store


def _store_of_task(context: TaskRunContext) -> Any:
    from oxtask._internal import keeping  # noqa: PLC0415 - start-up time

    own = keeping.of_run(_core.current_run.get(None))
    if own is not None:
        return own.store
    outer = keeping.current()
    return outer.store if context.task is None else outer.store_for(context.task)


class FlowRunContext(ContextModel):
    """The context of an attempt of a flow run.

    Attributes:
        flow: The flow.
        flow_run: The record of the run.
        client: ``None``.
        task_runner: The runner that `Task.submit` hands work to.
        parameters: The validated parameters.
        log_prints: Whether prints become log lines.
        detached: Whether the run is carried on in another process.
        result_store: Where results are stored.
        persist_result: Whether they are.
        task_run_dynamic_keys: Left empty, as are the next and ``task_run_assets``.
        observed_flow_pauses: See ``task_run_dynamic_keys``.
        run_results: Which run produced an object; filled while every run is recorded.
        task_run_assets: See ``task_run_dynamic_keys``.
        events: ``None``.
        start_time: When the attempt began.
        input_keyset: ``None``.
        is_async: Whether the flow's function is a coroutine function.
    """

    __var__: ClassVar[ContextVar[Any]] = ContextVar("oxtask_flow_run")
    _is_checked: ClassVar[bool] = False
    _keeping: Any = None
    _made: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "result_store": _store_of_flow,
        "task_run_dynamic_keys": _dict,
        "observed_flow_pauses": _dict,
        "run_results": _result_links,
        "task_run_assets": _dict,
        "start_time": _start_time,
    }

    flow: Flow[..., Any] = None  # type: ignore[assignment]
    flow_run: FlowRun = None  # type: ignore[assignment]
    client: Any = None
    task_runner: TaskRunner[Any] = None  # type: ignore[assignment]
    parameters: dict[str, Any] | None = None
    log_prints: bool = False
    detached: bool = False
    result_store: Any
    persist_result: bool = False
    task_run_dynamic_keys: dict[str, Any]
    observed_flow_pauses: dict[str, int]
    run_results: ResultLinks
    task_run_assets: dict[Any, Any]
    events: Any = None
    start_time: datetime
    input_keyset: dict[str, dict[str, str]] | None = None
    is_async: bool = False


EngineContext = FlowRunContext


class TaskRunContext(ContextModel):
    """The context of an attempt of a task run.

    Attributes:
        task: The task.
        task_run: The record of the run.
        client: ``None``.
        parameters: The bound and resolved parameters.
        log_prints: Whether prints become log lines.
        result_store: Where results are stored.
        persist_result: Whether they are.
        start_time: When the attempt began.
        asset_metadata: What was added to the assets that the attempt makes, by key.
    """

    __var__: ClassVar[ContextVar[Any]] = _core.current_run
    _is_checked: ClassVar[bool] = False
    _made: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "result_store": _store_of_task,
        "start_time": _start_time,
        "asset_metadata": _dict,
    }

    task: Task[..., Any] = None  # type: ignore[assignment]
    task_run: TaskRun = None  # type: ignore[assignment]
    client: Any = None
    parameters: dict[str, Any] = None  # type: ignore[assignment]
    log_prints: bool = False
    result_store: Any
    persist_result: bool = False
    start_time: datetime | None
    asset_metadata: dict[str, dict[str, Any]]

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


class TagsContext(ContextModel):
    """The tags that runs get which are made in this context."""

    __var__: ClassVar[ContextVar[Any]] = ContextVar("oxtask_tags")
    _is_checked: ClassVar[bool] = False

    current_tags: frozenset[str] = frozenset()

    @classmethod
    def get(cls) -> Self:
        """Return the current context; never ``None``."""
        current: Self | None = cls.__var__.get(None)
        return cls() if current is None else current


@contextmanager
def tags(*new_tags: str) -> Generator[frozenset[str], None, None]:
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


def serialize_context(asset_ctx_kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the current contexts as a dict that `cloudpickle` can carry to another process.

    Args:
        asset_ctx_kwargs: What to hand on as ``"asset_context"``.

    Returns:
        ``"flow_run_context"``, ``"task_run_context"``, ``"tags_context"``, ``"settings_context"``
        and ``"asset_context"``, each a dict and empty if there is none, and ``"deployment_id"`` and
        ``"deployment_parameters"``, which are ``None``.
    """
    from oxtask._internal import context_transfer  # noqa: PLC0415 - start-up time

    return context_transfer.serialize_context(asset_ctx_kwargs)


@contextmanager
def hydrated_context(
    serialized_context: Mapping[str, Any] | None = None,
    client: Any = None,  # noqa: ARG001 - positional in the reference
) -> Generator[None, None, None]:
    """Enter the contexts that `serialize_context` has written down.

    A flow run gets a task runner of its own here, which is left at the end, and its context says
    that it is ``detached``.

    Args:
        serialized_context: The contexts; nothing is entered if there are none.
        client: Not used.
    """
    from oxtask._internal import context_transfer  # noqa: PLC0415 - start-up time

    with context_transfer.hydrated_context(serialized_context):
        yield


def with_context(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs in the present contexts wherever it is called.

    It can be pickled, so it can be handed to a process: ``pool.submit(with_context(fn), 1)``.

    Args:
        fn: A function, sync or async.
    """
    from oxtask._internal import context_transfer  # noqa: PLC0415 - start-up time

    return context_transfer.WithContext(fn, context_transfer.serialize_context())


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
