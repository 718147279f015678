"""Artifacts: what runs leave for people to look at, kept in ``OXTASK_HOME``.

>>> from oxtask import flow
>>> from oxtask.artifacts import Artifact, create_markdown_artifact
>>> @flow
... def report():
...     create_markdown_artifact("# All is well", key="report")
>>> report()
>>> Artifact.get("report").data
'# All is well'

``oxtask artifact ls`` and ``oxtask artifact inspect`` show them on the command line. The functions
here return awaitables when they are called in an async run, as their async twins do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import artifact_files
from oxtask._internal.artifact_kinds import (
    Artifact,
    ImageArtifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
    created,
    formatted,
    in_thread,
)
from oxtask._internal.dispatch import with_async_twin
from oxtask._internal.stored_records import ArtifactUpdate

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "Artifact",
    "ImageArtifact",
    "LinkArtifact",
    "MarkdownArtifact",
    "ProgressArtifact",
    "TableArtifact",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "aupdate_progress_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]


async def acreate_link_artifact(
    link: str,
    link_text: str | None = None,
    key: str | None = None,
    description: str | None = None,
    client: Any = None,  # noqa: ARG001 - the reference's
) -> UUID:
    """Do what `create_link_artifact` does, without blocking the event loop."""
    artifact = LinkArtifact(link=link, link_text=link_text, key=key, description=description)
    number: UUID = await in_thread(created, artifact)
    return number


@with_async_twin(acreate_link_artifact)
def create_link_artifact(
    link: str,
    link_text: str | None = None,
    key: str | None = None,
    description: str | None = None,
    client: Any = None,  # noqa: ARG001 - the reference's
) -> UUID:
    """Keep a link, and return the id of the artifact.

    Args:
        link: The link.
        link_text: What is shown instead of the link.
        key: What it is found by: lowercase letters, digits and dashes.
        description: What it is about, for people.
        client: Without effect.

    Raises:
        pydantic.ValidationError: If a value does not fit.
    """
    return created(LinkArtifact(link=link, link_text=link_text, key=key, description=description))


async def acreate_markdown_artifact(
    markdown: str,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Do what `create_markdown_artifact` does, without blocking the event loop."""
    artifact = MarkdownArtifact(markdown=markdown, key=key, description=description)
    number: UUID = await in_thread(created, artifact)
    return number


@with_async_twin(acreate_markdown_artifact)
def create_markdown_artifact(
    markdown: str,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Keep a text in Markdown, and return the id of the artifact.

    Args:
        markdown: The text.
        key: What it is found by: lowercase letters, digits and dashes.
        description: What it is about, for people.

    Raises:
        pydantic.ValidationError: If a value does not fit.
    """
    return created(MarkdownArtifact(markdown=markdown, key=key, description=description))


async def acreate_table_artifact(
    table: dict[str, list[Any]] | list[dict[str, Any]] | list[list[Any]],
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Do what `create_table_artifact` does, without blocking the event loop."""
    artifact = TableArtifact(table=table, key=key, description=description)
    number: UUID = await in_thread(created, artifact)
    return number


@with_async_twin(acreate_table_artifact)
def create_table_artifact(
    table: dict[str, list[Any]] | list[dict[str, Any]] | list[list[Any]],
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Keep a table, and return the id of the artifact.

    Args:
        table: Columns by name, or rows.
        key: What it is found by: lowercase letters, digits and dashes.
        description: What it is about, for people.

    Raises:
        pydantic.ValidationError: If a value does not fit.
    """
    return created(TableArtifact(table=table, key=key, description=description))


async def acreate_progress_artifact(
    progress: float,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Do what `create_progress_artifact` does, without blocking the event loop."""
    artifact = ProgressArtifact(progress=progress, key=key, description=description)
    number: UUID = await in_thread(created, artifact)
    return number


@with_async_twin(acreate_progress_artifact)
def create_progress_artifact(
    progress: float,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Keep how much is done, and return the id of the artifact.

    Args:
        progress: Percent, from 0 to 100; what is outside counts as the nearest.
        key: What it is found by: lowercase letters, digits and dashes.
        description: What it is about, for people.

    Raises:
        pydantic.ValidationError: If a value does not fit.
    """
    return created(ProgressArtifact(progress=progress, key=key, description=description))


async def acreate_image_artifact(
    image_url: str,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Do what `create_image_artifact` does, without blocking the event loop."""
    artifact = ImageArtifact(image_url=image_url, key=key, description=description)
    number: UUID = await in_thread(created, artifact)
    return number


@with_async_twin(acreate_image_artifact)
def create_image_artifact(
    image_url: str,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Keep an image, and return the id of the artifact.

    Args:
        image_url: Where the image is.
        key: What it is found by: lowercase letters, digits and dashes.
        description: What it is about, for people.

    Raises:
        pydantic.ValidationError: If a value does not fit.
    """
    return created(ImageArtifact(image_url=image_url, key=key, description=description))


def _update_progress(artifact_id: UUID, progress: float, description: str | None) -> UUID:
    data = formatted(ProgressArtifact(progress=progress))
    artifact_files.update(artifact_id, ArtifactUpdate(data=data, description=description or None))
    return artifact_id


async def aupdate_progress_artifact(
    artifact_id: UUID,
    progress: float,
    description: str | None = None,
    client: Any = None,  # noqa: ARG001 - the reference's
) -> UUID:
    """Do what `update_progress_artifact` does, without blocking the event loop."""
    number: UUID = await in_thread(_update_progress, artifact_id, progress, description)
    return number


@with_async_twin(aupdate_progress_artifact)
def update_progress_artifact(
    artifact_id: UUID,
    progress: float,
    description: str | None = None,
    client: Any = None,  # noqa: ARG001 - the reference's
) -> UUID:
    """Say how much is done now, and return the id of the artifact.

    Args:
        artifact_id: The artifact.
        progress: Percent, from 0 to 100; what is outside counts as the nearest.
        description: What it is about; by default that stays as it is.
        client: Without effect.

    Raises:
        ObjectNotFound: If there is no such artifact.
    """
    return _update_progress(artifact_id, progress, description)
