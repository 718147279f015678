"""Tags of the place a run is made at; the lines are of engine.md, section 8."""

from __future__ import annotations

import pytest

from oxtask import flow, tags, task
from oxtask.client.schemas.objects import FlowRun
from oxtask.context import FlowRunContext, TagsContext, TaskRunContext
from oxtask.flow_engine import run_flow


def test_tags_add_up():
    """CX-06"""
    assert TagsContext.get().current_tags == frozenset()
    with tags("a", "b") as outer:
        with tags("b", "c") as inner:
            assert (sorted(outer), sorted(inner)) == (["a", "b"], ["a", "b", "c"])
            assert TagsContext.get().current_tags == inner
        with tags():
            assert TagsContext.get().current_tags == outer
    assert TagsContext.get().current_tags == frozenset()


def test_tags_are_text():
    """CX-06"""
    with pytest.raises(TypeError, match="tags must be strings; got 3"), tags("a", 3):
        pass


@task(tags=["own"])
def tagged(_=None):
    return set(TaskRunContext.get().task_run.tags)


@pytest.mark.parametrize("way", ["call", "submit", "map"])
def test_runs_get_the_tags_around_their_call(way):
    """CX-06, CX-07, TE-08"""

    def run():
        if way == "call":
            return tagged()
        return tagged.submit().result() if way == "submit" else tagged.map([1]).result()[0]

    @flow
    def child():
        return set(FlowRunContext.get().flow_run.tags)

    @flow
    def main():
        own = FlowRunContext.get().flow_run
        with tags("inside"):
            assert sorted(own.tags) == ["outside"], "those of a run are those at its beginning"
            found = [child(), run()]
        return [*found, run(), sorted(own.tags)]

    with tags("outside"):
        inner, first, second, own = main()
    assert inner == {"outside", "inside"}
    assert own == ["outside"]
    assert first == {"own", "outside", "inside"}
    assert second == {"own", "outside"}


def test_a_record_brings_its_tags():
    """CX-06"""

    @flow
    def main():
        return tagged()

    assert run_flow(main, flow_run=FlowRun(tags=["given"])) == {"own", "given"}
