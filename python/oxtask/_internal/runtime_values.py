"""How the modules of `oxtask.runtime` find their values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PREFIX = "OXTASK__RUNTIME__"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def value_of(module: str, name: str, fields: Mapping[str, Callable[[], Any]]) -> Any:
    """Return an attribute of a module of `oxtask.runtime`.

    An environment variable ``OXTASK__RUNTIME__<MODULE>__<NAME>`` takes its place, as a value of the
    type that the attribute has, and makes an attribute where there is none.

    Args:
        module: The module's name without that of the package.
        name: The attribute.
        fields: What to call for the attributes.

    Raises:
        AttributeError: If there is no such attribute.
        ValueError: If the variable does not fit, or the attribute is a list or a dict.
    """
    read = fields.get(name)
    variable = f"{_PREFIX}{module.upper()}__{name.upper()}"
    text = os.environ.get(variable)
    if text is None:
        if read is None:
            msg = f"oxtask.runtime.{module} has no attribute {name!r}; it has {', '.join(fields)}"
            raise AttributeError(msg)
        return read()
    return text if read is None else _as_type_of(read(), text, variable)


def _as_type_of(value: Any, text: str, variable: str) -> Any:
    if value is None or isinstance(value, str):
        return text
    if isinstance(value, bool):
        if text.lower() not in _TRUE | _FALSE:
            msg = f"{variable} must be true or false; got {short_repr(text)}"
            raise ValueError(msg)
        return text.lower() in _TRUE
    if isinstance(value, (int, float)):
        try:
            return type(value)(text)
        except ValueError:
            msg = f"{variable} must be a number; got {short_repr(text)}"
            raise ValueError(msg) from None
    if hasattr(value, "tzinfo"):
        from oxtask._internal.times import to_utc  # noqa: PLC0415 - start-up time

        return to_utc(text, variable)
    msg = (
        f"{variable}: a {type(value).__name__} cannot be mocked using an environment variable. "
        "Replace the entry of `FIELDS` in its module instead."
    )
    raise ValueError(msg)
