"""Direct calls of generator tasks: the run lasts until the generator ends or is closed.

The body sees what the consumer sends and throws, and runs in the context of the run. Its time
counts only while it runs, not while the consumer has the item.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from oxtask._internal import engine, run_history
from oxtask._internal.calls import DirectCall, context_in
from oxtask._internal.deadlines import awithin, within
from oxtask._internal.interruptions import RaisedElsewhere
from oxtask._internal.steps import (
    Body,
    InContext,
    acall_nothing,
    acall_step,
    adrive,
    call_nothing,
    call_step,
    drive,
    throwable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from contextlib import AbstractContextManager
    from contextvars import Context
    from uuid import UUID

    from oxtask._internal.calls import Arguments
    from oxtask._internal.steps import Answer, Call, Steps
    from oxtask._internal.task_machinery import TaskMachinery
    from oxtask.client.schemas.objects import TaskRun


class Production:
    """A run whose steps are taken one by one, in the context of the run.

    Attributes:
        context: The context of the run.
        step: The step to carry out next; ``None`` when the steps have ended.
        answer: What the steps returned.
        producing: The body while it is under way.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.step: Any = None
        self.answer: Any = None
        self.producing: Any = None
        self._steps: Any = None

    def start(self, steps: Steps) -> None:
        """Take the first of the steps."""
        self._steps = steps
        self.go_on(None)

    def go_on(self, result: Any) -> None:
        """Tell the steps what came of the last one."""
        self._advance(self._steps.send, result)

    def fail(self, error: BaseException) -> None:
        """Tell the steps that the last one raised."""
        self._advance(self._steps.throw, throwable(error))

    def _advance(self, resume: Any, value: Any) -> None:
        try:
            self.step = self.context.run(resume, value)
        except StopIteration as stop:
            self.step, self.answer = None, stop.value
            return
        except RaisedElsewhere as raised:
            escaped = raised.error
        else:
            return
        try:
            raise escaped
        finally:
            del escaped  # an exception must not keep itself alive

    def returned(self, value: Any) -> None:
        """Take what the body returned."""
        self.go_on(value)

    def printing(self) -> AbstractContextManager[None]:
        """Return what is entered around the body when its prints are logged."""
        raise NotImplementedError

    def hand_over(self, item: Any) -> None:
        """Note where an item comes from, if somebody wants to know."""
        raise NotImplementedError

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

    def to_next_item(self) -> bool:
        """Carry out steps until the body has yielded; false when they have ended."""
        while self.step is not None:
            if self.producing is None:
                step: Any = self.step
                if type(step) is not Body:
                    self.call(self.step)
                    continue
                self.producing = Producing(self, step)
            if self.producing.advance():
                return True
            self.producing = None
        return False

    def taken(self) -> Producing:
        """Return the body that was under way, which goes on no more."""
        producing: Producing = self.producing
        self.producing = None
        return producing

    async def ato_next_item(self) -> bool:
        """Carry out steps until the body has yielded; false when they have ended."""
        while self.step is not None:
            if self.producing is None:
                step: Any = self.step
                if type(step) is not Body:
                    await self.acall(self.step)
                    continue
                self.producing = Producing(self, step)
            if await self.producing.aadvance():
                return True
            self.producing = None
        return False


class _TaskProduction(Production):
    """The production of a task run.

    Attributes:
        direct: The run.
    """

    def __init__(self, direct: DirectCall) -> None:
        super().__init__(context_in(direct))
        self.direct = direct

    def begin(self) -> None:
        """Begin an attempt."""
        run = self.direct.run
        self.start(engine.life(run, *run.arguments))

    def printing(self) -> AbstractContextManager[None]:
        """Return what is entered around the body when its prints are logged."""
        return engine.printing(self.direct.run.task)

    def hand_over(self, item: Any) -> None:
        """Note where an item comes from, if somebody wants to know."""
        if run_history.is_recording():
            run_history.produced(self.direct.run.future, item, is_under_way=True)

    def close(self) -> None:
        """Close the body, and end the run of a consumer who wants no more."""
        steps = self._closing(self.taken().close())
        self.finish(self.context.run(drive, steps, call_nothing))

    async def aclose(self) -> None:
        """Close the body, and end the run of a consumer who wants no more."""
        steps = self._closing(await self.taken().aclose())
        self.finish(await InContext(self.context, adrive(steps, acall_nothing)))

    def _closing(self, error: BaseException | None) -> Steps:
        answer = engine.judge_value(None) if error is None else engine.judge_error(error)
        return engine.end(self.direct.run, *answer)

    def finish(self, answer: Answer) -> Any:
        """End the run, and return or raise what the consumer is to see."""
        self.direct.value = answer[1]
        context = self.context
        # No frame of a traceback may hold the run: the collector cannot look into it.
        del self.context
        return context.run(self.direct.finish, answer)


class Producing:
    """The body of one attempt, on its way from item to item.

    Attributes:
        item: What it yielded last.
    """

    def __init__(self, production: Production, step: Body) -> None:
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
            self._production.returned(stop.value)
            return False
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self._production.fail(error)
            return False
        self._count(since)
        self._production.hand_over(self.item)
        return True

    def _resume(self) -> Any:
        error, self._error = self._error, None
        with self._production.printing():
            return self._body.send(self._value) if error is None else self._body.throw(error)

    def close(self) -> BaseException | None:
        """Close the body; return what it raised."""
        try:
            self._production.context.run(self._body.close)
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return error
        return None

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
            self._production.returned(None)
            return False
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            self._production.fail(error)
            return False
        self._count(since)
        self._production.hand_over(self.item)
        return True

    async def _aresume(self) -> Any:
        error, self._error = self._error, None
        with self._production.printing():
            if error is None:
                return await self._body.asend(self._value)
            return await self._body.athrow(error)

    async def aclose(self) -> BaseException | None:
        """Close the body; return what it raised."""
        try:
            await InContext(self._production.context, self._body.aclose())
        except BaseException as error:  # noqa: BLE001 - judged by the engine
            return error
        return None


def generate(
    task: TaskMachinery, given: Arguments, wait_for: Any, record: TaskRun | UUID | None = None
) -> Generator[Any, Any, Any]:
    """Run a generator task, item by item."""
    direct = DirectCall(task, given, wait_for, record=record)
    production = _TaskProduction(direct)
    ended = production.context.run(direct.resolve)
    while ended is None:
        production.begin()
        while production.to_next_item():
            producing = production.producing
            try:
                producing.send((yield producing.item))
            except GeneratorExit:
                production.close()
                raise
            except BaseException as error:  # noqa: BLE001 - the body's to handle
                producing.throw(error)
        ended = production.answer
        if ended[0] == engine.DELAY:
            ended = direct.sleep(ended[1])
    return production.finish(ended)


async def agenerate(
    task: TaskMachinery, given: Arguments, wait_for: Any, record: TaskRun | UUID | None = None
) -> AsyncGenerator[Any, Any]:
    """Run an async generator task, item by item."""
    direct = DirectCall(task, given, wait_for, record=record)
    production = _TaskProduction(direct)
    ended = await InContext(production.context, direct.aresolve())
    while ended is None:
        production.begin()
        while await production.ato_next_item():
            producing = production.producing
            try:
                producing.send((yield producing.item))
            except GeneratorExit:
                await production.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 - the body's to handle
                producing.throw(error)
        ended = production.answer
        if ended[0] == engine.DELAY:
            ended = await direct.asleep(ended[1])
    production.finish(ended)
