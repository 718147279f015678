"""What `inspect` is told of the signatures of tasks, and of functions that take their options.

What type checkers read from ``**options: Unpack[...]``, `inspect` reads from these.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature

    FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def option_names(options: type) -> list[str]:
    """Return the names in a typed dict, those of its bases first."""
    names: dict[str, Any] = {}
    for kind in reversed(options.__mro__):
        names.update(getattr(kind, "__annotations__", {}))
    return list(names)


def takes_options(
    template: Callable[..., Any], first: str, options: type
) -> Callable[[FunctionT], FunctionT]:
    """Let `inspect` see which options a function takes by keyword.

    Args:
        template: The function that has them as parameters.
        first: The parameter before the options; one like ``__fn`` is positional and optional.
        options: The typed dict that names the options.
    """

    def describe(function: FunctionT) -> FunctionT:
        function.__dict__["__signature__"] = _OptionsSignature(template, first, options)
        return function

    return describe


class InstanceSignature:
    """Shows `inspect` the signature of the function of a task, without what it is bound to.

    A class attribute; the class itself has the signature of its constructor.
    """

    def __get__(self, task: Any, owner: type | None = None) -> Signature:
        if task is None:
            raise AttributeError("__signature__")
        from inspect import signature  # noqa: PLC0415 - start-up time

        function = task.fn
        return signature(
            function if task._receiver is None else MethodType(function, task._receiver)
        )


class _OptionsSignature:
    """An `inspect.Signature` that is made when looked at: `inspect` is slow to import."""

    def __init__(self, template: Callable[..., Any], first: str, options: type) -> None:
        self._from = template, first, options
        self._made: Signature | None = None

    def _signature(self) -> Signature:
        if self._made is None:
            from inspect import Parameter, Signature, signature  # noqa: PLC0415 - start-up time

            template, first, options = self._from
            parameters = [Parameter(first, Parameter.POSITIONAL_OR_KEYWORD)]
            if first.startswith("__"):
                parameters = [Parameter(first, Parameter.POSITIONAL_ONLY, default=None)]
            known = signature(template).parameters
            parameters += [
                known[name].replace(kind=Parameter.KEYWORD_ONLY) for name in option_names(options)
            ]
            self._made = Signature(parameters)
        return self._made

    @property  # type: ignore[misc] # `isinstance` asks for it
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._signature())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signature(), name)

    def __str__(self) -> str:
        return str(self._signature())

    __repr__ = __str__
