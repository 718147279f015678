"""What clients can do with artifacts and variables: base classes of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import artifact_files, variable_files

if TYPE_CHECKING:
    from uuid import UUID

    from oxtask._internal.stored_records import (
        Artifact,
        ArtifactCreate,
        ArtifactUpdate,
        Variable,
        VariableCreate,
        VariableUpdate,
    )
    from oxtask.client.schemas.filters import ArtifactFilter
    from oxtask.client.schemas.sorting import ArtifactSort

__all__ = ["StoredAsyncClient", "StoredClient"]


class StoredClient:
    """The artifacts and variables of this user, in ``OXTASK_HOME``."""

    def create_artifact(self, artifact: ArtifactCreate) -> Artifact:
        """Make an artifact, and return it.

        Args:
            artifact: The artifact.

        Raises:
            OSError: If it cannot be written.
        """
        return artifact_files.create(artifact)

    def read_artifacts(
        self,
        *,
        artifact_filter: ArtifactFilter | dict[str, Any] | None = None,
        sort: ArtifactSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Artifact]:
        """Return artifacts.

        Args:
            artifact_filter: Only those that pass it.
            sort: In which order; by default the newest come first.
            limit: How many at most.
            offset: How many to leave out from the beginning.

        Raises:
            ValueError: If the filter, the order or a number makes no sense.
        """
        return artifact_files.read_all(artifact_filter, sort, limit, offset)

    def read_latest_artifacts(
        self,
        *,
        artifact_filter: ArtifactFilter | dict[str, Any] | None = None,
        sort: ArtifactSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Artifact]:
        """Return the newest artifact of each key.

        Args:
            artifact_filter: Only those that pass it.
            sort: In which order; by default the newest come first.
            limit: How many at most.
            offset: How many to leave out from the beginning.

        Raises:
            ValueError: If the filter, the order or a number makes no sense.
        """
        return artifact_files.read_all(artifact_filter, sort, limit, offset, latest=True)

    def update_artifact(self, artifact_id: UUID | str, artifact: ArtifactUpdate) -> None:
        """Change an artifact.

        Args:
            artifact_id: Its id.
            artifact: What is to change.

        Raises:
            ObjectNotFound: If there is none with that id.
        """
        artifact_files.update(artifact_id, artifact)

    def delete_artifact(self, artifact_id: UUID | str) -> None:
        """Remove an artifact.

        Args:
            artifact_id: Its id.

        Raises:
            ObjectNotFound: If there is none with that id.
        """
        artifact_files.delete(artifact_id)

    def create_variable(self, variable: VariableCreate) -> Variable:
        """Make a variable, and return it.

        Args:
            variable: The variable.

        Raises:
            ObjectAlreadyExists: If there is one of that name.
        """
        return variable_files.put(variable, overwrite=False)

    def read_variable_by_name(self, name: str) -> Variable | None:
        """Return a variable; ``None`` if there is none of that name.

        Args:
            name: Its name.
        """
        return variable_files.read(name)

    def read_variables(self, limit: int | None = None) -> list[Variable]:
        """Return the variables, ordered by name.

        Args:
            limit: How many at most.

        Raises:
            ValueError: If the number makes no sense.
        """
        return variable_files.read_all(limit)

    def update_variable(self, variable: VariableUpdate) -> None:
        """Change a variable.

        Args:
            variable: What it is to be.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        variable_files.update(variable)

    def delete_variable_by_name(self, name: str) -> None:
        """Remove a variable.

        Args:
            name: Its name.

        Raises:
            ObjectNotFound: If there is none of that name.
        """
        variable_files.delete(name)


class StoredAsyncClient:
    """The same, as coroutines."""

    async def create_artifact(self, artifact: ArtifactCreate) -> Artifact:
        """Make an artifact, and return it.

        See `StoredClient.create_artifact`.
        """
        return artifact_files.create(artifact)

    async def read_artifacts(
        self,
        *,
        artifact_filter: ArtifactFilter | dict[str, Any] | None = None,
        sort: ArtifactSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Artifact]:
        """Return artifacts.

        See `StoredClient.read_artifacts`.
        """
        return artifact_files.read_all(artifact_filter, sort, limit, offset)

    async def read_latest_artifacts(
        self,
        *,
        artifact_filter: ArtifactFilter | dict[str, Any] | None = None,
        sort: ArtifactSort | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Artifact]:
        """Return the newest artifact of each key.

        See `StoredClient.read_latest_artifacts`.
        """
        return artifact_files.read_all(artifact_filter, sort, limit, offset, latest=True)

    async def update_artifact(self, artifact_id: UUID | str, artifact: ArtifactUpdate) -> None:
        """Change an artifact.

        See `StoredClient.update_artifact`.
        """
        artifact_files.update(artifact_id, artifact)

    async def delete_artifact(self, artifact_id: UUID | str) -> None:
        """Remove an artifact.

        See `StoredClient.delete_artifact`.
        """
        artifact_files.delete(artifact_id)

    async def create_variable(self, variable: VariableCreate) -> Variable:
        """Make a variable, and return it.

        See `StoredClient.create_variable`.
        """
        return variable_files.put(variable, overwrite=False)

    async def read_variable_by_name(self, name: str) -> Variable | None:
        """Return a variable; ``None`` if there is none of that name.

        See `StoredClient.read_variable_by_name`.
        """
        return variable_files.read(name)

    async def read_variables(self, limit: int | None = None) -> list[Variable]:
        """Return the variables, ordered by name.

        See `StoredClient.read_variables`.
        """
        return variable_files.read_all(limit)

    async def update_variable(self, variable: VariableUpdate) -> None:
        """Change a variable.

        See `StoredClient.update_variable`.
        """
        variable_files.update(variable)

    async def delete_variable_by_name(self, name: str) -> None:
        """Remove a variable.

        See `StoredClient.delete_variable_by_name`.
        """
        variable_files.delete(name)
