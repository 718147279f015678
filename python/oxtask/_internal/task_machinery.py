"""The machinery of a task: what the core asks it, and what it knows of itself.

The core calls and submits tasks itself where it can; where not, it calls `_call` and `_submit`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal.option_signatures import InstanceSignature
from oxtask._internal.task_background import TaskBackground

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from typing_extensions import Self

    from oxtask._internal.task_options import (
        RetryConditionCallable,
        StateHookCallable,
        TaskRunNameValueOrCallable,
    )
    from oxtask.cache_policies import CachePolicy
    from oxtask.utilities.callables import SignaturePlan


class TaskMachinery(TaskBackground, _core.TaskBase):
    """The base of `oxtask.Task`."""

    if TYPE_CHECKING:
        fn: Callable[..., Any]
        name: str
        description: str | None
        tags: set[str]
        version: str | None
        task_key: str
        isasync: bool
        isgenerator: bool
        retries: int
        retry_delay_seconds: float | list[float]
        retry_jitter_factor: float | None
        retry_condition_fn: RetryConditionCallable | None
        timeout_seconds: float | None
        task_run_name: TaskRunNameValueOrCallable | None
        log_prints: bool | None
        on_completion_hooks: list[StateHookCallable]
        on_failure_hooks: list[StateHookCallable]
        on_running_hooks: list[StateHookCallable]
        persist_result: bool | None
        result_storage: Any
        result_serializer: Any
        result_storage_key: str | None
        cache_result_in_memory: bool
        cache_expiration: timedelta | None
        refresh_cache: bool | None
        on_rollback_hooks: list[Callable[[Any], None]]
        on_commit_hooks: list[Callable[[Any], None]]
        _policy: Any
        _given: dict[str, Any]
        _descriptor: type | None
        _receiver: Any
        _known_plans: dict[bool | str, Any]

    __signature__: InstanceSignature = InstanceSignature()

    @cached_property
    def source_code(self) -> str | None:
        """The text of the function, read when first asked for; ``None`` if there is none."""
        from oxtask._internal.functions import source_of  # noqa: PLC0415 - start-up time

        return source_of(self.__dict__["__wrapped__"])

    @property
    def cache_policy(self) -> CachePolicy | None:
        """How the key of the cache is made; ``None`` for a task with a ``result_storage_key``."""
        from oxtask._internal.caching_options import policy_of  # noqa: PLC0415 - start-up time

        return policy_of(self._policy)

    @cache_policy.setter
    def cache_policy(self, policy: CachePolicy | None) -> None:
        self.__dict__["_policy"] = policy

    if not TYPE_CHECKING:  # else every name could be set for type checkers

        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)
            if name in self._given:  # options that are set later are kept by `with_options`
                self.__dict__["_given"] = {**self._given, name: value}
            self.__dict__["_known_plans"] = {}  # a new one: copies share the old
            self._forget_plan()

    # --- calling ----------------------------------------------------------------------------------

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the task where the core's own way does not do."""
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        self._check_binding(args, kwargs)
        from oxtask._internal import calls, generators, inputs  # noqa: PLC0415 - start-up time

        wait_for = inputs.materialised(wait_for)
        if self.isgenerator:
            if return_state:
                msg = "return_type for a generator task must be 'result'"
                raise ValueError(msg)
            generate = generators.agenerate if self.isasync else generators.generate
            return generate(self, (args, kwargs), wait_for)
        call = calls.acall if self.isasync else calls.call
        return call(self, (args, kwargs), wait_for, return_state=return_state)

    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Submit a run where the core's own way does not do."""
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        self._check_binding(args, kwargs)
        from oxtask._internal import inputs  # noqa: PLC0415 - start-up time
        from oxtask.task_runners import current_runner  # noqa: PLC0415

        runner: Any = current_runner("submission", self.name)
        future = runner._submit_call(self, args, kwargs, inputs.materialised(wait_for))
        if return_state:
            future.wait()
            return future.state
        return future

    # --- what is worked out once per task ---------------------------------------------------------

    def _signature_plan(self) -> SignaturePlan:
        known: SignaturePlan | None = self.__dict__.get("_known_signature")
        if known is None or known.fn is not self.fn:
            from oxtask.utilities.callables import signature_plan  # noqa: PLC0415 - start-up time

            known = self.__dict__["_known_signature"] = signature_plan(self.fn)
        return known

    def _make_plan(self) -> _core.Plan:
        from oxtask._internal.task_plans import make_plan  # noqa: PLC0415 - start-up time

        return make_plan(self)

    def _body(self) -> Callable[..., Any]:
        from oxtask._internal.task_plans import body_of  # noqa: PLC0415 - start-up time

        return body_of(self)

    def _is_rich(self) -> bool:
        from oxtask._internal.task_plans import is_rich  # noqa: PLC0415 - start-up time

        return is_rich(self) or bool(
            self.retries
            or self.on_completion_hooks
            or self.on_failure_hooks
            or self.on_running_hooks
        )

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._signature_plan().bind(self._received(args), kwargs)

    def _received(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self._receiver is None else (self._receiver, *args)

    def _check_binding(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._bind(args, kwargs)

    def _logs_prints(self) -> bool:
        if self.log_prints is False:
            return False
        from oxtask.logging.prints import should_log_prints  # noqa: PLC0415 - start-up time

        return should_log_prints(self)

    def _delay_before_retry(self, retry: int) -> float:
        """Return the seconds to wait before a retry, from 0."""
        delays = self.retry_delay_seconds
        if isinstance(delays, list):
            delays = delays[min(retry, len(delays) - 1)] if delays else 0
        return _core.jittered(delays, self.retry_jitter_factor or 0.0) if delays else 0.0

    # --- copies -----------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        from oxtask._internal import task_variants  # noqa: PLC0415 - start-up time

        return task_variants.copied(self, self.__dict__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        from copy import deepcopy  # noqa: PLC0415 - start-up time

        from oxtask._internal import task_variants  # noqa: PLC0415 - start-up time

        return task_variants.copied(self, deepcopy(task_variants.portable(self), memo))

    def __reduce__(self) -> Any:
        from oxtask._internal import task_variants  # noqa: PLC0415 - start-up time

        return task_variants.reduce(self)
