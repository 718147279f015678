"""Which run produced an object: by identity, for as long as the object is there.

An object that can be referred to weakly is not kept alive. Any other (lists, texts, numbers) is, or
else a new object at its address would pass for it; of these the oldest are let go of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oxtask._internal.fork_locks import fork_rlock
from oxtask.context import FlowRunContext
from oxtask.utilities.collections import AutoEnum, visit_collection

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask.states import State

UNTRACKABLE_TYPES: set[type] = {bool, type(None), type(...), type(NotImplemented)}
"""Types whose values are the same objects everywhere."""
SMALL_INTEGERS = range(-5, 257)
"""Integers that CPython makes once."""
MAX_LINKS = 10_000
"""How many objects a flow run knows the origin of; the oldest are forgotten."""


class RunType(AutoEnum):
    """The kind of a run."""

    FLOW_RUN = AutoEnum.auto()
    TASK_RUN = AutoEnum.auto()


class Link(NamedTuple):
    """Where an object comes from.

    Attributes:
        state: The state of the run when it gave the object away, without its data.
        run_type: Whether that was a task run or a flow run.
        refer: Returns the object, or ``None`` if it is gone.
    """

    state: State[Any]
    run_type: RunType
    refer: Callable[[], Any]


class ResultLinks(dict[int, Link]):
    """The objects of a flow run that were produced in it, by address."""

    def __init__(self) -> None:
        super().__init__()
        # Reentrant: an object that goes away under the lock is taken out under it as well.
        self._lock = fork_rlock()

    def add(self, obj: Any, state: State[Any], run_type: RunType) -> None:
        """Note where an object comes from; what was known before is forgotten."""
        key = id(obj)
        link = Link(state, run_type, self._reference(key, obj))
        with self._lock:
            self.pop(key, None)  # the newest come last
            self[key] = link
            while len(self) > MAX_LINKS:
                del self[next(iter(self))]

    def find(self, obj: Any) -> Link | None:
        """Return where an object comes from; ``None`` if that is not known."""
        link = self.get(id(obj))
        return link if link is not None and link.refer() is obj else None

    def _reference(self, key: int, obj: Any) -> Callable[[], Any]:
        if not type(obj).__weakrefoffset__:
            return lambda: obj
        from weakref import ref  # noqa: PLC0415 - start-up time

        def forget(reference: Any) -> None:
            with self._lock:
                link = self.get(key)
                if link is not None and link.refer is reference:
                    del self[key]

        return ref(obj, forget)


def is_trackable(obj: Any) -> bool:
    """Tell whether an object is not shared by the whole program."""
    kind = type(obj)
    return kind not in UNTRACKABLE_TYPES and not (kind is int and obj in SMALL_INTEGERS)


def link_result(state: State[Any], result: Any, run_type: RunType) -> None:
    """Note in the current flow run that a result, and what it holds, come from a run.

    Objects one layer inside of the result count, those deeper inside do not. If there is one whose
    use cannot be traced, the details of the state say so.
    """
    context = FlowRunContext.get()
    if context is None:
        return
    links = context.run_results
    known = state.model_copy(update={"data": None, "timestamp": state.timestamp})

    def visit(item: Any) -> None:
        if is_trackable(item):
            links.add(item, known, run_type)
        else:
            state.state_details.untrackable_result = True

    visit_collection(result, visit, max_depth=1)


def link_of(obj: Any) -> Link | None:
    """Return where an object comes from, as far as the current flow run knows."""
    context = FlowRunContext.get()
    return None if context is None else context.run_results.find(obj)


__all__ = [
    "UNTRACKABLE_TYPES",
    "Link",
    "ResultLinks",
    "RunType",
    "is_trackable",
    "link_of",
    "link_result",
]
