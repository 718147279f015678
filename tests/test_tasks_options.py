"""The options of tasks: defaults, checks, and errors that show the name and the value."""

from __future__ import annotations

import datetime
import math
import re
from pathlib import Path

import pytest

from oxtask import Task, task
from oxtask.assets import Asset
from oxtask.exceptions import ReservedArgumentError
from oxtask.settings import temporary_settings
from oxtask.tasks import exponential_backoff


def noop():
    return None


def refused(error, option, value, shown=None):
    """Check that an option is refused by an error that shows its name and the value."""
    with pytest.raises(error) as caught:
        task(noop, **{option: value})
    assert type(caught.value) is error
    assert option in str(caught.value)
    assert (repr(value) if shown is None else shown) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"), [("n", "n"), (None, "noop"), ("", "noop"), ("a b/c", "a b/c")]
)
def test_a_name_is_taken_or_derived(given, expected):
    """3.1"""
    assert task(noop, name=given).name == expected


def test_a_description_is_taken_or_derived():
    """3.2"""

    def documented():
        """Say something.

        In two lines.
        """

    assert task(documented).description == "Say something.\n\nIn two lines."
    assert task(documented, description="mine").description == "mine"
    assert task(noop).description is None


def test_tags_are_a_set_of_its_own():
    """3.3"""
    given = ["a", "b", "a"]
    made = task(noop, tags=given)
    assert made.tags == {"a", "b"}
    assert task(noop, tags=None).tags == task(noop, tags=[]).tags == set()
    shared = {"a"}
    assert task(noop, tags=shared).tags is not shared


def test_a_string_is_no_collection_of_tags():
    """3.3, W3"""
    assert "Use ['abc']" in refused(TypeError, "tags", "abc")


def test_tags_are_strings():
    """3.3, W3"""
    refused(TypeError, "tags", ["a", 5], "5")
    refused(TypeError, "tags", 5)


def test_a_version_is_recorded_with_the_runs():
    """3.4"""
    made = task(noop, version="2")
    assert made.version == "2"
    assert made(return_state=True).is_completed()


@pytest.mark.parametrize("name", [None, "", "run {x}", len])
def test_a_run_name_is_a_template_or_a_function(name):
    """3.14"""
    assert task(noop, task_run_name=name).task_run_name == name


def test_other_run_names_are_refused():
    """3.14, 42.1"""
    text = refused(TypeError, "task_run_name", 5)
    assert "Expected string or callable for 'task_run_name'; got int instead." in text


def test_retries_are_a_number():
    """3.15, W4"""
    assert task(noop, retries=3).retries == 3
    refused(TypeError, "retries", "3")
    refused(TypeError, "retries", 1.5)
    refused(TypeError, "retries", True)
    refused(ValueError, "retries", -1)


def test_retries_default_to_the_setting():
    """3.15, 3.26, TE-30"""
    assert task(noop).retries == 0
    with temporary_settings({"tasks.default_retries": 4}):
        made = task(noop)
        assert task(noop, retries=0).retries == 0
    assert made.retries == 4


@pytest.mark.parametrize("delay", [0, 1, 0.5, [1, 2.5], []])
def test_a_retry_delay_is_a_number_or_a_list_of_numbers(delay):
    """3.16, TE-33"""
    assert task(noop, retry_delay_seconds=delay).retry_delay_seconds == delay


def test_a_function_makes_the_retry_delays_when_the_task_is_made():
    """3.16, TE-32"""
    seen = []

    def delays(retries):
        seen.append(retries)
        return [1] * retries

    made = task(noop, retries=3, retry_delay_seconds=delays)
    assert made.retry_delay_seconds == [1, 1, 1]
    assert seen == [3]


def test_retry_delays_default_to_the_setting():
    """3.16"""
    assert task(noop).retry_delay_seconds == 0
    with temporary_settings({"tasks.default_retry_delay_seconds": [1, 2]}):
        assert task(noop).retry_delay_seconds == [1, 2]
        assert task(noop, retry_delay_seconds=0).retry_delay_seconds == 0


@pytest.mark.parametrize("delay", [(1, 2), {"a": 1}, "1", {1}, True, datetime.timedelta(1)])
def test_a_retry_delay_of_another_type_is_refused(delay):
    """3.16, TE-33, 42.8"""
    assert "Invalid" in refused(TypeError, "retry_delay_seconds", delay)


