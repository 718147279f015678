"""The parameters of a flow run: futures resolved, values checked and converted by pydantic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxtask.flows import Flow

_EXACT = {"int": int, "str": str, "float": float, "bool": bool, "bytes": bytes, "None": type(None)}


def validated(flow: Flow[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters converted to the types that the function declares.

    Raises:
        ParameterTypeError: If a value does not fit.
    """
    annotations = getattr(flow.fn, "__annotations__", {})
    plan = flow._signature_plan()
    variadic = {plan.var_positional, plan.var_keyword}
    if not flow.should_validate_parameters or not any(
        _needs_check(annotations.get(name), value)
        for name, value in parameters.items()
        if name in annotations and name not in variadic
    ):
        return parameters
    from pydantic import ValidationError  # noqa: PLC0415 - start-up time

    from oxtask.exceptions import ParameterTypeError  # noqa: PLC0415 - start-up time

    model = _model(flow)
    checked = [name for name in parameters if name in annotations and name not in variadic]
    try:
        valid = model.model_validate({f"p_{name}": parameters[name] for name in checked})
    except ValidationError as error:
        raise ParameterTypeError.from_validation_error(error) from error
    return {
        name: getattr(valid, f"p_{name}") if name in checked else value
        for name, value in parameters.items()
    }


def _needs_check(annotation: Any, value: Any) -> bool:
    """Tell whether pydantic must see a value: not if it has just the type that is declared."""
    expected = _EXACT.get(annotation) if isinstance(annotation, str) else annotation
    return type(value) is not expected


def _model(flow: Flow[..., Any]) -> Any:
    """Return a model with a field for each declared parameter."""
    known = flow.__dict__.get("_known_model")
    if known is not None and known[0] is flow.fn:
        return known[1]
    from inspect import signature  # noqa: PLC0415 - start-up time

    from pydantic import ConfigDict, create_model  # noqa: PLC0415 - start-up time

    # Fields get a prefix, and their own name as alias for errors: a parameter may be named `copy`.
    from pydantic import Field  # noqa: PLC0415 - start-up time
    from typing_extensions import get_type_hints  # noqa: PLC0415

    try:
        hints = get_type_hints(flow.fn, include_extras=True)
    except NameError:
        hints = dict(getattr(flow.fn, "__annotations__", {}))
    fields: dict[str, Any] = {}
    for name in signature(flow.fn).parameters:
        if name in hints:
            fields[f"p_{name}"] = (hints[name], Field(default=None, title=name))
    config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    model = create_model("Parameters", __config__=config, **fields)
    flow.__dict__["_known_model"] = (flow.fn, model)
    return model
