"""Serializers: how a value becomes bytes in a result store, and a value again.

A serializer is chosen by name (``result_serializer="json"``) or as an object
(``result_serializer=JSONSerializer(dumps_kwargs={"indent": 2})``). A subclass of `Serializer` can
be chosen by the default of its ``type`` field as soon as it is defined.

>>> Serializer(type="json").dumps({"x": 1})
b'{"x": 1}'
>>> PickleSerializer().loads(PickleSerializer().dumps({1, 2}))
{1, 2}
"""

from __future__ import annotations

import base64
import warnings
from importlib import import_module
from pkgutil import resolve_name
from typing import Any, ClassVar, Generic

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)
from typing_extensions import Self, TypeVar

from oxtask._internal.json_objects import (
    CountingEncoder,
    encode_escaped,
    escaped,
)
from oxtask._internal.json_objects import decode as json_object_decoder
from oxtask._internal.json_objects import encode as json_object_encoder
from oxtask._internal.text import short_repr

__all__ = [
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
    "UnknownSerializer",
    "json_object_decoder",
    "json_object_encoder",
    "resolve_serializer",
]

D = TypeVar("D", default=Any)

_ENCODER = f"{__name__}.json_object_encoder"
_DECODER = f"{__name__}.json_object_decoder"


class Serializer(BaseModel, Generic[D]):
    """The base of all serializers, a pydantic model.

    ``Serializer(type="json", ...)`` makes an object of the subclass of that type. As the type of a
    field of another model, it accepts an object or a dict with the key ``type``.

    Args:
        type: The name under which the serializer is found.

    Raises:
        pydantic.ValidationError: If no serializer has that type, or an option does not fit.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    _registry: ClassVar[dict[str, type[Serializer[Any]]]] = {}

    type: str

    def __new__(cls, *args: Any, **options: Any) -> Self:  # noqa: ARG004 - `__init__` gets them
        """Make an object of the class that ``type`` names."""
        known = cls._registry.get(_text(options.get("type"))) if _is_base(cls) else None
        return super().__new__(cls if known is None else known)  # type: ignore[return-value]

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Make the class known under the default of its ``type``."""
        super().__pydantic_init_subclass__(**options)
        name = cls.__dispatch_key__()
        if name is None or cls.__pydantic_generic_metadata__["origin"] is not None:
            return
        before = Serializer._registry.get(name)
        if before is not None and _place(before) != _place(cls):
            warnings.warn(
                f"The serializer type {name!r} was {_place(before)} and is now {_place(cls)}: "
                "give one of them another `type`.",
                stacklevel=3,
            )
        Serializer._registry[name] = cls

    @classmethod
    def __dispatch_key__(cls) -> str | None:
        """Return the name that ``type`` has by default, under which the class is found."""
        default = cls.model_fields["type"].default if "type" in cls.model_fields else None
        return default if isinstance(default, str) else None

    @model_validator(mode="wrap")
    @classmethod
    def _choose_class(cls, value: Any, handler: Any) -> Any:
        if _is_base(cls):
            if isinstance(value, Serializer):
                return value
            known = cls._registry.get(_text(value.get("type"))) if isinstance(value, dict) else None
            if known is not None:
                return known.model_validate(value)
        return handler(value)

    @field_validator("type")
    @classmethod
    def _check_type(cls, value: str) -> str:
        expected = cls.__dispatch_key__()
        if _is_base(cls) and value not in cls._registry:
            raise ValueError(
                f"no serializer has the type {short_repr(value)}; there are "
                f"{', '.join(sorted(name for name in cls._registry if name[:2] != '__'))}"
            )
        if expected is not None and value != expected:
            raise ValueError(f"the type of {cls.__name__} is {expected!r}")
        return value

    def dumps(self, obj: D) -> bytes:
        """Return ``obj`` as bytes."""
        raise NotImplementedError(f"{type(self).__name__} has no method 'dumps'")

    def loads(self, blob: bytes) -> D:
        """Return the object that `dumps` was given."""
        raise NotImplementedError(f"{type(self).__name__} has no method 'loads'")


