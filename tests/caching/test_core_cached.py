"""Runs that the core caches by itself: they are what they would be through the engine."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from ways import history

from oxtask import cache, flow, task
from oxtask._internal import cache_plans
from oxtask.cache_policies import DEFAULT, FLOW_PARAMETERS, INPUTS, TASK_SOURCE
from oxtask.exceptions import ResultPersistenceError
from oxtask.futures import wait
from oxtask.settings import temporary_settings
from oxtask.states import Completed, Failed
from oxtask.transactions import get_transaction, transaction


def doubling(calls, **options):
    @task(**{"cache_policy": INPUTS, **options})
    def double(x):
        calls.append(x)
        return 2 * x

    return double


def in_flow(function):
    return flow(function)()


def is_by_core(future):
    """Tell whether the engine had nothing to do with a run."""
    return future._record is None


def test_a_mapped_run_is_computed_once_and_found_afterwards(calls):
    """E5, 5.3"""
    double = doubling(calls)

    @flow
    def whole():
        first = double.map([1, 2, 3])
        first.wait()
        second = double.map([3, 2, 1])
        assert (first.result(), second.result()) == ([2, 4, 6], [6, 4, 2])
        futures = [*first, *second]
        assert all(map(is_by_core, futures))
        return [history(future) for future in futures]

    assert whole() == [
        *[["Pending", "Running", "Completed"]] * 3,
        *[["Pending", "Running", "Cached:COMPLETED"]] * 3,
    ]
    assert sorted(calls) == [1, 2, 3]


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 60},
        {"retries": 2},
        {"retries": 2, "retry_condition_fn": lambda task, run, state: True},
        {"log_prints": True},
    ],
)
def test_what_only_the_function_needs_is_no_matter_once_its_result_is_found(options, calls):
    """5.3"""
    double = doubling(calls, **options)
    adouble = task(cache_policy=INPUTS, name="adouble", **options)(doubled_async)

    @flow
    def main():
        computed = [double(1), double.submit(2).result(), *double.map([3]).result()]
        found = [double.submit(1), double.submit(2), *double.map([3])]
        adouble.submit(4).wait()
        found.append(adouble.submit(4))
        wait(found)
        assert double(1) == double(1, return_state=True).result() == 2
        assert double(1, wait_for=[found[0]]) == 2
        names = [future.state.name for future in found]
        return computed, [future.result() for future in found], names, list(map(is_by_core, found))

    computed, values, names, by_core = main()
    assert (computed, values) == ([2, 4, 6], [2, 4, 6, 8])
    assert names == ["Cached"] * 4
    assert by_core == [True] * 4
    assert calls == [1, 2, 3]


async def doubled_async(x):
    return 2 * x


def test_hooks_and_names_are_there_for_what_is_found_too(calls):
    """TE-51"""
    heard = []
    double = doubling(
        calls,
        timeout_seconds=60,
        on_completion=[lambda task, run, state: heard.append((run.name, state.name))],
        task_run_name="double-{x}",
    )

    @flow
    def main():
        return double(1), double(1), double.submit(1).result()

    assert main() == (2, 2, 2)
    assert calls == [1]
    assert heard == [("double-1", "Completed"), ("double-1", "Cached"), ("double-1", "Cached")]


def test_what_is_found_in_a_transaction_is_found_by_the_engine(calls):
    """5.3"""
    double = doubling(calls, timeout_seconds=60)

    @flow
    def main():
        with pytest.raises(KeyError), transaction():
            double(1)
            raise KeyError
        return double(1), double(1)

    assert main() == (2, 2)
    assert calls == [1, 1]


def test_engine_and_core_find_what_the_other_has_stored(calls):
    """4, K2"""
    double = doubling(calls)

    def whole():
        assert double(1) == 2
        assert double(1, return_state=True).name == "Cached"
        assert double(2, return_state=True).name == "Completed"
        future = double.submit(2)
        assert (future.result(), future.state.name, is_by_core(future)) == (4, "Cached", True)

    in_flow(whole)
    assert calls == [1, 2]


@pytest.mark.parametrize(
    ("policy", "bodies"), [(DEFAULT, 2), (INPUTS + TASK_SOURCE, 1), (FLOW_PARAMETERS, 2)]
)
def test_what_of_the_flow_takes_part_in_the_key_does_so_in_the_core(policy, bodies, calls):
    """P18, A33, A35"""
    double = doubling(calls, cache_policy=policy, persist_result=True)

    @flow
    def whole(number):
        future = double.submit(1)
        assert future.result() == 2
        assert is_by_core(future)
        return double(1), double(1, return_state=True).name, number

    assert [whole(1), whole(2)] == [(2, "Cached", 1), (2, "Cached", 2)]
    assert len(calls) == bodies


def test_methods_are_cached_by_what_they_are_bound_to(calls):
    """K2"""

    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @task(cache_policy=INPUTS)
        def apply(self, x):
            calls.append((self.factor, x))
            return self.factor * x

    def whole():
        two, three = Scale(2), Scale(3)
        assert [two.apply(5), three.apply(5), two.apply(5), Scale(2).apply(5)] == [10, 15, 10, 10]

    in_flow(whole)
    assert calls == [(2, 5), (3, 5)]


def test_a_failure_is_never_found_again(calls):
    """A36, W-A2"""

    @task(cache_policy=INPUTS, retries=1)
    def fail_once(x):
        calls.append(x)
        if len(calls) == 1:
            raise ValueError(x)
        return x

    @task(cache_policy=INPUTS)
    def refuse(x):
        calls.append(x)
        return Failed(message="no")

    def whole():
        assert fail_once.submit(1).result() == 1
        assert fail_once.submit(1).state.name in {"Cached", "Pending", "Running"}
        for _ in range(2):
            future = refuse.submit(7)
            future.wait()
            assert future.state.is_failed()

    in_flow(whole)
    assert calls == [1, 1, 7, 7]


def test_a_state_of_ones_own_is_found_as_its_value(calls):
    """A37"""

    @task(cache_policy=INPUTS)
    def choose(x):
        calls.append(x)
        return Completed(name="Mine", data=x)

    def whole():
        names = []
        for _ in range(2):
            future = choose.submit(1)
            future.wait()
            names.append((future.state.name, future.result()))
        return names

    assert in_flow(whole) == [("Mine", 1), ("Cached", 1)]
    assert calls == [1]


def test_the_transaction_of_a_body_is_that_of_the_key(calls):
    """X-60, X-65"""
    order = []

    @task(cache_policy=INPUTS)
    def work(x):
        calls.append(x)
        own = get_transaction()
        assert own.key is not None
        assert own.is_active()
        with transaction() as inner:
            inner.stage(1, on_commit_hooks=[lambda _: order.append("inner")])
        order.append("body")
        return x

    def whole():
        return [work(3), work(3), work.submit(3).result()]

    assert in_flow(whole) == [3, 3, 3]
    assert (calls, order) == ([3], ["body", "inner"])


def test_a_body_that_fails_rolls_back_what_it_did_and_stores_nothing(calls):
    """X-60, X-63"""
    undone = []

    @task(cache_policy=INPUTS)
    def work(x):
        calls.append(x)
        with transaction() as inner:
            inner.stage(1, on_rollback_hooks=[lambda _: undone.append(x)])
        raise ValueError(x)

    def whole():
        for _ in range(2):
            with pytest.raises(ValueError, match="4"):
                work.submit(4).result()

    in_flow(whole)
    assert (calls, undone) == ([4, 4], [4, 4])


def test_an_expired_result_is_computed_anew(calls):
    """E1, E3"""
    double = doubling(calls, cache_expiration=timedelta(seconds=-1))

    def whole():
        return [double(1), double(1), *double.map([1]).result()]

    assert in_flow(whole) == [2, 2, 2]
    assert calls == [1, 1, 1]


def test_a_setting_that_refreshes_the_cache_is_read_by_each_run(calls):
    """E4, A11"""
    double, stubborn = doubling(calls), doubling(calls, refresh_cache=False)

    def whole():
        double(1)
        with temporary_settings({"tasks.refresh_cache": True}):
            double(1)
            stubborn(1)
        double(1)

    in_flow(whole)
    assert calls == [1, 1]


def test_each_home_has_a_cache_of_its_own(calls, tmp_path):
    """Z7"""
    double = doubling(calls)

    def whole():
        double(1)
        with temporary_settings({"home": tmp_path / "other"}):
            double(1)
        double(1)

    in_flow(whole)
    assert calls == [1, 1]


def test_a_run_whose_key_cannot_be_made_runs_and_says_so_in_one_line(calls, caplog):
    """K4, W-K1, P12"""
    double = doubling(calls)

    class Config:
        def __init__(self):
            self.lock = threading.Lock()

    @task(cache_policy=INPUTS)
    def use(cfg):
        calls.append(cfg)
        return 1

    def whole():
        return [use.submit(Config()).result(), use.submit(Config()).result(), double(1)]

    assert in_flow(whole) == [1, 1, 2]
    assert len(calls) == 3
    lines = [record for record in caplog.records if "cache key" in record.getMessage()]
    assert len(lines) == 2
    assert "cfg.lock" in lines[0].getMessage()
    assert not lines[0].exc_info


def test_a_result_that_cannot_be_pickled_is_returned_all_the_same(calls, caplog):
    """S15"""

    @task(cache_policy=INPUTS)
    def make(x):
        calls.append(x)
        return threading.Lock()

    def whole():
        for _ in range(2):
            future = make.submit(1)
            assert hasattr(future.result(), "acquire")
            assert future.state.is_completed()

    in_flow(whole)
    assert calls == [1, 1]
    assert "Encountered an error while serializing result" in caplog.text


def test_a_storage_that_fails_fails_the_run_unless_told_otherwise(calls, home, caplog):
    """D8"""
    home.mkdir(mode=0o700)
    (home / "storage").write_text("in the way")
    double = doubling(calls)

    def whole():
        for run in (double, lambda x: double.submit(x).result()):
            with pytest.raises(ResultPersistenceError, match="'double' could not be stored"):
                run(1)
        with temporary_settings({"results.on_persist_error": "warn"}):
            assert [double(1), double.submit(1).result()] == [2, 2]

    in_flow(whole)
    assert calls == [1, 1, 1, 1]
    assert "The result could not be stored" in caplog.text


def test_the_price_of_caching_is_counted(calls):
    double = doubling(calls)

    def whole():
        double.map([1, 2, 3, 1, 2, 3]).wait()
        double(1, return_state=True)

    in_flow(whole)
    price = cache.price(double)
    assert (price.hits + price.misses, price.misses >= 3) == (7, True)
    assert price.hashing_seconds > 0 < price.reading_seconds
    assert price.spent_seconds >= price.writing_seconds > 0


def test_caching_that_does_not_pay_is_told_once(calls, caplog):
    double = doubling(calls)

    def whole():
        double.map(range(5000)).wait()

    in_flow(whole)
    told = [record for record in caplog.records if record.name == "oxtask.cache"]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert "task 'double' more than it can save" in told[0].getMessage()
    assert "NO_CACHE" in told[0].getMessage()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"result_serializer": "nosuch"}, "nosuch"),
        ({"result_storage": "s3://"}, "s3://"),
        ({"result_storage": "nosuch://place"}, "nosuch"),
    ],
)
def test_a_storage_or_serializer_that_cannot_be_used_fails_the_run(options, why):
    """W-D1"""
    state = task(**options)(lambda: 1)(return_state=True)
    assert state.is_failed()
    assert why in str(state.message)


def test_an_interruption_is_heard_wherever_the_core_is(calls, monkeypatch):
    """K1: it is not taken for a reason to leave the run to the engine"""
    double = doubling(calls)

    class Interrupting:
        def __oxtask_key__(self):
            raise KeyboardInterrupt

    def interrupt(*_):
        raise KeyboardInterrupt

    def whole():
        with pytest.raises(KeyboardInterrupt):
            double(Interrupting())
        monkeypatch.setattr(cache_plans, "_place_of", interrupt)
        for way in ("__call__", "submit", "map"):
            with pytest.raises(KeyboardInterrupt):
                getattr(doubling(calls), way)([1])

    in_flow(whole)
    assert calls == []
