"""Cache policies: their keys and their algebra."""

from __future__ import annotations

import threading
from dataclasses import fields
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from oxtask import cache_policies as policies
from oxtask import task
from oxtask.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    CompoundCachePolicy,
    FlowParameters,
    Inputs,
    RunId,
    TaskSource,
)
from oxtask.exceptions import HashError
from oxtask.tasks import task_input_hash
from oxtask.utilities.hashing import hash_objects

FLOW_RUN = UUID("11111111-1111-1111-1111-111111111111")


@task
def increment(x, client=None):
    return x + 1


def context(of=increment, flow_run_id=FLOW_RUN):
    run = SimpleNamespace(id=uuid4(), flow_run_id=flow_run_id)
    return SimpleNamespace(task=of, task_run=run)


def test_a_policy_has_its_fields_in_order():
    """P1"""
    assert [field.name for field in fields(CachePolicy)] == [
        "key_storage",
        "isolation_level",
        "lock_manager",
        "lock_timeout",
    ]
    with pytest.raises(NotImplementedError):
        CachePolicy().compute_key(None, {}, {})


def test_policies_are_equal_by_value():
    """P2"""
    assert NONE == NO_CACHE
    assert NONE is not NO_CACHE
    assert Inputs() == INPUTS != Inputs(exclude=["x"])


def test_all_names_are_there():
    """P3"""
    names = "CachePolicy CacheKeyFnPolicy CompoundCachePolicy _None TaskSource FlowParameters RunId"
    for name in [*names.split(), "Inputs", "STABLE_TRANSFORMS"]:
        assert hasattr(policies, name)


def test_the_default_is_inputs_source_and_run():
    """P4"""
    assert [type(policy) for policy in DEFAULT.policies] == [TaskSource, RunId, Inputs]


def test_every_policy_can_be_made_without_arguments():
    """P5, P6"""
    for cls in CachePolicy.__subclasses__():
        cls()
    assert CacheKeyFnPolicy().compute_key(context(), {}, {}) is None


def test_a_key_function_gets_context_and_inputs():
    """P5, P19"""
    seen = []
    policy = CachePolicy.from_cache_key_fn(lambda *args: seen.append(args) or "key")
    assert policy.compute_key("context", {"x": 1}, {"y": 2}) == "key"
    assert seen == [("context", {"x": 1})]


def test_nothing_has_no_key():
    """P10, P11, P13, P17, P18"""
    assert NO_CACHE.compute_key(context(), {"x": 1}, {"y": 1}) is None
    assert INPUTS.compute_key(context(), {}, {}) is None
    assert INPUTS.compute_key(context(), None, {}) is None
    assert TASK_SOURCE.compute_key(None, {"x": 1}, {}) is None
    assert FLOW_PARAMETERS.compute_key(context(), {"x": 1}, {}) is None
    assert FLOW_PARAMETERS.compute_key(context(), {"x": 1}, None) is None
    assert RUN_ID.compute_key(None, {"x": 1}, {}) is None


def test_inputs_are_hashed_without_those_left_out():
    """P11, 2.1"""
    inputs = {"x": 1, "client": object()}
    key = (INPUTS - "client").compute_key(context(), inputs, {})
    assert key == hash_objects({"x": 1})
    assert key == (INPUTS - "client" - "unknown").compute_key(context(), {"x": 1}, {})
    assert (INPUTS - "x").compute_key(context(), {"x": 1}, {}) == hash_objects({})
    assert INPUTS.exclude == []


def test_inputs_can_be_hashed_so_that_nobody_finds_a_collision():
    """Issue: blake3 as an option"""
    key = Inputs(hash_algo="blake3").compute_key(context(), {"x": 1}, {})
    assert key == hash_objects({"x": 1}, hash_algo="blake3")


def test_an_input_that_cannot_be_hashed_is_named_with_the_way_out():
    """P12; issue: one line that names the task and the path"""
    config = SimpleNamespace(client=SimpleNamespace(_lock=threading.Lock()))
    for policy in (INPUTS, DEFAULT):
        with pytest.raises(ValueError, match="To resolve this, you can:") as caught:
            policy.compute_key(context(), {"x": 1, "cfg": config}, {})
        text = str(caught.value)
        assert isinstance(caught.value.__cause__, HashError)
        assert text.startswith(str(caught.value.__cause__))
        assert "\n" not in text
        for part in (
            "`cfg.client._lock`",
            "'increment' cannot be cached",
            "INPUTS - 'cfg'",
            "cache_key_fn",
            "NO_CACHE",
            "__oxtask_key__",
        ):
            assert part in text


def test_columns_of_a_frame_that_is_an_input_need_no_order():
    """2.1, 2.4, W-H6"""
    import pandas as pd

    one = pd.DataFrame({"a": [1], 2: [3]})
    two = one[[2, "a"]]
    key = INPUTS.compute_key(context(), {"x": one}, {})
    assert key == INPUTS.compute_key(context(), {"x": two}, {})
    assert INPUTS.compute_key(context(), {"x": [one]}, {}) != INPUTS.compute_key(
        context(), {"x": [two]}, {}
    )


