"""What runs in a worker process: it waits for runs, and carries out their bodies.

Bodies run on the main thread, where a deadline and a cancellation can interrupt them. Everything
else of a run (its states, hooks, attempts) is in the program.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from contextvars import copy_context
from threading import Thread
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import engine
from oxtask._internal.context_transfer import hydrated_context
from oxtask._internal.deadlines import BodyTimedOut, within
from oxtask._internal.interruptions import RunInterrupted
from oxtask._internal.processes import orders, worker_logs
from oxtask._internal.processes.channel import (
    BEGUN,
    FAILED_START,
    RAISED,
    READY,
    STOP,
    TIMED_OUT,
    VALUE,
    Line,
)
from oxtask._internal.run_packing import unpack
from oxtask._internal.steps import Body
from oxtask.client.schemas.objects import TaskRun
from oxtask.context import TaskRunContext
from oxtask.exceptions import TransferError
from oxtask.settings import reload_settings
from oxtask.task_runners import ThreadPoolTaskRunner

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from oxtask._internal.processes.orders import Order
    from oxtask._internal.task_machinery import TaskMachinery

Call = tuple["TaskMachinery", tuple[Any, ...], dict[str, Any]]


def main(connection: socket.socket, setup: bytes) -> None:
    """Carry out runs until the program says that there are no more.

    Args:
        connection: The worker's end of its line.
        setup: The initializer and its arguments, pickled.
    """
    # A group of its own: Ctrl-C is for the program, and what tasks start is found by the group.
    os.setsid()
    connection.set_inheritable(False)
    line = Line(connection)
    worker = _Worker(line)
    Thread(target=worker.end_with_program, name="oxtask parent", daemon=True).start()
    signal.signal(signal.SIGTERM, worker.on_termination)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker.logs.install()
    try:
        initializer, arguments = orders.loads(setup)
        if initializer is not None:
            initializer(*arguments)
    except BaseException as error:  # noqa: BLE001 - told to the program
        worker.logs.flush()
        line.send(FAILED_START, orders.traceback_text(error).encode())
        sys.exit(1)
    line.send(READY)
    worker.serve()


class _Worker:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._kept: dict[int, Call] = {}
        self._flow: dict[str, Any] = {}
        self._is_in_body = False
        self._is_leaving = False
        self.logs = worker_logs.Forwarding(line)

    # --- ends -------------------------------------------------------------------------------------

    def end_with_program(self) -> None:
        """Wait for the end of the program, and end this process with all that it has started."""
        self._line.wait_for_end()
        if not self._is_leaving:
            os.killpg(0, signal.SIGKILL)

    def on_termination(self, signum: int, frame: FrameType | None) -> None:
        """Interrupt the body under way: its run was cancelled."""
        del signum, frame
        if not self._is_in_body:
            os._exit(0)
        raise RunInterrupted

    # --- runs -------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Carry out one run after the other."""
        while True:
            try:
                kind, content = self._line.receive()
            except EOFError:
                os.killpg(0, signal.SIGKILL)
                return
            if kind == STOP:
                self._is_leaving = True
                return
            order = orders.Order(*orders.loads(content))
            answer, said = copy_context().run(self._answer, order)
            self.logs.flush()
            self._line.send(answer, said)

    def _answer(self, order: Order) -> tuple[int, bytes]:
        try:
            value = self._carry_out(order)
        except BodyTimedOut:
            return TIMED_OUT, b""
        except BaseException as error:  # noqa: BLE001 - the program judges
            return RAISED, orders.pickled_error(error)
        try:
            return VALUE, orders.dumps(value)
        except Exception as error:  # noqa: BLE001 - the run fails, and the worker goes on
            msg = (
                f"the result of task {order.task_name!r}, of type {type(value).__name__!r}, cannot "
                f"be sent from the worker process: {orders.describe(error)}. Return what can be "
                "pickled"
            )
            return RAISED, orders.pickled_error(TransferError(msg))
        except BaseException as error:  # noqa: BLE001 - what pickling calls may ask for the end
            return RAISED, orders.pickled_error(error)

    def _carry_out(self, order: Order) -> Any:
        for key in order.forget:
            self._kept.pop(key, None)
        if order.environment is not None:
            os.environ.clear()
            os.environ.update(order.environment)
            reload_settings()
        task, args, kwargs = call = self._call_of(order)
        if order.keep:
            self._kept[order.key] = call
        with ExitStack() as stack:
            stack.enter_context(hydrated_context(self._context_of(order)))
            if not self._flow:
                stack.enter_context(ThreadPoolTaskRunner())  # a flow brings its own
            # After the settings, which bring a level with them.
            self.logs.set_level(order.log_level)
            _core.current_run.set(_RemoteRun(task, args, kwargs, order.record))
            if order.timeout_seconds is not None:
                self._line.send(BEGUN)
            self._is_in_body = True
            try:
                value = _body(task, Body(task._body(), args, kwargs, order.timeout_seconds))
            finally:
                self._is_in_body = False
        return value

    def _call_of(self, order: Order) -> Call:
        if order.call is None:
            return self._kept[order.key]
        try:
            call: Call = orders.loads(order.call)
        except Exception as error:
            msg = (
                f"the call of task {order.task_name!r} cannot be unpickled in the worker process: "
                f"{orders.describe(error)}. A worker imports modules as a fresh interpreter does"
            )
            raise TransferError(msg) from error
        return call

    def _context_of(self, order: Order) -> dict[str, Any]:
        if order.flow is not None:
            self._flow = orders.loads(order.flow) if order.flow else {}
        return {
            "flow_run_context": self._flow,
            "tags_context": {"current_tags": order.tags} if order.tags else {},
            "settings_context": {"settings": order.settings} if order.settings else {},
        }


class _RemoteRun:
    """Stands for a `TaskRunContext`, which is made when somebody asks.

    Attributes:
        view: The `TaskRunContext`.
    """

    def __init__(
        self,
        task: TaskMachinery,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        record: tuple[Any, ...],
    ) -> None:
        self._parts: Any = task, args, kwargs, record
        self._view: TaskRunContext | None = None

    @property
    def view(self) -> TaskRunContext:
        if self._view is None:
            task, args, kwargs, packed = self._parts
            record = unpack(packed, TaskRun).record
            self._view = TaskRunContext(
                task=task,
                task_run=record,
                parameters=task._bind(args, kwargs),
                log_prints=task._logs_prints(),
                start_time=record.state and record.state.timestamp,
            )
        return self._view

    def __getattr__(self, name: str) -> Any:
        return getattr(self.view, name)


def _body(task: TaskMachinery, step: Body) -> Any:
    """Call the function, within its time, and return what can be sent of what it returned."""
    if task.isasync and not task.isgenerator:
        import asyncio  # noqa: PLC0415 - a third of the time that a worker takes to start

        value = asyncio.run(engine.acall_body(task, step))
    else:
        value = within(step.timeout_seconds, lambda: _called(task, step))
    return list(value) if isinstance(value, GeneratorType) else value


def _called(task: TaskMachinery, step: Body) -> Any:
    value = engine.call_body(task, step)
    return engine.collected(value) if task.isgenerator else value
