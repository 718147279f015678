"""Assets: their keys, their properties, and the tasks that make them."""

from __future__ import annotations

import asyncio
import copy
import pickle

import cloudpickle
import pytest
from pydantic import ValidationError

from oxtask import Task, flow, task
from oxtask.assets import (
    MAX_ASSET_DESCRIPTION_LENGTH,
    Asset,
    AssetProperties,
    add_asset_metadata,
    materialize,
)
from oxtask.context import TaskRunContext
from oxtask.tasks import MaterializingTask


def fn(x=1):
    return x


# --- the model ------------------------------------------------------------------------------------


def test_an_asset_has_a_key_and_properties_and_does_not_change():
    """33.1"""
    asset = Asset(key="s3://a", properties={"name": "a"}, unknown=1)
    assert asset.properties == AssetProperties(name="a")
    assert not hasattr(asset, "unknown")
    assert Asset(key="s3://a").properties is None
    with pytest.raises(TypeError):
        Asset("s3://a")
    with pytest.raises(ValidationError):
        asset.key = "s3://b"


@pytest.mark.parametrize("key", ["", "a", "a/b", "S3://a", "a+b://c", "a-b://c", "://a", "s3:/a"])
def test_a_key_is_a_uri(key):
    """33.2, 42.16"""
    with pytest.raises(ValidationError, match="Key must be a valid URI"):
        Asset(key=key)


@pytest.mark.parametrize("character", "\n\r\t\0 #?&%\"'<>[]{}|\\^`")
def test_some_characters_cannot_be_in_a_key(character):
    """33.2"""
    with pytest.raises(ValueError, match="Asset key cannot contain '") as caught:
        Asset(key=f"s3://a{character}b")
    assert f"contain '{repr(character)[1:-1]}'; leave" in str(caught.value)


def test_a_key_has_a_longest_length():
    """33.2, 42.17: characters are looked at first, then the length, then the form"""
    assert len(Asset(key="s3://" + "a" * 507).key) == 512
    with pytest.raises(ValueError, match="Asset key cannot exceed 512 characters"):
        Asset(key="a" * 513)
    with pytest.raises(ValueError, match="Asset key cannot contain ' '"):
        Asset(key=" " * 513)


@pytest.mark.parametrize(
    "key",
    [
        *("s3://", "s3://a", "1s://a", "s3:///abs", "s3://a//b/", "x://;*,$!@=+:", "s3://\u00e9"),
        *("scheme://user@host/x", "protocol://host:8080/path", "s3://A", "s3://a\vb"),
    ],
)
def test_other_keys_are_taken_as_they_are(key):
    """33.3, 33.4"""
    assert Asset(key=key).key == key


def test_assets_with_the_same_key_are_the_same():
    """33.5, W47"""
    plain, named = Asset(key="s3://a"), Asset(key="s3://a", properties={"name": "a"})
    assert plain == named
    assert len({plain, named, Asset(key="s3://b")}) == 2
    assert hash(plain) == hash("s3://a")
    assert plain != "s3://a"
    assert repr(named) == "Asset(key='s3://a')"


def test_properties_are_optional_and_checked():
    """33.6, 42.18"""
    assert AssetProperties().model_dump(exclude_none=True) == {}
    properties = AssetProperties(name="n", url="u", description="d", owners=["me"])
    with pytest.raises(ValidationError):
        properties.name = "other"
    assert MAX_ASSET_DESCRIPTION_LENGTH == 2500
    with pytest.raises(ValidationError, match="String should have at most 2500 characters"):
        AssetProperties(description="d" * 2501)
    with pytest.raises(ValidationError):
        AssetProperties(owners="me")
    with pytest.raises(TypeError):
        hash(properties)


# --- the decorator --------------------------------------------------------------------------------


def test_a_function_that_makes_assets_is_a_task():
    """33.7, 33.9, 33.10"""
    other = Asset(key="s3://b")
    made = materialize("s3://a", other, "s3://a", by="dbt", retries=2, tags=["t"], version="1")(fn)
    assert isinstance(made, MaterializingTask)
    assert isinstance(made, Task)
    assert made.assets == [Asset(key="s3://a"), other, Asset(key="s3://a")]
    assert (made.materialized_by, made.retries, made.tags, made.version) == ("dbt", 2, {"t"}, "1")

    @flow
    def main():
        return made(3), made.submit(4).result(), made.map([5]).result()

    assert main() == (3, 4, [5])


