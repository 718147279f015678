"""`Protocol` and `TypedDict` for type checkers, and next to nothing at run time.

Making one of the real classes costs a tenth of a millisecond for each, and a typed dict of twenty
fields compiles twenty annotations: together a fifth of what importing `oxtask` may cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol, TypedDict
else:

    class Protocol:
        """What a protocol is at run time: the base of classes that nobody instantiates."""

    class TypedDict(dict):
        """What a typed dict is at run time: a dict whose keys are annotated."""

        def __init_subclass__(cls, **options: Any) -> None:
            """Add the keys of the bases, as a typed dict does; options are for type checkers."""
            keys: dict[str, Any] = {}
            for base in reversed(cls.__mro__):
                keys.update(vars(base).get("__annotations__", {}))
            cls.__annotations__ = keys


__all__ = ["Protocol", "TypedDict"]
