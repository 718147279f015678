"""A flow run under way is cancelled by its id."""

from __future__ import annotations

import asyncio
from threading import Event, Thread

import pytest

from oxtask import flow, task
from oxtask.client.schemas.responses import SetStateStatus
from oxtask.context import FlowRunContext
from oxtask.exceptions import CancelledRun
from oxtask.states import Cancelling

PATIENCE = 10
STATES = ["Pending", "Running", "Cancelling", "Cancelled"]


def names(states):
    return [state.name for state in states]


def own_id():
    return FlowRunContext.get().flow_run.id


class Stage:
    """A sync flow that waits for a task, on a thread of its own."""

    def __init__(self, **options):
        self.begun, self.go = Event(), Event()
        self.hooks = []
        self.error = self.run_id = None

        @task
        def wait_for_it():
            self.begun.set()
            self.go.wait(PATIENCE)

        @flow(
            name="staged",
            on_cancellation=[lambda *_: self.hooks.append("cancellation")],
            on_crashed=[lambda *_: self.hooks.append("crashed")],
            on_failure=[lambda *_: self.hooks.append("failure")],
            **options,
        )
        def main():
            self.run_id = own_id()
            wait_for_it.submit().result()

        self.flow = main

    def run(self, client, cancel):
        def call():
            try:
                self.flow()
            except BaseException as error:
                self.error = error

        thread = Thread(target=call)
        thread.start()
        assert self.begun.wait(PATIENCE)
        cancel(client, self.run_id)
        self.go.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("retries", [0, 2])
def test_a_sync_flow_ends_when_its_runs_are_cancelled(client, retries):
    """FL-89"""
    stage = Stage(retries=retries)
    stage.run(client, lambda client, run_id: client.cancel(run_id))
    assert isinstance(stage.error, CancelledRun)
    assert names(client.read_flow_run_states(stage.run_id)) == STATES
    assert stage.hooks == ["cancellation"]
    assert not client.cancel(stage.run_id)


def test_setting_the_state_of_a_run_under_way_cancels_it(client):
    """FL-89, CX-13"""
    stage = Stage()

    def cancel(client, run_id):
        result = client.set_flow_run_state(run_id, Cancelling())
        assert result.status is SetStateStatus.ACCEPT

    stage.run(client, cancel)
    assert names(client.read_flow_run_states(stage.run_id)) == STATES


def test_an_async_flow_ends_at_its_await_and_the_task_around_it_goes_on(client):
    """FL-89"""
    hooks = []

    @flow(on_cancellation=[lambda *_: hooks.append("cancellation")])
    async def main():
        client.cancel(own_id())
        await asyncio.Event().wait()

    async def around():
        state = await main(return_state=True)
        await asyncio.sleep(0)
        with pytest.raises(CancelledRun):
            await main()
        await asyncio.sleep(0)
        return state

    assert asyncio.run(around()).is_cancelled()
    assert hooks == ["cancellation"] * 2
    assert names(client.read_flow_run_states(client.read_flow_runs()[0].id)) == STATES


def test_flows_called_in_it_are_cancelled_too(client):
    """FL-89"""
    stage = Stage()

    @flow(name="outer")
    def outer():
        outer_ids.append(own_id())
        stage.inner()

    outer_ids = []
    stage.inner, stage.flow = stage.flow, outer
    stage.run(client, lambda client, _: client.cancel(outer_ids[0]))
    assert names(client.read_flow_run_states(stage.run_id)) == STATES
    assert names(client.read_flow_run_states(outer_ids[0])) == STATES
    tracking_id = client.read_flow_run(stage.run_id).parent_task_run_id
    assert names(client.read_task_run_states(tracking_id)) == STATES