@pytest.mark.parametrize("delay", [-1, math.inf, math.nan])
def test_a_retry_delay_that_cannot_pass_is_refused(delay):
    """3.16"""
    refused(ValueError, "retry_delay_seconds", delay)
    refused(ValueError, "retry_delay_seconds", [0, delay], repr(delay))


def test_members_of_a_list_of_delays_are_numbers():
    """3.16"""
    refused(TypeError, "retry_delay_seconds", [1, "x"], "'x'")


def test_more_than_fifty_retry_delays_are_refused():
    """3.16, TE-34, 42.6"""
    assert len(task(noop, retry_delay_seconds=[1] * 50).retry_delay_seconds) == 50
    text = refused(ValueError, "retry_delay_seconds", [1] * 51, "51")
    assert "Can not configure more than 50 retry delays per task" in text
    with pytest.raises(ValueError, match="Can not configure more than 50"):
        task(noop, retries=60, retry_delay_seconds=lambda n: [1] * n)


def test_exponential_backoff_doubles_up_to_fifty_delays():
    """8.4, TE-34"""
    assert exponential_backoff(2)(4) == [2, 4, 8, 16]
    assert exponential_backoff(0.5)(3) == [0.5, 1, 2]
    assert len(task(noop, retries=99, retry_delay_seconds=exponential_backoff(1e-9)).fn.__name__)
    assert len(exponential_backoff(1)(99)) == 50


def test_a_jitter_factor_is_a_number_that_is_not_negative():
    """3.17, TE-35, 42.7"""
    assert task(noop, retry_jitter_factor=0.5).retry_jitter_factor == 0.5
    assert task(noop, retry_jitter_factor=0).retry_jitter_factor == 0
    text = refused(ValueError, "retry_jitter_factor", -0.1)
    assert "`retry_jitter_factor` must be >= 0" in text
    refused(ValueError, "retry_jitter_factor", math.nan)
    refused(TypeError, "retry_jitter_factor", "1")


def test_a_retry_condition_is_a_function():
    """3.18"""
    assert task(noop, retry_condition_fn=len).retry_condition_fn is len
    refused(TypeError, "retry_condition_fn", "len")


@pytest.mark.parametrize(
    ("given", "expected"), [(5, 5.0), (0.5, 0.5), (0, None), (None, None), ("5", 5.0)]
)
def test_a_timeout_is_a_number_of_seconds(given, expected):
    """3.19, TE-75"""
    made = task(noop, timeout_seconds=given).timeout_seconds
    assert made == expected
    assert type(made) is type(expected)


def test_other_timeouts_are_refused():
    """3.19"""
    refused(ValueError, "timeout_seconds", -1)
    refused(ValueError, "timeout_seconds", math.nan)
    refused(ValueError, "timeout_seconds", "soon")
    refused(TypeError, "timeout_seconds", datetime.timedelta(seconds=1))


HOOKS = ["on_completion", "on_failure", "on_running", "on_commit", "on_rollback"]


@pytest.mark.parametrize("option", HOOKS)
def test_hooks_are_kept_in_a_list_of_their_own(option):
    """3.21, 5.2, W9: iterators are read, tuples can be added to, lists are not shared"""

    def hook(*_):
        return None

    given = [hook]
    for hooks in (given, (hook,), iter([hook]), {hook: 1}):
        made = getattr(task(noop, **{option: hooks}), f"{option}_hooks")
        assert made == [hook]
        assert type(made) is list
        assert made is not hooks


@pytest.mark.parametrize("option", HOOKS)
@pytest.mark.parametrize("nothing", [None, [], ""])
def test_no_hooks_are_an_empty_list(option, nothing):
    """5.3"""
    assert getattr(task(noop, **{option: nothing}), f"{option}_hooks") == []


@pytest.mark.parametrize("option", HOOKS)
def test_hooks_that_are_no_iterable_are_refused(option):
    """5.1, 42.3"""
    text = refused(TypeError, option, 5)
    assert text.startswith(
        f"Expected iterable for '{option}'; got int instead. Please provide a list of hooks to "
        f"'{option}':\n\n@task({option}=[hook1, hook2])\ndef my_task():\n\tpass"
    )
    refused(TypeError, option, noop, "noop")


