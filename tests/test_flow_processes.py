"""Flow runs in a process of their own."""

from __future__ import annotations

import os

import pytest

from oxtask import flow, tags, task
from oxtask.context import FlowRunContext, TagsContext, serialize_context
from oxtask.exceptions import Pause
from oxtask.flow_engine import run_flow_in_subprocess
from oxtask.states import Failed, Paused


def exit_code(made, **options):
    process = run_flow_in_subprocess(made, **options)
    process.join(50)
    return process.exitcode


@pytest.mark.parametrize("is_async", [False, True])
def test_a_process_has_the_parameters_the_context_and_the_environment(
    is_async, tmp_path, monkeypatch
):
    """FL-25: futures are waited for, variables that are None are not there"""
    monkeypatch.setenv("OXTASK_OF_THE_PARENT", "1")

    def look(path, x, y=2):
        seen = (
            x + y,
            sorted(TagsContext.get().current_tags),
            FlowRunContext.get().flow_run.name,
            os.environ.get("OXTASK_GIVEN"),
            "OXTASK_OF_THE_PARENT" in os.environ,
            os.getpid() != parent,
        )
        path.write_text(repr(seen))

    async def alook(path, x, y=2):
        look(path, x, y)

    parent = os.getpid()
    child = flow(alook if is_async else look, flow_run_name="child")
    env = {"OXTASK_GIVEN": "2", "OXTASK_OF_THE_PARENT": None}

    @flow
    def main():
        future = task(lambda: 5).submit()
        given = {"path": tmp_path / "seen", "x": future}
        with tags("a"):
            return exit_code(child, parameters=given, wait_for=[future], env=env)

    assert main() == 0
    assert (tmp_path / "seen").read_text() == repr((7, ["a"], "child", "2", False, True))


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (flow(lambda: Paused()), 0),
        (flow(lambda: exec("raise pause", {"pause": Pause()})), 0),
        (flow(lambda: Failed()), 1),
        (flow(lambda: 1 / 0), 1),
        (flow(lambda: exec("raise SystemExit(3)")), 3),
    ],
)
def test_the_exit_code_says_how_the_run_ended(made, code):
    """FL-25"""
    assert exit_code(made, context={}) == code


def test_a_failed_upstream_keeps_the_run_from_starting():
    """FL-25, FL-96"""

    @flow
    def main():
        failed = task(lambda: 1 / 0).submit()
        return exit_code(flow(lambda: None), wait_for=[failed], context=serialize_context())

    assert main() == 1


def test_a_generator_has_nobody_to_consume_it_there():
    """FL-25, FL-115"""

    @flow
    def items():
        yield 1

    with pytest.raises(ValueError, match="run it where its items are consumed"):
        run_flow_in_subprocess(items)
