"""Keys that the core makes of the arguments of a run are those that its policy makes in Python."""

from __future__ import annotations

import inspect
import threading
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxtask import task
from oxtask._internal.keys_plans import key_plan_of
from oxtask.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    STABLE_TRANSFORMS,
    TASK_SOURCE,
    CachePolicy,
    CompoundCachePolicy,
    Inputs,
)

RUN = UUID("22222222-3333-4444-5555-666666666666")
FLOW_RUN = UUID("11111111-1111-1111-1111-111111111111")


def by_policy(of, args, kwargs, flow_run_id=None, flow_parameters=None):
    """Return the key that the policy makes in Python."""
    run = SimpleNamespace(id=RUN, flow_run_id=flow_run_id)
    context = SimpleNamespace(task=of, task_run=run)
    return of.cache_policy.compute_key(context, of._bind(args, kwargs), flow_parameters or {})


def by_plan(of, args, kwargs, flow_run_id=None, flow_parameters=None):
    """Return the key that the core makes."""
    args = args if of._receiver is None else (of._receiver, *args)
    plan = key_plan_of(of)
    return plan.compute(args, kwargs, flow_run_id, RUN.int, flow_parameters)


def assert_same(of, *args, **kwargs):
    for options in ({}, {"flow_run_id": FLOW_RUN, "flow_parameters": {"a": 1}}):
        key = by_plan(of, args, kwargs, **options)
        assert key == by_policy(of, args, kwargs, **options)
    return key


# --- any signature, any arguments, any policy -----------------------------------------------------

VALUES = st.one_of(
    st.integers(),
    st.text(max_size=3),
    st.floats(),
    st.none(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=3),
    st.dates(),
    st.just(np.arange(3)),
    st.builds(lambda x: pd.DataFrame({"b": [x], "a": [1]}), st.integers(0, 2)),
)
POLICIES = st.recursive(
    st.one_of(
        st.sampled_from([INPUTS, TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, DEFAULT, NO_CACHE]),
        st.builds(
            Inputs,
            exclude=st.lists(st.sampled_from(["a0", "a1", "rest", "unknown"]), max_size=2),
            hash_algo=st.sampled_from([None, "xxh3", "blake3"]),
        ),
    ),
    lambda inner: st.builds(lambda one, two: one + two, inner, inner),
    max_leaves=4,
)


@st.composite
def calls(draw):
    """Draw a function and arguments that fit it."""
    only, either, named = (draw(st.integers(0, most)) for most in (2, 18, 2))
    names = iter([f"a{place}" for place in range(30)])
    kinds = inspect.Parameter
    takes_more, takes_names = draw(st.booleans()), draw(st.booleans())
    optional = draw(st.integers(0, only + either))
    parameters, args, kwargs = [], [], {}
    by_name = False
    for place in range(only + either):
        kind = kinds.POSITIONAL_ONLY if place < only else kinds.POSITIONAL_OR_KEYWORD
        has_default = place >= optional
        default = draw(VALUES) if has_default else kinds.empty
        parameter = kinds(next(names), kind, default=default)
        parameters.append(parameter)
        by_name = by_name or draw(st.booleans())
        if has_default and by_name and draw(st.booleans()):
            continue
        if by_name and place >= only:
            kwargs[parameter.name] = draw(VALUES)
        elif len(args) == place:
            args.append(draw(VALUES))
        elif not has_default:
            return draw(calls())
    if takes_more:
        parameters.append(kinds("rest", kinds.VAR_POSITIONAL))
        if len(args) == only + either:
            args += draw(st.lists(VALUES, max_size=2))
    for _ in range(named):
        parameters.append(kinds(next(names), kinds.KEYWORD_ONLY))
        kwargs[parameters[-1].name] = draw(VALUES)
    if takes_names:
        parameters.append(kinds("more", kinds.VAR_KEYWORD))
        if draw(st.booleans()):
            kwargs[draw(st.sampled_from(["x", "y", "a0" if only else "z"]))] = draw(VALUES)
    text = str(inspect.Signature([p.replace(default=kinds.empty) for p in parameters]))
    defaults = [p.default for p in parameters if p.default is not kinds.empty]
    function = eval(f"lambda {text[1:-1]}: None")
    function.__defaults__ = tuple(defaults) or None
    return function, tuple(args), kwargs


@settings(max_examples=300)
@given(calls(), POLICIES)
def test_a_key_is_that_of_the_policy(call, policy):
    """K2, P11, P13, P17, P18, P25"""
    function, args, kwargs = call
    assert_same(task(function, name="f", cache_policy=policy), *args, **kwargs)


# --- what stands before the arguments -------------------------------------------------------------


