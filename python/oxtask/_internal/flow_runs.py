"""A flow run on its way: its record, its context, and what the last attempt came to."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from oxtask import _core
from oxtask._internal import flow_cancel, flow_parameters, keeping, plan_watch, run_history
from oxtask._internal.ids import new_id
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.subflow_tracking import Tracking, tracking_of
from oxtask._internal.task_runs import RunLog
from oxtask.client.schemas.objects import FlowRun, FlowRunPolicy
from oxtask.context import FlowRunContext, TagsContext, tags
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from uuid import UUID

    from oxtask.flows import Flow
    from oxtask.states import State
    from oxtask.task_runners import TaskRunner


class LiveFlowRun(FlowRun):
    """The record of a flow run of this process.

    Its parameters are turned into what is recorded when somebody reads them: that may import
    pydantic, and take as long as the arguments are large.
    """

    __slots__ = ("_arguments",)
    _factories: ClassVar[Mapping[str, Any]] = {
        "parameters": lambda run: flow_parameters.stored(run._arguments),
    }

    _arguments: dict[str, Any]

    def _kept_parameters(self) -> dict[str, Any]:
        try:
            parameters: dict[str, Any] = object.__getattribute__(self, "parameters")
        except AttributeError:  # nobody has read them
            whole = run_history.is_recording()
            parameters = (flow_parameters.stored if whole else flow_parameters.brief)(
                self._arguments
            )
        return parameters


class FlowRunning:
    """A flow run on its way.

    Attributes:
        flow: The flow.
        parameters: The arguments, at first as they were bound, then resolved and converted.
        record: The record of the run.
        log: The record with the states that the run went through.
        parent: The record of the flow run in which the flow was called, if there is one.
        log_prints: Whether prints become log lines.
        keeping: Whether results are kept, and where, once an attempt has begun.
        value: What the function returned in this attempt, with states in place of futures.
        was_generator: Whether the function returned a generator; ``value`` is then its list.
        error: What the run is to raise.
        is_out_of_time: Whether this attempt ended at the deadline.
        is_closed: Whether the consumer of a generator wants no more: no other attempt follows.
        retry_at: When the next attempt begins, on the monotonic clock.
        thread_id: The thread that carries out the run.
        loop: The event loop that does, if the flow is async.
        task: The asyncio task that does.
        is_to_be_cancelled: Whether somebody has asked for that.
        is_interrupted: Whether the run was interrupted because it, or one around it, is.
        is_task_cancelled: Whether ``task`` was cancelled for that.
        is_thread_interrupted: Whether an exception was sent to the thread for that.
        is_between_items: Whether the consumer of a generator is at work.
    """

    def __init__(
        self,
        flow: Flow[..., Any],
        parameters: dict[str, Any],
        record: FlowRun | None = None,
        wait_for: Any = None,
    ) -> None:
        plan_watch.look_for_limits()
        self.flow = flow
        self.parameters = parameters
        parent = FlowRunContext.get()
        self.parent = None if parent is None else parent.flow_run
        self.log_prints = _logs_prints(flow, parent)
        self._tags = () if record is None else tuple(record.tags)
        self._context: FlowRunContext | None = None
        if record is None:
            tracking = None
            if parent is not None:
                tracking = tracking_of(flow, parameters, wait_for, parent)
            record = new_record(flow, parameters, tracking)
            self.record, self.log = record, RunLog(record)
            self.log.tracking = tracking
        else:
            self.record, self.log = record, RunLog(record)
            self._adopt(record)
        self._is_recorded = get_current_settings().history.every_run
        if self._is_recorded:
            run_history.begin_recording()
        run_history.flow_begun(self.log)
        self.value: Any = None
        self.thread_id = 0
        self.keeping: keeping.Keeping | None = None
        self.was_generator = False
        self.error: BaseException | None = None
        self.is_out_of_time = self.is_closed = False
        self.retry_at = 0.0
        self.loop: Any = None
        self.task: Any = None
        self.is_to_be_cancelled = self.is_interrupted = self.is_between_items = False
        self.is_task_cancelled = self.is_thread_interrupted = False
        flow_cancel.begin(self)

    def _adopt(self, record: FlowRun) -> None:
        """Take up a record that was made elsewhere."""
        if record.empirical_policy.retries is None:
            record.empirical_policy.retries = self.flow.retries
        if record.empirical_policy.retry_delay is None:
            record.empirical_policy.retry_delay = self.flow.retry_delay_seconds
        state = record.state
        if state is None or not (state.is_pending() or state.is_final()):
            self.enter(engine_state(StateType.PENDING))

    @property
    def state(self) -> State[Any]:
        """Where the run stands."""
        state = self.record.state
        assert state is not None
        return state

    @contextmanager
    def entered(self, runner: TaskRunner[Any] | None) -> Generator[None, None, None]:
        """Enter the context of the next attempt."""
        own = self.keeping = keeping.of_flow(self.flow)
        self._context = context = FlowRunContext(
            flow=self.flow,
            flow_run=self.record,
            task_runner=runner,
            parameters=self.parameters,
            log_prints=self.log_prints,
            persist_result=own.persists,
            is_async=self.flow.isasync,
        )
        context._keeping = own
        token = None
        if keeping.is_decided() or own.persists or self.flow.persist_result is False:
            token = keeping.decide(own)
        try:
            with tags(*self._tags) if self._tags else nullcontext(), context:
                yield
        finally:
            if token is not None:
                _core.current_keeping.reset(token)

    @property
    def runner(self) -> TaskRunner[Any] | None:
        """Who runs the tasks of this attempt."""
        context = self._context
        return None if context is None else context.task_runner

    def show_parameters(self) -> None:
        """Let the context show the parameters as they are now."""
        if self._context is not None:
            self._context.parameters = self.parameters

    def new_runner(self) -> TaskRunner[Any]:
        """Return a runner for the next attempt."""
        from oxtask.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415 - start-up time

        chosen = self.flow.task_runner
        return ThreadPoolTaskRunner() if chosen is None else chosen.duplicate()

    def enter(self, state: State[Any]) -> State[Any]:
        """Let the run enter a state."""
        self.log.enter(state)
        return state

    def begin_attempt(self) -> None:
        """Let the run enter its next attempt; nothing is left of the last."""
        self.value, self.error = None, None
        self.was_generator = self.is_out_of_time = False
        name = "Retrying" if self.record.run_count else "Running"
        self.enter(engine_state(StateType.RUNNING, name))

    @property
    def retries(self) -> int:
        """How often a failed attempt is followed by another."""
        return 0 if self.is_closed else self.record.empirical_policy.retries or 0

    def await_retry(self, failed: State[Any]) -> float:
        """Let the run wait for its next attempt; return the seconds that takes."""
        delay = self.record.empirical_policy.retry_delay or 0
        self.retry_at = time.monotonic() + delay
        self.error = None
        self.enter(
            engine_state(
                StateType.SCHEDULED,
                "AwaitingRetry",
                message=failed.message,
                data=failed.data,
                details={"scheduled_time": time.time_ns() + int(delay * 1e9)},
            )
        )
        return delay

    def let_go(self) -> None:
        """Hold nothing of the run any more.

        What the caller catches keeps its frames, and those keep this; the state of the run keeps
        what the caller catches.
        """
        if self._is_recorded:
            run_history.end_recording()
        run_history.flow_ended(self.log)
        flow_cancel.end(self)
        self.loop = self.task = None
        self.value = self.error = self._context = self.parent = None
        del self.record, self.log

    def seconds_to_retry(self) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self.retry_at - time.monotonic())


def new_record(
    flow: Flow[..., Any], parameters: dict[str, Any], tracking: Tracking | None
) -> FlowRun:
    """Make the record of a run that was just called for."""
    policy = FlowRunPolicy(retries=flow.retries, retry_delay=flow.retry_delay_seconds)
    record = LiveFlowRun.new_pending(
        id=new_id(),
        flow_id=flow_id(flow.name),
        flow_version=flow.version,
        parent_task_run_id=None if tracking is None else tracking.number,
        tags=sorted(TagsContext.get().current_tags),
        empirical_policy=policy,
    )
    receiver = flow._receiver_name()
    record._arguments = {name: value for name, value in parameters.items() if name != receiver}
    return record


_flow_ids: dict[str, UUID] = {}


def flow_id(name: str) -> UUID:
    """Return the id that all flows of a name have in this process."""
    known = _flow_ids.get(name)
    return _flow_ids.setdefault(name, new_id()) if known is None else known


def flow_name(identifier: UUID | None) -> str | None:
    """Return the name of the flows that have an id, or ``None`` if there are none."""
    return next((name for name, known in _flow_ids.copy().items() if known == identifier), None)


def _logs_prints(flow: Flow[..., Any], parent: FlowRunContext | None) -> bool:
    if flow.log_prints is not None:
        return bool(flow.log_prints)
    if parent is not None:
        return bool(parent.log_prints)
    return bool(get_current_settings().logging.log_prints)
