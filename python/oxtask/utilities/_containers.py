"""How each kind of container is taken apart and put together again.

A `Container` describes one class. `container_of` finds it; ``None`` means the class is a leaf.

A changed copy is structural: a blank object of the same class gets the attributes of the old one
and the new contents. Constructors, ``__post_init__`` and validators are not run again, because they
may have side effects, need arguments that are gone, or (`collections.Counter`) read the contents as
something else. Values cached by `functools.cached_property` are dropped, since they were computed
from the old contents.

Mutable containers can be created first and filled later, which is what makes cycles possible.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from enum import EnumMeta
from functools import cached_property
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from oxtask.utilities.annotations import BaseAnnotation, opaque

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_REMEMBERED_CLASSES = 4096
CACHED_HASH = "_attrs_cached_hash"  # where `attrs.define(cache_hash=True)` keeps it
HEAP_TYPE = 1 << 9  # `Py_TPFLAGS_HEAPTYPE`: the class was made by a class statement


class Container:
    """Takes apart and puts together the instances of one class.

    Attributes:
        mutable: Whether an instance can be created empty and filled later.
        shallow: Whether the contents are visited, but not entered.
    """

    __slots__ = ("cached", "cls", "shallow", "slots")

    mutable = True

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.shallow = False
        self.slots = tuple(_slots(cls))
        self.cached = frozenset(
            name
            for base in cls.__mro__
            for name, attribute in vars(base).items()
            if isinstance(attribute, cached_property)
        )

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        """Return the labels of the contents (empty if they are not named) and the contents."""
        raise NotImplementedError

    def blank(self, value: Any) -> Any:
        """Return a new instance with the attributes of ``value``, to be filled by `fill`."""
        raise NotImplementedError

    def fill(self, blank: Any, parts: list[Any], labels: Sequence[str], /) -> None:
        """Give a `blank` instance its contents."""
        raise NotImplementedError

    def build(self, value: Any, parts: list[Any], labels: Sequence[str], /) -> Any:
        """Return a copy of ``value`` with other contents."""
        new = self.blank(value)
        self.fill(new, parts, labels)
        return new

    def copy_attributes(self, value: Any, new: Any) -> Any:
        """Give ``new`` the instance attributes of ``value``."""
        attributes = instance_dict(value)
        if attributes:
            instance_dict(new).update(
                (name, attribute)
                for name, attribute in attributes.items()
                if name not in self.cached
            )
        for slot in self.slots:
            try:
                attribute = slot.__get__(value)
            except AttributeError:  # declared but not set
                continue
            slot.__set__(new, attribute)
        return new


class ListContainer(Container):
    """`list` and its subclasses."""

    __slots__ = ()

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), list(list.__iter__(value))

    def blank(self, value: Any) -> Any:
        return self.copy_attributes(value, list.__new__(self.cls))

    def fill(self, blank: Any, parts: list[Any], _labels: Sequence[str], /) -> None:
        list.extend(blank, parts)


class DequeContainer(Container):
    """`collections.deque` and its subclasses."""

    __slots__ = ()

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), list(deque.__iter__(value))

    def blank(self, value: Any) -> Any:
        new: deque[Any] = deque.__new__(self.cls)
        deque.__init__(new, (), value.maxlen)
        return self.copy_attributes(value, new)

    def fill(self, blank: Any, parts: list[Any], _labels: Sequence[str], /) -> None:
        deque.extend(blank, parts)


class SetContainer(Container):
    """`set` and its subclasses."""

    __slots__ = ()

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), list(set.__iter__(value))

    def blank(self, value: Any) -> Any:
        return self.copy_attributes(value, set.__new__(self.cls))

    def fill(self, blank: Any, parts: list[Any], _labels: Sequence[str], /) -> None:
        set.update(blank, parts)


class FrozenSetContainer(Container):
    """`frozenset` and its subclasses."""

    __slots__ = ()
    mutable = False

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), list(frozenset.__iter__(value))

    def build(self, value: Any, parts: list[Any], _labels: Sequence[str], /) -> Any:
        return self.copy_attributes(value, frozenset.__new__(self.cls, parts))


class TupleContainer(Container):
    """`tuple` and its subclasses, named tuples included."""

    __slots__ = ()
    mutable = False

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), list(tuple.__iter__(value))

    def build(self, value: Any, parts: list[Any], _labels: Sequence[str], /) -> Any:
        try:
            new: Any = tuple.__new__(self.cls, parts)
        except TypeError:
            # C-level records such as `time.struct_time` insist on their own constructor and carry
            # fields beyond the tuple, which `__reduce__` hands out in constructor form.
            factory, arguments = value.__reduce__()
            return factory(tuple(parts), *arguments[1:])
        return self.copy_attributes(value, new)


class DictContainer(Container):
    """`dict` and its subclasses; contents are key, value, key, value, and so on."""

    __slots__ = ("base",)

    def __init__(self, cls: type) -> None:
        super().__init__(cls)
        # The order of an `OrderedDict` and the factory of a `defaultdict` live beside the `dict`.
        self.base: type[dict[Any, Any]] = next(
            base for base in cls.__mro__ if base in {OrderedDict, defaultdict, dict}
        )

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), [part for pair in list(self.base.items(value)) for part in pair]

    def blank(self, value: Any) -> Any:
        new: Any = self.base.__new__(self.cls)
        if self.base is defaultdict:
            defaultdict.__init__(new, value.default_factory)
        return self.copy_attributes(value, new)

    def fill(self, blank: Any, parts: list[Any], _labels: Sequence[str], /) -> None:
        put = self.base.__setitem__
        for index in range(0, len(parts), 2):
            put(blank, parts[index], parts[index + 1])


class ObjectContainer(Container):
    """Objects with declared fields: dataclasses and attrs classes."""

    __slots__ = ("names",)

    def __init__(self, cls: type, names: Iterable[str]) -> None:
        super().__init__(cls)
        self.names = tuple(names)

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        labels: list[str] = []
        parts: list[Any] = []
        for name in self.names:
            try:
                # Not `getattr`: a class may compute or load attributes on access.
                part = object.__getattribute__(value, name)
            except AttributeError:  # declared but not set
                continue
            labels.append(name)
            parts.append(part)
        return labels, parts

    def blank(self, value: Any) -> Any:
        return self.copy_attributes(value, object.__new__(self.cls))

    def fill(self, blank: Any, parts: list[Any], labels: Sequence[str], /) -> None:
        attributes = instance_dict(blank)
        for name, part in zip(labels, parts, strict=True):
            if attributes is not None and name in attributes:
                attributes[name] = part
            elif object.__getattribute__(blank, name) is not part:
                # Not `setattr`: the class may be frozen.
                object.__setattr__(blank, name, part)


class AttrsContainer(ObjectContainer):
    """Instances of attrs classes."""

    __slots__ = ()

    def __init__(self, cls: type) -> None:
        names = [attribute.name for attribute in cls.__attrs_attrs__]  # type: ignore[attr-defined]
        super().__init__(cls, names)
        # Besides its attributes, a class made by attrs has slots for what it caches.
        self.slots = tuple(
            slot
            for slot in self.slots
            if slot.__name__ in names or "__attrs_attrs__" not in vars(slot.__objclass__)
        )

    def blank(self, value: Any) -> Any:
        new = super().blank(value)
        try:
            object.__getattribute__(value, CACHED_HASH)
        except AttributeError:
            return new
        object.__setattr__(new, CACHED_HASH, None)
        return new


class ModelContainer(Container):
    """Instances of pydantic models: declared and extra fields, but no private attributes."""

    __slots__ = ()

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        declared = model_fields(self.cls)
        attributes = instance_dict(value)
        found = {name: part for name, part in attributes.items() if name in declared}
        found.update(_state(value, "__pydantic_extra__") or {})
        return list(found), list(found.values())

    def blank(self, value: Any) -> Any:
        new = self.copy_attributes(value, object.__new__(self.cls))
        # These were copied by reference; a change to the copy must not reach the original.
        for name in ("__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__"):
            state = _state(value, name)
            if state is not None:
                object.__setattr__(new, name, state.copy())
        return new

    def fill(self, blank: Any, parts: list[Any], labels: Sequence[str], /) -> None:
        attributes = instance_dict(blank)
        for name, part in zip(labels, parts, strict=True):
            if name in attributes:
                attributes[name] = part
            else:
                _state(blank, "__pydantic_extra__")[name] = part


class AnnotationContainer(Container):
    """Annotations hold one value."""

    __slots__ = ()
    mutable = False

    def __init__(self, cls: type) -> None:
        super().__init__(cls)
        self.shallow = issubclass(cls, opaque)

    def parts(self, value: Any) -> tuple[Sequence[str], list[Any]]:
        return (), [value.unwrap()]

    def build(self, value: Any, parts: list[Any], _labels: Sequence[str], /) -> Any:
        return value.rewrap(parts[0])


def instance_dict(value: Any) -> Any:
    """Return the ``__dict__`` of an object, or ``None``, whatever its class does on access."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None


