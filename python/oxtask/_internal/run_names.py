"""Names of runs: a template that is filled in, or a function that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.templates import filled
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable


def custom_name(template: str | Callable[..., str], parameters: dict[str, Any], option: str) -> str:
    """Return the name of a run.

    Args:
        template: A format string over the parameters, or a function; one that has a parameter
            named ``parameters`` gets them there.
        parameters: The bound and resolved parameters.
        option: The option the template was given as, for errors.

    Raises:
        KeyError: If the template names a parameter that is not there.
        ValueError: If the template reaches for an attribute with an underscore.
        TypeError: If the template is neither, or the function returns anything but a string.
    """
    if isinstance(template, str):
        return filled(template, parameters)
    if not callable(template):
        msg = f"Expected string or callable for '{option}'; got {type(template).__name__} instead."
        raise TypeError(msg)
    from inspect import signature  # noqa: PLC0415 - start-up time

    if "parameters" in signature(template).parameters:
        made = template(parameters=parameters)
    else:
        made = template()
    if not isinstance(made, str):
        close = getattr(made, "close", None)
        if hasattr(made, "__await__") and close is not None:
            close()
        msg = (
            f"Callable {short_repr(template)} for '{option}' returned type {type(made).__name__} "
            "but a string is required"
        )
        raise TypeError(msg)
    return made
