"""What caching costs tasks, and what it saves them: one warning where it does not pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oxtask._core import Costs
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from oxtask._internal.task_machinery import TaskMachinery


class Price(NamedTuple):
    """What caching cost a task in this process, and what it saved.

    Attributes:
        hits: Runs whose result was found.
        misses: Runs whose result was computed and stored.
        hashing_seconds: Time making keys.
        reading_seconds: Time looking for results.
        writing_seconds: Time storing them.
        computing_seconds: What the functions took whose results were stored.
        saved_seconds: What the functions would have taken that did not run.
    """

    hits: int
    misses: int
    hashing_seconds: float
    reading_seconds: float
    writing_seconds: float
    computing_seconds: float
    saved_seconds: float

    @property
    def spent_seconds(self) -> float:
        """All that caching cost."""
        return self.hashing_seconds + self.reading_seconds + self.writing_seconds

    def __str__(self) -> str:
        runs = max(1, self.hits + self.misses)
        return (
            f"{self.hits} of {runs} runs found their result, which saved "
            f"{_shown(self.saved_seconds)}; caching cost {_shown(self.spent_seconds)}: hashing "
            f"{_shown(self.hashing_seconds)}, reading {_shown(self.reading_seconds)}, writing "
            f"{_shown(self.writing_seconds)}"
        )


def price_of(sums: tuple[int, ...]) -> Price:
    """Return sums of the core, which are in nanoseconds, as a price."""
    hits, misses, *times = sums
    seconds: Any = (time / 1e9 for time in times)
    return Price(hits, misses, *seconds)


def costs_of(task: TaskMachinery) -> Costs:
    """Return the sums of what caching costs a task and saves it."""
    costs: Costs | None = task.__dict__.get("_costs")
    if costs is None:
        costs = task.__dict__["_costs"] = Costs(task.name)
    return costs


def found(task: TaskMachinery, hashing: int, reading: int) -> None:
    """Count a run of the engine whose result was found; times are nanoseconds.

    What it saved is what such runs took in this process, or what it cost if there were none.
    """
    costs = costs_of(task)
    _, misses, _, _, _, computing, _ = costs.sums
    costs.found(hashing, reading, computing // misses if misses else hashing + reading)


def stored(task: TaskMachinery, hashing: int, reading: int, writing: int, took: int) -> None:
    """Count a run of the engine whose result was computed and stored; times are nanoseconds."""
    costs_of(task).stored(hashing, reading, writing, took)


def warn(name: str, sums: tuple[int, ...]) -> None:
    """Tell the user that caching does not pay for a task; called once for each by the core."""
    price = price_of(sums)
    from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

    get_logger("cache").warning(
        "Caching costs task %s more than it can save: %s. A call of its function takes about %s. "
        "Leave it out with `cache_policy=NO_CACHE`, or let the task do more at a time.",
        short_repr(name),
        price,
        _shown(price.computing_seconds / max(1, price.misses)),
    )


def _shown(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
