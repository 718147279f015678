"""Whether results are kept, by the options of tasks, of what is around them, and by settings."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from kept_runs import CALLS, WAYS, files_in, make, names_of, states_of

from oxtask import flow, task
from oxtask.cache_policies import (
    DEFAULT,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
)
from oxtask.filesystems import LocalFileSystem
from oxtask.results import (
    get_default_persist_setting,
    get_default_persist_setting_for_tasks,
    should_persist_result,
)
from oxtask.settings import temporary_settings
from oxtask.states import Cancelled, Completed, Failed
from oxtask.task_runners import ThreadPoolTaskRunner

RAN, HIT = ["Completed", "Completed"], ["Completed", "Cached"]


def made(**options):
    return task(lambda x=1: x, name="t", **options)


def decided(**options):
    of = made(**options)
    return of.cache_policy, of.persist_result


class TestDecoration:
    def test_a_setting_turns_the_default_policy_off(self):
        """A1, A11, tasks.md 4.9"""
        with temporary_settings({"tasks.default_no_cache": True}):
            assert decided() == (NO_CACHE, None)
            assert decided(persist_result=True) == (NO_CACHE, True)
            assert decided(cache_policy=INPUTS) == (INPUTS, True)
            assert isinstance(decided(cache_key_fn=len)[0], CacheKeyFnPolicy)
            before = made()
        assert before.cache_policy == NO_CACHE

    def test_a_key_function_wins_with_a_warning(self, lines):
        """A2, A3, tasks.md 4.6"""
        policy, persists = decided(cache_policy=INPUTS, cache_key_fn=len)
        assert (type(policy), policy.cache_key_fn, persists) == (CacheKeyFnPolicy, len, True)
        (line,) = lines("WARNING")
        assert "`cache_key_fn` will be used" in line

    def test_options_that_ask_for_results_have_them_kept(self):
        """A4, tasks.md 4.2-4.4, 4.8"""
        assert decided() == (DEFAULT, None)
        assert decided(persist_result=True) == (DEFAULT, True)
        assert decided(result_serializer="json") == (DEFAULT, True)
        assert decided(result_storage="results") == (DEFAULT, True)
        assert decided(cache_policy=NO_CACHE) == (NO_CACHE, None)
        assert decided(cache_policy=None) == (None, None)
        assert decided(cache_policy=None, persist_result=True) == (None, True)
        for silent in ({"refresh_cache": True}, {"cache_result_in_memory": False}):
            assert decided(**silent) == (DEFAULT, None)

    def test_a_setting_turns_all_caching_off(self, folder):
        """A5, tasks.md 4.10; W-K1: what is kept is kept under keys of its own"""
        with temporary_settings({"tasks.disable_caching": True}):
            for options in (
                {"cache_policy": INPUTS},
                {"cache_key_fn": len},
                {"result_storage_key": "k"},
                {"persist_result": True},
            ):
                assert decided(**options) == (NO_CACHE, True)
            of = made(cache_policy=INPUTS, result_storage=folder)
        assert names_of("call", of, 1, 1) == RAN
        assert len(files_in(folder)) == 2

    def test_a_task_that_keeps_nothing_is_not_cached(self, lines):
        """A6, tasks.md 4.2, 4.5"""
        assert decided(persist_result=False) == (NO_CACHE, False)
        assert decided(persist_result=False, cache_policy=None) == (None, False)
        assert decided(persist_result=False, cache_policy=NO_CACHE) == (NO_CACHE, False)
        assert lines("WARNING") == []
        assert decided(persist_result=False, cache_policy=INPUTS) == (NO_CACHE, False)
        (line,) = lines("WARNING")
        assert "Ignoring `cache_policy` because `persist_result` is False" in line

    def test_the_default_is_the_default(self):
        """A7"""
        assert made().cache_policy is made(persist_result=True).cache_policy is DEFAULT

    def test_a_storage_key_is_the_key(self):
        """A8, A9, tasks.md 4.7"""
        for options in ({}, {"cache_policy": INPUTS}, {"cache_key_fn": len}):
            assert decided(result_storage_key="k", **options) == (None, True)
        assert decided(result_storage_key="k", cache_policy=NO_CACHE) == (NO_CACHE, True)
        assert decided(result_storage_key="k", persist_result=False) == (NO_CACHE, False)
        with pytest.raises(ValueError, match="must not be empty"):
            made(result_storage_key="")

    def test_copies_decide_again_from_what_was_given(self):
        """A10, tasks.md 4.12, 10.3, 10.12"""
        base = made(cache_policy=INPUTS, result_storage="a", result_storage_key="k")
        plain = base.with_options(result_storage_key=None)
        assert (base.cache_policy, plain.cache_policy) == (None, INPUTS)
        bare = plain.with_options(cache_policy=None, result_storage=None)
        assert (bare.cache_policy, bare.persist_result) == (None, None)
        assert made().with_options(persist_result=False).cache_policy == NO_CACHE
        assert made(persist_result=False).with_options(persist_result=True).cache_policy is DEFAULT
        assert made().with_options(name="u").persist_result is None

    def test_a_storage_that_nobody_has_saved_is_accepted(self, folder):
        """A12, W-A1"""
        for storage in (folder, str(folder), LocalFileSystem(folder)):
            assert names_of("call", made(result_storage=storage), 1, 1) == HIT
        with pytest.raises(TypeError, match="result_storage"):
            made(result_storage=3)


class TestInheritance:
    def kept(self, outer=None, settings=None, **options):
        """Tell whether the result of a task in a flow is kept."""
        found = []

        @task(cache_policy=NO_CACHE, **options)
        def inside():
            found.append(should_persist_result())

        @flow(**(outer or {}))
        def around():
            inside()
            inside.submit().wait()

        with temporary_settings(settings or {}):
            around()
        first, second = found
        assert first is second
        return first

    def test_a_task_decides_for_itself(self):
        """A20, A22"""
        for setting in (True, False):
            settings = {
                "results.persist_by_default": setting,
                "tasks.default_persist_result": setting,
            }
            assert self.kept({"persist_result": setting}, settings, persist_result=True) is True
            assert self.kept({"persist_result": setting}, settings, persist_result=False) is False

    def test_the_setting_for_tasks_comes_next(self):
        """A20, A22"""
        on, off = ({"tasks.default_persist_result": value} for value in (True, False))
        assert self.kept(None, on) is True
        assert self.kept({"persist_result": False}, on) is True
        assert self.kept({"persist_result": True}, off) is False

    def test_then_what_is_around_it(self):
        """A20, A21, A22, A31, engine.md FL-07"""
        default = {"results.persist_by_default": True}
        assert self.kept() is False
        assert self.kept(None, default) is True
        assert self.kept({"persist_result": False}, default) is False
        assert self.kept({"persist_result": True}) is True
        assert self.kept({"result_serializer": "json"}) is True
        assert self.kept({"result_storage": "results"}) is True

    def test_tasks_in_tasks_inherit_from_them(self):
        """A20, A23"""
        found = []

        @task(cache_policy=NO_CACHE)
        def inner():
            found.append(should_persist_result())

        @task(persist_result=True)
        def keeping():
            inner()
            with ThreadPoolTaskRunner():
                inner.submit().wait()

        @task(persist_result=False)
        def dropping():
            inner()

        @flow
        def main():
            keeping()
            dropping()
            inner()

        main()
        keeping()
        with temporary_settings({"results.persist_by_default": True}):
            dropping()
        assert found == [True, True, False, False, True, True, False]

    def test_flows_in_flows_inherit_from_them(self):
        """A21"""
        found = []

        @flow
        def inner():
            found.append(should_persist_result())

        @flow(persist_result=True)
        def outer():
            inner()
            inner.with_options(persist_result=False)()

        @task(persist_result=True)
        def around():
            inner()

        outer()
        around()
        inner()
        assert found == [True, False, True, False]

    def test_settings_answer_where_nothing_runs(self):
        """A23, A24"""

        def answers():
            return (
                should_persist_result(),
                get_default_persist_setting(),
                get_default_persist_setting_for_tasks(),
            )

        assert answers() == (False, False, False)
        with temporary_settings({"results.persist_by_default": True}):
            assert answers() == (True, True, True)
            with temporary_settings({"tasks.default_persist_result": False}):
                assert answers() == (True, True, False)

    def test_settings_are_read_when_a_task_runs(self, calls):
        """A11"""
        of = make("call", lambda x: calls.append(x))
        assert names_of("call", of, 1, 1) == RAN
        with temporary_settings({"results.persist_by_default": True}):
            assert names_of("call", of, 1, 1) == HIT
        assert names_of("call", of, 1, 1) == RAN


class TestWhatIsShared:
    @pytest.mark.parametrize("way", CALLS)
    def test_outside_of_flows_the_default_policy_never_hits(self, way, folder, calls):
        """A30"""
        of = make(way, lambda x: calls.append(x), persist_result=True, result_storage=folder)
        for _ in range(2):
            asyncio.run(_value(of, 1))
        assert (calls, len(files_in(folder))) == ([1, 1], 2)

    def test_inputs_are_shared_by_calls_flows_tasks_and_processes(self, folder, tmp_path):
        """A30"""
        program = tmp_path / "program.py"
        program.write_text(
            "import sys\n"
            "from oxtask import flow, task\n"
            "from oxtask.cache_policies import INPUTS\n"
            f"@task(cache_policy=INPUTS, result_storage={str(folder)!r})\n"
            "def double(x):\n    print('ran')\n    return 2 * x\n"
            f"@task(cache_policy=INPUTS, result_storage={str(folder)!r})\n"
            "def other(x):\n    raise AssertionError\n"
            "@flow\ndef main():\n    return double(4), other.submit(4).result()\n"
            "print(double(4), main(), other(4))\n"
        )
        environment = {**os.environ, "OXTASK_HOME": str(tmp_path / "home")}
        printed = [
            subprocess.run(
                [sys.executable, program],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout
            for _ in range(2)
        ]
        assert printed == ["ran\n8 (8, 8) 8\n", "8 (8, 8) 8\n"]

    def test_a_task_without_arguments_has_no_inputs(self, folder, calls):
        """A32"""

        @task(cache_policy=INPUTS, result_storage=folder)
        def by_inputs():
            calls.append("inputs")

        @task(persist_result=True, result_storage=folder)
        def by_default():
            calls.append("default")

        @flow
        def main():
            for _ in range(2):
                by_inputs()
                by_default()

        main()
        assert calls == ["inputs", "default", "inputs"]

    def test_the_run_id_alone_is_shared_by_all(self, folder):
        """A34"""
        one = make("call", lambda x: x, cache_policy=RUN_ID, result_storage=folder)
        two = make("call", lambda x: -x, cache_policy=RUN_ID, result_storage=folder)
        ids = []

        @flow
        def main():
            state = one(1, return_state=True)
            ids.append(str(state.state_details.flow_run_id))
            return two(2), two(3)

        assert main() == (1, 1)
        assert files_in(folder) == ids

    def test_the_source_alone_is_shared_by_all_inputs(self, folder):
        """P13"""
        of = make("call", lambda x: x, cache_policy=TASK_SOURCE, result_storage=folder)
        assert [of(1), of(2)] == [1, 1]

    def test_a_flow_that_is_tried_again_takes_up_what_is_done(self, folder, calls):
        """A35, engine.md FL-66"""
        of = make("call", lambda x: calls.append(x), persist_result=True, result_storage=folder)
        names = []

        @flow(retries=1)
        def main():
            names.append(of(1, return_state=True).name)
            names.append(of.submit(2, return_state=True).name)
            if len(names) == 2:
                raise ValueError

        main()
        assert names == ["Completed", "Completed", "Cached", "Cached"]
        assert calls == [1, 2]


class TestStates:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_failure_is_stored_but_never_found(self, way, folder, calls):
        """A36, L9, T7"""

        def fail(x):
            calls.append(x)
            raise ValueError("no")

        of = make(way, fail, result_storage_key="k", result_storage=folder)
        names = []
        for _ in range(2):
            try:
                states_of(way, of, 1)
            except ValueError as error:
                names.append(str(error))
        assert calls == [1, 1]
        assert len(files_in(folder)) == 2
        assert all(len(name) == 32 for name in files_in(folder))

    @pytest.mark.parametrize("state", [Failed, Cancelled])
    @pytest.mark.parametrize("way", WAYS)
    def test_a_state_that_is_no_success_is_not_stored(self, way, state, folder, calls):
        """W-A2, engine.md 3.1"""
        hooks = []

        def end(x):
            calls.append(x)
            return state(message="no")

        of = make(
            way,
            end,
            cache_policy=INPUTS,
            result_storage=folder,
            on_commit=[lambda txn: hooks.append("commit")],
            on_rollback=[lambda txn: hooks.append("rollback")],
        )
        found = states_of(way, of, 1, 1)
        assert [(one.name, one.message) for one in found] == [(state().name, "no")] * 2
        assert (calls, hooks, files_in(folder)) == ([1, 1], [], [])

    @pytest.mark.parametrize("way", WAYS)
    def test_a_completed_state_is_stored_without_its_name(self, way, folder):
        """A37"""
        of = make(
            way,
            lambda x: Completed(name="Fine", message="m", data=x + 1),
            cache_policy=INPUTS,
            result_storage=folder,
        )
        first, second = states_of(way, of, 1, 1)
        assert (first.name, first.message, first.result()) == ("Fine", "m", 2)
        assert (second.name, second.message, second.result()) == ("Cached", None, 2)


async def _value(of, x):
    value = of(x)
    return await value if of.isasync else value
