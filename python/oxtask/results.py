"""What a run produced, held next to how it is stored."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from oxtask._internal.text import short_repr

R_co = TypeVar("R_co", covariant=True)


class ResultRecord(Generic[R_co]):  # noqa: PLW1641 - mutable and equal by content
    """The value of a run, as the engine puts it into ``State.data``.

    A state whose data is a record has a value even when that value is ``None``; a completed state
    whose data is ``None`` itself has none. Holding a value in memory is all a record does: writing
    it to a store and reading it back is a separate concern, described by ``metadata``.

    Args:
        result: The value.
        metadata: How the value is or will be stored; ``None`` for a value that lives in memory
            only.

    >>> ResultRecord(3).result
    3
    """

    __slots__ = ("__weakref__", "metadata", "result")

    result: R_co
    metadata: Any

    def __init__(self, result: R_co, metadata: Any = None) -> None:
        self.result = result
        self.metadata = metadata

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self.result == other.result and self.metadata == other.metadata)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(result={short_repr(self.result)})"