class Counter:
    def __init__(self, start):
        self.start = start

    @task(cache_policy=DEFAULT)
    def count(self, x=1):
        return self.start + x

    @task(cache_policy=INPUTS)
    def all(*args):
        return args


def test_what_a_task_is_bound_to_is_its_first_argument():
    """K2"""
    one, two = Counter(1), Counter(2)
    assert assert_same(one.count, 5) == assert_same(Counter(1).count, x=5)
    assert assert_same(one.count, 5) != assert_same(two.count, 5)
    assert assert_same(one.all, 5) != assert_same(two.all, 5)
    assert key_plan_of(one.count) is key_plan_of(two.count)


def test_a_task_without_parameters_has_no_key_of_inputs():
    """A32, P11"""
    assert assert_same(task(lambda: 1, name="f", cache_policy=INPUTS)) is None
    assert assert_same(task(lambda: 1, name="f", cache_policy=INPUTS + RUN_ID)) is not None


def test_a_default_that_is_changed_in_place_changes_the_key():
    """K2"""

    def f(x=[1]):
        return x

    made = task(f, cache_policy=INPUTS)
    before = assert_same(made)
    f.__defaults__[0].append(2)
    assert assert_same(made) != before


# --- transforms -----------------------------------------------------------------------------------


def test_the_columns_of_a_frame_need_no_order():
    """2.4, W-H6"""
    made = task(lambda x, y=1: x, name="f", cache_policy=INPUTS)
    one = pd.DataFrame({"a": [1], 2: [3]})
    assert assert_same(made, one) == assert_same(made, one[[2, "a"]])
    assert assert_same(made, [one]) != assert_same(made, [one[[2, "a"]]])


@pytest.mark.parametrize("value", [1, [1], Counter(1)])
def test_a_transform_applies_to_inputs_of_exactly_its_type(monkeypatch, value):
    """2.4: patchable"""
    made = task(lambda x: x, name="f", cache_policy=INPUTS)
    before = assert_same(made, value)
    monkeypatch.setitem(STABLE_TRANSFORMS, type(value), lambda _: "same")
    assert assert_same(made, value) == assert_same(made, "same") != before
    monkeypatch.setattr("oxtask.cache_policies.STABLE_TRANSFORMS", {})
    assert assert_same(made, value) == before


# --- what cannot be hashed ------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [INPUTS, DEFAULT, FLOW_PARAMETERS])
def test_what_cannot_be_hashed_is_named_as_in_python(policy):
    """P12"""
    made = task(lambda cfg: cfg, name="f", cache_policy=policy)
    value = SimpleNamespace(client=threading.Lock())
    told = []
    for way in (by_policy, by_plan):
        with pytest.raises(ValueError, match="To resolve this") as caught:
            way(made, (value,), {}, flow_parameters={"cfg": value})
        told.append((str(caught.value), str(caught.value.__cause__)))
    assert told[0] == told[1]
    assert "cfg.client" in told[0][0]


def test_an_interrupt_is_no_refusal():
    """P12"""

    class Value:
        def __oxtask_key__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_plan(task(lambda x: x, name="f", cache_policy=INPUTS), (Value(),), {})


# --- what only Python can do ----------------------------------------------------------------------


class OwnPolicy(CachePolicy):
    def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
        return "own"


class OwnSum(CompoundCachePolicy):
    pass


class OwnInputs(Inputs):
    pass


@pytest.mark.parametrize(
    "options",
    [
        {"cache_key_fn": lambda _context, _inputs: "key"},
        {"cache_policy": OwnPolicy()},
        {"cache_policy": OwnPolicy() + INPUTS},
        {"cache_policy": OwnSum(policies=[INPUTS, RUN_ID])},
        {"cache_policy": OwnInputs()},
    ],
)
def test_policies_of_the_user_have_no_plan(options):
    """P7, P19"""
    assert key_plan_of(task(lambda x: x, name="f", **options)) is None


def test_a_plan_is_made_once_and_anew_when_the_task_is_changed():
    """K2"""
    made = task(lambda x: x, name="f", cache_policy=INPUTS)
    plan = key_plan_of(made)
    assert key_plan_of(made) is plan
    made.cache_policy = INPUTS - "x"
    assert assert_same(made, 1) == assert_same(made, 2)
    assert key_plan_of(task(lambda: 1, name="f", cache_policy=NO_CACHE)).compute(()) is None


def test_arguments_that_do_not_fit_are_an_error():
    """K2"""
    plan = key_plan_of(task(lambda x: x, name="f", cache_policy=INPUTS))
    with pytest.raises(TypeError, match=r"x.* is missing"):
        plan.compute(())
