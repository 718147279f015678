"""Reading the signature of a callable into a `SignaturePlan`.

For ordinary functions the code object says it all, and `inspect`, which is slow to import and to
ask, is not needed. Everything else (wrappers, methods, partials, classes) is left to `inspect`.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr
from oxtask.utilities._binding import (
    KEYWORD_ONLY,
    POSITIONAL_ONLY,
    POSITIONAL_OR_KEYWORD,
    VAR_KEYWORD,
    VAR_POSITIONAL,
    SignaturePlan,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature

_HAS_VAR_POSITIONAL = 0x04  # `inspect.CO_VARARGS`
_HAS_VAR_KEYWORD = 0x08  # `inspect.CO_VARKEYWORDS`


class Receiver:
    """What a wrapper itself accepts, when the signature it shows is that of the function inside."""

    __slots__ = ("has_var_keyword", "has_var_positional", "keyword_only", "positional_count")

    def __init__(self, signature: Signature) -> None:
        parameters = signature.parameters.values()
        kinds = [int(parameter.kind) for parameter in parameters]
        self.positional_count: int = sum(kind <= POSITIONAL_OR_KEYWORD for kind in kinds)
        self.has_var_positional: bool = VAR_POSITIONAL in kinds
        self.has_var_keyword: bool = VAR_KEYWORD in kinds
        self.keyword_only: frozenset[str] = frozenset(
            parameter.name for parameter in parameters if parameter.kind == KEYWORD_ONLY
        )

    def takes_by_position(self, name: str, taken: int, *, skipped: bool) -> bool:
        """Tell how the next value goes.

        Args:
            name: The parameter.
            taken: How many values were passed by position so far.
            skipped: Whether an earlier value was not, so that positions no longer match.
        """
        if name in self.keyword_only:
            return False
        # If there is no `**kwargs`, a value that does not fit is reported by the call.
        by_keyword = skipped or not (taken < self.positional_count or self.has_var_positional)
        return not (by_keyword and self.has_var_keyword)


def signature_plan(fn: Callable[..., Any]) -> SignaturePlan:
    """Read the signature of a callable for binding calls to it.

    Args:
        fn: A function, method, `functools.partial`, class, or object with ``__call__``.

    Raises:
        TypeError: If it is not callable, or has no signature that Python can read.

    Example:
        >>> def add(x, y=1): ...
        >>> plan = signature_plan(add)
        >>> plan.bind((2,), {})
        {'x': 2, 'y': 1}
        >>> plan.arguments({"x": 2, "y": 1})
        ((2,), {'y': 1})
    """
    if type(fn) is FunctionType and fn.__dict__.keys().isdisjoint(_SIGNATURE_OVERRIDES):
        return _plan_of_function(fn)
    if not callable(fn):
        msg = f"fn must be callable; got {short_repr(fn)}. Pass a function."
        raise TypeError(msg)
    from inspect import Parameter, signature  # noqa: PLC0415 - start-up time

    try:
        shown = signature(fn)
        own = signature(fn, follow_wrapped=False)
    except (TypeError, ValueError) as error:
        msg = (
            f"fn must have a signature that Python can read; got {short_repr(fn)} ({error}). "
            "Wrap it in a function that declares its parameters."
        )
        raise TypeError(msg) from error
    parameters = shown.parameters.values()
    wraps = [(p.name, p.kind) for p in own.parameters.values()] != [
        (p.name, p.kind) for p in parameters
    ]
    return SignaturePlan(
        fn,
        tuple(parameter.name for parameter in parameters),
        tuple(int(parameter.kind) for parameter in parameters),
        {p.name: p.default for p in parameters if p.default is not Parameter.empty},
        Receiver(own) if wraps else None,
    )


_SIGNATURE_OVERRIDES = ("__wrapped__", "__signature__", "__text_signature__")


def _plan_of_function(fn: FunctionType) -> SignaturePlan:
    code = fn.__code__
    variables = code.co_varnames
    count = code.co_argcount
    keyword_only = variables[count : count + code.co_kwonlyargcount]
    variadic = iter(variables[count + code.co_kwonlyargcount :])
    names = list(variables[:count])
    kinds = [POSITIONAL_ONLY] * code.co_posonlyargcount
    kinds += [POSITIONAL_OR_KEYWORD] * (count - code.co_posonlyargcount)
    if code.co_flags & _HAS_VAR_POSITIONAL:
        names.append(next(variadic))
        kinds.append(VAR_POSITIONAL)
    names += keyword_only
    kinds += [KEYWORD_ONLY] * len(keyword_only)
    if code.co_flags & _HAS_VAR_KEYWORD:
        names.append(next(variadic))
        kinds.append(VAR_KEYWORD)
    values = fn.__defaults__ or ()
    defaults = dict(zip(variables[count - len(values) : count], values, strict=True))
    defaults.update(fn.__kwdefaults__ or {})
    return SignaturePlan(fn, tuple(names), tuple(kinds), defaults)
