"""Tasks with other options."""

from __future__ import annotations

import functools

import pytest

from oxtask import Task, flow, task
from oxtask.assets import Asset
from oxtask.cache_policies import INPUTS
from oxtask.settings import temporary_settings
from oxtask.tasks import TaskOptions


def fn(x=1):
    """Documented."""
    return x


def hook(*_):
    return None


def other(*_):
    return None


GIVEN = {
    "name": "name",
    "description": "description",
    "tags": {"a"},
    "cache_policy": INPUTS,
    "cache_key_fn": hook,
    "cache_expiration": object(),
    "task_run_name": "run",
    "retries": 2,
    "retry_delay_seconds": [1, 2],
    "retry_jitter_factor": 0.5,
    "persist_result": True,
    "result_storage": "storage",
    "result_serializer": "json",
    "result_storage_key": "key",
    "cache_result_in_memory": False,
    "timeout_seconds": 5.0,
    "log_prints": True,
    "refresh_cache": True,
    "on_completion": [hook],
    "on_failure": [hook],
    "on_running": [hook],
    "on_rollback": [hook],
    "on_commit": [hook],
    "retry_condition_fn": hook,
    "viz_return_value": 1,
    "asset_deps": [Asset(key="s3://a")],
    "hash_ignore": ("x",),
}
CHANGED = {
    "name": "other",
    "description": "other",
    "tags": {"b"},
    "cache_policy": None,
    "cache_key_fn": other,
    "cache_expiration": None,
    "task_run_name": "other",
    "retries": 0,
    "retry_delay_seconds": 0,
    "retry_jitter_factor": 1.5,
    "persist_result": False,
    "result_storage": "other",
    "result_serializer": "other",
    "result_storage_key": "other",
    "cache_result_in_memory": True,
    "timeout_seconds": 7.0,
    "log_prints": False,
    "refresh_cache": False,
    "on_completion": [other],
    "on_failure": [other, hook],
    "on_running": [other],
    "on_rollback": [other],
    "on_commit": [other],
    "retry_condition_fn": other,
    "viz_return_value": 2,
    "asset_deps": [Asset(key="s3://b")],
    "hash_ignore": ("y",),
}
CLEARED = {
    "name": (None, "fn"),
    "description": (None, "Documented."),
    "tags": ([], set()),
    "cache_key_fn": (None, None),
    "task_run_name": (None, None),
    "retries": (None, 0),
    "retry_delay_seconds": (None, 0),
    "retry_jitter_factor": (None, None),
    "persist_result": (None, True),  # the cache policy asks for it
    "result_storage": (None, None),
    "timeout_seconds": (0, None),
    "log_prints": (None, None),
    "refresh_cache": (None, None),
    "on_completion": ([], []),
    "on_failure": (None, []),
    "on_running": ([], []),
    "on_rollback": ([], []),
    "on_commit": (None, []),
    "retry_condition_fn": (None, None),
    "viz_return_value": (None, None),
    "asset_deps": ([], []),
    "hash_ignore": (None, ()),
}


def value_of(made, option):
    if option == "cache_policy":  # the one of the key function, or none with a storage key
        return made._given[option]
    return getattr(made, f"{option}_hooks" if option.startswith("on_") else option)


def test_every_option_is_covered_here():
    assert set(GIVEN) == set(CHANGED) == set(TaskOptions.__annotations__)


def test_a_new_task_keeps_what_is_not_named():
    """10.1, 10.3, V1"""
    made = task(fn, version="3", **GIVEN)
    new = made.with_options()
    assert new is not made
    assert new.fn is fn
    assert {option: value_of(new, option) for option in GIVEN} == GIVEN
    assert new.version == "3"


@pytest.mark.parametrize("option", CHANGED)
def test_an_option_can_be_replaced(option):
    """10.1, 10.3, 10.5, 10.6"""
    made = task(fn, **GIVEN)
    new = made.with_options(**{option: CHANGED[option]})
    for name in GIVEN:
        expected = CHANGED if name == option else GIVEN
        assert value_of(new, name) == expected[name]
        assert value_of(made, name) == GIVEN[name]


@pytest.mark.parametrize("option", CLEARED)
def test_an_option_can_be_cleared(option):
    """10.2, 10.3, 10.4, W17"""
    nothing, expected = CLEARED[option]
    new = task(fn, **GIVEN).with_options(**{option: nothing})
    assert value_of(new, option) == expected
    assert value_of(new.with_options(), option) == expected


def test_none_keeps_whether_results_stay_in_memory():
    """10.4"""
    made = task(fn, cache_result_in_memory=False)
    assert made.with_options(cache_result_in_memory=None).cache_result_in_memory is False


def test_a_subclass_stays_one():
    """10.1, W16"""

    class Special(Task):
        pass

    assert type(Special(fn).with_options(name="n")) is Special


