"""Calling functions: binding arguments, rebuilding calls, mapping, and describing parameters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from oxtask.utilities._binding import SignaturePlan
from oxtask.utilities._signature import signature_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oxtask.utilities._schema import (
        ParameterSchema,
        generate_parameter_schema,
        parameter_docstrings,
        parameter_schema,
        parameter_schema_from_entrypoint,
    )

__all__ = [
    "ParameterSchema",
    "SignaturePlan",
    "call_with_parameters",
    "cloudpickle_wrapped_call",
    "collapse_variadic_parameters",
    "expand_mapping_parameters",
    "explode_variadic_parameter",
    "generate_parameter_schema",
    "get_call_parameters",
    "get_parameter_defaults",
    "parameter_docstrings",
    "parameter_schema",
    "parameter_schema_from_entrypoint",
    "parameters_to_args_kwargs",
    "raise_for_reserved_arguments",
    "signature_plan",
    "warn_for_shadowed_arguments",
]

R = TypeVar("R")

# These need pydantic and inspect; most programs never ask for them.
_FROM_SCHEMA = frozenset(
    {
        "ParameterSchema",
        "generate_parameter_schema",
        "parameter_docstrings",
        "parameter_schema",
        "parameter_schema_from_entrypoint",
    }
)


def __getattr__(name: str) -> Any:
    if name in _FROM_SCHEMA:
        from oxtask.utilities import _schema  # noqa: PLC0415 - start-up time

        return getattr(_schema, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def get_call_parameters(
    fn: Callable[..., Any],
    call_args: tuple[Any, ...],
    call_kwargs: dict[str, Any],
    apply_defaults: bool = True,
) -> dict[str, Any]:
    """Bind the arguments of a call to the parameters of a function.

    Args:
        fn: The function.
        call_args: The positional arguments.
        call_kwargs: The keyword arguments.
        apply_defaults: Whether parameters that were not given appear with their defaults.

    Returns:
        Values by parameter name in the order of the signature; see `SignaturePlan.bind`.

    Raises:
        ParameterBindError: If the function cannot be called like this.

    Example:
        >>> def add(x, y=1, *more): ...
        >>> get_call_parameters(add, (2,), {})
        {'x': 2, 'y': 1, 'more': ()}
    """
    return signature_plan(fn).bind(call_args, call_kwargs, apply_defaults)


def get_parameter_defaults(fn: Callable[..., Any]) -> dict[str, Any]:
    """Return the default of each parameter that has one.

    Of a ``pydantic.Field`` default, that is the value the function would receive.
    """
    plan = signature_plan(fn)
    defaults = plan.with_defaults({})
    return {
        name: defaults[name] for name in (*plan.positional, *plan.keyword_only) if name in defaults
    }


def parameters_to_args_kwargs(
    fn: Callable[..., Any], parameters: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn parameters by name into the positional and keyword arguments of a call.

    See `SignaturePlan.arguments` for what is passed how, and what is raised.

    Example:
        >>> def add(x, y=1, **more): ...
        >>> parameters_to_args_kwargs(add, {"x": 2, "y": 3, "more": {"z": 4}})
        ((2,), {'y': 3, 'z': 4})
    """
    return signature_plan(fn).arguments(parameters)


def call_with_parameters(fn: Callable[..., R], parameters: dict[str, Any]) -> R:
    """Call a function with parameters by name, variadic ones included."""
    args, kwargs = parameters_to_args_kwargs(fn, parameters)
    return fn(*args, **kwargs)


