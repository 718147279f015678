"""From a state to the value or the exception of its run."""

import asyncio
import contextlib
import sys
import traceback
import weakref
from types import SimpleNamespace

import pytest

from oxtask.exceptions import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    PausedRun,
    UnfinishedRun,
)
from oxtask.results import ResultRecord
from oxtask.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    StateType,
    Suspended,
    aget_state_exception,
    araise_state_exception,
    engine_state,
    exception_to_failed_state,
    get_state_exception,
    raise_state_exception,
    return_value_to_state,
)

FAILURES = [(Failed, FailedRun), (Crashed, CrashedRun), (Cancelled, CancelledRun)]


@pytest.fixture
def run_context(monkeypatch):
    """Set what the context module answers when it is asked for the kind of the current run."""

    def answer(is_async):
        context = SimpleNamespace(in_async_run_context=lambda: is_async)
        monkeypatch.setitem(sys.modules, "oxtask.context", context)

    return answer


@pytest.mark.parametrize("raise_on_failure", [True, False])
@pytest.mark.parametrize("make", [Paused, Suspended])
def test_a_paused_run_has_no_result(make, raise_on_failure):
    """ST-20"""
    state = make()
    with pytest.raises(PausedRun, match="paused, its result is not available") as caught:
        state.result(raise_on_failure=raise_on_failure)
    assert caught.value.state is state


@pytest.mark.parametrize("raise_on_failure", [True, False])
@pytest.mark.parametrize("make", [Scheduled, Pending, Running, Cancelling])
def test_a_run_that_has_not_ended_has_no_result(make, raise_on_failure):
    """ST-21"""
    state = make(data=3, name="Odd")
    expected = f"Run is in {state.type.value} state, its result is not available"
    with pytest.raises(UnfinishedRun, match=expected):
        state.result(raise_on_failure=raise_on_failure)


@pytest.mark.parametrize(("make", "wrapper"), FAILURES)
def test_a_failed_run_raises_what_it_failed_with(make, wrapper):
    """ST-22, EX-05"""
    error = KeyError("k")
    with pytest.raises(KeyError) as caught:
        make(data=error).result()
    assert caught.value is error
    with pytest.raises(wrapper, match=r"^why$"):
        make(message="why").result()


@pytest.mark.parametrize(("make", "wrapper"), FAILURES)
def test_a_failed_run_returns_its_data_if_it_is_not_to_raise(make, wrapper):
    """ST-23"""
    error = ValueError("v")
    inner = Completed()
    for data in (error, "text", inner, 0):
        assert make(data=data).result(raise_on_failure=False) is data
        assert make(data=ResultRecord(data)).result(raise_on_failure=False) is data
    for nothing in (None, ResultRecord(None)):
        result = make(data=nothing, message="why").result(raise_on_failure=False)
        assert type(result) is wrapper
        assert str(result) == "why"


def test_a_completed_run_without_data_misses_its_result():
    """ST-24"""
    for raise_on_failure in (True, False):
        with pytest.raises(MissingResult):
            Completed().result(raise_on_failure=raise_on_failure)
    assert return_value_to_state(None).result() is None
    assert Completed(data=ResultRecord(None)).result() is None


def test_a_record_stands_for_its_value():
    """ST-25"""
    value = object()
    assert Completed(data=ResultRecord(value)).result() is value
    assert Completed(data=value).result(retry_result_failure=False) is value


def test_an_async_run_gets_an_awaitable_and_a_sync_run_a_value(run_context):
    """ST-26"""
    state = Completed(data=3)
    run_context(is_async=True)
    assert asyncio.run(state.result()) == 3
    run_context(is_async=False)
    assert state.result() == 3

    async def sync_run_below_an_async_one():
        return state.result()

    assert asyncio.run(sync_run_below_an_async_one()) == 3


@pytest.mark.parametrize("is_module_there", [True, False])
def test_without_a_run_the_running_loop_decides(run_context, monkeypatch, is_module_there):
    """ST-26"""
    run_context(is_async=None)
    if not is_module_there:
        monkeypatch.delitem(sys.modules, "oxtask.context")
    state = Completed(data=3)
    assert state.result() == 3

    async def on_a_loop():
        assert state.result(_sync=True) == 3
        return await state.result()

    assert asyncio.run(on_a_loop()) == 3


def test_without_asyncio_there_is_no_loop_to_ask_about(monkeypatch):
    """ST-26"""
    monkeypatch.delitem(sys.modules, "asyncio")
    assert Completed(data=3).result() == 3
    assert "asyncio" not in sys.modules
    monkeypatch.setitem(sys.modules, "asyncio", SimpleNamespace())  # half imported
    assert Completed(data=3).result() == 3


def test_the_caller_can_force_either_kind(run_context):
    """ST-26"""
    run_context(is_async=True)
    assert Completed(data=3).result(_sync=True) == 3
    run_context(is_async=False)
    assert asyncio.run(Completed(data=3).result(_sync=False)) == 3


def test_aresult_is_always_a_coroutine():
    """ST-26"""
    assert asyncio.run(Completed(data=3).aresult()) == 3
    with pytest.raises(FailedRun, match="why"):
        asyncio.run(Failed(message="why").aresult())
    assert str(asyncio.run(Failed(message="why").aresult(raise_on_failure=False))) == "why"


