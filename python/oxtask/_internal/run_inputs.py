"""Where an argument of a run came from. `oxtask.client.schemas.objects` is where users find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from oxtask._internal.ids import to_uuid
from oxtask._internal.records import Record
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class RunInput(Record):
    """Base of the kinds of input; they cannot be changed, and equal ones have the same hash.

    Attributes:
        input_type: Which kind it is, also when the record has become a dict.
    """

    __slots__ = ()
    _derived = ("input_type",)

    input_type: ClassVar[str] = ""

    def __init__(self, **fields: Any) -> None:
        kind = fields.pop("input_type", self.input_type)
        if kind != self.input_type:
            raise ValueError(
                f"{type(self).__name__} has the input type {self.input_type!r}; "
                f"got {short_repr(kind)}. Leave 'input_type' out."
            )
        super().__init__(**fields)
        missing = [name for name in self._fields if fields.get(name) is None]
        if missing:
            raise TypeError(f"{type(self).__name__} needs {', '.join(missing)}. Pass it by name.")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"A {type(self).__name__} cannot be changed. "
            f"Make another with model_copy(update={{{name!r}: ...}})."
        )

    def __hash__(self) -> int:
        return hash((self.input_type, *(getattr(self, name) for name in self._fields)))


class TaskRunResult(RunInput):
    """The argument is, or contains, the result of a task run.

    Attributes:
        id: The task run.
    """

    __slots__ = _fields = ("id",)
    _conversions: ClassVar[Mapping[str, Any]] = {"id": to_uuid}

    input_type = "task_run"
    id: UUID


class FlowRunResult(RunInput):
    """The argument is, or contains, the result of a flow run.

    Attributes:
        id: The flow run.
    """

    __slots__ = _fields = ("id",)
    _conversions: ClassVar[Mapping[str, Any]] = {"id": to_uuid}

    input_type = "flow_run"
    id: UUID


class Parameter(RunInput):
    """The argument is a parameter of the flow run.

    Attributes:
        name: The parameter.
    """

    __slots__ = _fields = ("name",)

    input_type = "parameter"
    name: str


class Constant(RunInput):
    """The argument came from nowhere in particular.

    Attributes:
        type: The name of its type.
    """

    __slots__ = _fields = ("type",)

    input_type = "constant"
    type: str


class Sources:
    """Where the arguments of a run came from: what becomes its ``task_inputs`` when they are read.

    Args:
        names: The parameters of the task; none if it is not known where the arguments came from.
        found: The runs, or their ids, by parameter.
        parents: The runs in which, or from which, the run was made.
    """

    __slots__ = ("found", "names", "parents")

    def __init__(
        self,
        names: tuple[str, ...],
        found: Mapping[str, list[int | RunInput]],
        parents: list[int | RunInput],
    ) -> None:
        self.names = names
        self.found = found
        self.parents = parents

    @classmethod
    def of(cls, inputs: Mapping[str, list[RunInput]]) -> Sources:
        """Return the sources that ``inputs`` were made of."""
        return cls(tuple(inputs), {name: list(runs) for name, runs in inputs.items()}, [])

    def pack(self) -> tuple[Any, ...]:
        """Return the same as nothing but tuples, texts and integers."""
        if not self.found:
            return self.names, (), tuple(map(_packed, self.parents))
        found = tuple((name, tuple(map(_packed, runs))) for name, runs in self.found.items())
        return self.names, found, tuple(map(_packed, self.parents))

    @classmethod
    def unpack(cls, packed: tuple[Any, ...]) -> Sources:
        """Return what was packed."""
        names, found, parents = packed
        runs = {name: list(map(_unpacked, items)) for name, items in found}
        return cls(names, runs, list(map(_unpacked, parents)))

    def within(self, parent: int | RunInput | None) -> Sources:
        """Return the same for a run that was made in another."""
        return self if parent is None else Sources(self.names, self.found, [parent, *self.parents])

    def inputs(self) -> dict[str, list[RunInput]]:
        """Return the runs by parameter, each of them once."""
        inputs: dict[str, list[RunInput]] = {name: [] for name in self.names}
        for name, runs in self.found.items():
            inputs[name] = distinct(runs)
        if self.parents:
            inputs["__parents__"] = distinct(self.parents)
        return inputs


def _packed(run: int | RunInput) -> Any:
    if isinstance(run, TaskRunResult):
        return run.id.int
    return ("flow_run", run.id.int) if isinstance(run, FlowRunResult) else run


def _unpacked(run: Any) -> int | RunInput:
    return FlowRunResult(id=run[1]) if type(run) is tuple else run


def distinct(runs: list[int | RunInput]) -> list[RunInput]:
    """Return runs, some of them given by id, each of them once."""
    made = (TaskRunResult(id=run) if isinstance(run, int) else run for run in runs)
    return list(dict.fromkeys(made))


class Inputs:
    """The field ``task_inputs``: `Sources`, until somebody reads it."""

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        """Return the runs by parameter."""
        if record is None:
            return self
        kept = record._task_inputs
        return (
            record._settle("_task_inputs", kept.inputs(), kept) if type(kept) is Sources else kept
        )

    def __set__(self, record: Any, value: Any) -> None:
        """Keep what is given."""
        object.__setattr__(record, "_task_inputs", value)


_KINDS: dict[str, type[RunInput]] = {
    kind.input_type: kind for kind in (TaskRunResult, FlowRunResult, Parameter, Constant)
}


def to_run_input(value: Any) -> RunInput:
    """Return ``value`` as the kind of input its ``input_type`` says it is.

    Raises:
        ValueError: There is no such kind.
        TypeError: The value is neither an input nor a dict of its fields.
    """
    if isinstance(value, RunInput):
        return value
    if not isinstance(value, dict):
        raise TypeError(
            f"A run input must be one of {', '.join(kind.__name__ for kind in _KINDS.values())}, "
            f"or a dict of its fields; got {short_repr(value)} of type {type(value).__name__}."
        )
    kind = _KINDS.get(value.get("input_type", ""))
    if kind is None:
        raise ValueError(
            f"A run input must have an 'input_type' of {', '.join(map(repr, _KINDS))}; "
            f"got {short_repr(value)}."
        )
    return kind.model_validate(value)
