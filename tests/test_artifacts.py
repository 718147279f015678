"""Artifacts: what runs leave for people to look at."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from oxtask import flow, get_client, task
from oxtask.artifacts import (
    Artifact,
    TableArtifact,
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from oxtask.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from oxtask.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from oxtask.client.schemas.sorting import ArtifactSort
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import ObjectNotFound
from oxtask.testing.utilities import oxtask_test_harness

client = get_client(sync_client=True)


@pytest.fixture(autouse=True)
def empty_home():
    with oxtask_test_harness():
        yield


def in_flow(function):
    """Return what a function returns in a flow run."""
    return flow(function, validate_parameters=False)()


@pytest.mark.parametrize(
    ("make", "kind", "data"),
    [
        (lambda: create_link_artifact("http://x", key="k"), "markdown", "[http://x](http://x)"),
        (lambda: create_link_artifact("http://x", "X", key="k"), "markdown", "[X](http://x)"),
        (lambda: create_markdown_artifact("# x", key="k"), "markdown", "# x"),
        (lambda: create_table_artifact([[1, 2]], key="k"), "table", "[[1, 2]]"),
        (lambda: create_table_artifact({"a": [1]}, key="k"), "table", '{"a": [1]}'),
        (lambda: create_progress_artifact(12.5, key="k"), "progress", 12.5),
        (lambda: create_image_artifact("http://i", key="k"), "image", "http://i"),
        (lambda: Artifact(key="k", type="own", data={"a": 1}).create().id, "own", '{"a": 1}'),
    ],
)
def test_an_artifact_is_kept_as_its_kind_says(make, kind, data):
    """AR-01"""
    number = in_flow(make)

    assert isinstance(number, UUID)
    found = Artifact.get("k")
    assert (found.id, found.key, found.type, found.data) == (number, "k", kind, data)
    assert found.created == found.updated


def test_an_artifact_belongs_to_the_runs_that_make_it():
    """AR-01"""

    @task
    def body():
        create_markdown_artifact("x", key="task", description="d")
        return TaskRunContext.get().task_run.id

    @flow
    def program():
        create_markdown_artifact("x", key="flow")
        return FlowRunContext.get().flow_run.id, body(), body.submit().result()

    flow_run_id, _, task_run_id = program()

    by_task, by_flow = Artifact.get("task"), Artifact.get("flow")
    assert (by_task.flow_run_id, by_task.task_run_id) == (flow_run_id, task_run_id)
    assert (by_flow.flow_run_id, by_flow.task_run_id) == (flow_run_id, None)
    assert by_task.description == "d"


def test_outside_of_runs_there_is_a_warning():
    """AR-01"""
    with pytest.warns(FutureWarning, match="outside of a flow or task run"):
        create_markdown_artifact("x", key="k")
    assert Artifact.get("k").flow_run_id is None


def test_numbers_in_tables_that_are_none_are_null():
    """AR-01"""
    nan = float("nan")
    in_flow(lambda: create_table_artifact([{"a": nan, "b": [nan, 1.5]}], key="k"))

    assert json.loads(Artifact.get("k").data) == [{"a": None, "b": [None, 1.5]}]


@pytest.mark.parametrize(("given", "kept"), [(-3, 0), (100.5, 100), (0, 0), (100, 100)])
def test_progress_stays_between_0_and_100(given, kept, lines):
    """AR-01"""
    in_flow(lambda: create_progress_artifact(given, key="k"))

    assert Artifact.get("k").data == kept
    assert bool(lines("WARNING")) == (given != kept)


def test_progress_is_updated_in_place(lines):
    """AR-01"""
    number = in_flow(lambda: create_progress_artifact(0, key="k", description="first"))

    assert update_progress_artifact(number, 50) == number
    assert (Artifact.get("k").data, Artifact.get("k").description) == (50, "first")
    update_progress_artifact(number, 150, description="last")
    assert (Artifact.get("k").data, Artifact.get("k").description) == (100, "last")
    assert len(lines("WARNING")) == 1
    assert Artifact.get("k").created < Artifact.get("k").updated
    with pytest.raises(ObjectNotFound, match="no artifact"):
        update_progress_artifact(uuid4(), 1)


@pytest.mark.parametrize("key", ["A", "a_b", "a b", "", "../x", "a" * 151])
def test_keys_are_lowercase_letters_digits_and_dashes(key):
    """AR-01"""
    with pytest.raises(ValueError, match="Artifact key must"):
        in_flow(lambda: create_markdown_artifact("x", key=key))
    assert client.read_artifacts() == []


@pytest.mark.parametrize(
    "make", [lambda: create_table_artifact("abc"), lambda: create_progress_artifact("much")]
)
def test_data_of_another_kind_is_refused(make):
    """AR-01"""
    with pytest.raises(ValueError, match="validation error"):
        in_flow(make)


def test_the_newest_artifact_of_a_key_counts():
    """AR-01"""
    in_flow(lambda: [create_markdown_artifact(text, key="k") for text in "abc"])

    assert Artifact.get("k").data == "c"
    assert Artifact.get("other") is None
    assert Artifact.get().data == "c"


def test_get_or_create_makes_one_if_there_is_none():
    """AR-01"""

    def program():
        made, is_new = Artifact.get_or_create(key="k", description="d", data={"a": 1})
        found, is_new_again = TableArtifact.get_or_create(key="k", table=[[1]])
        table, is_new_table = TableArtifact.get_or_create(key="t", table=[[1]])
        return made == found, is_new, is_new_again, is_new_table, table.type

    assert in_flow(program) == (True, True, False, True, "table")


def test_the_async_twins_do_the_same():
    """AR-01"""

    @flow
    async def program():
        await acreate_link_artifact("http://x", key="k1")
        await acreate_markdown_artifact("x", key="k2")
        await acreate_table_artifact([[1]], key="k3")
        number = await acreate_progress_artifact(1, key="k4")
        await aupdate_progress_artifact(number, 2)
        await acreate_image_artifact("http://x", key="k5")
        await Artifact.aget_or_create(key="k6", data=1)
        return (await Artifact.aget("k4")).data

    assert asyncio.run(program()) == 2
    keys = {each.key: each.flow_run_id for each in client.read_artifacts()}
    assert sorted(keys) == ["k1", "k2", "k3", "k4", "k5", "k6"]
    assert None not in keys.values()


def test_in_async_runs_the_sync_names_return_awaitables():
    """AR-02"""

    @flow
    async def program():
        await create_markdown_artifact("x", key="k")
        number = await create_progress_artifact(1)
        await update_progress_artifact(number, 2)
        assert await Artifact(data=1).format() == "1"
        return (await Artifact.get("k")).data, (await Artifact.get_or_create("k"))[1]

    assert asyncio.run(program()) == ("x", False)


def test_a_kind_of_ones_own_says_what_is_kept():
    """AR-01"""

    class Shout(Artifact):
        text: str

        def format(self):
            return self.text.upper()

    in_flow(lambda: Shout(key="k", text="hey").create())

    assert Artifact.get("k").data == "HEY"


def test_clients_know_the_names_of_the_reference():
    """AR-01"""
    made = [client.create_artifact(ArtifactCreate(key=key, type="t", data=1)) for key in "abab"]
    client.create_artifact(ArtifactCreate(data=2))
    client.update_artifact(made[0].id, ArtifactUpdate(data=[3]))

    key = ArtifactFilterKey(any_=["a"])
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=key), sort=ArtifactSort.UPDATED_DESC
    )
    assert [each.id for each in found] == [made[0].id, made[2].id]
    assert found[0].data == [3]
    assert [each.key for each in client.read_artifacts(sort="KEY_ASC", limit=4)] == list("aabb")
    assert {each.id for each in client.read_latest_artifacts()} == {made[2].id, made[3].id}
    assert len(client.read_artifacts(offset=1)) == 4
    client.delete_artifact(made[0].id)
    for use in (
        lambda: client.delete_artifact(made[0].id),
        lambda: client.update_artifact(made[0].id, ArtifactUpdate(data=1)),
    ):
        with pytest.raises(ObjectNotFound, match="no artifact"):
            use()
    assert len(asyncio.run(get_client().read_artifacts())) == 4