def test_transforms_are_looked_up_by_exact_type(monkeypatch):
    """2.4"""
    monkeypatch.setitem(policies.STABLE_TRANSFORMS, complex, lambda value: value.real)
    key = INPUTS.compute_key(context(), {"x": 1 + 2j}, {})
    assert key == INPUTS.compute_key(context(), {"x": 1.0}, {})


def test_the_run_is_the_flow_run_or_the_task_run():
    """P18"""
    assert RUN_ID.compute_key(context(), {}, {}) == str(FLOW_RUN)
    alone = context(flow_run_id=None)
    assert RUN_ID.compute_key(alone, {}, {}) == str(alone.task_run.id)


def test_flow_parameters_are_hashed():
    """P17"""
    assert FLOW_PARAMETERS.compute_key(context(), {}, {"a": 1}) == hash_objects({"a": 1})


def test_adding_nothing_changes_nothing():
    """P20"""
    assert INPUTS + NONE is INPUTS
    assert NONE + INPUTS is INPUTS


def test_a_sum_is_flat_and_has_one_part_for_inputs():
    """P21, P23, P24"""
    left, right = INPUTS - "b" + TASK_SOURCE, (INPUTS - "a") + RUN_ID
    total = left + right
    assert total.policies == [TaskSource(), RunId(), Inputs(exclude=["a", "b"])]
    assert left.policies == [TaskSource(), Inputs(exclude=["b"])]
    assert len((TASK_SOURCE + TASK_SOURCE).policies) == 2
    assert CompoundCachePolicy(policies=[left, NONE]).policies[1] == NONE


def test_configuration_is_taken_from_whoever_has_it():
    """P21, P22, P30"""
    lock = object()
    left, right = INPUTS.configure(key_storage="a"), TASK_SOURCE.configure(lock_manager=lock)
    total = left + right
    assert (total.key_storage, total.isolation_level) == ("a", None)
    assert (left + NONE.configure(key_storage="b")).key_storage == "a"
    for name, text in {
        "key_storage": "different storage locations",
        "isolation_level": "different isolation levels",
        "lock_manager": "different lock implementations",
    }.items():
        one, two = INPUTS.configure(**{name: "a"}), RUN_ID.configure(**{name: "b"})
        with pytest.raises(ValueError, match=text):
            one + two
        assert getattr(one + RUN_ID.configure(**{name: "a"}), name) == "a"


def test_the_key_of_a_sum_is_made_of_those_of_its_members():
    """P25"""
    one = CacheKeyFnPolicy(cache_key_fn=lambda *_: "one")
    assert (one + RUN_ID).compute_key(None, {}, {}) not in {None, "one"}
    assert (TASK_SOURCE + RUN_ID).compute_key(None, {}, {}) is None
    key = DEFAULT.compute_key(context(), {"x": 1}, {})
    assert key == DEFAULT.compute_key(context(), {"x": 1}, {})
    assert key != DEFAULT.compute_key(context(), {"x": 2}, {})
    assert key != DEFAULT.compute_key(context(flow_run_id=uuid4()), {"x": 1}, {})


def test_the_order_of_a_sum_does_not_matter():
    """P26, W-P5: sorted by the name of the policy and the key"""
    one, two = RUN_ID + FLOW_PARAMETERS, FLOW_PARAMETERS + RUN_ID
    keys = [policy.compute_key(context(), {}, {"a": 1}) for policy in (one, two)]
    assert keys[0] == keys[1]


def test_names_are_subtracted_where_there_are_inputs():
    """P27"""
    assert (DEFAULT - "a").policies[-1] == Inputs(exclude=["a"])
    assert (TASK_SOURCE - "a") is TASK_SOURCE
    total = TASK_SOURCE + RUN_ID
    assert total - "a" is total
    configured = DEFAULT.configure(key_storage="here")
    assert (configured - "a").key_storage == "here"
    for policy in (INPUTS, DEFAULT, TASK_SOURCE):
        with pytest.raises(TypeError, match="name of an input"):
            policy - 1


def test_only_policies_are_added():
    """P28"""
    with pytest.raises(TypeError, match="Can only add a cache policy"):
        INPUTS + "x"


def test_a_configured_policy_is_a_copy_with_the_same_keys():
    """P29"""
    assert DEFAULT.configure() == DEFAULT
    assert DEFAULT.configure() is not DEFAULT
    other = INPUTS.configure(key_storage="a", isolation_level="SERIALIZABLE")
    assert INPUTS.key_storage is None
    assert other.isolation_level == "SERIALIZABLE"
    keys = [policy.compute_key(context(), {"x": 1}, {}) for policy in (INPUTS, other)]
    assert keys[0] == keys[1]


def test_policies_of_users_take_part():
    """P7"""

    class Constant(CachePolicy):
        def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
            return "mine"

    total = Constant() + FlowParameters()
    assert total.compute_key(context(), {}, {"a": 1}) is not None
    assert total.compute_key(context(), {}, {}) is not None


def test_a_task_and_its_arguments_have_a_hash():
    """K9"""
    key = task_input_hash(context(), {"x": 1})
    assert key == task_input_hash(context(), {"x": 1})
    assert key != task_input_hash(context(), {"x": 2})
    assert key != task_input_hash(context(task(lambda x: x)), {"x": 1})
    assert task_input_hash(context(), {"x": threading.Lock()}) is None
