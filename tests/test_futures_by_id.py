"""Futures of runs that are known by their ids: `DistributedFuture`, `FlowRunFuture`."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
from uuid import uuid4

import pytest

from oxtask import flow, get_client, task
from oxtask._internal import run_ends
from oxtask.client.schemas.objects import FlowRunResult, TaskRunResult
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import (
    CancelledRun,
    DeadlockError,
    FailedRun,
    MissingResult,
    ObjectNotFound,
    UnfinishedRun,
    UpstreamTaskError,
)
from oxtask.futures import (
    DistributedFuture,
    FlowRunFuture,
    Future,
    FutureList,
    as_completed,
    resolve_futures_to_results,
    resolve_futures_to_states,
    wait,
)
from oxtask.states import Completed, StateType
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10

both = pytest.mark.parametrize("kind", [DistributedFuture, FlowRunFuture])


class Held:
    """A task run, or a flow run, that is inside its body until `let_go`."""

    def __init__(self, kind, value="held"):
        self.kind, self.value = kind, value
        self.started, self.gate = threading.Event(), threading.Event()
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=lambda: context.run(self._run))
        self.thread.start()
        assert self.started.wait(PATIENCE)

    def _run(self):
        make = task if self.kind is DistributedFuture else flow
        make(self._body)(return_state=True)

    def _body(self):
        is_task = self.kind is DistributedFuture
        context = TaskRunContext.get().task_run if is_task else FlowRunContext.get().flow_run
        self.id = context.id
        self.started.set()
        assert self.gate.wait(PATIENCE)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def let_go(self):
        self.gate.set()
        self.thread.join(PATIENCE)

    def future(self):
        return self.kind(self.id)


@pytest.fixture
def held():
    runs = []

    def hold(*args):
        runs.append(Held(*args))
        return runs[-1]

    yield hold
    for run in runs:
        run.let_go()
    assert not run_ends._board


@pytest.fixture
def pool():
    with ThreadPoolTaskRunner() as runner:
        yield runner


@both
def test_a_future_is_its_id(kind):
    """FU-13, U1"""
    run_id = uuid4()
    future = kind(run_id)
    assert future == kind(str(run_id)) == pickle.loads(pickle.dumps(future))
    assert future != kind(uuid4())
    assert len({future, kind(run_id)}) == 1
    assert isinstance(future, Future)
    assert str(run_id) in repr(future)
    with pytest.raises(ValueError, match="run_id' must be a UUID"):
        kind("no id")


def test_each_kind_has_its_own_id():
    """U1"""
    run_id = uuid4()
    assert DistributedFuture(run_id).task_run_id == run_id
    assert FlowRunFuture(run_id).flow_run_id == run_id
    assert DistributedFuture(run_id) != FlowRunFuture(run_id)
    with pytest.raises(AttributeError, match="Use 'flow_run_id'"):
        FlowRunFuture(run_id).task_run_id


@both
def test_an_unknown_run_is_pending_but_cannot_be_waited_for(kind):
    """U2, W-U1"""
    future = kind(uuid4())
    assert (future.state.type, future.state.name) == (StateType.PENDING, "Pending")
    assert not future.done()
    for use in (future.wait, future.result, future.cancel, lambda: future.add_done_callback(print)):
        with pytest.raises(ObjectNotFound, match=str(future._id)):
            use()
    for use in (future.wait_async, future.result_async, future.aresult):
        with pytest.raises(ObjectNotFound):
            asyncio.run(use())


@both
def test_a_run_under_way_is_waited_for_without_looking_again_and_again(kind, held, monkeypatch):
    """FU-13, W30, U3, U4"""
    run = held(kind)
    future = run.future()
    monkeypatch.setattr("time.sleep", None)
    assert future.state.is_running()
    assert future.wait(0.01) is None
    with pytest.raises(TimeoutError, match=r"run .* did not complete within 0.01 seconds"):
        future.result(timeout=0.01)
    threading.Timer(0.02, run.gate.set).start()
    assert future.result(PATIENCE) == "held"
    assert future.state.is_completed()
    assert future.done()
    assert future.wait() is None


@both
def test_a_run_under_way_can_be_awaited(kind, held):
    """FU-13, U3, U4"""
    run = held(kind)

    async def main():
        future = run.future()
        assert await future.wait_async(0.01) is None
        with pytest.raises(TimeoutError, match=r"did not complete within 0 seconds"):
            await future.result_async(timeout=0)
        asyncio.get_running_loop().call_later(0.02, run.gate.set)
        return await future.aresult(), await run.kind(run.id).wait_async()

    assert asyncio.run(main()) == ("held", None)


@both
def test_a_failed_run_raises_its_own_exception(kind, held):
    """U4"""
    error = ValueError("no")
    run = held(kind, error)
    future = run.future()
    run.let_go()
    with pytest.raises(ValueError, match="no") as caught:
        future.result()
    assert caught.value is error
    assert future.result(raise_on_failure=False) is error
    assert future.wait() is None


@both
def test_what_a_run_came_to_is_not_kept_for_futures_that_come_later(kind, held):
    """U4, FU-13"""
    completed, failed = held(kind), held(kind, ValueError("no"))
    completed.let_go(), failed.let_go()
    assert completed.future().state.is_completed()
    with pytest.raises(MissingResult):
        completed.future().result()
    with pytest.raises(FailedRun, match="no"):
        failed.future().result()
    assert isinstance(failed.future().result(raise_on_failure=False), FailedRun)


@pytest.mark.parametrize("looked", ["before", "after"])
@pytest.mark.parametrize("way", ["core", "engine", "async", "map", "cached", "body"])
def test_a_stored_result_is_read_by_the_id_of_its_run(way, looked, pool, home):
    """U4, FU-13, results.md Y4: whoever made the run, and whenever its id was asked for"""

    async def async_double(x):
        await asyncio.sleep(0)
        return [x] * 2

    ids = []

    def double(x):
        if way == "body":
            ids.append(TaskRunContext.get().task_run.id)
        return [x] * 2

    options = {"on_completion": [lambda *_: None]} if way == "engine" else {}
    made = task(async_double if way == "async" else double, persist_result=True, **options)
    if way == "cached":
        made.submit(7).wait()
    if way == "body":
        assert made(7) == [7, 7]
    else:
        future = made.map([5, 6, 7])[2] if way == "map" else made.submit(7)
        if looked == "before":
            assert future.task_run_id
        future.wait()
        ids.append(future.task_run_id)
        del future
    assert DistributedFuture(ids[0]).result() == [7, 7]
    assert asyncio.run(DistributedFuture(ids[0]).result_async()) == [7, 7]


@both
def test_a_stored_exception_is_raised_by_the_id_of_its_run(kind, home):
    """U4"""
    ids = []

    def fail(x):
        context = TaskRunContext.get() or FlowRunContext.get()
        ids.append(getattr(context, "task_run", None) or context.flow_run)
        raise KeyError("k")

    make = task if kind is DistributedFuture else flow
    make(fail, persist_result=True, on_failure=[lambda *_: None])(1, return_state=True)
    with pytest.raises(KeyError, match="k"):
        kind(ids[0].id).result()
    assert type(kind(ids[0].id).result(raise_on_failure=False)) is KeyError


def test_a_stored_result_of_a_flow_is_read_by_the_id_of_its_run(folder):
    """U4, FU-13"""
    main = flow(lambda: {"a": 1}, name="main", persist_result=True, result_storage=folder)
    state = main(return_state=True)
    run_id = state.state_details.flow_run_id
    assert FlowRunFuture(run_id).result() == {"a": 1}
    kept = get_client(sync_client=True).read_flow_run(run_id).state
    assert kept.data.storage_key == state.data.metadata.storage_key
    assert kept.result(_sync=True) == {"a": 1}


def test_a_result_that_is_not_there_any_more_is_missing(folder):
    """U4: and so is one that was rolled back"""
    ids = []

    @task(persist_result=True, result_storage=folder, on_rollback=[lambda _: None])
    def store():
        ids.append(TaskRunContext.get().task_run.id)
        return 1

    def fail():
        store()
        raise KeyError("k")

    task(fail, persist_result=True)(return_state=True)
    store()
    assert DistributedFuture(ids[1]).result() == 1
    for file in folder.iterdir():
        file.unlink()
    for run_id in ids:
        with pytest.raises(MissingResult):
            DistributedFuture(run_id).result()


def test_a_run_that_is_cancelled_raises_that(held, pool):
    """U4: by id, from anywhere"""
    gate = threading.Event()
    begun = threading.Event()
    run = task(lambda: (begun.set(), gate.wait(PATIENCE))).submit()
    assert begun.wait(PATIENCE)
    future = DistributedFuture(run.task_run_id)
    assert future.cancel()
    assert not future.cancel()
    gate.set()
    with pytest.raises(CancelledRun):
        future.result()


def test_a_run_that_never_started_has_no_result(pool):
    """U4: its state is not final"""
    failed = task(lambda: 1 / 0).submit()
    run = task(lambda x: x).submit(failed)
    run.wait()
    future = DistributedFuture(run.task_run_id)
    assert future.wait() is None
    assert future.done()
    assert future.state.name == "NotReady"
    with pytest.raises(UnfinishedRun):
        future.result()


@both
def test_every_callback_is_called_once(kind, held, caplog):
    """U5, W-U2: not the last one only; errors are logged"""
    run = held(kind)
    future = run.future()
    calls = []
    future.add_done_callback(lambda done: calls.append((1, done is future)))
    future.add_done_callback(lambda _: 1 / 0)
    run.future().add_done_callback(lambda done: calls.append((2, done == future)))
    assert calls == []
    run.let_go()
    assert calls == [(1, True), (2, True)]
    assert "A callback of a future raised" in caplog.text
    future.add_done_callback(lambda done: calls.append((3, done is future)))
    assert calls[2:] == [(3, True)]


def test_a_run_that_was_made_by_hand_ends_when_a_client_says_so():
    """FU-13: what is known of the run is in the store alone"""
    client, calls = get_client(sync_client=True), []
    future = FlowRunFuture(client.create_flow_run(flow(lambda: None)).id)
    future.add_done_callback(calls.append)
    assert future.wait(0) is None
    assert client.set_flow_run_state(future.flow_run_id, Completed()).status == "ACCEPT"
    assert calls == [future]
    assert future.state.is_completed()


def test_the_task_run_that_stands_for_a_called_flow_can_be_waited_for():
    """FU-13, 25.2"""
    child = flow(lambda: None)

    @flow
    def main():
        return child(return_state=True).state_details.task_run_id

    future = DistributedFuture(main())
    assert future.wait() is None
    assert future.state.is_completed()


@both
def test_futures_of_all_kinds_are_waited_for_together(kind, held, pool):
    """U6"""
    run = held(kind)
    future, other = run.future(), task(lambda: "other").submit()
    done, not_done = wait([future, other], timeout=0.05)
    assert (done, not_done) == ({other}, {future})
    threading.Timer(0.02, run.gate.set).start()
    assert list(as_completed([future, other], timeout=PATIENCE)) == [other, future]
    assert FutureList([future, other]).result() == ["held", "other"]
    assert resolve_futures_to_results({"a": [future]}) == {"a": ["held"]}
    assert resolve_futures_to_states([future])[0].is_completed()


@both
def test_futures_are_arguments_like_others(kind, held, pool):
    """U6, 25.2: resolved, and known as what the argument comes from"""
    run = held(kind)
    future = run.future()

    @task
    def look(x):
        return x, TaskRunContext.get().task_run.task_inputs["x"]

    seen = look.submit([future])
    assert not seen.done()
    run.let_go()
    source = TaskRunResult if kind is DistributedFuture else FlowRunResult
    assert seen.result() == (["held"], [source(id=run.id)])


@both
def test_a_failed_upstream_is_named(kind, held, pool):
    """U6, 23.1"""
    run = held(kind, ValueError("no"))
    future = run.future()
    run.let_go()
    word = "task run" if kind is DistributedFuture else "flow run"
    state = task(lambda x: x).submit(future).state
    with pytest.raises(UpstreamTaskError, match=f"Upstream {word} '{run.id}' did not reach"):
        task(lambda x: x)(future)
    assert state.is_pending() or state.name == "NotReady"


@both
def test_a_flow_waits_for_a_future_that_it_returns(kind, held):
    """U6, FL-51, FL-53: as for every future"""
    run = held(kind)

    @flow
    def main():
        threading.Timer(0.02, run.gate.set).start()
        return run.future()

    assert main().result() == "held"


def test_a_worker_that_waits_gives_its_slot_to_others():
    """FU-13, TR-14: with one worker"""

    @task
    def outer():
        inner = task(lambda: "inner").submit()
        return DistributedFuture(inner.task_run_id).result(PATIENCE)

    @task
    async def aouter():
        inner = task(lambda: "inner").submit()
        return await DistributedFuture(inner.task_run_id).result_async(PATIENCE)

    with ThreadPoolTaskRunner(max_workers=1):
        assert outer.submit().result() == "inner"
        assert aouter.submit().result() == "inner"


def test_a_run_that_waits_for_itself_is_told():
    """FU-13, TE-66"""

    @task
    def own():
        return DistributedFuture(TaskRunContext.get().task_run.id).result()

    @flow
    def main():
        run_id = FlowRunContext.get().flow_run.id
        assert FlowRunFuture(run_id).wait(0) is None
        return task(lambda: FlowRunFuture(run_id).result())()

    with ThreadPoolTaskRunner(), pytest.raises(DeadlockError):
        own.submit().result()
    with pytest.raises(DeadlockError, match=r"Flow run .* cannot end before this code"):
        main()


@both
@pytest.mark.parametrize("use", ["wait", "result"])
def test_a_negative_timeout_is_refused(kind, use):
    """FU-04"""
    with pytest.raises(ValueError, match="timeout"):
        getattr(kind(uuid4()), use)(-1)
