"""Takes the bodies of runs to worker processes.

The engine carries a run through its life on a thread of this process, as it does for every run;
where it would call the function of the task, it comes here.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import engine
from oxtask._internal.deadlines import BodyTimedOut
from oxtask._internal.interruptions import RaisedElsewhere, RunInterrupted
from oxtask._internal.processes import orders
from oxtask._internal.processes.channel import (
    BEGUN,
    LOG,
    RAISED,
    RUN,
    TIMED_OUT,
    VALUE,
    ChannelClosedError,
    GivenUpError,
)
from oxtask._internal.processes.pool import Ticket
from oxtask._internal.processes.worker_process import WorkerStartError
from oxtask._internal.run_packing import pack
from oxtask._internal.steps import drive
from oxtask.client.schemas.objects import TaskRun
from oxtask.context import FlowRunContext, TagsContext
from oxtask.exceptions import CrashedRun, WorkerDiedError
from oxtask.logging.handlers import ROOT
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from oxtask._core import Run, TaskRunFuture
    from oxtask._internal.processes.channel import Frame
    from oxtask._internal.processes.pool import WorkerPool
    from oxtask._internal.processes.program_logs import Messages
    from oxtask._internal.processes.worker_process import WorkerProcess
    from oxtask._internal.steps import Answer, Body
    from oxtask._internal.task_machinery import TaskMachinery

TIMEOUT_GRACE_SECONDS = 0.3
"""How long after its deadline a body may still run, before its worker is killed."""
CANCEL_GRACE_SECONDS = 0.5
"""How long a body may take to clean up after it was cancelled."""

_keys = itertools.count(1)


class _Environment:
    """The environment variables, copied when they have changed."""

    def __init__(self) -> None:
        self._known: tuple[Any, dict[str, str]] = None, {}

    def now(self) -> dict[str, str]:
        """Return the environment variables; the same dict as before if they are the same."""
        # A copy of what `os.environ` has decodes every variable: a tenth of a run's whole cost.
        encoded = getattr(os.environ, "_data", None)
        known, decoded = self._known
        if encoded is None or encoded != known:
            decoded = os.environ.copy()
            self._known = None if encoded is None else dict(encoded), decoded
        return decoded


_environment = _Environment()


class Shipment:
    """What was made of a run where it was submitted.

    Attributes:
        key: Stands for the run.
        call: The task and the arguments, pickled; ``None`` as long as there are futures in them.
        environment: The environment variables at that time.
        worker: The worker that has kept the call after an attempt.
    """

    __slots__ = ("call", "environment", "key", "worker")

    def __init__(self, call: bytes | None) -> None:
        self.key = next(_keys)
        self.call = call
        self.environment = _environment.now()
        self.worker: WorkerProcess | None = None


shipment: ContextVar[Shipment] = ContextVar("oxtask_shipment")
"""What is known of the run that is carried on in this context."""


class Carrier:
    """Carries runs of a task runner.

    Args:
        pool: Its workers.
        messages: What takes the log records of the workers.
    """

    def __init__(self, pool: WorkerPool, messages: Messages) -> None:
        self._pool = pool
        self._messages = messages
        self._under_way: set[TaskRunFuture] = set()
        self.plan = _core.Plan(
            function=self.run_attempt,
            kind="carried",
            rich=True,
            rich_if_found=True,
            # A thread that waits for the run must not carry it: a signal may come in between.
            has_timeout=True,
            completing=None,
            caching=None,
            retries=0,
            delays=[],
            jitter=0.0,
            hooks=[],
            names=[],
            positional=0,
            positional_only=0,
            required=[],
            var_positional=False,
            var_keyword=False,
        )

    def run_attempt(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
        """Carry a run on up to its end, or up to a retry that must wait."""
        ship = shipment.get()
        attempt = _Attempt(self._pool, self._messages, run, ship)
        future = run.future
        self._under_way.add(future)
        try:
            future.add_done_callback(attempt.ticket.revoke)
            steps = engine.life(run, args, kwargs)
            answer: Answer = drive(steps, attempt.carry)
            if answer[0] != engine.DELAY and ship.worker is not None:
                self._pool.forget(ship.worker, ship.key)
                ship.worker = None
        finally:
            self._under_way.discard(future)
            # The collector cannot look into a run: no frame of a traceback may hold one.
            del run, future, attempt.run
            attempt.end()
        return answer

    def cancel_all(self) -> None:
        """Cancel the runs that are under way."""
        # Whoever adds one meanwhile finds the runner cancelled.
        for future in tuple(self._under_way):
            future.cancel()


class _Attempt:
    """Attempts of a run that follow each other at once; they have the same worker."""

    def __init__(self, pool: WorkerPool, messages: Messages, run: Run, ship: Shipment) -> None:
        self._pool = pool
        self._messages = messages
        self.run = run
        self._task: TaskMachinery = run.task
        self._ship = ship
        self.ticket = Ticket(pool)

    def carry(self, step: Body) -> Any:
        """Have a worker call the function.

        Raises:
            RaisedElsewhere: If the function raised, or the worker died, or none could be had.
            BodyTimedOut: If the function took too long.
            RunInterrupted: If the run has ended meanwhile.
        """
        record = pack(self.run.record, TaskRun)
        try:
            worker = self.ticket.worker
            if worker is None:
                worker = self._pool.acquire(self.ticket, self._ship.worker)
            order = self._order(worker, step, record)
            worker.runs += 1
            worker.channel.send(RUN, order.pickled())
            kind, content = self._answer(worker, step.timeout_seconds)
        except GivenUpError:
            self._interrupt()
            raise RunInterrupted from None
        except TimeoutError:
            self._discard()  # it does not listen
            kind, content = TIMED_OUT, b""
        except ChannelClosedError:
            raise RaisedElsewhere(self._death(), is_crash=True) from None
        except WorkerStartError as error:
            crash = CrashedRun(f"task {self._task.name!r} was not run: {error}")
            raise RaisedElsewhere(crash, is_crash=True) from None
        if kind == VALUE:
            return orders.value_from(content, self._task.name)
        if kind == TIMED_OUT:
            raise BodyTimedOut(step.timeout_seconds or 0.0)
        assert kind == RAISED
        raised, is_failure = orders.error_from(content, self._task.name)
        raise RaisedElsewhere(raised, is_crash=not is_failure)

    # --- there ------------------------------------------------------------------------------------

    def _order(self, worker: WorkerProcess, step: Body, record: tuple[Any, ...]) -> orders.Order:
        ship = self._ship
        call = None
        if ship.key not in worker.kept:
            call = ship.call or orders.pickled_call(self._task, step.args, step.kwargs)
        keep = self._task.retries > 0
        if keep:
            worker.kept.add(ship.key)
            ship.worker, ship.call = worker, ship.call or call
        forget, worker.forgotten = worker.forgotten, []
        environment = None
        if worker.environment is not ship.environment and worker.environment != ship.environment:
            environment = worker.environment = ship.environment
        flow_context = FlowRunContext.get()
        flow = None
        if worker.flow_key is not flow_context:
            worker.flow_key, flow = flow_context, orders.pickled_flow(flow_context)
        return orders.Order(
            key=ship.key,
            task_name=self._task.name,
            call=call,
            keep=keep,
            forget=forget,
            timeout_seconds=step.timeout_seconds,
            record=record,
            environment=environment,
            flow=flow,
            settings=get_current_settings().to_environment_variables(exclude_unset=True),
            tags=TagsContext.get().current_tags,
            log_level=logging.getLogger(ROOT).getEffectiveLevel(),
        )

    # --- and back ---------------------------------------------------------------------------------

    def _answer(self, worker: WorkerProcess, timeout_seconds: float | None) -> Frame:
        deadline = None
        while True:
            kind, content = worker.channel.receive(deadline)
            if kind == LOG:
                self._messages.take(content)
            elif kind == BEGUN and timeout_seconds is not None:
                deadline = time.monotonic() + timeout_seconds + TIMEOUT_GRACE_SECONDS
            else:
                return kind, content

    # --- ends -------------------------------------------------------------------------------------

    def end(self) -> None:
        """Hand the worker back."""
        if self.ticket.worker is not None:
            self._pool.give_back(self.ticket)

    def _interrupt(self) -> None:
        """Stop the body, and all processes it has started: nobody waits for the run any more."""
        worker = self.ticket.worker
        if worker is None:
            return
        worker.interrupt()
        worker.channel.listen_again()
        deadline = time.monotonic() + CANCEL_GRACE_SECONDS
        try:
            while worker.channel.receive(deadline)[0] == LOG:
                pass
        except (ChannelClosedError, GivenUpError, TimeoutError):
            pass
        self._discard()

    def _discard(self) -> WorkerProcess:
        self._ship.worker = None
        return self._pool.discard(self.ticket)

    def _death(self) -> WorkerDiedError:
        worker = self._discard()
        return WorkerDiedError(
            f"worker process {worker.pid} {worker.how_it_ended()} while it ran task "
            f"{self._task.name!r}",
            worker.pid,
            worker.exit_code,
        )
