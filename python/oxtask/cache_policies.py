"""How the key is made under which a result is cached.

A policy makes a key of a run: of its inputs, of the code of its task, of the run it belongs to.
Policies are added, ``INPUTS + TASK_SOURCE``, and inputs are left out, ``INPUTS - "client"``. A run
without a key is not cached.

Keys are made by `oxtask.utilities.hashing.hash_objects`: by type and content, the same in each
process. The order of the members of a sum does not matter.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from oxtask import _core
from oxtask._internal.text import short_repr
from oxtask.exceptions import HashError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NONE",
    "NO_CACHE",
    "RUN_ID",
    "STABLE_TRANSFORMS",
    "TASK_SOURCE",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "CompoundCachePolicy",
    "FlowParameters",
    "Inputs",
    "RunId",
    "TaskSource",
]

STABLE_TRANSFORMS: dict[type, Callable[[Any], Any]] = {}
"""What is hashed in place of an input of exactly this type. Filled with an entry for
``pandas.DataFrame``, whose columns are put in order, when pandas is there."""


@dataclass
class CachePolicy:
    """The base of all policies.

    Attributes:
        key_storage: Where metadata are kept, if apart from results: a folder, or the name of a
            stored block.
        isolation_level: That of the transactions in which runs read and write the cache.
        lock_manager: What locks keys.
        lock_timeout: How many seconds a run waits for the lock on its key, before it fails with a
            `LockTimeoutError`; ``None`` is for good.
    """

    key_storage: Path | str | Any | None = None
    isolation_level: Literal["READ_COMMITTED", "SERIALIZABLE"] | Any | None = None
    lock_manager: Any | None = None
    lock_timeout: float | None = field(default=None, kw_only=True)

    @classmethod
    def from_cache_key_fn(
        cls, cache_key_fn: Callable[[Any, dict[str, Any]], str | None]
    ) -> CacheKeyFnPolicy:
        """Return the policy whose keys a function of context and inputs makes."""
        return CacheKeyFnPolicy(cache_key_fn=cache_key_fn)

    def configure(
        self,
        key_storage: Path | str | Any | None = None,
        lock_manager: Any | None = None,
        isolation_level: Literal["READ_COMMITTED", "SERIALIZABLE"] | Any | None = None,
        *,
        lock_timeout: float | None = None,
    ) -> Self:
        """Return a copy of the policy that works elsewhere; its keys are the same.

        Args:
            key_storage: See `CachePolicy`; ``None`` for what the policy has.
            lock_manager: The same.
            isolation_level: The same.
            lock_timeout: The same.
        """
        from oxtask._internal.lock_waits import check_seconds  # noqa: PLC0415 - start-up time

        given = {
            "key_storage": key_storage,
            "lock_manager": lock_manager,
            "isolation_level": isolation_level,
            "lock_timeout": check_seconds(lock_timeout, "lock_timeout"),
        }
        copy = deepcopy(self)
        for name, value in given.items():
            if value is not None:
                setattr(copy, name, value)
        return copy

    def compute_key(
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """Return the key of a run, or ``None`` if it is not to be cached.

        Args:
            task_ctx: The `TaskRunContext` of the run, or ``None``.
            inputs: Its parameters by name, defaults included.
            flow_parameters: Those of the flow run it belongs to.
            **kwargs: Reserved.

        Raises:
            ValueError: If something that takes part cannot be hashed.
        """
        raise NotImplementedError

    def __sub__(self, other: str) -> CachePolicy:
        if not isinstance(other, str):
            msg = (
                f"Can only subtract the name of an input, a str; got {short_repr(other)}. "
                "Write `policy - 'client'`"
            )
            raise TypeError(msg)
        return self

    def __add__(self, other: CachePolicy) -> CachePolicy:
        if not isinstance(other, CachePolicy):
            msg = f"Can only add a cache policy to a cache policy; got {short_repr(other)}"
            raise TypeError(msg)
        if isinstance(other, _None):
            return self
        if isinstance(self, _None):
            return other
        return CompoundCachePolicy(
            policies=[self, other],
            key_storage=_either(self, other, "key_storage", "storage locations"),
            isolation_level=_either(self, other, "isolation_level", "isolation levels"),
            lock_manager=_either(self, other, "lock_manager", "lock implementations"),
            lock_timeout=_either(self, other, "lock_timeout", "lock timeouts"),
        )


def _either(left: CachePolicy, right: CachePolicy, name: str, plural: str) -> Any:
    one, two = getattr(left, name), getattr(right, name)
    if one is not None and two is not None and one != two:
        msg = (
            f"Cannot add cache policies with different {plural}: {short_repr(one)} and "
            f"{short_repr(two)}. Use `policy.configure({name}=...)` on the sum"
        )
        raise ValueError(msg)
    return two if one is None else one


@dataclass
class CacheKeyFnPolicy(CachePolicy):
    """The key is what a function of context and inputs returns.

    Attributes:
        cache_key_fn: The function; without one there is no key.
    """

    cache_key_fn: Callable[[Any, dict[str, Any]], str | None] | None = None

    def compute_key(  # noqa: D102 - see the base
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        del flow_parameters, kwargs
        return None if self.cache_key_fn is None else self.cache_key_fn(task_ctx, inputs)


@dataclass
class CompoundCachePolicy(CachePolicy):
    """A sum: the key is made of those of the members, in whatever order they were added.

    Attributes:
        policies: The members; sums among them are dissolved, and all `Inputs` are one, the last.
    """

    policies: list[CachePolicy] = field(default_factory=list)

    def __post_init__(self) -> None:
        members: list[CachePolicy] = []
        inputs: list[Inputs] = []
        for policy in self.policies:
            inner = policy.policies if isinstance(policy, CompoundCachePolicy) else [policy]
            for member in inner:
                if isinstance(member, Inputs):
                    inputs.append(member)
                else:
                    members.append(member)
        if len(inputs) == 1:
            members += inputs
        elif inputs:
            names = {name for member in inputs for name in member.exclude}
            algorithms = {member.hash_algo for member in inputs if member.hash_algo}
            algorithm: Any = algorithms.pop() if len(algorithms) == 1 else None
            members.append(Inputs(exclude=sorted(names), hash_algo=algorithm))
        self.policies = members

    def compute_key(  # noqa: D102 - see the base
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        found = []
        for policy in self.policies:
            key = policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs)
            if key is not None:
                found.append((type(policy).__name__, str(key)))
        return _core.hash_value(sorted(found)) if found else None

    def __sub__(self, other: str) -> CachePolicy:
        super().__sub__(other)
        if not any(isinstance(policy, Inputs) for policy in self.policies):
            return self
        members = [
            policy - other if isinstance(policy, Inputs) else policy for policy in self.policies
        ]
        return replace(self, policies=members)


@dataclass
class _None(CachePolicy):
    """Never a key: nothing is cached."""

    def compute_key(
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        del task_ctx, inputs, flow_parameters, kwargs
        return None


@dataclass
class TaskSource(CachePolicy):
    """The key is made of what the task's function does.

    That is its code, without comments, layout and decorators, its defaults, the values that it
    closes over, the globals that it reads, and the same of every function and class of the program
    that it refers to. Those of libraries count by name.

    A global, or a value closed over, that the function itself writes into, as in ``calls[x] += 1``,
    ``seen.add(x)`` or ``log.last = x``, is something that it produces: it counts by name and type,
    whatever is in it. A function whose result does depend on what is in there needs a ``RUN_ID``
    or a ``cache_key_fn``. What a function assigns to is read from its text; without the text, only
    calls of methods and ``global`` names are known.
    """

    def compute_key(  # noqa: D102 - see the base
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        del inputs, flow_parameters, kwargs
        if not task_ctx:
            return None
        from oxtask._internal.keys_tasks import source_key  # noqa: PLC0415 - start-up time

        try:
            return source_key(task_ctx.task)
        except HashError as error:
            _refuse(task_ctx, error)


@dataclass
class FlowParameters(CachePolicy):
    """The key is made of the parameters of the flow run; without any there is none."""

    def compute_key(  # noqa: D102 - see the base
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        del inputs, kwargs
        if not flow_parameters:
            return None
        try:
            return _core.hash_inputs(flow_parameters)
        except HashError as error:
            _refuse(task_ctx, error)


@dataclass
class RunId(CachePolicy):
    """The key is the id of the flow run; of a task run that belongs to none, its own."""

    def compute_key(  # noqa: D102 - see the base
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        del inputs, flow_parameters, kwargs
        if not task_ctx:
            return None
        run = task_ctx.task_run
        return str(run.id if run.flow_run_id is None else run.flow_run_id)


@dataclass
class Inputs(CachePolicy):
    """The key is made of the inputs; a task without any has none.

    Attributes:
        exclude: The names of inputs that take no part.
        hash_algo: ``"blake3"`` where somebody who chooses inputs could profit from two with the
            same key; see `oxtask.utilities.hashing.hash_objects`.
    """

    exclude: list[str] = field(default_factory=list)
    hash_algo: Literal["xxh3", "blake3"] | None = None

    def compute_key(  # noqa: D102 - see the base
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        del flow_parameters, kwargs
        if not inputs:
            return None
        try:
            return _core.hash_inputs(_stable(inputs), self.exclude or None, self.hash_algo)
        except HashError as error:
            _refuse(task_ctx, error)

    def __sub__(self, other: str) -> CachePolicy:
        super().__sub__(other)
        return replace(self, exclude=[*self.exclude, other])


def _stable(inputs: dict[str, Any]) -> dict[str, Any]:
    _fill_transforms()
    for value in inputs.values():
        if type(value) in STABLE_TRANSFORMS:
            break
    else:
        return inputs
    return {
        name: STABLE_TRANSFORMS[type(value)](value) if type(value) in STABLE_TRANSFORMS else value
        for name, value in inputs.items()
    }


_is_filled: list[bool] = []


def _fill_transforms() -> bool:
    """Put in the entries for libraries that are loaded; tell whether that is all."""
    if not _is_filled and "pandas" in sys.modules:
        pandas: Any = sys.modules["pandas"]
        if hasattr(pandas, "DataFrame"):  # else it is being imported
            STABLE_TRANSFORMS.setdefault(pandas.DataFrame, _columns_in_order)
            _is_filled.append(True)
    return bool(_is_filled)


def _columns_in_order(frame: Any) -> list[Any]:
    """Return the columns of a frame by their labels, which may be of several types."""
    labels = list(frame.columns)
    # Several times as fast as one `iloc` after the other.
    columns = [column for _, column in frame.items()]
    places = sorted(
        range(len(labels)), key=lambda place: (type(labels[place]).__name__, repr(labels[place]))
    )
    return [columns[place] for place in places]


def _refuse(task_ctx: Any, error: HashError) -> NoReturn:
    """Raise the error about what cannot be hashed."""
    raise _refusal(getattr(getattr(task_ctx, "task", None), "name", None), error) from error


def _refusal(name: str | None, error: HashError) -> ValueError:
    """Return the error about what cannot be hashed, which names the task and the way out."""
    whose = f"the results of task {name!r}" if name else "results"
    root = error.path.partition(".")[0].partition("[")[0]
    leave_out = f"leave the input out, `cache_policy=INPUTS - {root!r}`; " if root else ""
    return ValueError(
        f"{error} - so {whose} cannot be cached. To resolve this, you can: {leave_out}give the "
        "object a method `__oxtask_key__` that returns what to hash in its place; make the key "
        "yourself with `cache_key_fn`; or cache nothing, `cache_policy=NO_CACHE`"
    )


INPUTS = Inputs()
NONE = _None()
NO_CACHE = _None()
TASK_SOURCE = TaskSource()
FLOW_PARAMETERS = FlowParameters()
RUN_ID = RunId()
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID
