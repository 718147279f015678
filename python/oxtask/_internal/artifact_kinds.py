"""The kinds of artifacts; `oxtask.artifacts` is where users find them."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, field_validator

from oxtask._internal import artifact_files
from oxtask._internal.dispatch import with_async_twin
from oxtask._internal.stored_records import (
    Artifact as ArtifactRecord,
)
from oxtask._internal.stored_records import (
    ArtifactCreate,
    check_artifact_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function without blocking the event loop."""
    import asyncio  # noqa: PLC0415 - start-up time

    return await asyncio.to_thread(function, *arguments)


class Artifact(BaseModel):
    """Something to be kept; a subclass says in `format` what is.

    Args:
        type: What kind of artifact it is.
        key: What it is found by: lowercase letters, digits and dashes. Several artifacts may have
            one key; the newest is the one that counts.
        description: What it is about, for people; Markdown.
        data: What it holds, of what JSON knows.
        metadata_: Further text, by text.
        flow_run_id: The flow run that it belongs to; by default the current one.
        task_run_id: The task run that it belongs to; by default the current one.

    Raises:
        pydantic.ValidationError: If a value does not fit.
    """

    type: str | None = None
    key: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: Any = None
    task_run_id: Any = None

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: str | None) -> str | None:
        return None if key is None else check_artifact_key(key)

    async def acreate(self, client: Any = None) -> ArtifactRecord:  # noqa: ARG002 - the reference's
        """Do what `create` does, without blocking the event loop."""
        record: ArtifactRecord = await in_thread(_create, self)
        return record

    @with_async_twin(acreate)
    def create(self, client: Any = None) -> ArtifactRecord:  # noqa: ARG002 - the reference's
        """Keep the artifact, and return what is kept.

        Args:
            client: Without effect.

        Raises:
            ValueError: If it holds what JSON does not know.
            OSError: If it cannot be written.
        """
        return _create(self)

    @classmethod
    async def aget(cls, key: str | None = None, client: Any = None) -> ArtifactRecord | None:  # noqa: ARG003
        """Do what `get` does, without blocking the event loop."""
        record: ArtifactRecord | None = await in_thread(artifact_files.newest, key)
        return record

    @classmethod
    @with_async_twin(lambda cls, *args, **kwargs: cls.aget(*args, **kwargs))
    def get(cls, key: str | None = None, client: Any = None) -> ArtifactRecord | None:  # noqa: ARG003
        """Return the newest artifact of a key, if there is one.

        Args:
            key: The key; by default any.
            client: Without effect.
        """
        return artifact_files.newest(key)

    @classmethod
    async def aget_or_create(
        cls,
        key: str | None = None,
        description: str | None = None,
        data: Any = None,
        client: Any = None,  # noqa: ARG003 - the reference's
        **kwargs: Any,
    ) -> tuple[ArtifactRecord, bool]:
        """Do what `get_or_create` does, without blocking the event loop."""
        made = (cls, key, {"description": description, "data": data, **kwargs})
        record: tuple[ArtifactRecord, bool] = await in_thread(_get_or_create, *made)
        return record

    @classmethod
    @with_async_twin(lambda cls, *args, **kwargs: cls.aget_or_create(*args, **kwargs))
    def get_or_create(
        cls,
        key: str | None = None,
        description: str | None = None,
        data: Any = None,
        client: Any = None,  # noqa: ARG003 - the reference's
        **kwargs: Any,
    ) -> tuple[ArtifactRecord, bool]:
        """Return the newest artifact of a key, or a new one, and whether it is new.

        Args:
            key: The key.
            description: What a new one is about.
            data: What a new one holds.
            client: Without effect.
            **kwargs: Further arguments for a new one.
        """
        return _get_or_create(cls, key, {"description": description, "data": data, **kwargs})

    async def aformat(self) -> Any:
        """Do what `format` does."""
        return formatted(self)

    @with_async_twin(aformat)
    def format(self) -> Any:
        """Return what is kept."""
        return self._format()

    def _format(self) -> Any:
        return json.dumps(self.data)


class LinkArtifact(Artifact):
    """A link, kept as Markdown."""

    type: str | None = "markdown"
    link: str
    link_text: str | None = None

    def _format(self) -> str:
        return f"[{self.link_text or self.link}]({self.link})"


class MarkdownArtifact(Artifact):
    """A text in Markdown."""

    type: str | None = "markdown"
    markdown: str

    def _format(self) -> str:
        return self.markdown


class TableArtifact(Artifact):
    """A table, kept as text in JSON; numbers that are not a number are ``null``."""

    type: str | None = "table"
    table: dict[str, list[Any]] | list[dict[str, Any]] | list[list[Any]]

    def _format(self) -> str:
        return json.dumps(_without_nan(self.table))


class ProgressArtifact(Artifact):
    """How much is done, in percent from 0 to 100."""

    type: str | None = "progress"
    progress: float

    def _format(self) -> float:
        if not 0 <= self.progress <= 100:
            from oxtask.logging import get_logger  # noqa: PLC0415 - nobody needs it otherwise

            given, self.progress = self.progress, min(100.0, max(0.0, self.progress))
            get_logger("artifacts").warning(
                "A progress of %s %% is not between 0 and 100; kept as %s %%.", given, self.progress
            )
        return self.progress


class ImageArtifact(Artifact):
    """An image that can be had from a URL."""

    type: str | None = "image"
    image_url: str

    def _format(self) -> str:
        return self.image_url


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124


def formatted(artifact: Artifact) -> Any:
    """Return what is kept of an artifact, whoever says what that is."""
    if getattr(type(artifact).format, "is_dual", False):
        return artifact.format(_sync=True)  # type: ignore[call-arg]
    return artifact.format()


def _create(artifact: Artifact) -> ArtifactRecord:
    flow_run_id, task_run_id = _run_ids()
    if flow_run_id is None and task_run_id is None:
        warnings.warn(
            "An artifact is made outside of a flow or task run, so it belongs to none; make it in "
            "a run.",
            FutureWarning,
            stacklevel=3,
        )
    return artifact_files.create(
        ArtifactCreate(
            key=artifact.key,
            type=artifact.type,
            description=artifact.description,
            data=formatted(artifact),
            metadata_=artifact.metadata_,
            flow_run_id=artifact.flow_run_id or flow_run_id,
            task_run_id=artifact.task_run_id or task_run_id,
        )
    )


def _run_ids() -> tuple[Any, Any]:
    from oxtask.context import FlowRunContext, TaskRunContext  # noqa: PLC0415 - start-up time

    task = TaskRunContext.get()
    flow = FlowRunContext.get()
    task_run = None if task is None else task.task_run
    flow_run = None if flow is None else flow.flow_run
    flow_run_id = flow_run.id if flow_run is not None else getattr(task_run, "flow_run_id", None)
    return flow_run_id, None if task_run is None else task_run.id


def _get_or_create(
    kind: type[Artifact], key: str | None, fields: dict[str, Any]
) -> tuple[ArtifactRecord, bool]:
    found = artifact_files.newest(key)
    if found is not None:
        return found, False
    return _create(kind(key=key, **fields)), True


def created(artifact: Artifact) -> UUID:
    """Keep an artifact, and return its id."""
    return _create(artifact).id
