"""The argument walk where Python is needed: annotations, states, models, containers of all kinds.

The core's own walk (`rust/src/inputs.rs`) knows futures in lists, tuples and dicts. It asks
`is_special` once per type whether values of that type need this one.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.state import State, is_state
from oxtask._internal.task_runs import (
    CACHED,
    CANCELLED,
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    NOT_READY,
)
from oxtask.exceptions import CancelledRun, OxtaskException, UpstreamTaskError
from oxtask.futures import Future
from oxtask.utilities.annotations import (
    BaseAnnotation,
    allow_failure,
    opaque,
    quote,
    unmapped,
)
from oxtask.utilities.collections import StopVisiting, isiterable, visit_collection

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINERS = (list, tuple, dict, set, frozenset)


def is_special(kind: type) -> bool:
    """Tell whether values of a type may hold futures, or stand for something else.

    Plain objects, arrays and the like are leaves.
    """
    if issubclass(kind, (*_CONTAINERS, State, BaseAnnotation, Future)):
        return True
    if issubclass(kind, _record_types()):
        return True
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__"):
        return True
    if hasattr(kind, "__pydantic_fields__"):
        return True
    collections = sys.modules.get("collections")
    return collections is not None and issubclass(kind, collections.deque)


def _record_types() -> tuple[type, ...]:
    from oxtask.client.schemas.objects import FlowRun, TaskRun  # noqa: PLC0415 - start-up time

    return FlowRun, TaskRun


def _is_under(kind: type[BaseAnnotation[Any]], context: dict[str, Any]) -> bool:
    return any(isinstance(held, kind) for held in context.get("annotations", ()))


def native_futures(value: Any) -> list[Any]:
    """Return the core's futures in ``value`` that must end before it can be resolved."""
    found: list[Any] = []

    def visit(item: Any, context: dict[str, Any]) -> Any:
        if _is_under(quote, context):
            raise StopVisiting
        inner = item
        if _is_under(opaque, context):
            while isinstance(inner, BaseAnnotation) and not isinstance(inner, quote):
                inner = inner.unwrap()
        if isinstance(inner, _core.TaskRunFuture):
            found.append(inner)
        return item

    with suppress(Exception):  # the run that resolves the value meets the same error, and tells it
        visit_collection(value, visit, context={"annotations": ()}, return_data=False)
    return found


def resolve_one(value: Any) -> Any:
    """Return a value with results in place of futures and states."""
    return visit_collection(
        value,
        resolve_visit,
        context={"annotations": ()},
        return_data=True,
        remove_annotations=True,
    )


def resolve_arguments(value: Any) -> Any:
    """The same for the input of a run; an unexpected error says what it comes from.

    Raises:
        UpstreamTaskError: If an upstream run did not complete.
        OxtaskException: If the walk itself failed.
    """
    try:
        return resolve_one(value)
    except OxtaskException:
        raise
    except Exception as error:
        raise OxtaskException(failure_message(_parameter_at_fault(value))) from error


def failure_message(parameter: str) -> str:
    """Say that an argument cannot be walked, and what to do about it."""
    return (
        f"Failed to resolve inputs in parameter {parameter!r}. If its type is not supported, wrap "
        "the argument in `quote` to leave it as it is, or in `opaque` to keep oxtask from "
        "looking inside."
    )


def _parameter_at_fault(value: Any) -> str:
    """Name the argument whose walk fails."""
    for name, argument in _arguments_in(value):
        try:
            resolve_one(argument)
        except Exception:  # noqa: BLE001 - this is the one
            return name
    return "?"


