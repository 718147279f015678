"""Running tasks by hand: with a record that exists already, or with parameters in a dict.

>>> from oxtask import task
>>> @task
... def add(x: int, y: int = 2) -> int:
...     return x + y
>>> run_task(add, parameters={"x": 1})
3
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from oxtask.context import hydrated_context
from oxtask.exceptions import TaskRunTimeoutError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from uuid import UUID

    from oxtask.client.schemas.objects import TaskRun
    from oxtask.tasks import Task

__all__ = ["TaskRunTimeoutError", "run_task", "run_task_async", "run_task_sync"]

ReturnType = Literal["result", "state"]


def run_task(  # noqa: PLR0917 - positional in the reference
    task: Task[..., Any],
    task_run_id: UUID | None = None,
    task_run: TaskRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    return_type: ReturnType = "result",
    dependencies: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Any:
    """Run a task here; a coroutine or a generator that does so, if the task is one.

    Args:
        task: The task.
        task_run_id: The id that the record of the run gets.
        task_run: The record of the run; a new one if there is none. A run that has ended is not run
            again.
        parameters: The parameters by name, defaults aside.
        wait_for: Runs that must complete before this one starts.
        return_type: ``"state"`` to get the final state in place of what the function returned.
        dependencies: Runs that the parameters come from, by parameter; added to the record.
        context: The contexts to run in, as `oxtask.context.serialize_context` returns them.

    Raises:
        SignatureMismatchError: If ``parameters`` names one that the function does not have.
        ValueError: If ``return_type`` is neither of the two, or a state is asked of a generator.
        BaseException: As a call of the task.
    """
    wants_state = _wants_state(return_type)
    if task.isgenerator:
        if wants_state:
            msg = "return_type for a generator task must be 'result'"
            raise ValueError(msg)
        from oxtask._internal import context_transfer, generators  # noqa: PLC0415 - start-up time

        given = _given(task, task_run_id, task_run, parameters, wait_for, dependencies)
        generate = generators.agenerate if task.isasync else generators.generate
        return context_transfer.produced_in(context, generate(task, *given))
    run = run_task_async if task.isasync else run_task_sync
    return run(
        *(task, task_run_id, task_run, parameters, wait_for, return_type, dependencies, context)
    )


def run_task_sync(  # noqa: PLR0917
    task: Task[..., Any],
    task_run_id: UUID | None = None,
    task_run: TaskRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    return_type: ReturnType = "result",
    dependencies: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Any:
    """Run a sync task on this thread; arguments as for `run_task`."""
    from oxtask._internal import calls  # noqa: PLC0415 - start-up time

    wants_state = _wants_state(return_type)
    if task_run is not None and task_run.state is not None and task_run.state.is_final():
        return _read_back(task_run, wants_state=wants_state)
    given = _given(task, task_run_id, task_run, parameters, wait_for, dependencies)
    with hydrated_context(context):
        return calls.call(task, *given[:2], return_state=wants_state, record=given[2])


def run_task_async(  # noqa: PLR0917
    task: Task[..., Any],
    task_run_id: UUID | None = None,
    task_run: TaskRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    return_type: ReturnType = "result",
    dependencies: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Coroutine[Any, Any, Any]:
    """Run an async task on the running event loop; arguments as for `run_task`."""
    wants_state = _wants_state(return_type)
    given = _given(task, task_run_id, task_run, parameters, wait_for, dependencies)

    async def whole() -> Any:
        from oxtask._internal import calls  # noqa: PLC0415 - start-up time

        if task_run is not None and task_run.state is not None and task_run.state.is_final():
            return _read_back(task_run, wants_state=wants_state)
        with hydrated_context(context):
            return await calls.acall(task, *given[:2], return_state=wants_state, record=given[2])

    return whole()


def _wants_state(return_type: str) -> bool:
    if return_type not in {"result", "state"}:
        msg = f"'return_type' must be 'result' or 'state'; got {return_type!r}"
        raise ValueError(msg)
    return return_type == "state"


def _given(  # noqa: PLR0917
    task: Task[..., Any],
    task_run_id: UUID | None,
    task_run: TaskRun | None,
    parameters: Mapping[str, Any] | None,
    wait_for: Any,
    dependencies: Mapping[str, Any] | None,
) -> tuple[Any, Any, TaskRun | UUID | None]:
    """Return the arguments, what to wait for, and the record or its id."""
    from oxtask._internal import inputs  # noqa: PLC0415 - start-up time

    arguments = task._signature_plan().arguments(parameters or {})
    record = task_run if task_run is not None else task_run_id
    if task_run is not None:
        for name, runs in (dependencies or {}).items():
            task_run.task_inputs.setdefault(name, []).extend(runs)
    return arguments, inputs.materialised(wait_for), record


def _read_back(task_run: TaskRun, *, wants_state: bool) -> Any:
    """Return what a run came to that had ended before."""
    state = task_run.state
    assert state is not None
    return state if wants_state else state._value(raise_on_failure=True)
