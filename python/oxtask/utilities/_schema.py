"""Describing the parameters of a function as a JSON schema, in the manner of OpenAPI.

Imports pydantic and `inspect`, so it is itself imported on first use only.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEFINITION = "#/definitions/{model}"
_RECEIVERS = ("self", "cls")
_SECTION = re.compile(
    r"(args|arguments|params|parameters|keyword (args|arguments)|other parameters)\s*:\s*",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(\(.*?\))?\s*:\s*(?P<text>.*)")


class ParameterSchema(BaseModel):
    """The parameters of a function as an object in the style of OpenAPI.

    Attributes:
        title: Always "Parameters".
        type: Always "object".
        properties: By parameter name: its JSON schema with ``title`` (its name), ``position`` (from
            0), and where known ``default`` and ``description``.
        required: The names of the parameters without a default.
        definitions: By name: the schemas that properties refer to as ``#/definitions/<name>``.
    """

    title: Literal["Parameters"] = "Parameters"
    type: Literal["object"] = "object"
    properties: dict[str, Any] = Field(default_factory=dict)
    required: list[str] = Field(default_factory=list)
    definitions: dict[str, Any] = Field(default_factory=dict)

    def model_dump_for_openapi(self) -> dict[str, Any]:
        """Return the schema as a dict; ``required`` is left out if it is empty."""
        return self.model_dump(mode="python", exclude=None if self.required else {"required"})


def parameter_schema(fn: Callable[..., Any]) -> ParameterSchema:
    """Describe the parameters of a function.

    Types that cannot be described as JSON, and annotations that cannot be evaluated, count as
    "any". Descriptions come from the "Args" section of a docstring in Google style. ``self`` and
    ``cls`` are left out.

    Args:
        fn: The function.

    Example:
        >>> def add(x: int, y: float = 1.0): ...
        >>> parameter_schema(add).required
        ['x']
        >>> parameter_schema(add).properties["y"]
        {'type': 'number', 'title': 'y', 'position': 1, 'default': 1.0}
    """
    namespace = getattr(inspect.unwrap(fn), "__globals__", {})
    signature = inspect.signature(fn)
    evaluated = [
        parameter.replace(annotation=_evaluated(parameter.annotation, namespace))
        for parameter in signature.parameters.values()
    ]
    docstrings = parameter_docstrings(inspect.getdoc(fn))
    return generate_parameter_schema(signature.replace(parameters=evaluated), docstrings)


def generate_parameter_schema(
    signature: inspect.Signature, docstrings: Mapping[str, str]
) -> ParameterSchema:
    """Describe the parameters of a signature.

    Args:
        signature: The signature, its annotations evaluated.
        docstrings: Descriptions by parameter name.
    """
    parameters = {
        name: (position, parameter)
        for position, (name, parameter) in enumerate(signature.parameters.items())
        if name not in _RECEIVERS
    }
    adapters = {name: _adapter(parameter) for name, (_, parameter) in parameters.items()}
    schemas, shared = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in adapters.items()],
        ref_template=_DEFINITION,
        schema_generator=_Generator,
    )
    result = ParameterSchema(definitions=shared.get("$defs", {}))
    for name, (position, parameter) in parameters.items():
        schema = schemas[name, "validation"]
        schema.pop("default", None)
        schema |= {"title": name, "position": position}
        if description := docstrings.get(name):
            schema["description"] = description
        default = parameter.default
        field = default if isinstance(default, FieldInfo) else None
        if field is not None:
            default = field.default
        if default is parameter.empty or (field is not None and field.is_required()):
            result.required.append(name)
        elif field is None or field.default_factory is None:
            schema |= _as_json(default)
        result.properties[name] = schema
    return result


def parameter_docstrings(docstring: str | None) -> dict[str, str]:
    r"""Return the descriptions of parameters in a docstring of Google style.

    Example:
        >>> parameter_docstrings("Add.\n\nArgs:\n    x (int): A number.\n    *more: Others.")
        {'x': 'A number.', 'more': 'Others.'}
    """
    descriptions: dict[str, list[str]] = {}
    inside = False
    entry_indent: int | None = None
    lines: list[str] = []
    for line in inspect.cleandoc(docstring or "").splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            inside, entry_indent, lines = bool(_SECTION.fullmatch(line)), None, []
        elif inside and line.strip() and indent <= (entry_indent or indent):
            entry_indent = indent
            match = _ENTRY.fullmatch(line.strip())
            lines = [match["text"]] if match else []
            if match:
                descriptions[match["name"]] = lines
        elif inside:
            lines.append(line)
    return {name: inspect.cleandoc("\n".join(lines)) for name, lines in descriptions.items()}


def parameter_schema_from_entrypoint(entrypoint: str) -> ParameterSchema:
    """Describe the parameters of a function in a file or module, which is executed for that.

    Args:
        entrypoint: ``"path/to/file.py:function"`` or ``"package.module.function"``; a function in
            a class is written ``Class.function`` after the colon.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the module does not exist.
        AttributeError: If there is no such function in it.
        ValueError: If no function is named.
    """
    if ":" in entrypoint:
        location, _, path = entrypoint.rpartition(":")
    else:
        location, _, path = entrypoint.rpartition(".")
    if not location or not path:
        msg = (
            f"entrypoint must name a file or module and a function; got {short_repr(entrypoint)}. "
            "Write it as 'path/to/file.py:function' or 'package.module.function'."
        )
        raise ValueError(msg)
    if ":" not in entrypoint or not location.endswith(".py"):
        return _schema_of_member(import_module(location), path)
    name = f"_oxtask_entrypoint_{Path(location).stem}"
    module = ModuleType(name)
    module.__file__ = location
    # Classes with postponed annotations look for their module there.
    sys.modules[name] = module
    try:
        SourceFileLoader(name, location).exec_module(module)
        return _schema_of_member(module, path)
    finally:
        del sys.modules[name]


def _schema_of_member(module: Any, path: str) -> ParameterSchema:
    member = module
    for name in path.split("."):
        member = getattr(member, name)
    # Of a task or flow, the function counts.
    return parameter_schema(getattr(member, "fn", member))


class _Generator(GenerateJsonSchema):
    """Leaves out what cannot be described, without a warning."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def _evaluated(annotation: Any, namespace: dict[str, Any]) -> Any:
    if annotation is inspect.Parameter.empty:
        return annotation
    holder = SimpleNamespace(__annotations__={"value": annotation})
    try:
        return get_type_hints(holder, globalns=namespace, include_extras=True)["value"]
    except Exception:  # noqa: BLE001 - evaluates what the user wrote
        return Any


def _adapter(parameter: inspect.Parameter) -> TypeAdapter[Any]:
    annotation: Any = Any if parameter.annotation is parameter.empty else parameter.annotation
    if isinstance(parameter.default, FieldInfo):
        annotation = Annotated[annotation, parameter.default]
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        adapter.json_schema(schema_generator=_Generator)
    except Exception:  # noqa: BLE001 - there are as many reasons as there are types
        return TypeAdapter(Any)
    return adapter


def _as_json(default: Any) -> dict[str, Any]:
    try:
        return {"default": to_jsonable_python(default)}
    except Exception:  # noqa: BLE001 - any object may be a default
        return {}
