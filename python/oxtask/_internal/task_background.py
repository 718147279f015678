"""What hands work to task workers. They are not part of this version: each method says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class TaskBackground:
    """The part of `oxtask.Task` that needs a task worker."""

    if TYPE_CHECKING:
        name: str

        def _check_binding(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...

    def delay(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Hand a run to a task worker; not supported here.

        Raises:
            ParameterBindError: If the arguments do not fit the function.
            NotImplementedError: If they do.
        """
        self._check_binding(args, kwargs)
        self._refuse("delay")

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        wait_for: Any = None,  # noqa: ARG002 - the same
        dependencies: Mapping[str, Any] | None = None,  # noqa: ARG002 - arguments as in Prefect
    ) -> NoReturn:
        """Hand a run to a task worker; not supported here.

        Raises:
            ParameterBindError: If the arguments do not fit the function.
            NotImplementedError: If they do.
        """
        self._check_binding(tuple(args or ()), dict(kwargs or {}))
        self._refuse("apply_async")

    def serve(self, task_runner: Any = None) -> NoReturn:  # noqa: ARG002 - as in Prefect
        """Start a task worker for this task; not supported here.

        Raises:
            NotImplementedError: Always.
        """
        self._refuse("serve")

    async def aserve(self, task_runner: Any = None) -> NoReturn:  # noqa: ARG002 - as in Prefect
        """Start a task worker for this task; not supported here.

        Raises:
            NotImplementedError: Always.
        """
        self._refuse("aserve")

    def _refuse(self, method: str) -> NoReturn:
        msg = (
            f"'.{method}()' of task {self.name!r} needs a task worker, which is not part of this "
            "version: call `.submit()` in a flow"
        )
        raise NotImplementedError(msg)
