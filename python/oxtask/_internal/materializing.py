"""Tasks that make assets. `oxtask.tasks` is where users find the class; see `oxtask.assets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.task_options import asset_list, check_names
from oxtask.tasks import P, R, Task, TaskOptions
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from oxtask.assets import Asset


class MaterializingTask(Task[P, R]):
    """A task that makes assets.

    Args:
        fn: The function.
        assets: The assets, or their keys, in their order.
        materialized_by: What makes them: the name of a tool.
        **options: The options of `oxtask.Task`.

    Raises:
        TypeError: If an option is unknown or has a wrong type.
        pydantic.ValidationError: If a key is not a URI.
    """

    assets: list[Asset]
    materialized_by: str | None

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        assets: Iterable[Asset | str],
        materialized_by: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fn, **options)
        made = asset_list("assets", assets)
        self.__dict__.update(assets=made, materialized_by=materialized_by)

    def with_options(
        self, assets: Iterable[Asset | str] | None = None, *, by: Any = NotSet, **options: Any
    ) -> Self:
        """Return a task like this one with other options.

        Args:
            assets: Other assets; ``None`` keeps those there are.
            by: What makes them.
            **options: Any option of `oxtask.Task` except ``fn`` and ``version``.

        Raises:
            TypeError: If an option is unknown, or has a wrong type.
        """
        check_names("with_options", options, TaskOptions)
        new = super().with_options(**options)
        made = self.assets if assets is None else assets
        new.__dict__["assets"] = asset_list("assets", made)
        if by is not NotSet:
            new.__dict__["materialized_by"] = by
        return new