def test_methods_and_async_functions_can_make_assets():
    """33.10"""

    class Holder:
        @materialize("s3://a")
        async def method(self, x):
            return self, x

    holder = Holder()
    assert asyncio.run(holder.method(1)) == (holder, 1)
    assert holder.method.assets == [Asset(key="s3://a")]


def test_an_asset_is_required():
    """33.7"""
    with pytest.raises(TypeError, match="requires at least one asset argument"):
        materialize()
    with pytest.raises(TypeError):
        MaterializingTask(fn)


def test_the_decorator_needs_parentheses():
    """33.8, W48"""
    with pytest.raises(TypeError, match=r"takes assets or their keys; got .*parentheses"):

        @materialize
        def orders():
            return None

    with pytest.raises(TypeError, match="got 5"):
        materialize("s3://a", 5)


def test_keys_and_options_are_checked_when_the_decorator_is_applied():
    """33.7, 33.9"""
    for wrong, error in (
        (materialize("no-uri"), ValidationError),
        (materialize("s3://a", retrys=1), TypeError),
        (materialize("s3://a", retries=-1), ValueError),
    ):
        with pytest.raises(error):
            wrong(fn)
    with pytest.raises(TypeError, match="'assets' must hold assets or their keys; got 5"):
        MaterializingTask(fn, assets=[5])
    assert MaterializingTask(fn, assets="s3://a").assets == [Asset(key="s3://a")]


def test_hooks_of_transactions_are_options():
    """33.7"""
    made = materialize("s3://a", on_commit=[print], on_rollback=[max])(fn)
    assert (made.on_commit_hooks, made.on_rollback_hooks) == ([print], [max])


def test_a_task_with_other_assets():
    """33.11, 33.13"""
    made = materialize("s3://a", by="dbt", version="1", on_commit=[print], asset_deps="s3://d")(fn)
    same = made.with_options(name="n")
    assert type(same) is MaterializingTask
    assert (same.assets, same.materialized_by, same.version) == (made.assets, "dbt", "1")
    assert same.assets is not made.assets
    assert same.asset_deps == made.asset_deps
    assert same.asset_deps is not made.asset_deps
    assert same.on_commit_hooks == [print]
    assert same.on_commit_hooks is not made.on_commit_hooks
    assert made.with_options(["s3://b"]).assets == [Asset(key="s3://b")]
    assert made.with_options(assets=[]).assets == []
    assert made.with_options(assets=None).assets == made.assets


def test_options_are_replaced_by_one_rule():
    """33.12, W49"""
    made = materialize("s3://a", by="dbt", tags=["t"], name="n", retries=2)(fn)
    other = made.with_options(tags=[], name=None, retries=None, by="spark")
    assert (other.tags, other.name, other.retries, other.materialized_by) == (
        *(set(), "fn", 0),
        "spark",
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'retrys'"):
        made.with_options(retrys=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'materialized_by'"):
        made.with_options(materialized_by="x")


def test_tasks_that_make_assets_survive_pickling_and_copying():
    """33.10"""
    made = materialize(Asset(key="s3://a", properties={"owners": ["me"]}), by="x")(lambda x: x)
    for other in (cloudpickle.loads(cloudpickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert (other(3), other.assets, other.materialized_by) == (3, made.assets, "x")
        assert other.assets[0].properties.owners == ["me"]
    assert pickle.loads(pickle.dumps(Asset(key="s3://a"))) == Asset(key="s3://a")


# --- metadata -------------------------------------------------------------------------------------


def test_metadata_is_added_in_the_task_that_makes_the_asset():
    """34.13, 42.15"""
    asset, seen = Asset(key="s3://a"), []

    @materialize(asset, retries=1)
    def made():
        asset.add_metadata({"rows": 1, "kept": True})
        add_asset_metadata("s3://a", {"rows": 2})
        seen.append(TaskRunContext.get().asset_metadata)
        with pytest.raises(ValueError, match="Can only add metadata to assets that are arguments"):
            add_asset_metadata("s3://other", {})
        if len(seen) == 1:
            raise LookupError

    made()
    assert seen == [{"s3://a": {"rows": 2, "kept": True}}] * 2
    assert seen[0] is not seen[1]
    with pytest.raises(RuntimeError, match="in a task only"):
        asset.add_metadata({})
    with pytest.raises(ValueError, match="arguments to @materialize"):
        task(lambda: asset.add_metadata({}))()