def cloudpickle_wrapped_call(
    fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Callable[[], bytes]:
    """Pack a call, so that the standard `pickle` can send it to another process.

    Returns:
        A callable without arguments that makes the call and returns its result, pickled by
        cloudpickle.
    """
    import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415 - start-up time

    return partial(_call_unpickled, cloudpickle.dumps((fn, args, kwargs)))


def _call_unpickled(payload: bytes) -> bytes:
    import cloudpickle  # noqa: PLC0415 - start-up time

    fn, args, kwargs = cloudpickle.loads(payload)
    result: bytes = cloudpickle.dumps(fn(*args, **kwargs))
    return result


def explode_variadic_parameter(
    fn: Callable[..., Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Move the members of the ``**kwargs`` parameter to the top level.

    A member replaces another parameter of the same name. Parameters without ``**kwargs`` are
    returned as they are.

    Example:
        >>> def add(x, **more): ...
        >>> explode_variadic_parameter(add, {"x": 1, "more": {"y": 2}})
        {'x': 1, 'y': 2}
    """
    variadic = signature_plan(fn).var_keyword
    if variadic is None or variadic not in parameters:
        return parameters
    exploded = parameters.copy()
    exploded.update(exploded.pop(variadic))
    return exploded


def collapse_variadic_parameters(
    fn: Callable[..., Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Move parameters that the function does not name into its ``**kwargs`` parameter.

    Undoes `explode_variadic_parameter`. If there are none, the same dict is returned.

    Raises:
        ValueError: If there are some and the function has no ``**kwargs``.

    Example:
        >>> def add(x, **more): ...
        >>> collapse_variadic_parameters(add, {"x": 1, "y": 2})
        {'x': 1, 'more': {'y': 2}}
    """
    plan = signature_plan(fn)
    extra = {name: value for name, value in parameters.items() if name not in plan.names}
    if not extra:
        return parameters
    if plan.var_keyword is None:
        msg = (
            f"parameters names {list(extra)}, but {plan.function_name!r} takes only "
            f"{list(plan.names)} and has no **kwargs to hold the others. Remove them."
        )
        raise ValueError(msg)
    collapsed = {name: value for name, value in parameters.items() if name not in extra}
    collapsed[plan.var_keyword] = {**parameters.get(plan.var_keyword, {}), **extra}
    return collapsed


def expand_mapping_parameters(
    func: Callable[..., Any], parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the parameters of each call that mapping a function makes.

    Args:
        func: The function.
        parameters: Bound parameters without defaults.

    Raises:
        MappingMissingIterable: If no parameter can be iterated.
        MappingLengthMismatch: If the parameters to iterate have different lengths.

    Example:
        >>> def add(x, y=1): ...
        >>> expand_mapping_parameters(add, {"x": [1, 2]})
        [{'x': 1, 'y': 1}, {'x': 2, 'y': 1}]
    """
    from oxtask.utilities._mapping import map_parameters  # noqa: PLC0415 - start-up time

    collapsed = collapse_variadic_parameters(func, parameters)
    mapped = map_parameters(signature_plan(func), collapsed)
    return [mapped.child(index) for index in range(mapped.length)]


def raise_for_reserved_arguments(fn: Callable[..., Any], reserved_arguments: Iterable[str]) -> None:
    """Refuse a function that has a parameter whose name the call interface needs.

    Raises:
        ReservedArgumentError: If it has one, of whatever kind.
    """
    plan = signature_plan(fn)
    for name in reserved_arguments:
        if name in plan.names:
            from oxtask.exceptions import ReservedArgumentError  # noqa: PLC0415 - start-up time

            msg = (
                f"{name!r} is a reserved argument name and cannot be used. "
                f"Rename that parameter of {plan.function_name!r}."
            )
            raise ReservedArgumentError(msg)


def warn_for_shadowed_arguments(
    fn: Callable[..., Any], method: str, options: Iterable[str], stacklevel: int = 2
) -> None:
    """Warn if a method of the task has an option with the name of a parameter.

    That parameter cannot be passed to the method by keyword.

    Args:
        fn: The function.
        method: The method as users write it, such as ``".map()"``.
        options: The names of the options.
        stacklevel: As in `warnings.warn`, counted from the caller.
    """
    plan = signature_plan(fn)
    for name in options:
        if name in plan.names:
            import warnings  # noqa: PLC0415 - start-up time

            warnings.warn(
                f"Parameter {name!r} of {plan.function_name!r} cannot be passed by keyword to "
                f"`{method}`, which has an option of that name. Pass it by position or rename it.",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
