"""The variables of a user: one file in the home, ``variables.json``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from oxtask._internal.home_files import Document, home
from oxtask._internal.ids import new_id
from oxtask._internal.stored_records import Variable
from oxtask._internal.text import short_repr
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound

if TYPE_CHECKING:
    from oxtask._internal.stored_records import VariableCreate, VariableUpdate


def _file() -> Document:
    return Document(f"{home()}/variables/variables.json")


def _all(content: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = (content or {}).get("variables", {})
    return found


def _record(name: str, kept: dict[str, Any]) -> Variable:
    return Variable(
        id=int(kept["id"], 16),
        created=kept["created"],
        updated=kept["updated"],
        name=name,
        value=kept["value"],
        tags=kept["tags"],
    )


def read(name: str) -> Variable | None:
    """Return a variable, if there is one of that name."""
    kept = _all(_file().read()).get(name)
    return None if kept is None else _record(name, kept)


def read_all(limit: int | None = None) -> list[Variable]:
    """Return the variables, ordered by name."""
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise ValueError(f"'limit' must be 0 or more; got {short_repr(limit)}.")
    return [_record(*item) for item in sorted(_all(_file().read()).items())[:limit]]


def put(wanted: VariableCreate | VariableUpdate, *, overwrite: bool) -> Variable:
    """Set a variable, whether it is there or not if ``overwrite`` is true.

    Raises:
        ObjectAlreadyExists: If there is one of that name and ``overwrite`` is false.
    """

    def change(content: dict[str, Any]) -> Variable:
        variables = content.setdefault("variables", {})
        now, before = time.time_ns(), variables.get(wanted.name)
        if before is not None and not overwrite:
            raise ObjectAlreadyExists(
                f"Variable {wanted.name!r} already exists. Use `overwrite=True` to update it."
            )
        kept = {"id": new_id().hex, "created": now} if before is None else before
        variables[wanted.name] = {
            "id": kept["id"],
            "created": kept["created"],
            "updated": now,
            "value": wanted.value,
            "tags": wanted.tags,
        }
        return _record(wanted.name, variables[wanted.name])

    record: Variable = _file().change(change)
    return record


def update(wanted: VariableUpdate) -> None:
    """Change a variable.

    Raises:
        ObjectNotFound: If there is none of that name.
    """
    if read(wanted.name) is None:
        raise ObjectNotFound(f"There is no variable {wanted.name!r}; set it first.")
    put(wanted, overwrite=True)


def delete(name: str) -> None:
    """Remove a variable.

    Raises:
        ObjectNotFound: If there is none of that name.
    """

    def change(content: dict[str, Any]) -> None:
        if _all(content).pop(name, None) is None:
            raise ObjectNotFound(f"There is no variable {short_repr(name)}.")

    _file().change(change)
