"""Flows of generator functions: the run lasts until the generator ends or is closed.

The run has a context of its own, in which the steps of `oxtask._internal.flow_life` are carried out
between two items; the consumer sees nothing of it. Its time counts only while the body runs.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from threading import get_ident
from typing import TYPE_CHECKING, Any

from oxtask._internal import flow_cancel, flow_drain, flow_signals, run_history
from oxtask._internal.engine import Call
from oxtask._internal.flow_engine import PLAIN, settled
from oxtask._internal.flow_life import (
    attempt,
    conclude,
    finish,
    guarded,
    prepared,
    state_of_error,
)
from oxtask._internal.flow_runs import FlowRunning
from oxtask._internal.generators import Production
from oxtask._internal.interruptions import FlowInterrupted
from oxtask.exceptions import OxtaskSignal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager

    from oxtask.client.schemas.objects import FlowRun
    from oxtask.flows import Flow

Steps = Any  # a generator of steps: see `oxtask._internal.steps`
OnError = Any  # Callable[[BaseException], None] | None


def produce(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    wait_for: Any,
    *,
    return_state: bool,
    record: FlowRun | None = None,
    on_error: Callable[[BaseException], None] | None = None,
) -> Any:
    """Return the generator of a flow; async if the flow is.

    Args:
        flow: The flow.
        parameters: Its arguments.
        wait_for: Runs that must complete first.
        return_state: Refused: a generator is consumed for its items.
        record: The record of the run, if it was made elsewhere.
        on_error: Called with what the run raises.

    Raises:
        ValueError: If the state is asked for.
    """
    if return_state:
        msg = "return_type for a generator flow must be 'result'"
        raise ValueError(msg)
    generate = _agenerate if flow.isasync else _generate
    return generate(flow, parameters, wait_for, record, on_error)


class _FlowProduction(Production):
    """The production of a flow run."""

    def __init__(self, running: FlowRunning) -> None:
        super().__init__(copy_context())
        self.running = running

    def returned(self, value: Any) -> None:
        """Take what the body returned, with states in place of futures."""
        try:
            if type(value) not in PLAIN:
                value = self.context.run(settled, self.running, value)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self.fail(error)
        else:
            self.go_on(value)

    def printing(self) -> AbstractContextManager[None]:
        """Return what is entered around the body when its prints are logged."""
        if not self.running.log_prints:
            return nullcontext()
        from oxtask.logging.prints import patch_print  # noqa: PLC0415 - start-up time

        return patch_print()

    def hand_over(self, item: Any) -> None:
        """Note in the flow of the consumer where an item comes from, if somebody wants to know."""
        run_history.flow_produced(self.running.log, item)

    def to_next_item(self) -> bool:
        """Carry out steps until the body has yielded; SIGTERM is heard meanwhile."""
        with flow_signals.watched(), self._under_way():
            return super().to_next_item()

    async def ato_next_item(self) -> bool:
        """Carry out steps until the body has yielded; SIGTERM is heard meanwhile."""
        flow_cancel.begin_async(self.running)
        with flow_signals.awatched(), self._under_way():
            return await super().ato_next_item()

    @contextmanager
    def _under_way(self) -> Generator[None]:
        """Hear of cancellations meanwhile; what came between two items is heard now."""
        running = self.running
        running.thread_id = get_ident()
        running.is_between_items = False
        if running.is_to_be_cancelled and self.producing is not None:
            self.producing.throw(FlowInterrupted())
        try:
            yield
        finally:
            running.is_between_items = True

    def end_with(self, error: BaseException | None) -> None:
        """Tell the steps that the body was closed, and what it raised then."""
        self.running.is_closed = True
        if error is None:
            self.go_on(None)
        else:
            self.fail(error)


def _generate(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    wait_for: Any,
    record: FlowRun | None,
    on_error: OnError,
) -> Generator[Any, Any, Any]:
    running = FlowRunning(flow, parameters, record, wait_for)
    production = _FlowProduction(running)
    try:
        production.start(_whole(running, wait_for, flow_drain.stop, flow_drain.pause))
        while production.to_next_item():
            producing = production.producing
            try:
                producing.send((yield producing.item))
            except GeneratorExit:
                production.end_with(production.taken().close())
                production.to_next_item()
                conclude(running, return_state=False)
                raise
            except BaseException as error:  # noqa: BLE001 - the body's to handle
                producing.throw(error)
        return conclude(running, return_state=False)
    except BaseException as error:
        if on_error is not None and not isinstance(error, GeneratorExit):
            on_error(error)
        raise
    finally:
        running.let_go()


async def _agenerate(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    wait_for: Any,
    record: FlowRun | None,
    on_error: OnError,
) -> AsyncGenerator[Any, Any]:
    from asyncio import sleep  # noqa: PLC0415 - start-up time

    running = FlowRunning(flow, parameters, record, wait_for)
    production = _FlowProduction(running)
    try:
        production.start(_whole(running, wait_for, flow_drain.astop, sleep))
        while await production.ato_next_item():
            producing = production.producing
            try:
                producing.send((yield producing.item))
            except GeneratorExit:
                production.end_with(await production.taken().aclose())
                await production.ato_next_item()
                conclude(running, return_state=False)
                raise
            except BaseException as error:  # noqa: BLE001 - the body's to handle
                producing.throw(error)
        conclude(running, return_state=False)
    except BaseException as error:
        if on_error is not None and not isinstance(error, GeneratorExit):
            on_error(error)
        raise
    finally:
        running.let_go()


def _whole(
    running: FlowRunning, wait_for: Any, stop: Callable[..., Any], pause: Callable[..., Any]
) -> Steps:
    """Carry out attempts up to the last.

    Args:
        running: The run.
        wait_for: Runs that must complete first.
        stop: Drops what an attempt leaves behind and is not to be carried out; may be async.
        pause: Waits for the next attempt, a number of seconds; may be async.
    """
    steps = prepared(running, wait_for)
    while (yield from _carried_out(running, steps, stop, pause)):
        steps = attempt(running)


def _carried_out(
    running: FlowRunning, steps: Steps, stop: Callable[..., Any], pause: Callable[..., Any]
) -> Steps:
    """Carry out an attempt, wait for the next, and return whether there is one."""
    try:
        runner = running.new_runner()
        with running.entered(runner):
            with runner:
                try:
                    another = yield from guarded(running, steps)
                    yield Call(stop, (running, runner))
                except BaseException as error:
                    if not isinstance(error, Exception):
                        runner.cancel_all()
                    raise
            if another:
                yield Call(pause, (running.seconds_to_retry(),))
            return bool(another)
    except (OxtaskSignal, GeneratorExit):
        raise
    except BaseException as error:
        if running.state.is_final():
            raise
        with running.entered(None):
            yield from finish(running, state_of_error(running, error))
        return False
