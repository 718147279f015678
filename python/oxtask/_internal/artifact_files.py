"""The artifacts of a user: a file for each, named by its id and its key.

Ids sort by time, so the names alone tell which artifact of a key is the newest.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from oxtask._internal.home_files import Document, home
from oxtask._internal.ids import new_id, to_uuid
from oxtask._internal.stored_records import Artifact
from oxtask._internal.text import short_repr
from oxtask.exceptions import ObjectNotFound

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask._internal.stored_records import ArtifactCreate, ArtifactUpdate
    from oxtask.client.schemas.filters import ArtifactFilter
    from oxtask.client.schemas.sorting import ArtifactSort

_HEX_DIGITS = 32


def _folder() -> str:
    return f"{home()}/artifacts"


def _names() -> list[str]:
    """Return the names of the files, the newest first."""
    try:
        names = os.listdir(_folder())  # noqa: PTH208 - strings
    except FileNotFoundError:
        return []
    return sorted((name for name in names if name.endswith(".json")), reverse=True)


def _document(name: str) -> Document:
    return Document(f"{_folder()}/{name}")


def _key_of(name: str) -> str | None:
    return name[_HEX_DIGITS + 1 : -len(".json")] or None


def _record(name: str) -> Artifact | None:
    content = _document(name).read()
    if content is None:  # removed meanwhile
        return None
    fields = {field: content.get(field) for field in Artifact._fields if field != "id"}
    return Artifact(id=int(name[:_HEX_DIGITS], 16), **fields)


def create(wanted: ArtifactCreate) -> Artifact:
    """Make an artifact."""
    number, now = new_id(), time.time_ns()
    content = {"created": now, "updated": now, **wanted.model_dump(mode="json")}
    name = f"{number.hex}.{wanted.key or ''}.json"
    _document(name).write(content)
    fields = {field: getattr(wanted, field) for field in wanted._fields}
    return Artifact(id=number, created=now, updated=now, **fields)


def _find(artifact_id: UUID | str) -> str:
    number = to_uuid(artifact_id, "artifact_id")
    for name in _names():
        if name.startswith(number.hex):
            return name
    raise ObjectNotFound(f"There is no artifact {number}.")


def update(artifact_id: UUID | str, changes: ArtifactUpdate) -> None:
    """Change an artifact.

    Raises:
        ObjectNotFound: If there is none with that id.
    """
    file = _document(_find(artifact_id))
    content = file.read()
    if content is None:
        raise ObjectNotFound(f"There is no artifact {artifact_id}.")
    given = changes.model_dump(mode="json", exclude_none=True)
    file.write({**content, **given, "updated": time.time_ns()})


def delete(artifact_id: UUID | str) -> None:
    """Remove an artifact.

    Raises:
        ObjectNotFound: If there is none with that id.
    """
    try:
        os.unlink(f"{_folder()}/{_find(artifact_id)}")  # noqa: PTH108 - a string
    except FileNotFoundError:
        raise ObjectNotFound(f"There is no artifact {artifact_id}.") from None


def newest(key: str | None) -> Artifact | None:
    """Return the newest artifact of a key, or of all."""
    for name in _names():
        if key is None or _key_of(name) == key:
            found = _record(name)
            if found is not None:
                return found
    return None


def read_all(
    wanted: ArtifactFilter | dict[str, Any] | None = None,
    sort: ArtifactSort | str | None = None,
    limit: int | None = None,
    offset: int = 0,
    *,
    latest: bool = False,
) -> list[Artifact]:
    """Return artifacts, by default the newest first; the newest of each key with ``latest``.

    Raises:
        ValueError: If the filter, the order or a number makes no sense.
    """
    from oxtask.client.schemas.filters import ArtifactFilter  # noqa: PLC0415 - a cycle else
    from oxtask.client.schemas.sorting import ArtifactSort  # noqa: PLC0415 - with the other

    for field, number in (("limit", limit), ("offset", offset)):
        if number is not None and (not isinstance(number, int) or number < 0):
            raise ValueError(f"'{field}' must be 0 or more; got {short_repr(number)}.")
    criteria = None if wanted is None else ArtifactFilter.of(wanted, "artifact_filter")
    names = _names()
    keys = None if criteria is None or criteria.key is None else criteria.key.any_
    if keys is not None:
        names = [name for name in names if _key_of(name) in keys]
    if latest:
        newest_first = {_key_of(name): name for name in reversed(names)}
        names = [name for name in names if _key_of(name) and newest_first[_key_of(name)] == name]
    found = [record for record in map(_record, names) if record is not None]
    if criteria is not None:
        found = [record for record in found if criteria.passes(record)]
    if sort is not None:
        field, _, direction = ArtifactSort(sort).value.lower().rpartition("_")
        there = [record for record in found if getattr(record, field) is not None]
        there.sort(key=lambda record: getattr(record, field), reverse=direction == "desc")
        found = [*there, *(record for record in found if getattr(record, field) is None)]
    return found[offset:] if limit is None else found[offset : offset + limit]
