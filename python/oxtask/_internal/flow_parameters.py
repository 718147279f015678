"""The parameters of a flow run: checked and converted by pydantic, and how they are recorded."""

from __future__ import annotations

from types import FunctionType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

from oxtask._internal.functions import unwrapped
from oxtask._internal.state import is_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oxtask.flows import Flow
    from oxtask.utilities.callables import SignaturePlan

_PLAIN: dict[str, type] = {
    kind.__name__: kind for kind in (bool, bytes, dict, float, int, list, set, str, tuple)
}
_PLAIN["None"] = type(None)
_UNCHECKED = {"Any", "typing.Any", "object", Any, object}


# --- checked and converted ------------------------------------------------------------------------


def validated(flow: Flow[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters converted to the types that the function declares.

    What is passed as ``*args`` and ``**kwargs`` is left as it is. Pydantic is imported only if a
    value has not just the type that is declared, or that is not a plain one.

    Raises:
        ParameterTypeError: If a value does not fit.
    """
    if not flow.should_validate_parameters:
        return parameters
    annotations = _annotations(flow)
    if not any(
        name in annotations and not _fits(value, annotations[name])
        for name, value in parameters.items()
    ):
        return parameters
    from pydantic import ValidationError  # noqa: PLC0415 - start-up time

    model = _model(flow, annotations)
    known = {name: value for name, value in parameters.items() if name in annotations}
    try:
        valid = model.model_validate(known)
    except ValidationError as error:
        from oxtask.exceptions import ParameterTypeError  # noqa: PLC0415 - start-up time

        raise ParameterTypeError.from_validation_error(error) from error
    except TypeError as error:
        old = [name for name, hint in _resolved(flow.fn, annotations).items() if _is_of_v1(hint)]
        if not old:
            raise
        from oxtask.exceptions import ParameterTypeError  # noqa: PLC0415 - start-up time

        raise ParameterTypeError(
            f"The types of {', '.join(map(repr, old))} are models of pydantic.v1, which cannot be "
            "checked together with others. Make them models of pydantic 2, or give the flow "
            "`validate_parameters=False`"
        ) from error
    return {
        name: getattr(valid, f"p_{name}", value) if name in annotations else value
        for name, value in parameters.items()
    }


def _is_of_v1(hint: Any) -> bool:
    return any(
        kind.__module__.startswith("pydantic.v1") for kind in getattr(hint, "__mro__", ())[1:]
    )


def _annotations(flow: Flow[..., Any]) -> dict[str, Any]:
    """Return the declared types, as they are written, of the parameters that are checked."""
    known = vars(flow).get("_flow_annotations")
    if known is None or known[0] is not flow.fn:
        known = vars(flow)["_flow_annotations"] = (flow.fn, _declared(flow))
    annotations: dict[str, Any] = known[1]
    return annotations


def _declared(flow: Flow[..., Any]) -> dict[str, Any]:
    plan = flow._signature_plan()
    if isinstance(flow.fn, FunctionType) and not hasattr(flow.fn, "__wrapped__"):
        declared = flow.fn.__annotations__
    else:
        parameters = plan.signature.parameters.values()
        declared = {
            parameter.name: parameter.annotation
            for parameter in parameters
            if parameter.annotation is not parameter.empty
        }
    variadic = {plan.var_positional, plan.var_keyword}
    return {
        name: declared[name] for name in plan.names if name in declared and name not in variadic
    }


def _fits(value: Any, annotation: Any) -> bool:
    """Tell whether a value has just the plain type that is declared, or one of them."""
    kind = type(value)
    if isinstance(annotation, str):
        return annotation in _UNCHECKED or any(
            _PLAIN.get(name.strip()) is kind for name in annotation.split("|")
        )
    if isinstance(annotation, type):
        # Pydantic may do more with a class of its own than look at the type.
        is_plain = not hasattr(annotation, "__get_pydantic_core_schema__")
        return annotation is object or (kind is annotation and is_plain)
    if annotation is Any or annotation is None:
        return annotation is Any or value is None
    is_union = get_origin(annotation) in {Union, UnionType}
    return is_union and kind in _PLAIN.values() and kind in get_args(annotation)


def _model(flow: Flow[..., Any], annotations: dict[str, Any]) -> Any:
    """Return a model with a field for each declared parameter."""
    known = vars(flow).get("_flow_model")
    if known is not None and known[0] is flow.fn:
        return known[1]
    hints = _resolved(flow.fn, annotations)
    try:
        model = _make_model(flow, hints)
    except Exception:  # noqa: BLE001 - there are as many reasons as there are types
        model = _make_model(flow, {name: _or_any(hint) for name, hint in hints.items()})
    vars(flow)["_flow_model"] = (flow.fn, model)
    return model


def _make_model(flow: Flow[..., Any], hints: dict[str, Any]) -> Any:
    from pydantic import ConfigDict, Field, create_model  # noqa: PLC0415 - start-up time

    plan = flow._signature_plan()
    fields: dict[str, Any] = {}
    annotated: Any = Annotated
    for name, hint in hints.items():
        constraints = _constraints(plan, name)
        parts = (hint, *constraints)
        kind = annotated[parts] if constraints else hint
        # A parameter may have a name that a model's field may not: `copy`, `_x`.
        fields[f"p_{name}"] = (kind, Field(validation_alias=name))
    config = ConfigDict(arbitrary_types_allowed=True)
    return create_model("Parameters", __config__=config, **fields)


def _constraints(plan: SignaturePlan, name: str) -> list[Any]:
    """Return what a default such as ``pydantic.Field(gt=0)`` asks of the value."""
    from pydantic.fields import FieldInfo  # noqa: PLC0415 - start-up time

    default = plan.signature.parameters[name].default
    return default.metadata if isinstance(default, FieldInfo) else []


def _resolved(fn: Any, annotations: dict[str, Any]) -> dict[str, Any]:
    """Return the types that annotations stand for; one that cannot be evaluated allows anything."""
    inner = unwrapped(fn)
    while hasattr(inner, "__wrapped__"):
        inner = unwrapped(inner.__wrapped__)
    if not hasattr(inner, "__globals__"):
        inner = getattr(type(inner).__call__, "__func__", type(inner).__call__)
    scope = dict(getattr(inner, "__globals__", {}))
    code, cells = getattr(inner, "__code__", None), getattr(inner, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            scope[name] = cell.cell_contents
        except ValueError:
            continue
    return {name: evaluated(annotation, scope) for name, annotation in annotations.items()}


class _Holder:
    """Something with annotations, as `get_type_hints` wants it."""


def evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    """Return the type that an annotation stands for; `Any` if it cannot be evaluated."""
    holder: Any = _Holder()
    holder.__annotations__ = {"value": annotation}
    try:
        return get_type_hints(holder, globalns=scope, include_extras=True)["value"]
    except Exception:  # noqa: BLE001 - evaluates what the user wrote
        return Any


def _or_any(hint: Any) -> Any:
    """Return a type, or `Any` if pydantic can do nothing with it."""
    try:
        type_adapter(hint)
    except Exception:  # noqa: BLE001 - as in `_model`
        return Any
    return hint


def type_adapter(hint: Any) -> Any:
    """Return what checks and converts single values; classes of all kinds will do."""
    from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415 - start-up time
    from pydantic.errors import PydanticUserError  # noqa: PLC0415

    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # models and dataclasses have a configuration of their own
        return TypeAdapter(hint)


# --- recorded -------------------------------------------------------------------------------------

_JSON = {bool, float, int, str, type(None)}


def stored(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are recorded: as what JSON knows.

    In place of a future, a state, and a value that cannot be written as JSON stands the name of its
    type: ``"<Engine>"``.

    >>> stored({"x": 1, "engine": object()})
    {'x': 1, 'engine': '<object>'}
    """
    return {name: _stored(value) for name, value in parameters.items()}


MAX_BRIEF_ITEMS = 100
"""Containers of more items are not kept with the record of a run that has ended."""
MAX_BRIEF_TEXT = 1_000


def brief(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are kept when nobody asked for them: in no time and little memory.

    Numbers and texts are kept, and short lists and dicts of them. In place of all else stands the
    name of its type.

    >>> brief({"x": [1, "b"], "items": list(range(1_000_000))})
    {'x': [1, 'b'], 'items': '<list>'}
    """
    return {name: _brief(value) for name, value in parameters.items()}


def _brief(value: Any) -> Any:
    kind = type(value)
    if kind in {list, tuple} and len(value) <= MAX_BRIEF_ITEMS:
        if all(map(_is_brief, value)):
            return list(value)
    elif kind is dict and len(value) <= MAX_BRIEF_ITEMS:
        if all(type(key) is str and _is_brief(item) for key, item in value.items()):
            return dict(value)
    elif _is_brief(value):
        return value
    return f"<{kind.__name__}>"


def _is_brief(value: Any) -> bool:
    return type(value) in _JSON and not (type(value) is str and len(value) > MAX_BRIEF_TEXT)


def _stored(value: Any) -> Any:
    if type(value) in _JSON:
        return value
    from oxtask.futures import Future  # noqa: PLC0415 - start-up time

    if isinstance(value, Future) or is_state(value):
        return f"<{type(value).__name__}>"
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - start-up time

    try:
        return to_jsonable_python(value)
    except Exception:  # noqa: BLE001 - a run never fails because of its record
        return f"<{type(value).__name__}>"
