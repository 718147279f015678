"""Contexts on their way to another thread or process: written down as a dict, and entered again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from oxtask._internal import plan_watch
from oxtask._internal.functions import is_coroutine_function
from oxtask._internal.steps import InContext
from oxtask.context import FlowRunContext, TagsContext, TaskRunContext
from oxtask.settings import get_current_settings, temporary_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

_FLOW_FIELDS = ("flow", "flow_run", "log_prints", "parameters", "persist_result")
_TASK_FIELDS = ("task", "task_run", "log_prints", "parameters", "persist_result")


def serialize_context(asset_context: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write the current contexts down: see `oxtask.context.serialize_context`."""
    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    tags = TagsContext.get().current_tags
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    return {
        "flow_run_context": _fields(flow_context, _FLOW_FIELDS),
        "task_run_context": _fields(task_context, _TASK_FIELDS),
        "tags_context": {"current_tags": set(tags)} if tags else {},
        "settings_context": {"settings": settings},
        "asset_context": dict(asset_context or {}),
        "deployment_id": None,
        "deployment_parameters": None,
    }


def flow_fields(context: FlowRunContext) -> dict[str, Any]:
    """Write the context of a flow run down."""
    return _fields(context, _FLOW_FIELDS)


def _fields(context: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {} if context is None else {name: getattr(context, name) for name in names}


@contextmanager
def hydrated_context(serialized: Mapping[str, Any] | None) -> Generator[None]:
    """Enter contexts that were written down: see `oxtask.context.hydrated_context`."""
    with ExitStack() as stack:
        if serialized:
            _enter(stack, serialized)
        yield


def _enter(stack: ExitStack, serialized: Mapping[str, Any]) -> None:
    from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

    settings = serialized.get("settings_context")
    if settings:
        stack.enter_context(temporary_settings(settings["settings"]))
    get_logger()  # gives the loggers of this process their level and handler
    flow_context = serialized.get("flow_run_context")
    if flow_context:
        runner = _runner_of(flow_context["flow"])
        context = FlowRunContext(**{**flow_context, "task_runner": runner, "detached": True})
        if context.log_prints:
            plan_watch.expect_prints(context.flow)
        stack.enter_context(context)
        stack.enter_context(runner)
    tags = serialized.get("tags_context")
    if tags:
        stack.enter_context(TagsContext(current_tags=frozenset(tags["current_tags"])))
    task_context = serialized.get("task_run_context")
    if task_context:
        stack.enter_context(TaskRunContext(**task_context))


def _runner_of(flow: Any) -> Any:
    from oxtask.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415 - start-up time

    return ThreadPoolTaskRunner() if flow.task_runner is None else flow.task_runner.duplicate()


def produced_in(serialized: Mapping[str, Any] | None, generator: Any) -> Any:
    """Return a generator, async or not, whose body runs in contexts that were written down.

    The consumer sees nothing of them.
    """
    if not serialized:
        return generator
    produce = _aproduced_in if hasattr(generator, "__aiter__") else _produced_in
    return produce(serialized, generator)


def _produced_in(
    serialized: Mapping[str, Any], generator: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    inside, stack = copy_context(), ExitStack()
    inside.run(_enter, stack, serialized)
    resume: Any = generator.send
    value: Any = None
    try:
        while True:
            try:
                item = inside.run(resume, value)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield item
                resume = generator.send
            except GeneratorExit:
                inside.run(generator.close)
                raise
            except BaseException as error:  # noqa: BLE001 - the generator's to handle
                resume, value = generator.throw, error
    finally:
        inside.run(stack.close)


async def _aproduced_in(
    serialized: Mapping[str, Any], generator: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    inside, stack = copy_context(), ExitStack()
    inside.run(_enter, stack, serialized)
    resume: Any = generator.asend
    value: Any = None
    try:
        while True:
            try:
                item = await InContext(inside, resume(value))
            except StopAsyncIteration:
                return
            try:
                value = yield item
                resume = generator.asend
            except GeneratorExit:
                await InContext(inside, generator.aclose())
                raise
            except BaseException as error:  # noqa: BLE001 - the generator's to handle
                resume, value = generator.athrow, error
    finally:
        inside.run(stack.close)


class WithContext:
    """A function with the contexts it is to run in; the standard `pickle` can carry it.

    Args:
        fn: The function; a coroutine function stays one.
        context: What `serialize_context` returned.
    """

    def __init__(self, fn: Callable[..., Any], context: Mapping[str, Any]) -> None:
        self._fn = fn
        self._context = context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its contexts."""
        if is_coroutine_function(self._fn):
            return self._awaited(args, kwargs)
        with hydrated_context(self._context):
            return self._fn(*args, **kwargs)

    async def _awaited(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with hydrated_context(self._context):
            return await self._fn(*args, **kwargs)

    def __reduce__(self) -> Any:
        # Flows and functions of a script are not to be found by their names.
        import cloudpickle  # type: ignore[import-untyped] # noqa: PLC0415 - start-up time

        return _restored, (cloudpickle.dumps((self._fn, self._context)),)


def _restored(content: bytes) -> WithContext:
    import cloudpickle  # noqa: PLC0415 - start-up time

    return WithContext(*cloudpickle.loads(content))
