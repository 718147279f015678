"""`Task.map`: from iterables to the columns of one group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import inputs
from oxtask.utilities._binding import POSITIONAL_OR_KEYWORD, VAR_KEYWORD, VAR_POSITIONAL
from oxtask.utilities._mapping import map_parameters
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.futures import FutureList


def map_call(
    task: TaskMachinery, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> FutureList[Any]:
    """Submit a run for each item of the iterable arguments to the runner of the current flow."""
    from oxtask.task_runners import current_runner  # noqa: PLC0415 - start-up time

    plan = task._signature_plan()
    parameters = plan.bind(task._received(args), kwargs, apply_defaults=False)
    runner: Any = current_runner("mapping", task.name)
    futures: FutureList[Any] = runner.map(task, parameters, inputs.materialised(wait_for))
    return futures


def columns(task: TaskMachinery, parameters: dict[str, Any]) -> tuple[Any, Any, int]:
    """Return positional and keyword columns and the length, as `_core.Runner.map` takes them."""
    plan = task._signature_plan()
    receiver = plan.names[0] if task._receiver is not None else None
    known = {
        name: _sources(value, kind)
        for name, value, kind in _with_kinds(plan, parameters)
        if name != receiver
    }
    if receiver is not None:
        known[receiver] = parameters[receiver]
    mapped = map_parameters(plan, known, () if receiver is None else (receiver,))
    given = mapped.static
    varying = {(column.name, column.key): column.items for column in mapped.columns}

    def column(name: str, key: Any, value: Any) -> tuple[bool, Any]:
        items = varying.get((name, key), NotSet)
        return (False, value) if items is NotSet else (True, items)

    args: list[tuple[bool, Any]] = []
    kwargs: list[tuple[str, bool, Any]] = []
    by_position = True
    for name, kind in zip(plan.names, plan.kinds, strict=True):
        if name == receiver:
            continue
        if name not in given:
            by_position = by_position and kind == VAR_POSITIONAL
            continue
        if kind == VAR_POSITIONAL:
            args += [column(name, place, item) for place, item in enumerate(given[name])]
        elif kind == VAR_KEYWORD:
            kwargs += [(key, *column(name, key, item)) for key, item in given[name].items()]
        elif by_position and kind <= POSITIONAL_OR_KEYWORD:
            args.append(column(name, None, given[name]))
        else:
            kwargs.append((name, *column(name, None, given[name])))
    return args, kwargs, mapped.length


def _with_kinds(plan: Any, parameters: dict[str, Any]) -> Any:
    kinds = dict(zip(plan.names, plan.kinds, strict=True))
    return [(name, value, kinds[name]) for name, value in parameters.items()]


def _sources(value: Any, kind: int) -> Any:
    if kind == VAR_POSITIONAL:
        return tuple(inputs.map_source(item) for item in value)
    if kind == VAR_KEYWORD:
        return {key: inputs.map_source(item) for key, item in value.items()}
    return inputs.map_source(value)
