"""Running flows by hand: with a record that exists already, or with parameters in a dict.

>>> from oxtask import flow
>>> @flow
... def add(x: int, y: int = 2) -> int:
...     return x + y
>>> run_flow(add, parameters={"x": "1"})
3
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from oxtask.context import hydrated_context
from oxtask.exceptions import FlowRunTimeoutError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from logging import Logger
    from multiprocessing.context import SpawnProcess

    from oxtask.client.schemas.objects import FlowRun
    from oxtask.flows import Flow

__all__ = [
    "FlowRunTimeoutError",
    "run_flow",
    "run_flow_async",
    "run_flow_in_subprocess",
    "run_flow_sync",
]

ReturnType = Literal["result", "state"]


def run_flow(  # noqa: PLR0917 - positional in the reference
    flow: Flow[..., Any],
    flow_run: FlowRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    return_type: ReturnType = "result",
    error_logger: Logger | None = None,
    context: Mapping[str, Any] | None = None,
) -> Any:
    """Run a flow; a coroutine or a generator that does so, if the flow is one.

    Args:
        flow: The flow.
        flow_run: The record of the run; a new one if there is none. If it says nothing of retries,
            what the flow says is written into it. A run that has ended is not run again.
        parameters: The parameters by name, defaults aside; by default those of ``flow_run``.
        wait_for: Runs that must complete before this one starts.
        return_type: ``"state"`` to get the final state in place of what the function returned.
        error_logger: Where it is logged that the run raised.
        context: The contexts to run in, as `oxtask.context.serialize_context` returns them.

    Raises:
        SignatureMismatchError: If ``parameters`` names one that the function does not have.
        ValueError: If ``return_type`` is neither of the two.
        BaseException: As a call of the flow.
    """
    if flow.isgenerator:
        return _produce(flow, flow_run, parameters, wait_for, return_type, error_logger, context)
    run = run_flow_async if flow.isasync else run_flow_sync
    return run(flow, flow_run, parameters, wait_for, return_type, error_logger, context)


def run_flow_sync(  # noqa: PLR0917
    flow: Flow[..., Any],
    flow_run: FlowRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    return_type: ReturnType = "result",
    error_logger: Logger | None = None,
    context: Mapping[str, Any] | None = None,
) -> Any:
    """Run a sync flow on this thread; arguments as for `run_flow`."""
    from oxtask._internal import flow_engine, inputs  # noqa: PLC0415 - start-up time

    try:
        with hydrated_context(context):
            return flow_engine.run(
                flow,
                _parameters(flow, flow_run, parameters),
                inputs.materialised(wait_for),
                return_state=_wants_state(return_type),
                record=flow_run,
            )
    except BaseException as error:
        _log(error_logger, error)
        raise


def run_flow_async(  # noqa: PLR0917
    flow: Flow[..., Any],
    flow_run: FlowRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    return_type: ReturnType = "result",
    error_logger: Logger | None = None,
    context: Mapping[str, Any] | None = None,
) -> Coroutine[Any, Any, Any]:
    """Run an async flow on the running event loop; arguments as for `run_flow`."""

    async def whole() -> Any:
        from oxtask._internal import flow_engine, inputs  # noqa: PLC0415 - start-up time

        try:
            with hydrated_context(context):
                return await flow_engine.arun(
                    flow,
                    _parameters(flow, flow_run, parameters),
                    inputs.materialised(wait_for),
                    return_state=_wants_state(return_type),
                    record=flow_run,
                )
        except BaseException as error:
            _log(error_logger, error)
            raise

    return whole()


def run_flow_in_subprocess(  # noqa: PLR0917
    flow: Flow[..., Any],
    flow_run: FlowRun | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: Any = None,
    context: Mapping[str, Any] | None = None,
    env: Mapping[str, str | None] | None = None,
) -> SpawnProcess:
    """Run a flow, which may be async, in a process of its own.

    Its exit code is 0 if the run completed or paused, and another if it did not. A script that
    calls this needs ``if __name__ == "__main__":``, as all do that spawn processes.

    Args:
        flow: The flow; not of a generator function.
        flow_run: As for `run_flow`.
        parameters: As for `run_flow`; futures in them are waited for here.
        wait_for: As for `run_flow`; waited for here.
        context: As for `run_flow`; by default the contexts that this is called in.
        env: Environment variables that the process gets; those that are ``None`` it does not have.

    Returns:
        The process, which has been started.

    Raises:
        ValueError: If the flow is one of a generator function.
    """
    if flow.isgenerator:
        msg = "a generator flow has no result: run it where its items are consumed"
        raise ValueError(msg)
    from oxtask._internal import flow_processes  # noqa: PLC0415 - start-up time

    return flow_processes.start(flow, flow_run, parameters, wait_for, context, env)


def _produce(  # noqa: PLR0917 - as `run_flow`
    flow: Flow[..., Any],
    flow_run: FlowRun | None,
    parameters: Mapping[str, Any] | None,
    wait_for: Any,
    return_type: ReturnType,
    error_logger: Logger | None,
    context: Mapping[str, Any] | None,
) -> Any:
    from oxtask._internal import (  # noqa: PLC0415 - start-up time
        context_transfer,
        flow_generators,
        inputs,
    )

    generator = flow_generators.produce(
        flow,
        _parameters(flow, flow_run, parameters),
        inputs.materialised(wait_for),
        return_state=_wants_state(return_type),
        record=flow_run,
        on_error=lambda error: _log(error_logger, error),
    )
    return context_transfer.produced_in(context, generator)


def _parameters(
    flow: Flow[..., Any], flow_run: FlowRun | None, parameters: Mapping[str, Any] | None
) -> dict[str, Any]:
    if parameters is None:
        parameters = {} if flow_run is None else flow_run.parameters
    plan = flow._signature_plan()
    plan.arguments(parameters)  # refuses what the function does not have
    return plan.with_defaults(parameters)


def _wants_state(return_type: str) -> bool:
    if return_type not in {"result", "state"}:
        msg = f"'return_type' must be 'result' or 'state'; got {return_type!r}"
        raise ValueError(msg)
    return return_type == "state"


def _log(logger: Logger | None, error: BaseException) -> None:
    if logger is None:
        return
    if isinstance(error, Exception):
        logger.error("Engine execution exited with unexpected exception", exc_info=error)
    else:
        logger.error("Engine execution interrupted by base exception", exc_info=error)