@pytest.mark.parametrize(("make", "wrapper"), FAILURES)
def test_each_kind_of_failure_has_an_exception_of_its_own(make, wrapper):
    """ST-30, ST-31, ST-32"""
    default = {FailedRun: "failed", CrashedRun: "crashed", CancelledRun: "cancelled"}[wrapper]
    for data, text in [(None, f"Run {default}."), ("said", "said")]:
        error = get_state_exception(make(data=data))
        assert type(error) is wrapper
        assert str(error) == text
    assert str(get_state_exception(make(message="why"))) == "why"


@pytest.mark.parametrize("make", [Scheduled, Pending, Running, Completed, Paused, Cancelling])
def test_a_state_that_did_not_fail_has_no_exception(make):
    """ST-30, ST-33"""
    with pytest.raises(ValueError, match="Expected failed or crashed state got"):
        get_state_exception(make(data=ValueError()))
    raise_state_exception(make(data=ValueError()))
    asyncio.run(araise_state_exception(make(data=ValueError())))


def test_a_state_that_holds_states_stands_for_the_first_that_failed():
    """ST-32"""
    first, second = ValueError("first"), ValueError("second")
    assert get_state_exception(Failed(data=Failed(data=Crashed(data=first)))) is first
    for kind in (list, tuple):
        inner = kind([Completed(), Pending(), Cancelled(data=first), Failed(data=second)])
        assert get_state_exception(Failed(data=inner)) is first
    assert get_state_exception(Failed(data={Failed(data=first)})) is first


def test_data_that_is_no_exception_is_refused():
    """ST-32"""
    with pytest.raises(ValueError, match="iterable of states but none were failed"):
        get_state_exception(Failed(data=[Completed(), Pending()]))
    with pytest.raises(TypeError, match="<class 'int'> cannot be resolved into an exception"):
        get_state_exception(Failed(data=3))
    with pytest.raises(TypeError, match="<class 'list'> cannot be resolved into an exception"):
        get_state_exception(Failed(data=[]))
    with pytest.raises(ValueError, match="Expected failed or crashed state got"):
        get_state_exception(Failed(data=Completed()))


def test_records_are_unwrapped_first():
    """ST-34"""
    error = ValueError()
    assert get_state_exception(Failed(data=ResultRecord(error))) is error
    assert get_state_exception(Failed(data=ResultRecord([Failed(data=error)]))) is error
    assert str(get_state_exception(Failed(data=ResultRecord(None), message="why"))) == "why"


@pytest.mark.parametrize(("make", "wrapper"), FAILURES)
def test_raising_the_exception_of_a_state_raises_that_very_object(make, wrapper):
    """ST-33, ST-22"""
    error = ValueError()
    for raiser in (raise_state_exception, lambda s: asyncio.run(araise_state_exception(s))):
        with pytest.raises(ValueError) as caught:
            raiser(make(data=error))
        assert caught.value is error
    with pytest.raises(wrapper):
        raise_state_exception(make())
    assert asyncio.run(aget_state_exception(make(data=error))) is error


@pytest.mark.parametrize(
    "value",
    [
        engine_state(StateType.PENDING, "NotReady", message="upstream", task_run_id=5),
        [Completed(), Running()],
    ],
)
def test_a_run_that_returned_an_unfinished_state_says_so(value):
    """FL-56: not a ValueError about states that did not fail."""
    state = return_value_to_state(value)
    assert (
        str(state)
        == f"Failed('1/{len(value) if type(value) is list else 1} states are not final.')"
    )
    with pytest.raises(UnfinishedRun, match="states are not final"):
        state.result()
    assert state.result(raise_on_failure=False) is value


def boom():
    raise ValueError("boom")


def failed_state():
    try:
        boom()
    except ValueError as error:
        return exception_to_failed_state(error)


def test_asking_again_and_again_does_not_lengthen_the_traceback():
    """EX-05"""
    state = failed_state()
    lengths = set()
    for _ in range(5):
        with pytest.raises(ValueError) as caught:
            state.result()
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        lengths.add(len(frames))
        assert frames[-2:] == ["failed_state", "boom"]
    assert len(lengths) == 1


def test_a_failed_result_leaves_no_circle_of_references_behind():
    """EX-05"""

    class Error(Exception):
        pass

    seen = []

    def fail():
        state = exception_to_failed_state(Error())
        seen.append(weakref.ref(state))
        return state

    with contextlib.suppress(Error):
        fail().result()
    with contextlib.suppress(Error):
        asyncio.run(fail().aresult())
    with contextlib.suppress(Error):
        raise_state_exception(fail())
    with contextlib.suppress(Error):
        asyncio.run(araise_state_exception(fail()))
    assert [reference() for reference in seen] == [None] * 4


def test_an_exception_made_for_one_call_is_not_kept():
    """ST-31"""
    state = Failed(message="why")

    def ask():
        try:
            state.result()
        except FailedRun as error:
            return weakref.ref(error)

    assert ask()() is None
