"""The key of a run: when it is made, of what, and what becomes of one that cannot be made."""

from __future__ import annotations

import asyncio
import threading
from uuid import UUID

import pytest
from kept_runs import WAYS, files_in, make, names_of, states_of

from oxtask import flow, get_run_logger, task
from oxtask.cache_policies import FLOW_PARAMETERS, INPUTS
from oxtask.context import TaskRunContext

UNHASHABLE = threading.Lock()


def key_of(context, parameters):
    return f"key-{parameters['x']}"


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_made_for_each_attempt_once_it_runs(way, folder):
    """K1, K3"""
    seen, attempts = [], []

    def noted(context, parameters):
        run = context.task_run
        same = context.parameters == parameters and context is TaskRunContext.get()
        seen.append((run.state_name, run.run_count, context.task.name, same, dict(parameters)))
        return f"key-{run.run_count}"

    def body(x):
        attempts.append(x)
        if len(attempts) == 1:
            raise ValueError(x)
        return x

    made = make(way, body, name="t", cache_key_fn=noted, retries=1, result_storage=folder)
    assert names_of(way, made, 3) == ["Completed"]
    assert seen == [
        ("Running", 1, "t", True, {"x": 3}),
        ("Retrying", 2, "t", True, {"x": 3}),
    ]
    assert files_in(folder) == ["key-2"]


def test_a_key_is_made_of_all_parameters(folder):
    """K2, tasks.md 9.5, 22.9"""
    seen = []

    def noted(context, parameters):
        seen.append(parameters)

    class Shop:
        @task(cache_key_fn=noted, result_storage=folder)
        def price(self, x, *more, tax=2, **options):
            return x

    @task
    def one():
        return 1

    @flow
    def main():
        shop.price(one.submit(), one.submit(), note=one.submit())

    shop = Shop()
    main()
    expected = {"self": shop, "x": 1, "more": (1,), "tax": 2, "options": {"note": 1}}
    assert seen == [expected]


def test_the_parameters_of_the_flow_take_part(folder, calls):
    """K3, A33"""

    @task(cache_policy=FLOW_PARAMETERS, result_storage=folder)
    def double(x):
        calls.append(x)
        return 2 * x

    @flow
    def main(a=1):
        return double(a), double(a + 1)

    @flow
    def bare():
        return double(7), double(7)

    assert (main(), main(a=2), main(a=1)) == ((2, 2), (4, 4), (2, 2))
    assert calls == [1, 2]
    assert (bare(), double(7)) == ((14, 14), 14)
    assert calls == [1, 2, 7, 7, 7]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_whose_key_cannot_be_made_is_not_cached(way, folder, lines):
    """K4, W-K1: its result is kept all the same"""

    def no_key(context, parameters):
        raise LookupError("no key today")

    made = make(way, lambda x: x + 1, cache_key_fn=no_key, result_storage=folder)
    states = states_of(way, made, 1, 1)
    assert [(state.name, state.result()) for state in states] == [("Completed", 2)] * 2
    assert [line.partition(" - ")[0] for line in lines("ERROR")] == (
        ["Error encountered when computing cache key"] * 2
    )
    names = files_in(folder)
    assert len(names) == 2
    assert all(len(name) == 32 for name in names)


def test_an_input_that_cannot_be_hashed_is_named(folder, lines):
    """K4, P12"""

    @task(cache_policy=INPUTS, result_storage=folder)
    def take(lock):
        return 1

    assert take(UNHASHABLE) == 1
    (line,) = lines("ERROR")
    for part in ("computing cache key", "_thread.lock", "INPUTS - 'lock'", "'take'"):
        assert part in line


@pytest.mark.parametrize("policy", [{}, {"cache_policy": INPUTS}])
def test_iterators_are_not_consumed(policy, folder, lines):
    """W-H12: without a word if nobody asked for the cache"""

    @task(persist_result=True, result_storage=folder, **policy)
    def total(numbers):
        return sum(numbers)

    assert total(iter([1, 2, 3])) == 6
    assert total(x for x in (1, 2)) == 3
    assert len(lines("ERROR")) == (2 if policy else 0)
    assert len(files_in(folder)) == 2


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_key_is_none(way, folder):
    """K5"""
    made = make(way, lambda x: x, cache_key_fn=lambda *_: "", result_storage=folder)
    assert names_of(way, made, 1, 1) == ["Completed", "Completed"]