def _arguments_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a run; by position where it is not known whose they are."""
    run = _core.current_run.get(None)
    if isinstance(run, _core.Run):
        args, kwargs = run.arguments
        yield from run.task._bind(args, kwargs).items()
        return
    given = value if isinstance(value, tuple) else (value,)
    args, kwargs = given, {}
    if len(given) == 2 and isinstance(given[0], tuple) and isinstance(given[1], dict):
        args, kwargs = given
    yield from ((str(place), item) for place, item in enumerate(args))
    yield from kwargs.items()


def resolve_visit(item: Any, context: dict[str, Any]) -> Any:
    """Return the result of a future or a state, as the annotations around it will have it."""
    if _is_under(quote, context):
        raise StopVisiting
    is_opaque = _is_under(opaque, context)
    if is_opaque and isinstance(item, BaseAnnotation):
        # The walk ends here, but the annotations inside have their say.
        if isinstance(item, quote):
            return item.unwrap()
        return resolve_visit(item.unwrap(), {"annotations": (*context["annotations"], item)})
    allow_failed = _is_under(allow_failure, context)
    value = item
    if isinstance(item, (_core.TaskRunFuture, Future)):
        value = future_value(item, allow_failed=allow_failed)
    elif is_state(item):
        value = state_value(item, allow_failed=allow_failed)
    if isinstance(value, _record_types()) and not is_opaque:
        name = next(kind.__name__ for kind in _record_types() if isinstance(value, kind))
        msg = (
            f"Passing a `{name}` object as a task argument is not supported. Pass the fields that "
            "you need, or wrap the object in `opaque`"
        )
        raise OxtaskException(msg)
    return value


def future_value(future: Any, *, allow_failed: bool) -> Any:
    """Return the result of an upstream run, or its exception if failures are allowed.

    Raises:
        UpstreamTaskError: If it did not complete and failures are not allowed.
    """
    if not isinstance(future, _core.TaskRunFuture):
        future.wait()
        return state_value(future.state, allow_failed=allow_failed, upstream=future)
    if not future.done():
        future.wait()
    code, output = future._peek()
    if code in {COMPLETED, CACHED}:
        return output
    if code in {CHOSEN, CHOSEN_FAILED}:
        return state_value(output, allow_failed=allow_failed, upstream=future)
    if not allow_failed:
        raise UpstreamTaskError(upstream_message(future.task_run_id))
    if code == CANCELLED:
        return CancelledRun("Run cancelled.")
    return None if code == NOT_READY else output


def state_value(state: State[Any], *, allow_failed: bool, upstream: Any = None) -> Any:
    """The same for a state."""
    if state.is_completed():
        return state._value(raise_on_failure=False)
    if allow_failed and (state.is_final() or state.name == "NotReady"):
        if state.name == "NotReady":
            return None
        from oxtask.states import get_state_exception  # noqa: PLC0415 - start-up time

        return get_state_exception(state)
    if isinstance(upstream, Future) and not isinstance(upstream, _core.TaskRunFuture):
        source: Any = upstream._source()
        raise UpstreamTaskError(upstream_message(source.id, source.input_type.replace("_", " ")))
    if upstream is not None:
        raise UpstreamTaskError(upstream_message(upstream.task_run_id))
    details = state.state_details
    if details.task_run_id is not None:
        raise UpstreamTaskError(upstream_message(details.task_run_id))
    if details.flow_run_id is not None:
        raise UpstreamTaskError(upstream_message(details.flow_run_id, "flow run"))
    raise UpstreamTaskError(upstream_message(state, "state"))


def upstream_message(identifier: Any, kind: str = "task run") -> str:
    """Say which upstream did not complete."""
    return f"Upstream {kind} '{identifier}' did not reach a 'COMPLETED' state."


def check_wait_for(wait_for: Any) -> None:
    """Check that what a run waits for completed.

    Raises:
        UpstreamTaskError: If something did not.
    """
    resolve_one(wait_for)


def materialised(wait_for: Any) -> Any:
    """Return ``wait_for`` in a form that can be walked more than once: iterators are read."""
    if wait_for is None or isinstance(wait_for, (_core.TaskRunFuture, Future, *_CONTAINERS)):
        return wait_for
    return list(wait_for) if hasattr(wait_for, "__next__") else wait_for


async def await_futures(value: Any) -> None:
    """Wait for all futures in ``value`` without blocking the event loop."""
    from oxtask._internal.outcomes import ended  # noqa: PLC0415 - start-up time

    for future in native_futures(value):
        await ended(future)


# --- the sources of a map -------------------------------------------------------------------------

_SIZED = {list, tuple, range, dict, set, frozenset, str, bytes, bytearray}


def map_source(value: Any) -> Any:
    """Return an argument of a map, ready to be iterated: futures resolved, iterators read.

    A failed future under `allow_failure` is an exception that every run gets.

    Raises:
        UpstreamTaskError: If a future did not complete.
    """
    if type(value) in _SIZED:
        return value
    layers: list[BaseAnnotation[Any]] = []
    content = value
    while isinstance(content, BaseAnnotation):
        layers.append(content)
        content = content.unwrap()
    if any(isinstance(layer, (quote, unmapped)) for layer in layers):
        return value
    if isinstance(content, (_core.TaskRunFuture, Future)) or is_state(content):
        allow = any(isinstance(layer, allow_failure) for layer in layers)
        resolve: Any = state_value if is_state(content) else future_value
        content = resolve(content, allow_failed=allow)
        if isinstance(content, BaseException):
            return unmapped(content)
    if hasattr(content, "__next__") and isiterable(content):
        content = read(content)
    for layer in reversed(layers):
        content = layer.rewrap(content)
    return content


def read(iterator: Any) -> list[Any]:
    """Read an iterator to its end; an error on the way says at which item it came."""
    items: list[Any] = []
    try:
        for item in iterator:
            items.append(item)  # noqa: PERF402 - what was read before an error is counted
    except Exception as error:
        count = len(items)
        note(error, f"raised by the iterable at item {count}; {count} items came before it")
        raise
    return items


def note(error: BaseException, text: str) -> None:
    """Add a note to an exception; before Python 3.11 it is kept but not shown."""
    error.__notes__ = [*getattr(error, "__notes__", []), f"oxtask: {text}"]  # type: ignore[attr-defined]
