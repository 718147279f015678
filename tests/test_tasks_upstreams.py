"""Upstreams that did not complete, and runs that wait for others without using them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from ways import history

from oxtask import allow_failure, flow, task
from oxtask._internal.task_runs import log_of
from oxtask.exceptions import UnfinishedRun, UpstreamTaskError
from oxtask.states import Cancelled, Failed, Paused
from oxtask.utilities.annotations import quote


class Stop(BaseException):
    """An exception that is no `Exception`."""


@task
def one():
    return 1


@task
def identity(x=None):
    return x


@task
async def aidentity(x=None):
    return x


@task
def fail(error):
    raise error


def not_ready():
    return identity.submit(fail.submit(ValueError("no")))


UPSTREAMS = {
    "failed": lambda: fail.submit(ValueError("no")),
    "crashed": lambda: fail.submit(Stop("no")),
    "timed out": lambda: fail.submit(TimeoutError("no")),
    "chose to fail": lambda: task(lambda: Failed(message="no")).submit(),
    "cancelled": lambda: task(lambda: Cancelled()).submit(),
    "paused": lambda: task(lambda: Paused()).submit(),
    "not ready": not_ready,
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("made", [identity, aidentity])
@pytest.mark.parametrize("how", ["argument", "wait_for"])
def test_a_run_whose_upstream_did_not_complete_never_starts(upstream, made, how):
    """3.2 upstream not completed; 23.1, 23.2, 23.3, 24.3, TE-61, TE-62"""
    seen = []
    hooks = {
        f"on_{kind}": [lambda *_: seen.append("hook")]
        for kind in ("running", "completion", "failure")
    }
    watched = made.with_options(retries=3, **hooks)

    @flow
    def main():
        blocked = UPSTREAMS[upstream]()
        blocked.wait()
        future = (
            watched.submit(blocked) if how == "argument" else watched.submit(wait_for=[blocked])
        )
        state = future.state if future.wait() is None else None
        text = f"Upstream task run '{blocked.task_run_id}' did not reach a 'COMPLETED' state."
        assert (state.name, state.type.value, state.message) == ("NotReady", "PENDING", text)
        assert history(future) == ["Pending", "NotReady:PENDING"]
        assert log_of(future).record.run_count == 0
        assert log_of(future).record.start_time is None
        for raise_on_failure in (True, False):
            with pytest.raises(UnfinishedRun):
                future.result(raise_on_failure=raise_on_failure)

    main()
    assert seen == []


@pytest.mark.parametrize("error", [ValueError("no"), Stop("no")])
def test_runs_downstream_of_one_that_fails_later_never_start(error):
    """23.1, 23.3"""
    gate = threading.Event()

    @task
    def later():
        gate.wait(10)
        raise error

    @flow
    def main():
        second = identity.submit([later.submit()])
        third = identity.submit(1, wait_for=second)
        gate.set()
        second.wait()
        third.wait()
        return [second.state.name, third.state.name]

    assert main() == ["NotReady", "NotReady"]


def test_a_run_that_is_not_ready_is_logged_as_an_error(lines):
    """23.2"""

    @flow
    def main():
        not_ready().wait()

    main()
    assert any(line.startswith("Finished in state NotReady") for line in lines("ERROR"))


@pytest.mark.parametrize("kind", ["argument", "wait_for"])
def test_a_direct_call_raises_what_its_upstream_lacks(kind):
    """TE-61, TE-62, W04"""

    @flow
    async def main():
        failed = fail.submit(ValueError("no"))
        given = {"x": failed} if kind == "argument" else {"wait_for": failed}
        with pytest.raises(UpstreamTaskError, match=str(failed.task_run_id)):
            identity(**given)
        with pytest.raises(UpstreamTaskError, match=str(failed.task_run_id)):
            await aidentity(**given)
        assert identity(**given, return_state=True).name == "NotReady"
        assert (await aidentity(**given, return_state=True)).name == "NotReady"

    asyncio.run(main())


def test_a_state_of_a_flow_run_names_that_run():
    """23.1, FL-95: in the flow that called it, the task run that stands for it is named"""

    @flow
    def broken():
        raise ValueError("no")

    outside = broken(return_state=True)

    @flow
    def main():
        with pytest.raises(
            UpstreamTaskError, match=f"flow run '{outside.state_details.flow_run_id}'"
        ):
            identity(outside)
        state = broken(return_state=True)
        with pytest.raises(
            UpstreamTaskError, match=f"task run '{state.state_details.task_run_id}'"
        ):
            identity(state)
        with pytest.raises(UpstreamTaskError, match=r"state 'Failed\('mine'\)'"):
            identity(Failed(message="mine"))

    main()


def test_a_flow_may_return_the_state_of_a_run_that_never_started():
    """23.6"""

    @flow
    def main():
        future = not_ready()
        future.wait()
        return quote(future.state)

    assert main().unquote().name == "NotReady"


def test_a_flow_fails_by_asking_for_the_result_of_a_run_that_never_started():
    """23.6, 42.24"""
    state = flow(lambda: not_ready().result())(return_state=True)
    assert state.is_failed()
    assert "UnfinishedRun" in state.message


def test_a_run_and_its_downstreams_end_whether_or_not_the_flow_waits_for_them():
    """23.7: nothing is left pending at the end of a flow, so nothing needs to be said of it"""
    futures = []

    @flow
    def main():
        futures.append(one.submit())
        futures.append(identity.submit(futures[0]))
        futures.append(identity.submit(futures[1], wait_for=futures[0]))

    main()
    assert [future.result() for future in futures] == [1, 1, 1]


# --- wait_for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: f,
        lambda f: [f],
        lambda f: (f,),
        lambda f: {f},
        lambda f: {"a": [f]},
        lambda f: [f, 5, "text"],
        lambda f: iter([f]),
        lambda f: (x for x in [f]),
    ],
)
@pytest.mark.parametrize("made", [identity, aidentity])
def test_a_run_waits_for_what_it_is_told(wrap, made):
    """24.1, 24.2, W38"""
    gate, order = threading.Event(), []

    @task
    def first():
        gate.wait(10)
        order.append("first")

    @flow
    def main():
        noted = made.with_options(on_running=[lambda *_: order.append("second")])
        upstream = first.submit()
        futures = [noted.submit(1, wait_for=wrap(upstream))]
        futures += noted.map([1, 2], wait_for=wrap(upstream))
        gate.set()
        return [future.result() for future in futures]

    assert main() == [1, 1, 2]
    assert order == ["first", "second", "second", "second"]


def test_a_direct_call_waits_as_well():
    """24.1"""
    order = []

    @task
    def first():
        order.append("first")

    @flow
    def main():
        identity.with_options(on_running=[lambda *_: order.append("second")])(
            1, wait_for=(x for x in [first.submit()])
        )

    @flow
    async def amain():
        await aidentity.with_options(on_running=[lambda *_: order.append("second")])(
            1, wait_for=[first.submit()]
        )

    main()
    asyncio.run(amain())
    assert order == ["first", "second"] * 2


def test_values_to_wait_for_are_ignored():
    """24.1"""
    assert identity(1, wait_for=[2, None, "x"]) == 1
    assert flow(lambda: identity.submit(1, wait_for=3).result())() == 1


@pytest.mark.parametrize(
    "wrap",
    [
        allow_failure,
        lambda f: [allow_failure(f)],
        lambda f: allow_failure([f]),
        quote,
        lambda f: [quote(f)],
    ],
)
@pytest.mark.parametrize("error", [ValueError("no"), Stop("no")])
def test_annotations_let_a_run_start_all_the_same(wrap, error):
    """24.3, 24.4, W37"""

    @flow
    def main():
        failed = fail.submit(error)
        return [
            identity(1, wait_for=wrap(failed)),
            identity.submit(1, wait_for=wrap(failed)).result(),
            *identity.map([1], wait_for=wrap(failed)).result(),
        ]

    assert main() == [1, 1, 1]


def test_mapped_futures_can_be_waited_for_together():
    """24.3"""

    @flow
    def main():
        futures = identity.map([1, 2])
        return (
            identity.submit(3, wait_for=futures).result(),
            identity.submit(3, wait_for=allow_failure(fail.map([ValueError("no")]))).result(),
        )

    assert main() == (3, 3)


def test_an_async_call_waits_without_blocking_the_event_loop():
    """TE-69, W05"""
    gate = threading.Event()

    @task
    def first():
        gate.wait(10)
        return 1

    @flow
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            for ticks in range(1, 4):
                await asyncio.sleep(0)
            gate.set()

        slow = first.submit()
        results = await asyncio.gather(aidentity(slow), aidentity(2, wait_for=slow), tick())
        return results[:2], ticks

    assert asyncio.run(main()) == ([1, 2], 3)


def test_waiting_is_no_part_of_the_arguments():
    """TE-62: the values are dropped"""
    from oxtask.context import TaskRunContext

    @task
    def parameters(x):
        return TaskRunContext.get().parameters

    assert flow(lambda: parameters.submit(1, wait_for=[one.submit()]).result())() == {"x": 1}
