"""Flow runs in a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]

from oxtask.context import serialize_context
from oxtask.exceptions import OxtaskSignal
from oxtask.futures import resolve_futures_to_states
from oxtask.settings import reload_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.context import SpawnProcess

    from oxtask.client.schemas.objects import FlowRun
    from oxtask.flows import Flow


def start(  # noqa: PLR0917 - as the function it serves
    flow: Flow[..., Any],
    flow_run: FlowRun | None,
    parameters: Mapping[str, Any] | None,
    wait_for: Any,
    context: Mapping[str, Any] | None,
    env: Mapping[str, str | None] | None,
) -> SpawnProcess:
    """Start the process: see `oxtask.flow_engine.run_flow_in_subprocess`."""
    call = {
        "flow": flow,
        "flow_run": flow_run,
        # Futures stay here: the process gets what they came to.
        "parameters": resolve_futures_to_states(parameters),
        "wait_for": resolve_futures_to_states(wait_for),
        "context": serialize_context() if context is None else context,
    }
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(cloudpickle.dumps(call), dict(env or {})), name=f"flow {flow.name}"
    )
    process.start()
    return process


def _run(call: bytes, env: dict[str, str | None]) -> None:
    for name, value in env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    reload_settings()
    from oxtask.flow_engine import run_flow  # noqa: PLC0415 - a cycle else

    arguments = cloudpickle.loads(call)
    try:
        state = run_flow(**arguments, return_type="state")
        if arguments["flow"].isasync:
            import asyncio  # noqa: PLC0415 - only for async flows

            state = asyncio.run(state)
    except OxtaskSignal:
        return
    sys.exit(0 if state.is_completed() or state.is_paused() else 1)
