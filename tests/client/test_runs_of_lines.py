"""Runs that only a line of the log tells of can be read back like all others."""

from __future__ import annotations

import logging

import pytest

from oxtask import flow, tags, task
from oxtask.client.orchestration import get_client


@pytest.fixture
def heard(caplog):
    """Return a function that returns the ids of the runs whose lines were logged."""
    caplog.set_level(logging.INFO, logger="oxtask")
    return lambda: [
        record.task_run_id for record in caplog.records if record.name == "oxtask.task_runs"
    ]


@pytest.fixture
def read():
    """Return a function that reads a run back; while none is read, not every run is recorded."""

    def read_task_run(number):
        with get_client(sync_client=True) as client:
            return client.read_task_run(number)

    return read_task_run


@task(tags={"own"}, version="7")
def double(x):
    return 2 * x


def facts(run):
    """Return what does not depend on when the run was made."""
    return (
        run.task_key,
        run.task_version,
        run.tags,
        run.flow_run_id,
        run.flow_run_run_count,
        run.run_count,
        {name: list(map(str, sources)) for name, sources in run.task_inputs.items()},
        [run.state.name, run.state.type, run.state.message],
        run.state.state_details.model_dump(exclude={"task_run_id"}),
        run.name.split("-")[0],
        run.name[-3:] == run.dynamic_key[:3],
        run.created is None,
        run.expected_start_time <= run.start_time <= run.end_time == run.state.timestamp,
        run.total_run_time == run.end_time - run.start_time,
    )


def test_a_run_that_was_only_logged_reads_like_one_that_was_looked_at(heard, read):
    """20.2, LG-12"""

    @flow
    def main():
        with tags("around"):
            double(1)
            double.submit(1).wait()
            return double.submit(1, return_state=True)

    looked_at = main()
    runs = [read(number) for number in heard()]
    assert len(runs) == 3
    assert runs[2].id == looked_at.state_details.task_run_id
    assert runs[2].tags == ["around", "own"]
    assert facts(runs[0]) == facts(runs[1]) == facts(runs[2])


def test_a_run_that_was_only_logged_knows_where_its_arguments_came_from(heard, read):
    """20.2"""

    @flow
    def main():
        double.submit(double.submit(1)).wait()

    main()
    first, second = (read(number) for number in heard())
    assert [source.id for source in second.task_inputs["x"]] == [first.id]


def test_a_run_that_failed_knows_where_its_arguments_came_from(heard, read):
    """20.2"""

    @task
    def fails(x):
        raise ValueError

    @flow
    def main():
        future = double.submit(1)
        fails.submit(future).wait()
        return future.task_run_id

    first = main()
    run = read(heard()[-1])
    assert run.state.is_failed()
    assert [source.id for source in run.task_inputs["x"]] == [first]


def test_a_run_in_a_run_that_were_only_logged_knows_its_parent(heard, read):
    """20.2"""

    @task
    def outer():
        return double(1)

    outer()
    inner, parent = (read(number) for number in heard())
    assert [source.id for source in inner.task_inputs["__parents__"]] == [parent.id]
