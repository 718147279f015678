"""Whether a second run of a task is served from the cache, by options and settings."""

from __future__ import annotations

import pytest

from oxtask import flow, task
from oxtask.cache_policies import INPUTS, NO_CACHE
from oxtask.settings import temporary_settings

RAN, HIT = ["Completed", "Completed"], ["Completed", "Cached"]


def names_of_two_runs(calls, options, way="call", **flow_options):
    @task(**options)
    def double(x):
        calls.append(x)
        return 2 * x

    @flow(**flow_options)
    def whole():
        if way == "call":
            states = [double(1, return_state=True) for _ in range(2)]
        elif way == "submit":
            states = []
            for _ in range(2):
                future = double.submit(1)
                future.wait()
                states.append(future.state)
        else:
            states = []
            for _ in range(2):
                futures = double.map([1])
                futures.wait()
                states.append(futures[0].state)
        assert [state.result() for state in states] == [2, 2]
        return [state.name for state in states]

    return whole()


ROWS = [
    ({}, RAN, 0),
    ({"persist_result": True}, HIT, 1),
    ({"persist_result": False}, RAN, 0),
    ({"cache_policy": INPUTS}, HIT, 1),
    ({"cache_policy": NO_CACHE}, RAN, 0),
    ({"cache_policy": NO_CACHE, "persist_result": True}, RAN, 2),
    ({"cache_policy": None, "persist_result": True}, RAN, 2),
    ({"cache_policy": INPUTS, "persist_result": False}, RAN, 0),
    ({"result_storage_key": "k"}, HIT, 1),
    ({"result_storage_key": "k", "cache_policy": INPUTS}, HIT, 1),
    ({"result_storage_key": "k", "cache_key_fn": lambda *_: "other"}, HIT, 1),
    ({"result_storage_key": "k", "cache_policy": NO_CACHE}, RAN, 2),
    ({"result_storage_key": "k", "persist_result": False}, RAN, 0),
    ({"result_serializer": "json"}, HIT, 1),
    ({"cache_key_fn": lambda *_: "ck"}, HIT, 1),
    ({"cache_key_fn": lambda *_: None}, RAN, 2),
]


@pytest.mark.parametrize("way", ["call", "submit", "map"])
@pytest.mark.parametrize(("options", "names", "files"), ROWS)
def test_a_second_run_hits_if_the_options_say_so(  # noqa: PLR0917 - the columns of the table
    way, options, names, files, folder, calls
):
    """5.3, A8, A9, W-K1"""
    with temporary_settings({"results.local_storage_path": folder}):
        assert names_of_two_runs(calls, options, way) == names
    assert len(calls) == names.count("Completed")
    found = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    assert len(found) == files


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, HIT),
        ({"persist_result": True}, HIT),
        ({"persist_result": False}, RAN),
        ({"cache_policy": INPUTS}, HIT),
        ({"cache_policy": NO_CACHE}, RAN),
    ],
)
def test_settings_decide_for_tasks_that_do_not_say(options, names, calls):
    """5.3"""
    with temporary_settings({"results.persist_by_default": True}):
        assert names_of_two_runs(calls, options) == names


def test_a_setting_for_tasks_beats_what_their_flow_says(calls):
    """5.3, A22"""
    with temporary_settings({"tasks.default_persist_result": False}):
        assert names_of_two_runs(calls, {}, persist_result=True) == RAN


def test_a_flow_that_keeps_results_has_its_tasks_keep_them(calls):
    """A31"""
    assert names_of_two_runs(calls, {}, persist_result=True) == HIT


def test_a_flow_that_keeps_nothing_beats_the_settings(calls):
    """A22"""
    with temporary_settings({"results.persist_by_default": True}):
        assert names_of_two_runs(calls, {}, persist_result=False) == RAN
