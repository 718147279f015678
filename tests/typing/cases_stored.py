"""Variables and artifacts have types (engine.md 15)."""

from __future__ import annotations

from uuid import UUID

from typing_extensions import assert_type

from oxtask import get_client
from oxtask.artifacts import Artifact, acreate_table_artifact, create_markdown_artifact
from oxtask.client.schemas.objects import Artifact as Kept
from oxtask.client.schemas.objects import Variable as KeptVariable
from oxtask.variables import Variable


def sync_names() -> None:
    """VA-01, AR-01"""
    assert_type(Variable.set("a", 1, tags=["x"]), Variable)
    assert_type(Variable.unset("a"), bool)
    assert_type(create_markdown_artifact("x", key="k"), UUID)
    assert_type(Artifact.get("k"), Kept | None)
    assert_type(Artifact.get_or_create("k", data=1), tuple[Kept, bool])
    Variable.set("a", 1, tags=3)  # type: ignore[arg-type]
    create_markdown_artifact(3)  # type: ignore[arg-type]


async def async_names() -> None:
    """VA-01, AR-01"""
    assert_type(await Variable.aset("a", 1), Variable)
    assert_type(await Variable.aunset("a"), bool)
    assert_type(await acreate_table_artifact([[1]]), UUID)


def clients() -> None:
    """VA-01, AR-01"""
    client = get_client(sync_client=True)
    assert_type(client.read_variable_by_name("a"), KeptVariable | None)
    assert_type(client.read_artifacts(limit=1), list[Kept])