def is_model_class(cls: type) -> bool:
    """Tell whether a class is a pydantic (version 2) model, without importing pydantic."""
    return _declares(cls, "__pydantic_root_model__")


def model_fields(cls: Any) -> Any:
    """Return the declared fields of a pydantic model by name."""
    # pydantic before 2.10 has only the public attribute.
    return getattr(cls, "__pydantic_fields__", None) or cls.model_fields


def _state(value: Any, name: str) -> Any:
    """Return an attribute that is always there, unless the object was built in an unusual way."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None


def _slots(cls: type) -> Iterable[Any]:
    for base in cls.__mro__:
        if "__slots__" in vars(base):
            for attribute in vars(base).values():
                if isinstance(attribute, MemberDescriptorType):
                    yield attribute


_containers: dict[type, Container | None] = {}


def container_of(cls: type) -> Container | None:
    """Return how instances of ``cls`` are taken apart, or ``None`` if they are leaves."""
    try:
        return _containers[cls]
    except KeyError:
        pass
    if len(_containers) >= MAX_REMEMBERED_CLASSES:
        # Classes may be made by the thousand (every mock has its own); do not keep them alive.
        _containers.clear()
    container = _containers[cls] = _classify(cls)
    return container


def _classify(cls: type) -> Container | None:
    # By the real type, not by `isinstance`: a mock claims any class it likes.
    if isinstance(cls, EnumMeta) or issubclass(cls, (str, bytes, BaseException)):
        return None
    for base, kind in _KINDS:
        if issubclass(cls, base):
            return kind(cls)
    if is_model_class(cls):
        return ModelContainer(cls)
    if any(base is not object and not base.__flags__ & HEAP_TYPE for base in cls.__mro__):
        return None  # State below Python (a dataclass derived from `int`) cannot be copied safely.
    if _declares(cls, "__dataclass_fields__"):
        from dataclasses import fields  # noqa: PLC0415 - start-up time

        return ObjectContainer(cls, [field.name for field in fields(cls)])  # type: ignore[arg-type]
    if _declares(cls, "__attrs_attrs__"):
        return AttrsContainer(cls)
    return None


def _declares(cls: type, name: str) -> bool:
    # Not `hasattr`: a metaclass may claim any attribute.
    return any(name in vars(base) for base in cls.__mro__)


_KINDS: tuple[tuple[type, type[Container]], ...] = (
    (BaseAnnotation, AnnotationContainer),
    (list, ListContainer),
    (tuple, TupleContainer),
    (dict, DictContainer),
    (set, SetContainer),
    (frozenset, FrozenSetContainer),
    (deque, DequeContainer),
)
