r"""Why a run is cached under the key it is cached under.

>>> from oxtask import task
>>> from oxtask.cache_policies import INPUTS
>>> @task(cache_policy=INPUTS)
... def double(x: int, log: bool = False) -> int:
...     return 2 * x
>>> one, two = explain(double, 1), explain(double, 2)
>>> one.key == explain(double, 1).key
True
>>> print("\n".join(one.difference(two)))
input x: 1 / 2
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from oxtask._internal.cache_costs import Price, costs_of, price_of
from oxtask._internal.cache_keys import template_fields, text_of
from oxtask._internal.keys import key_of
from oxtask._internal.steps import run_awaitable
from oxtask._internal.templates import filled
from oxtask._internal.text import short_repr
from oxtask.cache_policies import NO_CACHE, CachePolicy, CompoundCachePolicy, Inputs
from oxtask.exceptions import HashError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Explanation", "Price", "explain", "price"]

_SHOWN = 60
_MAX_LINES = 20
_OWN_RUN = "the id of the run itself: each run has another key"


@dataclass(frozen=True)
class Explanation:
    """What the key of a call is made of.

    Attributes:
        task: The name of the task.
        policy: Its cache policy; one that makes no keys if a ``result_storage_key`` does.
        key: The key; ``None`` if a run would not be cached.
        problem: Why there is none, if one cannot be made.
        parts: The key of each member of the policy, by the name of its class, or the template.
        inputs: The key of each input that takes part, by name; ``None`` for one that cannot be
            hashed.
    """

    task: str
    policy: CachePolicy
    key: str | None
    problem: str | None
    parts: dict[str, str | None]
    inputs: dict[str, str | None]
    values: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        lines = [f"task {self.task!r}: key {self.key}"]
        if self.problem:
            lines.append(f"  {self.problem}")
        lines += [f"  {name}: {key}" for name, key in self.parts.items()]
        lines += [
            f"    {name} = {short_repr(self.values[name], _SHOWN)}: {key or 'cannot be hashed'}"
            for name, key in self.inputs.items()
        ]
        return "\n".join(lines)

    def difference(self, other: Explanation) -> list[str]:
        """Return what makes the key of another call another one, a line for each reason.

        Args:
            other: The explanation of the other call. What differs within an input is looked for
                as both values are now.
        """
        if self.key == other.key and self.key is not None:
            return []
        lines = [
            _line(name, self.parts.get(name), other.parts.get(name))
            for name in dict.fromkeys([*self.parts, *other.parts])
            if name != "Inputs" and self.parts.get(name) != other.parts.get(name)
        ]
        for name in dict.fromkeys([*self.inputs, *other.inputs]):
            if name not in self.inputs or name not in other.inputs:
                lines.append(f"input {name}: only in one of the calls")
            elif self.inputs[name] != other.inputs[name]:
                lines += _within(f"input {name}", self.values[name], other.values[name])
        return lines[:_MAX_LINES]


def _line(what: str, one: Any, two: Any) -> str:
    return f"{what}: {short_repr(one, _SHOWN)} / {short_repr(two, _SHOWN)}"


def _within(path: str, one: Any, two: Any) -> Iterator[str]:
    """Give a line for each innermost part of two values that is not the same."""
    steps = _steps(one, two)
    if steps is None:
        kinds = "" if type(one) is type(two) else f" ({type(one).__name__}, {type(two).__name__})"
        yield _line(path, one, two) + kinds
        return
    for step, left, right in steps:
        if _key(left) != _key(right) or _key(left) is None:
            yield from _within(path + step, left, right)


def _steps(one: Any, two: Any) -> list[tuple[str, Any, Any]] | None:
    """Return pairs of parts of two values that have the same parts, else ``None``."""
    if type(one) is not type(two):
        return None
    if type(one) in {list, tuple} and len(one) == len(two):
        return [(f"[{place}]", *pair) for place, pair in enumerate(zip(one, two, strict=True))]
    if type(one) is dict and one.keys() == two.keys():
        return [(f"[{short_repr(name, _SHOWN)}]", one[name], two[name]) for name in one]
    left, right = getattr(one, "__dict__", None), getattr(two, "__dict__", None)
    if left and right and left.keys() == right.keys() and not callable(one):
        return [(f".{name}", left[name], right[name]) for name in left]
    return None


def _key(value: Any) -> str | None:
    try:
        return key_of(value)
    except HashError:
        return None


def explain(task: Any, *args: Any, **kwargs: Any) -> Explanation:
    """Tell which key a call of a task has, here and now, and what it is made of.

    The task is not run.

    Args:
        task: The task.
        *args: The arguments of the call.
        **kwargs: Its keyword arguments.

    Raises:
        ParameterBindError: If the arguments do not fit the task.
    """
    from oxtask.utilities.callables import get_call_parameters  # noqa: PLC0415 - start-up time

    inputs = get_call_parameters(task.fn, args, kwargs)
    if task.cache_policy is None and task.result_storage_key is not None:
        return _of_template(task, inputs)
    policy = NO_CACHE if task.cache_policy is None else task.cache_policy
    flow_run_id, flow_parameters = _flow_run()
    run = SimpleNamespace(id=_OWN_RUN, flow_run_id=flow_run_id)
    context = SimpleNamespace(task=task, task_run=run, parameters=inputs)
    members = policy.policies if isinstance(policy, CompoundCachePolicy) else [policy]
    key = problem = None
    parts: dict[str, str | None] = {}
    for member in members:
        name = type(member).__name__.strip("_")
        try:
            parts[name] = _made(member.compute_key(context, inputs, flow_parameters))
        except Exception as error:  # noqa: BLE001 - a run would not be cached, whatever it is
            parts[name], problem = None, _problem(error)
    if members == [policy]:
        key = next(iter(parts.values())) or None
    elif problem is None:
        key = policy.compute_key(context, inputs, flow_parameters)
    left_out = {name for member in members if isinstance(member, Inputs) for name in member.exclude}
    known = {name: _key(value) for name, value in inputs.items() if name not in left_out}
    return Explanation(task.name, policy, key, problem, parts, known, inputs)


def _made(key: Any) -> str | None:
    """Return what a policy has made as a key, awaited if it is to be awaited."""
    return text_of(run_awaitable(key) if hasattr(key, "__await__") else key)


def _problem(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _of_template(task: Any, inputs: dict[str, Any]) -> Explanation:
    """Explain the key that a ``result_storage_key`` makes; a policy has no say in it."""
    key = problem = None
    try:
        fields = template_fields(inputs, _OwnFields(task, inputs))
        key = filled(task.result_storage_key, fields) or None
    except Exception as error:  # noqa: BLE001 - the run would fail with it
        problem = _problem(error)
    named = {name: _key(value) for name, value in inputs.items()}
    parts = {"result_storage_key": task.result_storage_key}
    return Explanation(task.name, NO_CACHE, key, problem, parts, named, inputs)


class _OwnFields:
    """What a template can say of a run that is not there."""

    def __init__(self, task: Any, inputs: dict[str, Any]) -> None:
        self.task_name = task.name
        self.parameters = inputs

    def __getattr__(self, name: str) -> str:
        from oxtask.runtime import task_run  # noqa: PLC0415 - start-up time

        if name not in task_run.FIELDS:
            raise KeyError(f"task_run has no field {name!r}; it has {', '.join(task_run.FIELDS)}")
        return f"<the {name} of the run itself>"


def _flow_run() -> tuple[Any, dict[str, Any]]:
    from oxtask.context import FlowRunContext  # noqa: PLC0415 - start-up time

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None, {}
    return context.flow_run.id, dict(context.parameters or {})


def price(task: Any) -> Price:
    """Return what caching cost a task in this process so far, and what it saved.

    Args:
        task: The task.

    >>> from oxtask import task
    >>> price(task(abs)).hits
    0
    """
    return price_of(costs_of(task).sums)
