"""How the core makes the keys of a task's runs, worked out once per task from its cache policy."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.keys_tasks import kept_key
from oxtask.cache_policies import (
    NO_CACHE,
    CompoundCachePolicy,
    FlowParameters,
    Inputs,
    RunId,
    TaskSource,
    _None,
)

if TYPE_CHECKING:
    from oxtask._internal.task_machinery import TaskMachinery

_KNOWN = (FlowParameters, Inputs, RunId, TaskSource)


def key_plan_of(task: TaskMachinery) -> _core.KeyPlan | None:
    """Return what makes the keys of a task's runs; ``None`` if its policy must be asked for each.

    That is where a key function or a policy of the user makes them, where the function is a
    callable object, and where a default is made anew for each call. Tasks bound from one share the
    plan: what they are bound to is the first argument.
    """
    plans = task._known_plans
    if "key" not in plans:
        plans["key"] = _made(task)
    found: _core.KeyPlan | None = plans["key"]
    return found


def _made(task: TaskMachinery) -> _core.KeyPlan | None:
    policy = NO_CACHE if task.cache_policy is None else task.cache_policy
    is_sum = type(policy) is CompoundCachePolicy
    members = [
        member
        for member in (policy.policies if isinstance(policy, CompoundCachePolicy) else [policy])
        if type(member) is not _None
    ]
    kinds = [type(member) for member in members]
    signature = task._signature_plan()
    if (
        (isinstance(policy, CompoundCachePolicy) and not is_sum)
        or not all(kind in _KNOWN for kind in kinds)
        or kinds.count(Inputs) > 1
        or (TaskSource in kinds and type(task.fn) is not FunctionType)
        or signature.factories
    ):
        return None
    inputs: Any = next((member for member in members if isinstance(member, Inputs)), Inputs())
    return _core.KeyPlan(
        name=task.name,
        members=[kind.__name__ for kind in kinds],
        is_sum=is_sum,
        names=list(signature.names),
        kinds=bytes(signature.kinds),
        defaults=signature.defaults,
        exclude=inputs.exclude,
        algorithm=inputs.hash_algo,
        source=kept_key(task) if TaskSource in kinds else None,
    )
