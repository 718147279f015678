"""Where results go and how: stores of flows and tasks, serializers, what cannot be stored."""

from __future__ import annotations

import asyncio
import errno

import pytest
from kept_runs import WAYS, files_in, make, names_of, states_of

from oxtask import flow, task
from oxtask.cache_policies import INPUTS
from oxtask.context import FlowRunContext, TaskRunContext
from oxtask.exceptions import ResultPersistenceError, SerializationError
from oxtask.filesystems import LocalFileSystem, NullFileSystem, WritableFileSystem
from oxtask.results import ResultStore, get_result_store
from oxtask.serializers import JSONSerializer, PickleSerializer
from oxtask.settings import temporary_settings

RAN, HIT = ["Completed", "Completed"], ["Completed", "Cached"]


class Full(WritableFileSystem):
    """A storage without room."""

    def read_path(self, path):
        raise FileNotFoundError(path)

    def write_path(self, path, content):
        raise OSError(errno.ENOSPC, "No space left on device")


class Slow(WritableFileSystem):
    """A storage with coroutines."""

    def __init__(self):
        self.files = {}

    async def read_path(self, path):
        await asyncio.sleep(0)
        return self.files[path]

    async def write_path(self, path, content):
        await asyncio.sleep(0)
        self.files[path] = content


# --- what is stored -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_the_result_of_a_flow_is_stored(is_async, folder):
    """L8, engine.md FL-66"""

    @flow(persist_result=True, result_storage=folder)
    def main():
        return {"x": 1}

    @flow(persist_result=True, result_storage=folder)
    async def amain():
        return {"x": 1}

    state = asyncio.run(amain(return_state=True)) if is_async else main(return_state=True)
    (name,) = files_in(folder)
    assert ResultStore(folder).read(name).result == state.result() == {"x": 1}
    assert (len(name), state.data.is_persisted) == (32, True)


@pytest.mark.parametrize("persists", [True, False])
def test_the_exception_of_a_flow_is_stored_if_results_are(persists, folder):
    """W-L2"""

    @flow(persist_result=persists, result_storage=folder)
    def main():
        raise KeyError("k")

    with pytest.raises(KeyError):
        main()
    found = [ResultStore(folder).read(name).result for name in files_in(folder)]
    assert [(type(error), error.args) for error in found] == [(KeyError, ("k",))] * persists


