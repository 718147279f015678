"""Annotations: markers around an argument that say how a task run treats it.

An annotation holds exactly one value. Without one, an argument is walked: futures and states inside
it are replaced by their results. The markers change that:

=================== ========================================================================
`quote`             leave the value alone: nothing in it is resolved or tracked
`opaque`            resolve the value itself, but do not look inside it
`allow_failure`     resolve it; a failed upstream delivers its exception instead of failing
`unmapped`          hand the same value to every child of a ``map``
`freeze`            a constant, checked to be representable as JSON
=================== ========================================================================

Annotations may be nested. They are removed before the function runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "BaseAnnotation",
    "NotSet",
    "Quote",
    "allow_failure",
    "freeze",
    "opaque",
    "quote",
    "unmapped",
]

T = TypeVar("T")


class NotSet:
    """Stands for "no value was given"; the class itself is the marker, compare with ``is``."""


def _restore(cls: type[BaseAnnotation[T]], value: T) -> BaseAnnotation[T]:
    """Build an annotation around a value that was accepted before: no checks, no warnings."""
    return tuple.__new__(cls, (value,))


class BaseAnnotation(tuple[T, ...], Generic[T]):
    """The base of all annotations: an immutable holder of one value.

    Args:
        value: What is annotated, of any type.

    Raises:
        TypeError: If not exactly one value is given.

    Example:
        >>> annotated = quote([1, 2])
        >>> annotated
        quote([1, 2])
        >>> annotated.unwrap()
        [1, 2]
    """

    __slots__ = ()

    def __new__(cls, value: T) -> Self:
        """Wrap the value."""
        return tuple.__new__(cls, (value,))

    @property
    def value(self) -> T:
        """The annotated value."""
        # Not `self[0]`: `unmapped` answers every index.
        return tuple.__getitem__(self, 0)

    def unwrap(self) -> T:
        """Return the annotated value; of nested annotations, only the outer one is removed."""
        return tuple.__getitem__(self, 0)

    def rewrap(self, value: T) -> Self:
        """Return the same kind of annotation around another value."""
        return type(self)(value)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        # `tuple` brings its own `__ne__`, which would compare across kinds of annotations.
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self), tuple.__getitem__(self, 0)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # What `tuple` offers hands the whole tuple to `__new__`, which would wrap it once more.
        return _restore, (type(self), self.value), getattr(self, "__dict__", None)


class unmapped(BaseAnnotation[T]):  # noqa: N801 - the field's name
    """Hand the value to every child of a ``map`` as it is, although it could be iterated.

    It reads as an endless sequence of its value:

        >>> unmapped([1, 2])[1_000_000]
        [1, 2]
    """

    __slots__ = ()

    def __getitem__(self, _index: object) -> T:  # type: ignore[override]
        return self.value


class allow_failure(BaseAnnotation[T]):  # noqa: N801 - the field's name
    """Run although upstreams in the value failed; each of them delivers its exception."""

    __slots__ = ()


class quote(BaseAnnotation[T]):  # noqa: N801 - the field's name
    """Deliver the value untouched: futures and states inside it are neither resolved nor tracked.

    Saves the walk through a large collection that holds no futures.
    """

    __slots__ = ()

    def unquote(self) -> T:
        """Return the quoted value."""
        return self.unwrap()


class Quote(quote[T]):
    """The former name of `quote`; warns and behaves alike."""

    __slots__ = ()

    def __new__(cls, value: T) -> Self:
        """Warn, then wrap the value."""
        import warnings  # noqa: PLC0415 - start-up time

        warnings.warn("`Quote` is deprecated, use `quote`.", DeprecationWarning, stacklevel=2)
        return super().__new__(cls, value)

    def rewrap(self, value: T) -> Self:
        """Return the same annotation around another value, without a second warning."""
        return tuple.__new__(type(self), (value,))


class opaque(BaseAnnotation[T]):  # noqa: N801 - the field's name
    """Resolve the value itself, but not what is inside it.

    ``opaque(future)`` delivers the future's result without walking through it; futures inside
    ``opaque([future])`` stay futures.
    """

    __slots__ = ()


class freeze(BaseAnnotation[T]):  # noqa: N801 - the field's name
    """A constant parameter; its value must be representable as JSON.

    Args:
        value: Anything pydantic can write as JSON, sets and NaN included.

    Raises:
        ValueError: If the value cannot be written as JSON.
    """

    __slots__ = ()

    def __new__(cls, value: T) -> Self:
        """Check that the value can be written as JSON, then wrap it."""
        from pydantic_core import to_json  # noqa: PLC0415 - start-up time

        try:
            to_json(value)
        except Exception as error:
            from oxtask._internal.text import short_repr  # noqa: PLC0415 - start-up time

            msg = (
                f"Value must be JSON serializable to be frozen; got {short_repr(value)}. "
                "Pass plain data (numbers, strings, lists, dicts, models) or leave out `freeze`."
            )
            raise ValueError(msg) from error
        return super().__new__(cls, value)

    def unfreeze(self) -> T:
        """Return the frozen value."""
        return self.unwrap()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic validate to a `freeze` and write it as its bare value."""
        from pydantic_core import core_schema  # noqa: PLC0415 - start-up time

        arguments = get_args(source)
        inner = handler.generate_schema(arguments[0]) if arguments else core_schema.any_schema()
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.no_info_before_validator_function(_bare, inner),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _bare, return_schema=inner
            ),
        )


def _bare(value: Any) -> Any:
    return value.unfreeze() if isinstance(value, freeze) else value
