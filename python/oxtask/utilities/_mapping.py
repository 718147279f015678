"""Splitting the parameters of a ``map`` into what varies from child to child and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oxtask._internal.text import short_repr
from oxtask.utilities.annotations import BaseAnnotation, unmapped
from oxtask.utilities.collections import isiterable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from oxtask.utilities._binding import SignaturePlan


class Column(NamedTuple):
    """One argument that varies from child to child.

    Attributes:
        name: The parameter.
        key: The position in ``*args`` or the name in ``**kwargs``; None for other parameters.
        items: The value for each child, with the annotations of the whole put around each item.
    """

    name: str
    key: int | str | None
    items: list[Any]


class MappedParameters(NamedTuple):
    """The parameters of a ``map``, split.

    Attributes:
        plan: The signature of the mapped callable.
        static: The parameters as given, for all children; what varies is replaced.
        columns: The arguments that vary, all of the same length.
        length: The number of children.
    """

    plan: SignaturePlan
    static: dict[str, Any]
    columns: list[Column]
    length: int

    def child(self, index: int) -> dict[str, Any]:
        """Return the bound parameters of one child, defaults included."""
        parameters = self.static.copy()
        varying: dict[str, Any] = {}
        if self.plan.var_positional in parameters:
            name = self.plan.var_positional
            varying[name] = parameters[name] = list(parameters[name])
        if self.plan.var_keyword in parameters:
            name = self.plan.var_keyword
            varying[name] = parameters[name] = dict(parameters[name])
        for column in self.columns:
            if column.key is None:
                parameters[column.name] = column.items[index]
            else:
                varying[column.name][column.key] = column.items[index]
        if self.plan.var_positional in varying:
            parameters[self.plan.var_positional] = tuple(varying[self.plan.var_positional])
        return self.plan.with_defaults(parameters)


def map_parameters(
    plan: SignaturePlan, parameters: Mapping[str, Any], static: Collection[str] = ()
) -> MappedParameters:
    """Find out over which arguments of a call to ``map`` to iterate.

    An argument is iterated if it can be (see `oxtask.utilities.collections.isiterable`), unless it
    is annotated with `unmapped`. Other annotations are put around each of its items. Members of
    ``*args`` and ``**kwargs`` are arguments of their own.

    Args:
        plan: The signature of the mapped callable.
        parameters: Bound parameters without defaults: a default is never iterated.
        static: Names of parameters that are not iterated whatever they are, such as ``self``.

    Raises:
        MappingMissingIterable: If no argument can be iterated.
        MappingLengthMismatch: If the arguments have different lengths.
    """
    same: dict[str, Any] = dict(parameters)
    if plan.var_positional in same:
        same[plan.var_positional] = list(same[plan.var_positional])
    if plan.var_keyword in same:
        same[plan.var_keyword] = dict(same[plan.var_keyword])
    columns: list[Column] = []
    for name, key, value in _members(plan, parameters):
        layers, content, broadcast = _peel(value)
        if name in static or broadcast or not isiterable(content):
            kept = _wrap(layers, content)
            if key is None:
                same[name] = kept
            else:
                same[name][key] = kept
        else:
            items = list(content)
            columns.append(
                Column(name, key, [_wrap(layers, i) for i in items] if layers else items)
            )
    lengths = {_label(plan, column): len(column.items) for column in columns}
    _check(lengths, parameters)
    return MappedParameters(plan, same, columns, next(iter(lengths.values())))


def _members(
    plan: SignaturePlan, parameters: Mapping[str, Any]
) -> Iterator[tuple[str, int | str | None, Any]]:
    for name, value in parameters.items():
        if name == plan.var_positional:
            for index, member in enumerate(value):
                yield name, index, member
        elif name == plan.var_keyword:
            for key, member in value.items():
                yield name, key, member
        else:
            yield name, None, value


def _peel(value: Any) -> tuple[list[BaseAnnotation[Any]], Any, bool]:
    """Take off all annotations; `unmapped` has done its work then, the others are put back on."""
    layers: list[BaseAnnotation[Any]] = []
    broadcast = False
    while isinstance(value, BaseAnnotation):
        if isinstance(value, unmapped):
            broadcast = True
        else:
            layers.append(value)
        value = value.unwrap()
    return layers, value, broadcast


def _wrap(layers: list[BaseAnnotation[Any]], value: Any) -> Any:
    for layer in reversed(layers):
        value = layer.rewrap(value)
    return value


def _label(plan: SignaturePlan, column: Column) -> str:
    if column.key is None:
        return column.name
    if isinstance(column.key, int) or column.key in plan.names:
        return f"{column.name}[{column.key!r}]"
    return column.key


def _check(lengths: Mapping[str, int], parameters: Mapping[str, Any]) -> None:
    if not lengths:
        from oxtask.exceptions import MappingMissingIterable  # noqa: PLC0415 - start-up time

        msg = (
            "No iterable parameter was given to map over; "
            f"got {short_repr(dict(parameters))}. Pass at least one list or other iterable that is "
            "not wrapped in `unmapped`."
        )
        raise MappingMissingIterable(msg)
    if len(set(lengths.values())) > 1:
        from oxtask.exceptions import MappingLengthMismatch  # noqa: PLC0415 - start-up time

        msg = (
            f"Iterable parameters of a map must have the same length; got {lengths}. "
            "Wrap those that are the same for every call in `unmapped`."
        )
        raise MappingLengthMismatch(msg)
