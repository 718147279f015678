"""Which runs can be read back, and from where.

A run that is under way is known by a trace, which keeps nothing of it alive: its record is made
when somebody reads it. When it ends, a copy without arguments and results goes to the store.

Known are flow runs; task runs with a record of their own; and plain task runs that somebody looked
at, for only then can anybody know their id. While `recording`, every run is known from the moment
it is made, and what it returns is remembered, so that runs that get it are seen to depend on it.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask._internal import run_ends, run_sources
from oxtask._internal.result_links import RunType
from oxtask._internal.run_packing import copied, number_of
from oxtask._internal.run_store import LineFields, MemoryStore, RunStore
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import CompletedRun, RunLog, log_of
from oxtask.client.schemas.objects import FlowRun, TaskRun
from oxtask.context import FlowRunContext
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from oxtask._core import TaskRunFuture, Trace
    from oxtask._internal.result_links import Link
    from oxtask._internal.state import State


class _History:
    """What is known of runs.

    Attributes:
        store: The runs that have ended.
        traces: Task runs that have not, by number.
        flow_runs: Flow runs that have not.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.traces: dict[int, Trace] = {}
        self.flow_runs: dict[int, RunLog[FlowRun]] = {}
        self.most_traces = 1_024

    def sweep(self) -> None:
        """Forget runs that will never end, because nobody holds them any more."""
        for number, trace in list(self.traces.items()):
            if trace.future() is None:
                self.traces.pop(number, None)
        self.most_traces = max(1_024, 2 * len(self.traces))


def _new_history() -> _History:
    return _History(
        MemoryStore(
            lambda: get_current_settings().history.max_runs,
            lambda: get_current_settings().history.max_log_lines,
        )
    )


_history = _new_history()


def store() -> RunStore:
    """Return the store of runs that have ended."""
    return _history.store


# --- task runs ------------------------------------------------------------------------------------


def observe(future: TaskRunFuture, run: RunLog[TaskRun] | None = None) -> None:
    """Let a run be read back from now on.

    Args:
        future: The run.
        run: The run as it stands now, if that is known.
    """
    number = future._id if run is None else number_of(run.record)
    if number in _history.traces or _history.store.has_task_run(number):
        return
    if run is not None and is_over(run):
        with suppress(Exception):
            _history.store.put_task_run(run)
        run_ends.tell(number)
        return
    trace = future._observe()
    if trace is None:
        ended(future)
        return
    _history.traces[number] = trace
    if future.done():  # between the two: nobody else takes it off the list
        ended(future)
    elif len(_history.traces) > _history.most_traces:
        _history.sweep()


def is_over(run: RunLog[Any]) -> bool:
    """Tell whether a run has ended; one that is not ready never starts."""
    state = run.record.state
    return state is not None and (state.is_final() or state.name == "NotReady")


def ended(future: TaskRunFuture) -> None:
    """Keep what is to be known of a run that has ended; called by the core."""
    run = log_of(future)
    state, key = run.record.state, future._cache_key
    if key is not None and run.stored is None and state is not None and state.is_completed():
        run.stored = key, None, ""
    with suppress(Exception):  # a record that somebody spoilt must not fail the run
        _history.store.put_task_run(run)
    number = number_of(run.record)
    _history.traces.pop(future._id, None)
    _history.traces.pop(number, None)  # run under another id than its own
    run_ends.tell(number)


def completed(run: CompletedRun) -> None:
    """Keep what is to be known of a run that completes, unless that is seen to when it ends."""
    history = _history
    if run.number not in history.traces:
        history.store.put_completed(run)


def submitted(future: TaskRunFuture, given: run_sources.Given | None, wait_for: Any) -> None:
    """Take note of a run that was just made; called by the core while every run is recorded."""
    if given is not None:
        future._set_sources(run_sources.sources_of(future._task, *given, wait_for))
    observe(future)


def called(future: TaskRunFuture, given: run_sources.Given, wait_for: Any) -> None:
    """Take note of a run that is carried out by who called for it."""
    if is_recording():
        submitted(future, given, wait_for)
    elif wait_for is not None or _core.needs_resolving(given):
        future._set_sources(run_sources.sources_of(future._task, *given, wait_for))


def produced(future: TaskRunFuture, value: Any, *, is_under_way: bool = False) -> None:
    """Remember which run a value comes from; called by the core while every run is recorded."""
    context = future._context
    flow_context = None if context is None else context.get(FlowRunContext.__var__)
    if flow_context is not None and context is not None and context.copy().run(_tracks_inputs):
        type_ = StateType.RUNNING if is_under_way else StateType.COMPLETED
        state = engine_state(type_, task_run_id=future._id)
        run_sources.link(flow_context.run_results, value, state, RunType.TASK_RUN)


def flow_produced(run: RunLog[FlowRun], value: Any) -> None:
    """Remember which flow run a value comes from, in the flow run that called it."""
    flow_context = FlowRunContext.get()
    if flow_context is not None and is_recording() and _tracks_inputs():
        state = engine_state(StateType.COMPLETED, flow_run_id=number_of(run.record))
        run_sources.link(flow_context.run_results, value, state, RunType.FLOW_RUN)


