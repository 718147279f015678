"""States that say where their result is stored, and what is kept of a state."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from oxtask import flow, states, task
from oxtask._internal.storage.metadata import ResultRecordMetadata
from oxtask.exceptions import MissingResult, PausedRun, UnfinishedRun
from oxtask.filesystems import WritableFileSystem
from oxtask.results import ResultRecord, ResultStore
from oxtask.settings import temporary_settings
from oxtask.states import (
    Completed,
    Crashed,
    Failed,
    Paused,
    Running,
    get_state_exception,
    raise_state_exception,
    to_state_create,
)
from oxtask.transactions import transaction


@pytest.fixture(autouse=True)
def own_home(home):
    return home


@pytest.fixture
def naps(monkeypatch):
    """Take note of how long is slept between two times a storage is asked, instead of sleeping."""
    from oxtask._internal import state_results

    slept = []
    monkeypatch.setattr(state_results.time, "sleep", slept.append)
    return slept


def stored(value, folder=None, **options):
    """Store a value; return what describes it."""
    store = ResultStore(folder)
    record = store.create_result_record(value, **options)
    store.persist_result_record(record)
    return record.metadata


@pytest.mark.parametrize("value", [1, None, [], {"type": "literal"}, False])
def test_the_result_is_read_from_where_it_is_stored(value, folder):
    """Y4, Y9, ST-25"""
    for place in (None, folder):
        state = Completed(data=stored(value, place))
        assert state.result() == value
        assert asyncio.run(state.aresult()) == value
        assert pickle.loads(pickle.dumps(state)).result() == value


def test_a_state_made_by_hand_is_read_from_the_default_storage():
    """Y4: nothing but a key"""
    stored("there", key="k")
    metadata = ResultRecordMetadata.load_bytes(ResultRecordMetadata(storage_key="k").dump_bytes())
    assert Completed(data=metadata).result() == "there"


def test_a_key_that_is_a_path_is_read(folder):
    """L6, W-L1"""
    metadata = stored(1, folder, key="k")
    there = ResultRecordMetadata(storage_key=str(folder / metadata.storage_key))
    with pytest.raises(ValueError, match="outside"):
        Completed(data=there).result()
    with temporary_settings({"results.local_storage_path": folder}):
        assert Completed(data=there).result() == 1


def test_a_failure_is_raised_as_it_was_stored(folder):
    """Y2, L9"""
    metadata = stored(KeyError("k"), folder)
    for make in (Failed, Crashed):
        with pytest.raises(KeyError, match="k"):
            make(data=metadata).result()
        with pytest.raises(KeyError, match="k"):
            raise_state_exception(make(data=metadata))
        error = make(data=metadata).result(raise_on_failure=False)
        assert (type(error), error.args) == (KeyError, ("k",))
        assert type(get_state_exception(make(data=metadata))) is KeyError
    several = Failed(data=[Completed(data=1), Failed(data=metadata)])
    with pytest.raises(KeyError, match="k"):
        several.result()


def test_a_run_that_has_not_ended_is_not_read():
    """Y1"""
    metadata = ResultRecordMetadata(storage_key="nowhere")
    with pytest.raises(UnfinishedRun):
        Running(data=metadata).result(raise_on_failure=False)
    with pytest.raises(PausedRun):
        Paused(data=metadata).result()


def test_a_state_without_a_place_or_data_has_no_result():
    """Y3"""
    for data in (None, ResultRecordMetadata()):
        with pytest.raises(MissingResult):
            Completed(data=data).result()


def test_a_file_that_is_gone_is_asked_for_once(folder, naps):
    """X5, W-X1"""
    metadata = stored(1, folder)
    (folder / metadata.storage_key).unlink()
    for state in (Completed(data=metadata), Failed(data=metadata)):
        with pytest.raises(ValueError, match="does not exist"):
            state.result()
        with pytest.raises(ValueError, match="does not exist"):
            asyncio.run(state.aresult())
    assert naps == []


class Late(WritableFileSystem):
    """A storage that shows late what was written."""

    def __init__(self, delay):
        self.delay = delay
        self.files = {}

    def read_path(self, path):
        self.delay -= 1
        if self.delay >= 0:
            raise FileNotFoundError(path)
        return self.files[path]

    def write_path(self, path, content):
        self.files[path] = content


def read_late(storage, **options):
    """Store a value elsewhere and ask for it in a flow that uses that storage."""
    found = []

    @flow(result_storage=storage, persist_result=False)
    def main():
        store = ResultStore(storage)
        record = store.create_result_record("late")
        store.persist_result_record(record)
        found.append(Completed(data=record.metadata).result(**options))

    main()
    return found[0]


def test_a_storage_elsewhere_is_asked_again(naps):
    """X5"""
    assert read_late(Late(3)) == "late"
    assert naps == [0.25] * 3


def test_a_storage_elsewhere_is_not_asked_for_ever(naps, monkeypatch):
    """X5"""
    for attempts, options in ((10, {}), (1, {"retry_result_failure": False})):
        naps.clear()
        with pytest.raises(FileNotFoundError):
            read_late(Late(99), **options)
        assert len(naps) == attempts - 1
    monkeypatch.setattr(states, "RESULT_READ_MAXIMUM_ATTEMPTS", 3)
    monkeypatch.setattr(states, "RESULT_READ_RETRY_DELAY", 0.5)
    naps.clear()
    with pytest.raises(FileNotFoundError):
        read_late(Late(99))
    assert naps == [0.5, 0.5]


def test_a_state_of_this_process_holds_its_value(folder):
    """Y3, Y4, Y5"""

    @task
    def nothing():
        return None

    @task(persist_result=True, result_storage=folder)
    def kept():
        return 3

    plain, state = nothing(return_state=True), kept(return_state=True)
    assert (type(plain.data), plain.result()) == (ResultRecord, None)
    assert (plain.data.is_persisted, state.data.is_persisted) == (False, True)
    assert state.data.metadata.storage_key == next(folder.iterdir()).name
    assert Completed(data=state.data.metadata).result() == 3


def test_what_is_kept_of_a_state_is_where_its_result_is(folder):
    """Y6"""

    @task(persist_result=True, result_storage=folder)
    def kept():
        return 3

    state = kept(return_state=True)
    metadata = to_state_create(state).data
    assert metadata == state.data.metadata
    assert to_state_create(Completed(data=metadata)).data == metadata
    assert to_state_create(Completed(data=3)).data is None
    unwritten = ResultStore(folder).create_result_record(1)
    assert to_state_create(Completed(data=unwritten)).data is None
    with temporary_settings({"results.persist_by_default": True}):
        assert to_state_create(Completed(data=unwritten)).data is unwritten.metadata


def test_a_result_is_not_persisted_before_its_transaction_is_committed(folder):
    """Y7"""

    @task(persist_result=True, result_storage=folder)
    def kept():
        return 3

    with transaction():
        state = kept(return_state=True)
        assert (state.data.is_persisted, state.result()) == (False, 3)
    assert state.data.is_persisted


def test_a_result_is_awaited_in_async_code(folder):
    """Y8"""
    state = Completed(data=stored(3, folder))

    async def main():
        assert state.result(_sync=True) == 3
        return await state.result(), await state.aresult()

    assert asyncio.run(main()) == (3, 3)
    assert asyncio.run(state.result(_sync=False)) == 3


def test_metadata_are_equal_by_their_fields(folder):
    """L10"""
    metadata = stored(1, folder, key="k")
    same = ResultRecordMetadata.load_bytes(metadata.dump_bytes())
    assert metadata == same
    assert metadata != ResultRecordMetadata(storage_key="k2")
    assert metadata != "k"
