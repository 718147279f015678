"""Records: plain objects with the conveniences of a model and none of its start-up time or cost.

A field that was not given is left unset until somebody reads it. Then it has its default: a
constant, or what a factory makes. However many threads ask for it at the same time, all get the
same object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from oxtask._internal.fork_locks import fork_rlock
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from typing_extensions import Self

# Guards the instant in which a lazily made value is put in place; no user code runs under it.
# Reentrant because a signal handler may run at that instant and read a record, too.
_fill_lock = fork_rlock()


_DECLARATIONS: dict[str, Any] = {
    "_fields": (),
    "_derived": (),
    "_constants": {},
    "_factories": {},
    "_conversions": {},
    "_not_compared": (),
}


class Record:  # noqa: PLW1641 - mutable and equal by content; the kinds that have a hash say so
    """Base of states and run records.

    A subclass lists its fields in ``_fields`` and declares them as slots; read-only attributes that
    follow from them are in ``_derived``. It says where values of unset fields come from
    (``_constants``, ``_factories``), how given values are converted (``_conversions``, called with
    the value and the name of the field), and which fields do not count when two are compared. Each
    of these adds to what the base class declares.
    """

    __slots__ = ("__weakref__",)

    _fields: ClassVar[tuple[str, ...]] = ()
    _derived: ClassVar[tuple[str, ...]] = ()
    _constants: ClassVar[Mapping[str, Any]] = {}
    _factories: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    _conversions: ClassVar[Mapping[str, Callable[[Any, str], Any]]] = {}
    _not_compared: ClassVar[tuple[str, ...]] = ()
    # Each field with its conversion: one look-up tells whether it exists and what to do with it.
    _given: ClassVar[dict[str, Callable[[Any, str], Any] | None]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        base, own = super(cls, cls), vars(cls)
        for name, nothing in _DECLARATIONS.items():
            inherited, added = getattr(base, name), own.get(name, nothing)
            merged = {**inherited, **added} if isinstance(added, dict) else (*inherited, *added)
            setattr(cls, name, merged)
        cls._given = {name: cls._conversions.get(name) for name in cls._fields}

    def __init__(self, **fields: Any) -> None:
        """Set the given fields; one that is ``None`` gets its default.

        Raises:
            TypeError: There is no such field.
            ValueError: A value does not fit its field.
        """
        self._fill(fields, skip_none=True)

    if not TYPE_CHECKING:  # or every misspelt attribute would type-check

        def __getattr__(self, name: str) -> Any:
            cls = type(self)
            if name in cls._constants:
                return cls._constants[name]
            factory = cls._factories.get(name)
            if factory is None:
                raise AttributeError(
                    f"{cls.__name__!r} object has no attribute {name!r}", name=name, obj=self
                )
            return self._settle(name, factory(self))

    def _settle(self, name: str, value: Any, unset: Any = None) -> Any:
        """Put ``value`` in a slot that is empty or holds ``unset``; return what is there then."""
        with _fill_lock:
            try:
                there = object.__getattribute__(self, name)
            except AttributeError:
                there = unset
            if there is unset:
                object.__setattr__(self, name, value)
                there = value
        return there

    def _fill(self, values: Mapping[str, Any], *, skip_none: bool = False) -> None:
        for name, value in values.items():
            try:
                convert = self._given[name]
            except KeyError:
                raise self._unknown_field(name) from None
            if value is not None and convert is not None:
                object.__setattr__(self, name, convert(value, name))
            elif value is not None or not skip_none:
                object.__setattr__(self, name, value)

    def _unknown_field(self, name: str) -> TypeError:
        cls = type(self)
        if name in cls._derived:
            return TypeError(
                f"{cls.__name__}.{name} follows from other fields and cannot be set on its own."
            )
        return TypeError(
            f"{cls.__name__} has no field {name!r}. Its fields are: {', '.join(cls._fields)}."
        )

    def _items(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields and their values, without those that have their constant default."""
        for name in self._fields:
            try:
                yield name, object.__getattribute__(self, name)
            except AttributeError:
                if name not in self._constants:
                    yield name, getattr(self, name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy.

        Args:
            update: Fields that get another value in the copy.
            deep: Copy the values, too, instead of sharing them.

        Raises:
            TypeError: ``update`` names a field that does not exist.
        """
        values = dict(self._items())
        if deep:
            from copy import deepcopy  # noqa: PLC0415 - start-up time

            values = deepcopy(values)
        new = object.__new__(type(self))
        new.__setstate__({**getattr(self, "__dict__", {}), **values})
        new._fill(update or {})
        return new

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
    ) -> dict[str, Any]:
        """Return the fields as a dict; records inside them become dicts as well.

        Args:
            mode: ``"json"`` turns ids, times and enums into what JSON knows (a duration becomes its
                seconds, an object JSON has no form for becomes ``"<TypeName>"``).
            include: The only fields wanted.
            exclude: Fields not wanted.
            exclude_none: Leave out fields that are ``None``.
        """
        names = [
            name
            for name in (*self._fields, *self._derived)
            if (include is None or name in include) and (exclude is None or name not in exclude)
        ]
        values = ((name, getattr(self, name)) for name in names)
        return {
            name: _dump(value, as_json=mode == "json")
            for name, value in values
            if not (exclude_none and value is None)
        }

    @classmethod
    def model_validate(cls, value: Any) -> Self:
        """Return ``value`` if it is such a record, else the record a dict of fields describes.

        Keys that are not fields are ignored, so that what `model_dump` returns can be read back.

        Raises:
            TypeError: The value is neither a record of this kind nor a mapping.
            ValueError: A value does not fit its field.
        """
        if isinstance(value, cls):
            return value
        if not hasattr(value, "keys"):
            raise TypeError(
                f"{cls.__name__} needs a {cls.__name__} or a dict of its fields; "
                f"got {short_repr(value)} of type {type(value).__name__}."
            )
        return cls(**{name: value[name] for name in cls._fields if name in value})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        return all(
            _same(getattr(self, name), getattr(other, name))
            for name in self._fields
            if name not in self._not_compared
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={short_repr(value)}" for name, value in self._items())
        return f"{type(self).__name__}({shown})"

    def __getstate__(self) -> dict[str, Any]:
        # A user's subclass without slots has a dict as well.
        return {**getattr(self, "__dict__", {}), **dict(self._items())}

    def __setstate__(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name in self._fields or hasattr(self, "__dict__"):  # else: a newer version's field
                object.__setattr__(self, name, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic models and validated flow parameters have fields of this type."""
        from pydantic_core import core_schema  # noqa: PLC0415 - start-up time

        return core_schema.is_instance_schema(cls)


def _same(left: Any, right: Any) -> bool:
    if left is right:
        return True
    try:
        return bool(left == right)
    except Exception:  # noqa: BLE001 - arrays and hostile values have no single answer
        return False


def _dump(value: Any, *, as_json: bool) -> Any:
    if isinstance(value, Record):
        return value.model_dump(mode="json" if as_json else "python")
    if isinstance(value, dict):
        return {
            _dump_key(key) if as_json else key: _dump(item, as_json=as_json)
            for key, item in value.items()
        }
    if type(value) in (list, tuple, set, frozenset):
        items = [_dump(item, as_json=as_json) for item in value]
        try:
            return items if as_json else type(value)(items)
        except TypeError:  # a set of records: the dicts they become cannot be in a set
            return items
    return _dump_scalar(value) if as_json else value


def _dump_key(key: Any) -> str:
    return key if type(key) is str else str(_dump_scalar(key))


def _dump_scalar(value: Any) -> Any:
    from datetime import datetime, timedelta  # noqa: PLC0415 - start-up time
    from enum import Enum  # noqa: PLC0415 - start-up time
    from uuid import UUID  # noqa: PLC0415 - start-up time

    if isinstance(value, Enum):
        return _dump_scalar(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return f"<{type(value).__name__}>"