@pytest.mark.parametrize(
    ("key", "name"),
    [(7, "7"), (UUID(int=7), "00000000-0000-0000-0000-000000000007"), ("a", "a")],
)
@pytest.mark.parametrize("way", WAYS)
def test_numbers_and_uuids_are_keys(way, key, name, folder):
    """W-K2"""
    made = make(way, lambda x: x, cache_key_fn=lambda *_: key, result_storage=folder)
    assert names_of(way, made, 1, 2) == ["Completed", "Cached"]
    assert files_in(folder) == [name]


@pytest.mark.parametrize("key", [1.5, True, b"k", ["k"], object])
def test_other_keys_are_refused_and_the_run_goes_on(key, folder, lines):
    """W-K2"""
    made = make("call", lambda x: x, cache_key_fn=lambda *_: key, result_storage=folder)
    assert names_of("call", made, 1, 1) == ["Completed", "Completed"]
    assert len(lines("ERROR")) == 2


@pytest.mark.parametrize("way", WAYS)
def test_functions_that_make_keys_may_be_async(way, folder):
    """W-K2"""

    async def later(context, parameters):
        await asyncio.sleep(0)
        return f"key-{parameters['x']}"

    made = make(way, lambda x: x, cache_key_fn=later, result_storage=folder)
    assert names_of(way, made, 1, 1, 2) == ["Completed", "Cached", "Completed"]
    assert files_in(folder) == ["key-1", "key-2"]


@pytest.mark.parametrize("key", ["a/b", "a b", "50%", "*", "a/../b", "ä", "k.with.dots", "." * 9])
def test_keys_may_hold_any_text(key, folder):
    """K6"""
    made = make("call", lambda x: x, cache_key_fn=lambda *_: key, result_storage=folder)
    assert names_of("call", made, 1, 1) == ["Completed", "Cached"]
    assert len(files_in(folder)) == 1


@pytest.mark.parametrize("key", ["../out", "/etc/out", "a/../../out", "..", "."])
@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_leads_out_of_the_storage_fails_the_run_before_its_body(way, key, folder, calls):
    """W-K3"""
    made = make(way, lambda x: calls.append(x), cache_key_fn=lambda *_: key, result_storage=folder)
    (state,) = states_of(way, made, 1)
    with pytest.raises(ValueError, match="outside of the base path"):
        state.result()
    assert (state.name, calls) == ("Failed", [])
    assert [len(name) for name in files_in(folder)] == [32]  # the exception


@pytest.mark.parametrize("key", ["k" * 300, "a/" + "k" * 5000, "ä" * 200])
def test_a_long_key_is_as_good_as_a_short_one(key, folder, calls):
    """W-K4"""
    made = make(
        "call", lambda x: calls.append(x), cache_key_fn=lambda *_: key, result_storage=folder
    )
    assert names_of("call", made, 1, 1) == ["Completed", "Cached"]
    assert calls == [1]


@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_changes_its_input_does_not_change_its_key(way, folder, calls):
    """K7"""

    def grow(x):
        calls.append(list(x))
        x.append(0)
        if len(calls) == 1:
            raise ValueError
        return len(x)

    made = make(way, grow, cache_policy=INPUTS, result_storage=folder, retries=1)
    states = states_of(way, made, [1], [1, 0])
    assert calls == [[1], [1, 0]]
    assert [(state.name, state.result()) for state in states] == [("Completed", 3), ("Cached", 3)]


