"""Fields the engine fills with numbers, which become objects when somebody reads them.

Each field ``x`` keeps what it was given in the slot ``_x``. A number that two threads convert at
the same time becomes two equal objects, which does no harm. An id not there yet is made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.ids import new_id, to_uuid
from oxtask._internal.times import datetime_from_nanoseconds, duration_from_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxtask._internal.records import Record


class _LazyField:
    """Base of the descriptors; a subclass says how to convert a number."""

    convert: Callable[[int], Any]

    def __set_name__(self, owner: type, name: str) -> None:
        self.slot = f"_{name}"

    def __get__(self, record: Record | None, owner: type | None = None) -> Any:
        if record is None:
            return self
        value = getattr(record, self.slot)
        if type(value) is int:
            value = self.convert(value)
            object.__setattr__(record, self.slot, value)
        return value

    def __set__(self, record: Record, value: Any) -> None:
        object.__setattr__(record, self.slot, value)


class Moment(_LazyField):
    """A time, or nanoseconds since the epoch."""

    convert = staticmethod(datetime_from_nanoseconds)


class Duration(_LazyField):
    """A duration, or its nanoseconds."""

    convert = staticmethod(duration_from_nanoseconds)


class Identity(_LazyField):
    """A UUID, its 128-bit integer, or ``None`` until it is made."""

    @staticmethod
    def convert(value: int) -> Any:
        return to_uuid(value, "id")

    def __get__(self, record: Record | None, owner: type | None = None) -> Any:
        value = super().__get__(record, owner)
        return value if value is not None or record is None else record._settle(self.slot, new_id())