def _tracks_inputs() -> bool:
    return get_current_settings().tasks.track_inputs


def state_of(link: Link) -> State[Any]:
    """Return the state in which a run gave an object away, without its data."""
    state = link.state
    producer = state.state_details.task_run_id
    if state._id is None and producer is not None:  # made by `produced`
        run = task_run(producer.int)
        if run is not None and run.record.state is not None:
            return run.record.state
    return state


def task_run(number: int) -> RunLog[TaskRun] | None:
    """Return a run as it stands now, or ``None`` if it is not known."""
    future = future_of(number)
    if future is not None:
        return copied(log_of(future), TaskRun)
    for child in list(_history.flow_runs.values()):
        if child.tracking is not None and child.tracking.number == number:
            return child.tracking.run_for(child)
    run = _history.store.task_run(number)
    if run is not None:
        return run
    called = _history.store.flow_run_of(number)
    return None if called is None or called.tracking is None else called.tracking.run_for(called)


def task_runs() -> list[RunLog[TaskRun]]:
    """Return all runs that are known."""
    _history.sweep()
    runs = {number_of(run.record): run for run in _history.store.task_runs()}
    for number in list(_history.traces):
        run = task_run(number)
        if run is not None:
            runs[number] = run
    for child in flow_runs():
        if child.tracking is not None:
            runs[child.tracking.number] = child.tracking.run_for(child)
    return list(runs.values())


def future_of(number: int) -> TaskRunFuture | None:
    """Return the future of a run that has not ended."""
    trace = _history.traces.get(number)
    return None if trace is None else trace.future()


def is_task_run_under_way(number: int) -> bool:
    """Tell whether a run has not ended."""
    future = future_of(number)
    return future is not None and not future.done()


def cancel(number: int) -> bool:
    """End a task run as cancelled; false if it had ended before, or is not known."""
    future = future_of(number)
    return future is not None and future.cancel()


# --- flow runs ------------------------------------------------------------------------------------


def flow_begun(run: RunLog[FlowRun]) -> None:
    """Let a flow run be read back from now on."""
    _history.flow_runs[number_of(run.record)] = run


def flow_ended(run: RunLog[FlowRun]) -> None:
    """Keep what is to be known of a flow run that has ended, or was left where it stands."""
    number = number_of(run.record)
    with suppress(Exception):  # a record that somebody spoilt must not fail the run
        _history.store.put_flow_run(run)
    _history.flow_runs.pop(number, None)
    if is_over(run):
        run_ends.tell(number)


def flow_run(number: int) -> RunLog[FlowRun] | None:
    """Return a flow run as it stands now, or ``None`` if it is not known."""
    run = _history.flow_runs.get(number)
    return _history.store.flow_run(number) if run is None else _as_it_stands(run)


def live_flow_run(number: int) -> RunLog[FlowRun] | None:
    """Return a flow run that has not ended: the run itself, which goes on."""
    return _history.flow_runs.get(number)


def is_flow_run_under_way(number: int) -> bool:
    """Tell whether a flow run has not ended."""
    return number in _history.flow_runs


def flow_runs() -> list[RunLog[FlowRun]]:
    """Return all flow runs that are known."""
    runs = {number_of(run.record): run for run in _history.store.flow_runs()}
    for number, run in list(_history.flow_runs.items()):
        runs[number] = _as_it_stands(run)
    return list(runs.values())


def _as_it_stands(run: RunLog[FlowRun]) -> RunLog[FlowRun]:
    run.record.parameters  # noqa: B018 - read now, they are there in full
    return copied(run, FlowRun)


# --- logs -----------------------------------------------------------------------------------------


def logged(line: LineFields) -> None:
    """Keep a line of a log."""
    _history.store.put_line(line)


# --- every run ------------------------------------------------------------------------------------


class _Switch:
    """Counts who wants every run to be recorded."""

    def __init__(self) -> None:
        self.count = 0
        self.is_for_good = False
        self.lock = allocate_lock()

    def add(self, more: int) -> None:
        with self.lock:
            self.count += more
            _core.record_every_run(self.count > 0)


_switch = _Switch()


def begin_recording() -> None:
    """Record every run of the process until `end_recording`; calls are counted."""
    _switch.add(1)


def end_recording() -> None:
    """Undo one `begin_recording`."""
    _switch.add(-1)


def is_recording() -> bool:
    """Tell whether every run is recorded."""
    return _switch.count > 0


def record_for_good() -> None:
    """Record every run of the process from now on."""
    if not _switch.is_for_good:
        _switch.is_for_good = True
        begin_recording()


@contextmanager
def recording() -> Generator[None]:
    """Record every run of the process for a block of code."""
    begin_recording()
    try:
        yield
    finally:
        end_recording()


def _renew() -> None:
    """Let a forked child know the runs that had ended: those under way are not the child's."""
    global _history  # noqa: PLW0603 - what another thread was changing may be half way
    _history = _History(_history.store)
    _switch.lock = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
