"""Direct calls of generator tasks: the run lasts until the generator ends or is closed.

The body sees what the consumer sends and throws, and runs in the context of the run. Its time
counts only while it runs, not while the consumer has the item.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from oxtask._internal import engine
from oxtask._internal.calls import DirectCall, context_in
from oxtask._internal.deadlines import awithin, within
from oxtask._internal.steps import (
    Body,
    InContext,
    acall_nothing,
    acall_step,
    adrive,
    call_nothing,
    call_step,
    drive,
)
from oxtask._internal.task_runs import tracks_inputs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from oxtask._internal.calls import Arguments
    from oxtask._internal.steps import Answer, Call, Steps
    from oxtask._internal.task_machinery import TaskMachinery


class _Production:
    """A run whose steps are taken one by one, in the context of the run.

    Attributes:
        direct: The run.
        context: The context of the run.
        step: The step to carry out next; ``None`` when an attempt has ended.
        answer: How the attempt ended.
    """

    def __init__(self, direct: DirectCall) -> None:
        self.direct = direct
        self.context = context_in(direct)
        self.step: Any = None
        self.answer: Any = None
        self._steps: Any = None

    def begin(self) -> None:
        """Begin an attempt."""
        run = self.direct.run
        self._steps = engine.life(run, *run.arguments)
        self.go_on(None)

    def go_on(self, result: Any) -> None:
        """Tell the steps what came of the last one."""
        self._advance(self._steps.send, result)

    def fail(self, error: BaseException) -> None:
        """Tell the steps that the last one raised."""
        self._advance(self._steps.throw, error)

    def _advance(self, resume: Any, value: Any) -> None:
        try:
            self.step = self.context.run(resume, value)
        except StopIteration as stop:
            self.step, self.answer = None, stop.value

    def call(self, step: Call) -> None:
        """Call a hook or a condition."""
        try:
            result = self.context.run(call_step, step)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self.fail(error)
        else:
            self.go_on(result)

    async def acall(self, step: Call) -> None:
        """Call a hook or a condition, and await what it returns."""
        try:
            result = await InContext(self.context, acall_step(step))
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self.fail(error)
        else:
            self.go_on(result)

    def closing(self, error: BaseException | None) -> Steps:
        """Return the steps that end a run whose consumer wants no more."""
        answer = engine.judge_value(None) if error is None else engine.judge_error(error)
        return engine.end(self.direct.run, *answer)

    def finish(self, answer: Answer) -> Any:
        """End the run, and return or raise what the consumer is to see."""
        self.direct.value = answer[1]
        context = self.context
        # No frame of a traceback may hold the run: the collector cannot look into it.
        del self.context
        return context.run(self.direct.finish, answer)


class _Producing:
    """The body of one attempt, on its way from item to item.

    Attributes:
        item: What it yielded last.
    """

    def __init__(self, production: _Production, step: Body) -> None:
        self._production = production
        self._step = step
        self._seconds_left = step.timeout_seconds
        self._body: Any = None
        self._error: BaseException | None = None
        self._value: Any = None
        self.item: Any = None

    def send(self, value: Any) -> None:
        """Let the body go on with a value."""
        self._value, self._error = value, None

    def throw(self, error: BaseException) -> None:
        """Let the body go on with an exception."""
        self._error = error

    def _hand_over(self) -> None:
        """Note where the item comes from, if somebody wants to know."""
        log = self._production.direct.run.record
        if tracks_inputs() and log is not None:
            from oxtask._internal import tracking  # noqa: PLC0415 - start-up time

            self._production.context.run(tracking.link, log, self.item)

    def _begin(self) -> None:
        step = self._step
        self._body = self._production.context.run(step.function, *step.args, **step.kwargs)

    def _count(self, since: float) -> None:
        if self._seconds_left is not None:
            self._seconds_left = max(self._seconds_left - (time.monotonic() - since), 1e-9)

    # --- sync -------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Let the body produce an item; false when it has ended."""
        since = time.monotonic()
        try:
            if self._body is None:
                self._begin()
            self.item = self._production.context.run(within, self._seconds_left, self._resume)
        except StopIteration as stop:
            self._production.go_on(stop.value)
            return False
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self._production.fail(error)
            return False
        self._count(since)
        self._hand_over()
        return True

    def _resume(self) -> Any:
        error, self._error = self._error, None
        with engine.printing(self._production.direct.run.task):
            return self._body.send(self._value) if error is None else self._body.throw(error)

    def close(self) -> None:
        """Close the body and end the run."""
        production, error = self._production, None
        try:
            production.context.run(self._body.close)
        except BaseException as raised:  # noqa: BLE001 - judged by the engine
            error = raised
        answer = production.context.run(drive, production.closing(error), call_nothing)
        production.finish(answer)

    # --- async ------------------------------------------------------------------------------------

    async def aadvance(self) -> bool:
        """Let the body produce an item; false when it has ended."""
        since = time.monotonic()
        try:
            if self._body is None:
                self._begin()
            resumed = awithin(self._seconds_left, self._aresume, (), {})
            self.item = await InContext(self._production.context, resumed)
        except StopAsyncIteration:
            self._production.go_on(None)
            return False
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self._production.fail(error)
            return False
        self._count(since)
        self._hand_over()
        return True

    async def _aresume(self) -> Any:
        error, self._error = self._error, None
        with engine.printing(self._production.direct.run.task):
            if error is None:
                return await self._body.asend(self._value)
            return await self._body.athrow(error)

    async def aclose(self) -> None:
        """Close the body and end the run."""
        production, error = self._production, None
        try:
            await InContext(production.context, self._body.aclose())
        except BaseException as raised:  # noqa: BLE001 - judged by the engine
            error = raised
        steps = adrive(production.closing(error), acall_nothing)
        production.finish(await InContext(production.context, steps))


def generate(task: TaskMachinery, given: Arguments, wait_for: Any) -> Generator[Any, Any, Any]:
    """Run a generator task, item by item."""
    production = _Production(DirectCall(task, given, wait_for))
    direct = production.direct
    ended = production.context.run(direct.resolve)
    while ended is None:
        production.begin()
        while (step := production.step) is not None:
            if type(step) is not Body:
                production.call(step)
                continue
            producing = _Producing(production, step)
            while producing.advance():
                try:
                    producing.send((yield producing.item))
                except GeneratorExit:
                    producing.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - the body's to handle
                    producing.throw(error)
        ended = production.answer
        if ended[0] == engine.DELAY:
            ended = direct.sleep(ended[1])
    return production.finish(ended)


async def agenerate(
    task: TaskMachinery, given: Arguments, wait_for: Any
) -> AsyncGenerator[Any, Any]:
    """Run an async generator task, item by item."""
    production = _Production(DirectCall(task, given, wait_for))
    direct = production.direct
    ended = await InContext(production.context, direct.aresolve())
    while ended is None:
        production.begin()
        while (step := production.step) is not None:
            if type(step) is not Body:
                await production.acall(step)
                continue
            producing = _Producing(production, step)
            while await producing.aadvance():
                try:
                    producing.send((yield producing.item))
                except GeneratorExit:
                    await producing.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - the body's to handle
                    producing.throw(error)
        ended = production.answer
        if ended[0] == engine.DELAY:
            ended = await direct.asleep(ended[1])
    production.finish(ended)
