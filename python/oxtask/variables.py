"""Variables: named values that all programs of this user share, kept in ``OXTASK_HOME``.

>>> from oxtask.variables import Variable
>>> Variable.set("greeting", {"en": "hello"}, overwrite=True).value
{'en': 'hello'}
>>> Variable.get("greeting"), Variable.get("nothing", default=3)
({'en': 'hello'}, 3)
>>> Variable.unset("greeting"), Variable.unset("greeting")
(True, False)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.dispatch import with_async_twin
from oxtask._internal.records import Record
from oxtask._internal.stored_records import VariableCreate, check_json, check_variable_name
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Variable"]


class Variable(Record):
    """A named value.

    The sync methods return awaitables when they are called in an async run, as their async twins
    do: ``aset`` is ``set``.

    Attributes:
        name: Lowercase letters, digits, dashes and underscores, at most 255 of them.
        value: What JSON knows: text, numbers, ``True``, ``False``, ``None``, lists, dicts with text
            as keys.
        tags: Text to sort variables by.

    Raises:
        ValueError: A value does not fit.
    """

    __slots__ = _fields = ("name", "value", "tags")
    _conversions: ClassVar[Mapping[str, Any]] = {"name": check_variable_name, "value": check_json}
    _constants: ClassVar[Mapping[str, Any]] = {"value": None, "tags": None}

    name: str
    value: Any
    tags: list[str] | None

    def __init__(self, *, name: str, value: Any, tags: list[str] | None = None) -> None:
        super().__init__(name=name, value=value, tags=tags)

    @classmethod
    async def aset(
        cls,
        name: str,
        value: Any,
        tags: Iterable[str] | None = None,
        overwrite: bool = False,
    ) -> Variable:
        """Do what `set` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(_set, name, value, tags, overwrite)

    @classmethod
    @with_async_twin(lambda cls, *args, **kwargs: cls.aset(*args, **kwargs))
    def set(
        cls,
        name: str,
        value: Any,
        tags: Iterable[str] | None = None,
        overwrite: bool = False,
    ) -> Variable:
        """Set a variable, and return it.

        Args:
            name: Its name.
            value: Its value.
            tags: Its tags.
            overwrite: Whether to replace one of that name.

        Raises:
            ValueError: If a value does not fit, or there is one of that name.
        """
        return _set(name, value, tags, overwrite)

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """Do what `get` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(_get, name, default)

    @classmethod
    @with_async_twin(lambda cls, *args, **kwargs: cls.aget(*args, **kwargs))
    def get(cls, name: str, default: Any = None) -> Any:
        """Return the value of a variable.

        Args:
            name: Its name.
            default: What to return if there is none of that name.
        """
        return _get(name, default)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """Do what `unset` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(_unset, name)

    @classmethod
    @with_async_twin(lambda cls, *args, **kwargs: cls.aunset(*args, **kwargs))
    def unset(cls, name: str) -> bool:
        """Remove a variable; false if there is none of that name.

        Args:
            name: Its name.
        """
        return _unset(name)


def _set(name: str, value: Any, tags: Iterable[str] | None, overwrite: bool) -> Variable:
    from oxtask._internal import variable_files  # noqa: PLC0415 - start-up time

    wanted = VariableCreate(name=name, value=value, tags=None if tags is None else tags)
    try:
        kept = variable_files.put(wanted, overwrite=overwrite)
    except ObjectAlreadyExists as error:
        raise ValueError(str(error)) from None
    return Variable(name=kept.name, value=kept.value, tags=kept.tags)


def _get(name: str, default: Any) -> Any:
    from oxtask._internal import variable_files  # noqa: PLC0415 - start-up time

    found = variable_files.read(name)
    return default if found is None else found.value


def _unset(name: str) -> bool:
    from oxtask._internal import variable_files  # noqa: PLC0415 - start-up time

    try:
        variable_files.delete(name)
    except ObjectNotFound:
        return False
    return True
