"""`Protocol` and `TypedDict` for type checkers, and next to nothing at run time.

Making one of the real classes costs a tenth of a millisecond for each, and a typed dict of twenty
fields compiles twenty annotations: together a fifth of what importing `oxtask` may cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import ParamSpec, Protocol, TypedDict, TypeVar

    Owner_contra = TypeVar("Owner_contra", contravariant=True)
    R_co = TypeVar("R_co", covariant=True)
    P = ParamSpec("P")

    class Method(Protocol[Owner_contra, P, R_co]):
        """A task or flow whose function takes an object of a class before other arguments.

        As the type of ``self`` it makes checkers compare the first parameter with the object that
        an attribute is read from: a method takes that, a static method something else.
        """

        def _as_function(
            self, owner: Owner_contra, /, *args: P.args, **kwargs: P.kwargs
        ) -> R_co: ...
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
