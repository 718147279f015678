"""Direct calls of tasks: on the caller's thread, or on the caller's event loop.

A task without retries, hooks and the like that is called with plain values does not come here: the
core calls it. Generators are in `oxtask._internal.generators`.
"""

from __future__ import annotations

import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import engine, inputs, run_history
from oxtask._internal.deadlines import within
from oxtask._internal.outcomes import outcome_of, state_of
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.steps import Body, InContext, adrive, call_nothing, drive
from oxtask._internal.task_runs import (
    CACHED,
    CHOSEN,
    CHOSEN_FAILED,
    COMPLETED,
    CRASHED,
    RunLog,
    final_state,
    new_log,
)
from oxtask.client.schemas.objects import TaskRun

if TYPE_CHECKING:
    from contextvars import Context
    from uuid import UUID

    from oxtask._core import Run
    from oxtask._internal.steps import Answer
    from oxtask._internal.task_machinery import TaskMachinery

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
LONGEST_NAP_SECONDS = 0.05
"""How long a thread sleeps at most before it looks whether it was told to stop."""


class DirectCall:
    """A run that the caller carries out.

    Attributes:
        run: The run, as the core knows it.
        value: What the function returned last.
    """

    __slots__ = ("_given", "_return_state", "_wait_for", "run", "value")

    def __init__(
        self,
        task: TaskMachinery,
        given: Arguments,
        wait_for: Any,
        *,
        return_state: bool = False,
        record: TaskRun | UUID | None = None,
    ) -> None:
        self.run = _core.begin_direct(task, *given)
        if record is not None:
            self.run.set_record(_log_for(self.run, record))
        self.value: Any = None
        self._given = given
        self._wait_for = wait_for
        self._return_state = return_state
        run_history.called(self.run.future, given, wait_for)

    # --- inputs -----------------------------------------------------------------------------------

    def resolve(self) -> Answer | None:
        """Wait for the inputs on this thread; return how the run ended if they cannot be had."""
        try:
            if self._wait_for is not None:
                inputs.check_wait_for(self._wait_for)
            self.run.set_arguments(*_core.resolve(self._given))
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return engine.unresolved(self.run, error)
        return None

    async def aresolve(self) -> Answer | None:
        """Wait for the inputs without blocking the event loop."""
        try:
            if self._wait_for is not None:
                await inputs.await_futures(self._wait_for)
            if _core.needs_resolving(self._given):
                await inputs.await_futures(self._given)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return engine.unresolved(self.run, error)
        return self.resolve()

    # --- attempts ---------------------------------------------------------------------------------

    def carry_out(self) -> Answer:
        """Run the task to its end on this thread."""

        def body(step: Body) -> Any:
            self.value = None
            task = self.run.task
            self.value = within(step.timeout_seconds, lambda: engine.call_body(task, step))
            return self.value

        if not self._needs_engine():
            return self._call_plainly()
        while True:
            answer = drive(engine.life(self.run, *self.run.arguments), body)
            if answer[0] != engine.DELAY:
                return answer  # type: ignore[no-any-return]
            ended = self.sleep(answer[1])
            if ended is not None:
                return ended

    async def acarry_out(self) -> Answer:
        """Run the task to its end on the running event loop."""

        async def body(step: Body) -> Any:
            self.value = None
            self.value = await engine.acall_body(self.run.task, step)
            return self.value

        if not self._needs_engine():
            return await self._acall_plainly()
        while True:
            answer = await adrive(engine.life(self.run, *self.run.arguments), body)
            if answer[0] != engine.DELAY:
                return answer  # type: ignore[no-any-return]
            ended = await self.asleep(answer[1])
            if ended is not None:
                return ended

    def _needs_engine(self) -> bool:
        return self.run.record is not None or self.run.is_rich

    def _call_plainly(self) -> Answer:
        args, kwargs = self.run.arguments
        try:
            self.value = self.run.task._body()(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return engine.raised(self.run, error)
        return engine.returned(self.run, self.value)

    async def _acall_plainly(self) -> Answer:
        args, kwargs = self.run.arguments
        try:
            self.value = await self.run.task._body()(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return engine.raised(self.run, error)
        return engine.returned(self.run, self.value)

    def sleep(self, seconds: float) -> Answer | None:
        """Sleep until the next attempt begins; return how the run ended if it does not."""
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, LONGEST_NAP_SECONDS))
        except BaseException as error:  # noqa: BLE001 - the run goes down with its caller
            return self._crash(error)
        return None if self.run.begin_again() else (engine.LOST, None)

    async def asleep(self, seconds: float) -> Answer | None:
        """Sleep until the next attempt begins without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        try:
            await asyncio.sleep(seconds)
        except BaseException as error:  # noqa: BLE001 - the run goes down with its caller
            return self._crash(error)
        return None if self.run.begin_again() else (engine.LOST, None)

    def _crash(self, error: BaseException) -> Answer:
        answer: Answer = drive(engine.end(self.run, CRASHED, error), call_nothing)
        return answer

    # --- the end ----------------------------------------------------------------------------------

    def finish(self, answer: Answer) -> Any:
        """End the run, and return or raise what the caller is to see."""
        code, output = answer
        if code != engine.LOST:
            _core.settle(self.run, code, output)
        run, value = self.run, self.value
        # The collector cannot look into a run: no frame of a traceback may hold one.
        del self.run, self.value
        log = run.record
        try:
            if log is not None and log.hook_error is not None:
                raise log.hook_error
            if code == CRASHED:
                raise output
            if self._return_state:
                return state_of(run.future)
            if code in {COMPLETED, CACHED}:
                return output
            if code in {CHOSEN, CHOSEN_FAILED}:
                return value
            if code == engine.LOST:
                return outcome_of(run.future, raise_on_failure=True)
            raise output
        finally:
            del answer, output, value, log, run

    def abandon(self, error: BaseException) -> None:
        """End the run, if it has not, when a signal or a deadline has struck the engine itself."""
        run = getattr(self, "run", None)
        if run is None:
            return
        del self.run, self.value
        run.seal()
        log = run.record
        if log is not None:
            log.enter(final_state(CRASHED, error, time.time_ns()))
        _core.settle(run, CRASHED, error)


def _log_for(run: Run, record: TaskRun | UUID) -> RunLog[TaskRun]:
    """Return a log for a run whose record, or the id of it, comes from elsewhere."""
    if not isinstance(record, TaskRun):
        return new_log(run.future, record.int)
    log = RunLog(record)
    if record.state is None:
        log.enter(engine_state(StateType.PENDING))
    return log


def call(
    task: TaskMachinery,
    given: Arguments,
    wait_for: Any,
    *,
    return_state: bool,
    record: TaskRun | UUID | None = None,
) -> Any:
    """Run a sync task here and now."""
    direct = DirectCall(task, given, wait_for, return_state=return_state, record=record)
    return copy_context().run(_call, direct)


def _call(direct: DirectCall) -> Any:
    try:
        _core.current_run.set(direct.run)
        return direct.finish(direct.resolve() or direct.carry_out())
    except BaseException as error:
        direct.abandon(error)
        raise


async def acall(
    task: TaskMachinery,
    given: Arguments,
    wait_for: Any,
    *,
    return_state: bool,
    record: TaskRun | UUID | None = None,
) -> Any:
    """Run an async task on the running event loop, in the task that awaits it."""
    direct = DirectCall(task, given, wait_for, return_state=return_state, record=record)
    return await InContext(context_in(direct), _acall(direct))


def context_in(direct: DirectCall) -> Context:
    """Return a copy of the current context in which the run is the current one."""
    context = copy_context()
    context.run(_core.current_run.set, direct.run)
    return context


async def _acall(direct: DirectCall) -> Any:
    try:
        return direct.finish(await direct.aresolve() or await direct.acarry_out())
    except BaseException as error:
        direct.abandon(error)
        raise