@pytest.mark.parametrize("option", HOOKS)
def test_hooks_that_cannot_be_called_are_refused(option):
    """5.1, 42.4, W7"""
    text = refused(TypeError, option, [noop, "test"], "'test'")
    assert text.startswith(
        f"Expected callables in '{option}'; got str instead. Please provide a list of hooks to "
        f"'{option}':\n\n@task({option}=[hook1, hook2])\ndef my_task():\n\tpass"
    )
    refused(TypeError, option, "test", "'t'")


@pytest.mark.parametrize("option", HOOKS)
def test_hooks_can_be_added_by_a_decorator(option):
    """5.4: it returns the function, and keeps their order"""
    made = task(noop)

    def first(*_):
        return None

    def second(*_):
        return None

    add = getattr(made, option)
    assert add(first) is first
    assert add(add(second)) is second
    assert getattr(made, f"{option}_hooks") == [first, second, second]


def test_reserved_parameter_names_are_refused():
    """14.1, 42.5"""

    def waits(wait_for):
        return wait_for

    def variadic(**return_state):
        return return_state

    with pytest.raises(ReservedArgumentError, match="'wait_for' is a reserved argument name"):
        task(waits)
    with pytest.raises(ReservedArgumentError, match="'return_state' is a reserved argument name"):
        task(variadic)
    with pytest.raises(TypeError, match="waits"):
        Task(waits)


def test_a_parameter_that_map_takes_for_itself_is_warned_of():
    """14.2, W23"""

    def fn(deferred):
        return deferred

    with pytest.warns(UserWarning, match=re.escape("'deferred' of 'fn'")) as caught:
        made = task(fn)
    assert caught[0].filename == __file__
    assert made(3) == 3


@pytest.mark.parametrize("storage", [None, "local/x", Path("x")])
def test_a_result_storage_is_a_name_or_a_folder(storage):
    """3.9, 4.11"""
    assert task(noop, result_storage=storage).result_storage == storage


def test_another_result_storage_is_refused():
    """4.11, 42.9"""
    text = refused(TypeError, "result_storage", 5)
    assert "Result storage configuration must be persisted server-side" in text


def test_asset_dependencies_are_assets_or_their_keys():
    """3.24, W8"""
    a, b = Asset(key="s3://a"), Asset(key="s3://b")
    assert task(noop, asset_deps=None).asset_deps == []
    for one in ("s3://a", a, ["s3://a"], iter([a])):
        assert task(noop, asset_deps=one).asset_deps == [a]
    assert task(noop, asset_deps=["s3://a", b]).asset_deps == [a, b]
    with pytest.raises(ValueError, match="Key must be a valid URI"):
        task(noop, asset_deps=["no-uri"])
    refused(TypeError, "asset_deps", [5], "5")
    refused(TypeError, "asset_deps", 5)


def test_the_first_thing_that_is_wrong_is_reported():
    """3.25"""

    def reserved(wait_for):
        return wait_for

    wrong = {
        "on_running": 1,
        "task_run_name": 2,
        "retry_delay_seconds": "3",
        "retry_jitter_factor": -4,
        "result_storage": 5,
        "retry_condition_fn": 6,
        "asset_deps": 7,
    }
    with pytest.raises(TypeError, match="on_running"):
        task("no function", **wrong)
    wrong.pop("on_running")
    with pytest.raises(TypeError, match="'fn'"):
        task("no function", **wrong)
    for option in list(wrong):
        if option == "retry_delay_seconds":
            with pytest.raises(ReservedArgumentError):
                task(reserved, **wrong)
        with pytest.raises((TypeError, ValueError), match=option):
            task(noop, **wrong)
        wrong.pop(option)


def test_options_for_later_are_kept_as_they_are():
    """3.5 to 3.13, 3.20, 3.23"""
    given = {
        "cache_expiration": datetime.timedelta(days=1),
        "persist_result": True,
        "result_serializer": "json",
        "cache_result_in_memory": False,
        "log_prints": True,
        "refresh_cache": False,
        "viz_return_value": 5,
    }
    made = task(noop, **given)
    assert {name: getattr(made, name) for name in given} == given


def test_a_result_that_is_not_kept_in_memory_is_still_returned():
    """3.12"""
    assert task(lambda: 3, cache_result_in_memory=False)() == 3