def test_generators_always_run(folder, calls):
    """K8, tasks.md 27.8, engine.md TE-96"""

    @task(persist_result=True, result_storage=folder, cache_policy=INPUTS)
    def count(n):
        calls.append(n)
        yield from range(n)

    @task(persist_result=True, result_storage=folder, cache_policy=INPUTS)
    async def acount(n):
        calls.append(n)
        for i in range(n):
            yield i

    async def main():
        return [i async for i in acount(3)]

    @flow
    def submitting():
        return [count.submit(3).result() for _ in range(2)]

    assert [list(count(3)) for _ in range(2)] == [[0, 1, 2]] * 2
    assert [asyncio.run(main()) for _ in range(2)] == [[0, 1, 2]] * 2
    assert submitting() == [[0, 1, 2]] * 2
    assert calls == [3] * 6
    assert len(files_in(folder)) == 1


def test_a_generator_that_is_closed_or_fails_ends_well(folder):
    """K8"""

    @task(persist_result=True, result_storage=folder)
    def count(n):
        for i in range(n):
            if i == 2:
                raise ValueError(i)
            yield i

    items = count(1)
    assert next(items) == 0
    items.close()
    with pytest.raises(ValueError, match="2"):
        list(count(3))


def test_inputs_may_be_left_out_of_the_key(folder, calls):
    """tasks.md 3.5, P27"""
    options = {"persist_result": True, "result_storage": folder}
    for ignore in ("client", ["client"], ("client", "nobody"), {"client"}):

        @task(hash_ignore=ignore, cache_policy=INPUTS, **options)
        def load(x, client):
            calls.append(x)
            return x

        key = str(ignore)
        assert load(key, UNHASHABLE) == load(key, client=object()) == key
    assert len(calls) == 4


def test_inputs_are_left_out_of_the_default_key_too(folder, calls):
    """tasks.md 3.5"""

    @task(hash_ignore="client", persist_result=True, result_storage=folder)
    def load(x, client):
        calls.append(x)
        return x

    @flow
    def main():
        return load(1, UNHASHABLE), load(1, object())

    assert (main(), calls) == ((1, 1), [1])
    assert load.with_options(name="other").hash_ignore == ("client",)
    assert load.with_options(name="other").persist_result is True


@pytest.mark.parametrize("names", [1, [1], [None], {"a": 1}.items()])
def test_what_is_left_out_is_names(names):
    """tasks.md 3.5"""
    with pytest.raises(TypeError, match="names of parameters"):
        task(lambda x: x, hash_ignore=names)


def test_two_tasks_with_one_key_share_what_is_stored(folder):
    """A30"""
    one = make("call", lambda x: "one", cache_key_fn=key_of, result_storage=folder)
    two = make("call", lambda x: "two", cache_key_fn=key_of, result_storage=folder)
    assert one(1) == two(1) == "one"
    assert two(2) == one(2) == "two"


def test_a_method_is_cached_by_what_it_belongs_to(folder, calls):
    """K2, tasks.md 9.5"""

    class Shop:
        def __init__(self, town):
            self.town = town

        @task(cache_policy=INPUTS, result_storage=folder)
        def price(self, x):
            calls.append(self.town)
            return f"{self.town} {x}"

    assert Shop("a").price(1) == Shop("a").price(1) == "a 1"
    assert Shop("b").price(1) == "b 1"
    assert calls == ["a", "b"]


def test_a_policy_of_the_user_is_asked(folder, calls):
    """P7"""
    from oxtask.cache_policies import CachePolicy

    class ByParity(CachePolicy):
        def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
            get_run_logger().debug("asked")
            return ("even", "odd", None)[inputs["x"] % 3]

    made = make("call", lambda x: calls.append(x), cache_policy=ByParity(), result_storage=folder)
    assert names_of("call", made, 0, 3, 1, 2, 2) == (
        ["Completed", "Cached", "Completed", "Completed", "Completed"]
    )
    assert calls == [0, 1, 2, 2]


def test_keys_are_not_made_where_nothing_is_kept(calls):
    """W-H13"""

    def noted(context, parameters):
        calls.append(parameters)
        return "k"

    made = make("call", lambda x: x, cache_key_fn=noted, persist_result=False)
    assert names_of("call", made, 1) == ["Completed"]
    assert calls == []