class UnknownSerializer(Serializer[Any]):
    """What a stored record names and nobody has defined here; keeps the options it is given."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    @classmethod
    def __dispatch_key__(cls) -> str | None:
        """Return a name that nobody gives."""
        return "__unknown__"

    @field_validator("type")
    @classmethod
    def _check_type(cls, value: str) -> str:
        return value

    def dumps(self, obj: Any) -> bytes:  # noqa: ARG002 - its kind's form
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        raise self._error()

    def loads(self, blob: bytes) -> Any:  # noqa: ARG002
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        raise self._error()

    def _error(self) -> RuntimeError:
        return RuntimeError(
            f"The serializer {self.type!r} is not available in this environment: import the module "
            "that defines it."
        )


class PickleSerializer(Serializer[D]):
    """Pickles, in base64.

    Reading a pickle runs what it says. A result store reads back only what it has signed; a
    ``PickleSerializer`` of your own reads anything.

    Args:
        picklelib: The module whose ``dumps`` and ``loads`` are used.
        picklelib_version: The version of that module the pickles need; another one is a warning.
    """

    type: str = "pickle"
    picklelib: str = "cloudpickle"
    picklelib_version: str | None = None

    @field_validator("picklelib")
    @classmethod
    def _check_picklelib(cls, value: str) -> str:
        return _check_module(value, "pickle library", "dumps", "loads")

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        installed = getattr(import_module(self.picklelib), "__version__", None)
        if self.picklelib_version not in {None, installed}:
            warnings.warn(
                f"{self.picklelib} is here in version {installed}, not {self.picklelib_version}: "
                "pickles may not be readable.",
                stacklevel=3,
            )
        return self

    def dumps(self, obj: D) -> bytes:
        """Return ``obj`` as a pickle, in lines of base64."""
        return base64.encodebytes(import_module(self.picklelib).dumps(obj))

    def loads(self, blob: bytes) -> D:
        """Return the object that was pickled; white space in ``blob`` does not matter."""
        loaded: D = import_module(self.picklelib).loads(base64.decodebytes(blob))
        return loaded


class JSONSerializer(Serializer[D]):
    """JSON, which people and other programs can read.

    Tuples come back as lists and keys of dicts as strings. Of other types those are preserved that
    pydantic knows: dates, ``UUID``, ``Decimal``, ``Path``, sets, ``complex``, UTF-8 bytes,
    dataclasses, models; exceptions keep their class and message.

    Args:
        jsonlib: The module whose ``dumps`` and ``loads`` are used.
        object_encoder: The path of a function that gets each object the module cannot write.
        object_decoder: The path of a function that gets each dict that was read; ``None`` for
            modules without ``object_hook``.
        dumps_kwargs: Further arguments of ``dumps``.
        loads_kwargs: Further arguments of ``loads``.
    """

    type: str = "json"
    jsonlib: str = "json"
    object_encoder: str | None = _ENCODER
    object_decoder: str | None = _DECODER
    dumps_kwargs: dict[str, Any] = Field(default_factory=dict)
    loads_kwargs: dict[str, Any] = Field(default_factory=dict)

    @field_validator("jsonlib")
    @classmethod
    def _check_jsonlib(cls, value: str) -> str:
        return _check_module(value, "JSON library", "dumps", "loads")

    @field_validator("dumps_kwargs")
    @classmethod
    def _check_dumps_kwargs(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "default" in value:
            raise ValueError("`default` cannot be provided. Use `object_encoder` instead.")
        return value

    @field_validator("loads_kwargs")
    @classmethod
    def _check_loads_kwargs(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "object_hook" in value:
            raise ValueError("`object_hook` cannot be provided. Use `object_decoder` instead.")
        return value

    def dumps(self, obj: D) -> bytes:
        """Return ``obj`` as JSON."""
        dump = import_module(self.jsonlib).dumps
        if self.object_encoder == _ENCODER and self.object_decoder is not None:
            encoder = CountingEncoder()
            text = dump(obj, default=encoder, **self.dumps_kwargs)
            if encoder.has_reserved_keys(text):
                text = dump(escaped(obj), default=encode_escaped, **self.dumps_kwargs)
        elif self.object_encoder is not None:
            text = dump(obj, default=resolve_name(self.object_encoder), **self.dumps_kwargs)
        else:
            text = dump(obj, **self.dumps_kwargs)
        return text.encode() if isinstance(text, str) else bytes(text)

    def loads(self, blob: bytes) -> D:
        """Return the object that was written; nothing is imported for it."""
        options = dict(self.loads_kwargs)
        if self.object_decoder is not None:
            options["object_hook"] = resolve_name(self.object_decoder)
        loaded: D = import_module(self.jsonlib).loads(blob.decode(), **options)
        return loaded


class CompressedSerializer(Serializer[D]):
    """What another serializer writes, compressed, in base64.

    Args:
        serializer: The other serializer, or its type.
        compressionlib: The module whose ``compress`` and ``decompress`` are used, such as
            ``"zlib"``, ``"bz2"``, ``"lz4.frame"`` or ``"zstandard"``.
    """

    type: str = "compressed"
    serializer: SerializeAsAny[Serializer[Any]]
    compressionlib: str = "lzma"

    @field_validator("serializer", mode="before")
    @classmethod
    def _check_serializer(cls, value: Any) -> Any:
        return Serializer(type=value) if isinstance(value, str) else value

    @field_validator("compressionlib")
    @classmethod
    def _check_compressionlib(cls, value: str) -> str:
        return _check_module(value, "compression library", "compress", "decompress")

    def dumps(self, obj: D) -> bytes:
        """Return ``obj`` as compressed bytes, in lines of base64."""
        compress = import_module(self.compressionlib).compress
        return base64.encodebytes(compress(self.serializer.dumps(obj)))

    def loads(self, blob: bytes) -> D:
        """Return the object that was written."""
        decompress = import_module(self.compressionlib).decompress
        loaded: D = self.serializer.loads(decompress(base64.decodebytes(blob)))
        return loaded


class CompressedPickleSerializer(CompressedSerializer[D]):
    """Compressed pickles."""

    type: str = "compressed/pickle"
    serializer: SerializeAsAny[Serializer[Any]] = Field(default_factory=PickleSerializer)


class CompressedJSONSerializer(CompressedSerializer[D]):
    """Compressed JSON."""

    type: str = "compressed/json"
    serializer: SerializeAsAny[Serializer[Any]] = Field(default_factory=JSONSerializer)


def resolve_serializer(serializer: str | Serializer[Any]) -> Serializer[Any]:
    """Return a serializer given as such or by its type.

    Raises:
        pydantic.ValidationError: If no serializer has that type.
        TypeError: If ``serializer`` is neither.

    >>> resolve_serializer("compressed/json").type
    'compressed/json'
    """
    if isinstance(serializer, Serializer):
        return serializer
    if isinstance(serializer, str):
        return Serializer(type=serializer)
    raise TypeError(
        f"'serializer' must be a string or a Serializer; got {short_repr(serializer)} of type "
        f"{type(serializer).__name__}"
    )


def serializer_from_record(fields: dict[str, Any]) -> Serializer[Any]:
    """Return the serializer a stored record names; one nobody has defined is a placeholder.

    Only for records that are trusted: making a serializer imports the modules it names.

    Raises:
        pydantic.ValidationError: If the type is known and its options do not fit.
    """
    if _text(fields.get("type")) in Serializer._registry:
        return Serializer.model_validate(fields)
    return UnknownSerializer.model_validate(fields)


def _is_base(cls: type[Serializer[Any]]) -> bool:
    """Tell whether ``cls`` is `Serializer`, or it with a type argument."""
    return (cls.__pydantic_generic_metadata__["origin"] or cls) is Serializer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _check_module(name: str, kind: str, *functions: str) -> str:
    try:
        module = import_module(name)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"Failed to import requested {kind} {short_repr(name)}: {error}"
        ) from error
    for function in functions:
        if not callable(getattr(module, function, None)):
            raise ValueError(  # noqa: TRY004 - what pydantic collects
                f"The {kind} {short_repr(name)} does not have a {function!r} method"
            )
    return name
