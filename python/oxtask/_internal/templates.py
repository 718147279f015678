"""Templates that users write: format strings without a way into the inside of objects."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from string import Formatter


def filled(template: str, fields: Mapping[str, Any]) -> str:
    """Return a format string with its fields filled in.

    Args:
        template: As for `str.format`.
        fields: What fields begin with.

    Raises:
        KeyError: If the template names a field that is not there.
        ValueError: If it reaches for an attribute with an underscore.
    """
    text: str = _formatter().vformat(template, (), fields)
    return text


@cache
def _formatter() -> Formatter:
    # What `string.Formatter` itself takes names apart with.
    from _string import (  # type: ignore[import-not-found] # noqa: PLC0415 - start-up time
        formatter_field_name_split,
    )
    from string import Formatter  # noqa: PLC0415

    class SafeFormatter(Formatter):
        """`str.format` without a way into the inside of objects."""

        def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
            _, steps = formatter_field_name_split(field_name)
            if any(is_attribute and name.startswith("_") for is_attribute, name in steps):
                msg = (
                    f"the template field {field_name!r} reaches for an attribute that begins with "
                    "an underscore; name a parameter or a public attribute of one"
                )
                raise ValueError(msg)
            return super().get_field(field_name, args, kwargs)

    return SafeFormatter()
