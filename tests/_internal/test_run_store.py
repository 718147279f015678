"""What a store keeps of runs, and gives back."""

from __future__ import annotations

import gc
import threading
from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from oxtask._internal.run_packing import copied
from oxtask._internal.run_store import LogLine, MemoryStore
from oxtask._internal.state import engine_state
from oxtask._internal.task_runs import RunLog
from oxtask.client.schemas.objects import FlowRun, FlowRunResult, StateType, TaskRun, TaskRunResult
from oxtask.results import ResultRecord
from oxtask.states import Completed

ID = "00000000-0000-7000-8000-00000000000{}"


def store(max_runs=10, max_lines=10):
    return MemoryStore(lambda: max_runs, lambda: max_lines)


def task_run(number=1, **fields):
    run = RunLog(TaskRun.new_pending(id=ID.format(number), **fields))
    run.enter(engine_state(StateType.RUNNING))
    run.enter(engine_state(StateType.COMPLETED, data=ResultRecord(object()), message="done"))
    return run


def test_a_run_comes_back_as_it_was_without_its_data():
    """RR-11"""
    inputs = {"x": [TaskRunResult(id=ID.format(2))], "y": [FlowRunResult(id=ID.format(3))], "z": []}
    run = task_run(flow_run_id=ID.format(4), tags=["a"], labels={"k": 1}, task_inputs=inputs)
    kept = store()
    kept.put_task_run(run)
    again = kept.task_run(run.record.id.int)
    assert again.record.task_inputs == inputs
    for name in TaskRun._fields:
        if name != "state":
            assert getattr(again.record, name) == getattr(run.record, name), name
    assert [state.data for state in again.history] == [None] * 3
    for before, after in zip(run.history, again.history, strict=True):
        assert after.model_dump(exclude={"data"}) == before.model_dump(exclude={"data"})
    assert again.record.state is again.history[-1]


def test_a_flow_run_comes_back_as_it_was():
    """RR-02"""
    record = FlowRun.new_pending(id=ID.format(1), parameters={"x": 1}, idempotency_key="k")
    kept = store()
    kept.put_flow_run(RunLog(record))
    assert kept.flow_run(1 + (7 << 76) + (8 << 60)).record == record


@given(
    message=st.text(),
    tags=st.lists(st.text()),
    seconds=st.integers(0, 4_000_000_000),
    scheduled=st.booleans(),
)
def test_whatever_a_state_says_survives(message, tags, seconds, scheduled):
    """RR-11"""
    run = task_run(tags=tags)
    time = datetime.fromtimestamp(seconds, timezone.utc)
    state = Completed(message=message, timestamp=time)
    if scheduled:
        state.state_details.scheduled_time = time
    run.record.set_state(state)
    run.append(state)
    again = copied(run, TaskRun).history[-1]
    assert again == state
    assert again.id == state.id


def test_what_is_kept_is_nothing_to_the_garbage_collector():
    """N4"""
    kept = store(max_runs=1_000)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(10):
        run = task_run(number)
        if number % 2:  # what is read has become an object
            repr([run.record.start_time, run.record.total_run_time, run.record.id])
            repr([(state.timestamp, state.id) for state in run.history])
        kept.put_task_run(run)
        del run
    gc.collect()
    assert len(gc.get_objects()) - before < 10


def test_a_run_that_is_put_again_is_kept_once_and_stays_where_it_is():
    kept = store(max_runs=2)
    for number in (1, 2, 1, 3):
        kept.put_task_run(task_run(number))
    assert [str(run.record.id)[-1] for run in kept.task_runs()] == ["2", "3"]


def test_many_threads_put_and_read():
    kept = store(max_runs=5, max_lines=5)
    errors = []

    def work(number):
        try:
            for _ in range(50):
                kept.put_task_run(task_run(number))
                kept.put_line(LogLine("x", 20, "m", 0, None, ID.format(number)))
                assert len(kept.task_runs()) <= 5
                kept.lines()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(kept.task_runs()) == 5
    assert len(kept.lines()) == 5