def test_a_subclass_may_have_a_constructor_of_its_own():
    """10.1, W16: what it keeps is kept"""

    class Owned(Task):
        def __init__(self, fn, owner, **options):
            super().__init__(fn, **options)
            self.owner = owner

    made = Owned(fn, "me", retries=1)
    made.note = "mine"
    new = made.with_options(name="n")
    assert (new.owner, new.note, new.name, new.retries) == ("me", "mine", "n", 1)
    assert made.name == "fn"
    assert new() == 1


def test_version_and_unknown_options_are_refused():
    """10.9"""
    made = task(fn)
    with pytest.raises(TypeError, match="unexpected keyword argument 'version'"):
        made.with_options(version="1")
    with pytest.raises(TypeError, match=r"with_options\(\) got .* 'retrys'; the options are: name"):
        made.with_options(retrys=1)
    with pytest.raises(TypeError):
        made.with_options("name")


def test_tags_and_hooks_are_not_shared():
    """10.5, 10.8, W19"""
    made = task(fn, tags=["a"], on_failure=[hook])
    new = made.with_options(name="n")
    made.tags.add("b")
    new.on_failure(other)
    assert new.tags == {"a"}
    assert made.on_failure_hooks == [hook]
    assert new.on_failure_hooks == [hook, other]


def test_hooks_and_tags_that_were_added_are_kept():
    """10.3"""
    made = task(fn)
    made.on_completion(hook)
    made.on_commit(hook)
    made.tags.add("a")
    new = made.with_options(name="n")
    assert new.on_completion_hooks == [hook]
    assert new.on_commit_hooks == [hook]
    assert new.tags == {"a"}


@pytest.mark.parametrize("option", ["name", "retries", "timeout_seconds", "task_run_name"])
def test_an_option_that_was_set_later_is_kept(option):
    """6.5, 10.3"""
    made = task(fn)
    setattr(made, option, CHANGED[option])
    assert value_of(made.with_options(tags=["a"]), option) == CHANGED[option]
    assert value_of(made.with_options(**{option: GIVEN[option]}), option) == GIVEN[option]


def test_a_function_makes_new_delays_for_other_retries():
    """10.7, W18, W25, TE-44"""
    made = task(fn, retries=2, retry_delay_seconds=lambda n: [n] * n)
    assert made.retry_delay_seconds == [2, 2]
    assert made.with_options(retries=3).retry_delay_seconds == [3, 3, 3]
    assert made.with_options(name="n").with_options(retries=1).retry_delay_seconds == [1]
    assert made.with_options(retries=3, retry_delay_seconds=5).retry_delay_seconds == 5


def test_retries_from_the_settings_are_kept():
    """10.3, 3.26"""
    with temporary_settings({"tasks.default_retries": 4, "tasks.default_retry_delay_seconds": 2}):
        made = task(fn)
    new = made.with_options(name="n")
    assert (new.retries, new.retry_delay_seconds) == (4, 2)
    assert made.with_options(retries=None).retries == 0


def test_a_key_function_survives_another_policy():
    """10.10"""
    assert task(fn, cache_key_fn=hook).with_options(cache_policy=None).cache_key_fn is hook


@pytest.mark.parametrize("given", [None, True, False])
def test_what_follows_from_options_is_not_taken_for_one(given):
    """4.12, 10.12"""
    base = task(fn, persist_result=given)
    assert base.with_options(name="n").persist_result is given
    named = base.with_options(result_serializer="json").with_options(result_serializer=None)
    assert (named.persist_result, named.result_serializer) == (given, None)


def test_options_are_checked_again():
    """10.11"""
    with pytest.raises(TypeError, match="Invalid `retry_delay_seconds`"):
        task(fn).with_options(retry_delay_seconds={"a": 1})
    with pytest.raises(ValueError, match="'retries' must be 0 or more; got -1"):
        task(fn).with_options(retries=-1)


def test_a_bound_task_stays_bound():
    """9.12"""

    class Holder:
        def __init__(self, value):
            self.value = value

        @task
        def plus(self, x):
            return self.value + x

        @task
        @classmethod
        def name(cls):
            return cls.__name__

    assert Holder(1).plus.with_options(name="n")(2) == 3
    assert Holder.plus.with_options(name="n")(Holder(5), 2) == 7
    assert Holder.name.with_options(retries=1)() == "Holder"
    assert flow(lambda: Holder(1).plus.with_options(retries=1).map([1, 2]).result())() == [2, 3]


def test_a_hook_can_be_given_its_arguments():
    """38.5"""
    seen = []

    def noted(t, run, state, extra):
        seen.append((extra, state.name))

    @flow
    def main():
        made = task(fn).with_options(on_completion=[functools.partial(noted, extra="x")])
        made.submit(1).wait()

    main()
    assert seen == [("x", "Completed")]
