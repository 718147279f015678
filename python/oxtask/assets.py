"""Assets: what tasks make and read that outlives them, named by a URI.

>>> from oxtask.assets import Asset, materialize
>>> @materialize("s3://lake/orders.parquet", by="dbt")
... def orders(rows: int) -> int:
...     return rows
>>> orders(3), orders.assets
(3, [Asset(key='s3://lake/orders.parquet')])
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, ParamSpec, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oxtask._internal.materializing import MaterializingTask

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["Asset", "AssetProperties", "add_asset_metadata", "materialize"]

MAX_ASSET_DESCRIPTION_LENGTH = 2500
"""Characters."""
MAX_ASSET_KEY_LENGTH = 512
"""Characters."""
_SCHEME = re.compile(r"[a-z0-9]+://")
_FORBIDDEN = frozenset("\n\r\t\0 #?&%\"'<>[]{}|\\^`")


def _valid_key(key: str) -> str:
    for character in key:
        if character in _FORBIDDEN:
            shown = repr(character)[1:-1]
            msg = f"Asset key cannot contain '{shown}'; leave it out of {short_repr(key)}"
            raise ValueError(msg)
    if len(key) > MAX_ASSET_KEY_LENGTH:
        msg = f"Asset key cannot exceed {MAX_ASSET_KEY_LENGTH} characters; got {len(key)}"
        raise ValueError(msg)
    if not _SCHEME.match(key):
        msg = f"Key must be a valid URI, e.g. 's3://bucket/path'; got {short_repr(key)}"
        raise ValueError(msg)
    return key


class AssetProperties(BaseModel):
    """What is known of an asset beside its key. All of it is optional.

    Attributes:
        name: A name for people.
        url: Where the asset can be looked at.
        description: At most 2,500 characters.
        owners: Who looks after it.

    Raises:
        pydantic.ValidationError: If a value does not fit its field.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    name: str | None = None
    url: str | None = None
    description: str | None = Field(default=None, max_length=MAX_ASSET_DESCRIPTION_LENGTH)
    owners: list[str] | None = None


class Asset(BaseModel):
    r"""Something that tasks make and read. Two with the same key are the same asset.

    Attributes:
        key: A URI such as ``s3://bucket/path``: a scheme of lowercase letters and digits, no white
            space, quotes or brackets, none of ``# ? & % | \ ^``, at most 512 characters.
        properties: What else is known of it.

    Raises:
        pydantic.ValidationError: If the key is not such a URI.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    key: Annotated[str, AfterValidator(_valid_key)]
    properties: AssetProperties | None = None

    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add to what is recorded when the running task has made this asset.

        Args:
            metadata: Merged into what was added before; later values win.

        Raises:
            RuntimeError: Outside of a task.
            ValueError: If the task does not make this asset.
        """
        add_asset_metadata(self, metadata)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Asset) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r})"


def add_asset_metadata(asset: Asset | str, metadata: Mapping[str, Any]) -> None:
    """Add to what is recorded when the running task has made an asset.

    Args:
        asset: The asset, or its key.
        metadata: Merged into what was added before; later values win.

    Raises:
        RuntimeError: Outside of a task.
        ValueError: If the task does not make this asset.
    """
    from oxtask.context import TaskRunContext  # noqa: PLC0415 - assets can be declared without runs

    context = TaskRunContext.get()
    if context is None:
        msg = "Metadata can be added to assets in a task only: call this in its function"
        raise RuntimeError(msg)
    key = asset if isinstance(asset, str) else asset.key
    if key not in {made.key for made in getattr(context.task, "assets", ())}:
        msg = (
            "Can only add metadata to assets that are arguments to @materialize; "
            f"{context.task.name!r} does not make {short_repr(key)}"
        )
        raise ValueError(msg)
    context.asset_metadata.setdefault(key, {}).update(metadata)


def materialize(
    *assets: Asset | str, by: str | None = None, **options: Any
) -> Callable[[Callable[P, R]], MaterializingTask[P, R]]:
    """Make a task of a function that makes assets; used as ``@materialize("s3://...")``.

    Args:
        *assets: The assets, or their keys.
        by: What makes them: the name of a tool.
        **options: The options of `oxtask.Task`.

    Returns:
        A decorator. Keys and options are checked when it is applied.

    Raises:
        TypeError: If no asset is given, or something else than an asset or a key.
    """
    from oxtask._internal.materializing import MaterializingTask  # noqa: PLC0415 - start-up time

    if not assets:
        msg = "materialize requires at least one asset argument: @materialize('s3://bucket/path')"
        raise TypeError(msg)
    for asset in assets:
        if not isinstance(asset, (str, Asset)):
            msg = (
                f"materialize takes assets or their keys; got {short_repr(asset)}. "
                "Use it with parentheses: @materialize('s3://bucket/path')"
            )
            raise TypeError(msg)

    def decorator(fn: Callable[P, R]) -> MaterializingTask[P, R]:
        return MaterializingTask(fn, assets=assets, materialized_by=by, **options)

    return decorator