@pytest.mark.parametrize("persists", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_the_exception_of_a_task_is_stored_if_results_are(way, persists, folder):
    """L9"""

    def fail(x):
        raise KeyError("k")

    made = make(way, fail, persist_result=persists, result_storage=folder)
    (state,) = states_of(way, made, 1)
    assert type(state.result(raise_on_failure=False)) is KeyError
    found = [ResultStore(folder).read(name).result for name in files_in(folder)]
    assert [(type(error), error.args) for error in found] == [(KeyError, ("k",))] * persists


def test_an_exception_that_cannot_be_stored_costs_a_line(folder, lines):
    """L9"""

    def fail(x):
        raise KeyError(lambda: None, iter([]), (x for x in ()))

    made = make("call", fail, persist_result=True, result_storage=folder)
    with pytest.raises(KeyError):
        made(1)
    assert [line for line in lines("WARNING") if "exception of the run could not be stored" in line]


# --- what cannot be stored ------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_cannot_be_written_costs_the_cache_not_the_run(way, folder, lines):
    """S15, X-50, L14"""
    hooks = []
    made = make(
        way,
        lambda x: (i for i in ()).__iter__ if x else [object()],
        persist_result=True,
        result_serializer="json",
        result_storage=folder,
        on_commit=[lambda txn: hooks.append("commit")],
        on_rollback=[lambda txn: hooks.append("rollback")],
        on_completion=[lambda *_: hooks.append("completion")],
    )
    (state,) = states_of(way, made, 0)
    assert state.name == "Completed"
    assert (type(state.result()), files_in(folder)) == (list, [])
    assert hooks == ["rollback", "completion"]
    (line,) = [line for line in lines("WARNING") if "serializing" in line]
    assert "Encountered an error while serializing result" in line
    assert "result_serializer" in line


def test_a_value_that_is_not_kept_is_not_written(folder, lines):
    """S15"""
    made = make("call", lambda x: object(), result_serializer="json", persist_result=False)
    assert names_of("call", made, 1) == ["Completed"]
    assert lines("WARNING") == []


@pytest.mark.parametrize("way", WAYS)
def test_a_storage_that_fails_fails_the_run(way, lines):
    """RELIABILITY D8"""
    hooks = []
    made = make(
        way,
        lambda x: x,
        persist_result=True,
        result_storage=Full(),
        retries=2,
        on_rollback=[lambda txn: hooks.append("rollback")],
        on_completion=[lambda *_: hooks.append("completion")],
        on_failure=[lambda *_: hooks.append("failure")],
    )
    (state,) = states_of(way, made, 1)
    error = state.result(raise_on_failure=False)
    assert isinstance(error, ResultPersistenceError)
    assert "OXTASK_RESULTS_ON_PERSIST_ERROR=warn" in str(error)
    assert "No space left" in str(error)
    assert (state.name, hooks) == ("Failed", ["rollback", "failure"])


@pytest.mark.parametrize("way", WAYS)
def test_a_setting_lets_the_run_complete_without(way, lines):
    """RELIABILITY D8"""
    made = make(way, lambda x: x, persist_result=True, result_storage=Full())
    with temporary_settings({"results.on_persist_error": "warn"}):
        (state,) = states_of(way, made, 3)
    assert (state.name, state.result()) == ("Completed", 3)
    assert not state.data.is_persisted


def test_a_flow_whose_value_cannot_be_stored_completes(lines):
    """S15, D8"""

    @flow(persist_result=True, result_storage=Full())
    def full():
        return 1

    @flow(persist_result=True, result_serializer="json")
    def odd():
        return object

    assert (full(), odd()) == (1, object)
    found = [line for line in lines("WARNING") if "result of the flow run could not" in line]
    assert len(found) == 2


# --- which store ----------------------------------------------------------------------------------


def test_tasks_use_what_their_flow_says_unless_they_say_otherwise(folder, tmp_path):
    """R13, R14, R15, R16"""
    seen = {}

    def note(name):
        store = get_result_store()
        context = TaskRunContext.get() or FlowRunContext.get()
        assert context.result_store is store
        place = None if store.result_storage is None else store.result_storage.basepath
        seen[name] = place, store.serializer.type, store.cache_result_in_memory
        return store

    @task(cache_policy=INPUTS)
    def plain():
        assert note("plain").metadata_storage is None
        nested()

    @task(result_serializer="pickle", cache_result_in_memory=False, result_storage=tmp_path / "own")
    def own():
        note("own")
        nested_in_own()
        inner()

    @task
    def nested():
        note("nested")

    @task
    def nested_in_own():
        note("nested in own")

    @flow(result_serializer="compressed/json")
    def inner():
        note("inner")

    @flow(result_storage=folder, result_serializer="json")
    def outer():
        assert isinstance(note("outer").metadata_storage, NullFileSystem)
        plain()
        own()
        inner()

    outer()
    there = str(folder)
    assert seen["outer"] == seen["plain"] == seen["nested"] == (there, "json", True)
    assert seen["own"] == (str(tmp_path / "own"), "pickle", False)
    assert seen["nested in own"] == (str(tmp_path / "own"), "pickle", True)
    assert seen["inner"] == (there, "compressed/json", True)


def test_stores_are_derived_by_hand_too(folder):
    """R3, R13, R14"""
    store = ResultStore(folder)
    made = make("call", len, result_serializer="json")

    @flow(cache_result_in_memory=False)
    def main():
        return 1

    of_flow = store.update_for_flow(main)
    of_task = of_flow.update_for_task(made)
    assert isinstance(of_flow.metadata_storage, NullFileSystem)
    assert (of_flow.cache_result_in_memory, of_task.cache_result_in_memory) == (False, True)
    assert (of_task.metadata_storage, of_task.serializer) == (None, JSONSerializer())
    assert of_flow.serializer == PickleSerializer()
    assert of_task.cache is of_flow.cache is store.cache

    async def derive():
        assert await store.update_for_flow(main) == of_flow
        assert await of_flow.update_for_task(made) == of_task
        assert await store.aupdate_for_flow(main) == of_flow
        assert await of_flow.aupdate_for_task(made) == of_task
        return store.update_for_flow(main, _sync=True)

    assert asyncio.run(derive()) == of_flow


def test_keys_may_be_kept_elsewhere(folder, tmp_path, calls):
    """L7, R14, R17, X3, W-R3"""
    keys = tmp_path / "keys"
    policy = INPUTS.configure(key_storage=keys)
    body = calls.append
    made = make("call", body, cache_policy=policy, result_storage=folder)
    assert names_of("call", made, 1, 1) == HIT
    (name,) = files_in(keys)
    assert files_in(folder) == [name]
    for gone in (keys, folder):
        (gone / name).unlink()
        assert names_of("call", made, 1, 1) == HIT
    assert calls == [1, 1, 1]


def test_the_default_storage_follows_the_settings(home, tmp_path, calls):
    """D1, D6, L1, Z7"""
    made = make("call", lambda x: calls.append(x), cache_policy=INPUTS)
    assert names_of("call", made, 1, 1) == HIT
    with temporary_settings({"results.local_storage_path": tmp_path / "elsewhere"}):
        assert names_of("call", made, 1, 1) == HIT
    with temporary_settings({"home": tmp_path / "other"}):
        assert names_of("call", made, 1, 1) == HIT
    assert names_of("call", made, 1) == ["Cached"]
    for place in (home / "storage", tmp_path / "elsewhere", tmp_path / "other" / "storage"):
        assert files_in(place)
    assert calls == [1, 1, 1]


@pytest.mark.parametrize("way", WAYS)
def test_storages_may_be_async(way, calls):
    """F1, W-A1"""
    made = make(way, lambda x: x, cache_key_fn=lambda *_: "k", result_storage=Slow())
    assert names_of(way, made, 1, 1) == HIT
    assert list(made.result_storage.files) == ["k"]


def test_what_cannot_be_a_storage_is_refused_at_once():
    """W-D1, D2"""
    for decorator in (task, flow):
        with pytest.raises(TypeError, match="result_storage"):
            decorator(lambda: 1, result_storage=3)


@pytest.mark.parametrize("serializer", ["nope", 3])
@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_a_serializer_fails_the_run(way, serializer, folder, calls):
    """W-D1, S2, S3: before its body"""
    made = make(way, lambda x: calls.append(x), result_serializer=serializer, result_storage=folder)
    (state,) = states_of(way, made, 1)
    assert (state.name, calls) == ("Failed", [])
    assert isinstance(state.result(raise_on_failure=False), (TypeError, ValueError))


@pytest.mark.parametrize("way", WAYS)
def test_a_storage_that_cannot_be_reached_fails_the_run(way):
    """W-D1, RELIABILITY D8"""
    made = make(way, lambda x: x, result_storage="nowhere://x")
    (state,) = states_of(way, made, 1)
    assert state.name == "Failed"
    assert isinstance(state.result(raise_on_failure=False), ResultPersistenceError)

    @flow(result_storage="nowhere://x", persist_result=True)
    def main():
        return 1

    assert main(return_state=True).is_completed()


# --- in memory ------------------------------------------------------------------------------------


def test_a_hit_is_nobody_elses_object(folder):
    """W-M1, E8"""
    made = make("call", lambda x: [x], cache_policy=INPUTS, result_storage=folder)

    @flow
    def main():
        first = made(1)
        first.append(2)
        second = made(1)
        second.append(3)
        return made(1)

    assert main() == [1]


def test_what_others_write_or_remove_is_seen(folder, calls):
    """W-M2, M2"""
    made = make(
        "call",
        lambda x: calls.append(x) or "own",
        cache_key_fn=lambda *_: "k",
        result_storage=folder,
    )
    found = []

    @flow
    def main():
        found.extend([made(1), made(1)])
        ResultStore(folder).write("theirs", key="k")
        found.append(made(1))
        (folder / "k").unlink()
        found.append(made(1))

    main()
    assert found == ["own", "own", "theirs", "own"]
    assert calls == [1, 1]


@pytest.mark.parametrize("is_cached", [True, False])
def test_results_are_kept_in_memory_unless_a_task_says_not_to(is_cached, folder):
    """M1, M4, tasks.md 3.12"""
    made = make(
        "call",
        lambda x: x,
        cache_policy=INPUTS,
        result_storage=folder,
        cache_result_in_memory=is_cached,
    )
    sizes = []

    @flow
    def main():
        assert [made(1), made(1)] == [1, 1]
        sizes.append(len(get_result_store().cache))

    main()
    assert sizes == [int(is_cached)]


def test_a_serializer_with_options_is_found_again(folder):
    """S14"""
    made = make(
        "call",
        lambda x: {"x": x},
        cache_policy=INPUTS,
        result_storage=LocalFileSystem(folder),
        result_serializer=JSONSerializer(dumps_kwargs={"indent": 2}),
    )
    assert names_of("call", made, 1, 1) == HIT
    other = made.with_options(result_serializer="pickle")
    assert names_of("call", other, 1) == ["Cached"]
    (name,) = files_in(folder)
    record = ResultStore(folder).read(name)
    assert record.serializer.dumps_kwargs == {"indent": 2}
    with pytest.raises(SerializationError, match="json"):
        ResultStore(folder, serializer="json").write(object(), key="k")
