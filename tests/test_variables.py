"""Variables: named values that outlive a program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from oxtask import flow, get_client, task
from oxtask.client.schemas.actions import VariableCreate, VariableUpdate
from oxtask.exceptions import ObjectAlreadyExists, ObjectNotFound
from oxtask.testing.utilities import oxtask_test_harness
from oxtask.variables import Variable


@pytest.fixture(autouse=True)
def empty_home():
    with oxtask_test_harness():
        yield


@pytest.mark.parametrize(
    "value", ["text", "", 1, -2.5, True, None, [1, [2, None]], {"a": {"b": [1, "x"]}, "": 0}]
)
def test_a_value_comes_back_as_it_was(value):
    """VA-01"""
    variable = Variable.set("my-name_1", value, tags=["a", "b"])

    assert (variable.name, variable.value, variable.tags) == ("my-name_1", value, ["a", "b"])
    found = Variable.get("my-name_1", default="other")
    assert found == value
    assert type(found) is type(value)


def test_a_variable_that_exists_is_replaced_only_on_purpose():
    """VA-01"""
    Variable.set("a", 1)

    with pytest.raises(ValueError, match=r"'a' already exists\. Use `overwrite=True`"):
        Variable.set("a", 2)
    assert Variable.get("a") == 1
    assert Variable.set("a", 2, overwrite=True).value == 2
    assert Variable.get("a") == 2


def test_what_is_not_there_has_the_default():
    """VA-01"""
    assert Variable.get("a") is None
    assert Variable.get("a", default=3) == 3


def test_unset_tells_whether_there_was_one():
    """VA-01"""
    Variable.set("a", 1)

    assert Variable.unset("a") is True
    assert Variable.unset("a") is False
    assert Variable.get("a") is None


@pytest.mark.parametrize("name", ["", "A", "a b", "a.b", "ä", "a/b", 3])
def test_names_are_lowercase_letters_digits_dashes_and_underscores(name):
    """VA-01"""
    with pytest.raises(ValueError, match="must only contain lowercase letters, numbers, and dash"):
        Variable.set(name, 1)


def test_names_have_at_most_255_characters():
    """VA-01"""
    Variable.set("a" * 255, 1)
    with pytest.raises(ValueError, match="at most 255"):
        Variable.set("a" * 256, 1)


def _circle():
    circle = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (object(), "`value` must"),
        ((1, 2), "`value` must"),
        (float("nan"), "`value` must"),
        ([1, {"a": float("inf")}], r"`value\[1\]\['a'\]` must"),
        ({1: 2}, "`value` must"),
        (b"x", "`value` must"),
        (_circle(), "contains itself"),
    ],
)
def test_values_that_json_would_change_are_refused(value, part):
    """VA-01"""
    with pytest.raises(ValueError, match=part):
        Variable.set("a", value)
    assert Variable.get("a") is None


def test_the_async_twins_do_the_same():
    """VA-01"""

    async def main():
        await Variable.aset("a", 1, tags=["t"])
        with pytest.raises(ValueError, match="overwrite=True"):
            await Variable.aset("a", 2)
        found = await Variable.aget("a"), await Variable.aget("b", default=7)
        return found, await Variable.aunset("a"), await Variable.aunset("a")

    assert asyncio.run(main()) == ((1, 7), True, False)


def test_in_async_runs_the_sync_names_return_awaitables():
    """AR-02"""

    @task
    def plain():
        return Variable.get("a")

    @flow
    async def program():
        await Variable.set("a", 5)
        return await Variable.get("a"), plain(), await Variable.unset("a")

    assert asyncio.run(program()) == (5, 5, True)


def test_another_process_reads_what_this_one_has_set():
    """VA-01"""
    Variable.set("a", {"x": [1]})

    code = "from oxtask.variables import Variable; print(Variable.get('a'))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert printed.stdout == "{'x': [1]}\n"


def test_many_who_set_variables_at_the_same_time_lose_nothing():
    """VA-01"""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Variable.set(f"v{number}", number), range(24)))

    assert [Variable.get(f"v{number}") for number in range(24)] == list(range(24))


def test_clients_know_the_names_of_the_reference():
    """VA-01"""
    client = get_client(sync_client=True)
    made = client.create_variable(VariableCreate(name="b", value=1, tags=["t"]))
    with pytest.raises(ObjectAlreadyExists, match="overwrite"):
        client.create_variable(VariableCreate(name="b", value=1))
    Variable.set("a", 0)
    client.update_variable(VariableUpdate(name="b", value=2))

    found = client.read_variable_by_name("b")
    assert (found.id, found.value, found.tags) == (made.id, 2, [])
    assert found.created == made.created < found.updated
    assert [each.name for each in client.read_variables()] == ["a", "b"]
    assert [each.name for each in client.read_variables(limit=1)] == ["a"]
    assert client.read_variable_by_name("c") is None
    client.delete_variable_by_name("b")
    for use in (
        lambda: client.delete_variable_by_name("b"),
        lambda: client.update_variable(VariableUpdate(name="b", value=2)),
    ):
        with pytest.raises(ObjectNotFound, match="no variable 'b'"):
            use()
    assert asyncio.run(get_client().read_variables())[0].name == "a"
