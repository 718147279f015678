"""Errors and texts that misbehave, in runs that are logged and recorded."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from oxtask import flow, get_client, tags, task
from oxtask._internal import run_history
from oxtask.context import FlowRunContext
from oxtask.logging import get_logger, get_run_logger
from oxtask.logging.handlers import OwnHandler
from oxtask.runtime import flow_run, task_run
from oxtask.settings import temporary_settings
from oxtask.task_runners import ThreadPoolTaskRunner

SURROGATE = "a lone \ud800 surrogate"


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    monkeypatch.setattr(run_history, "_history", run_history._new_history())
    with get_client(sync_client=True), temporary_settings({"logging.level": "DEBUG"}):
        yield


@pytest.fixture
def alone(monkeypatch):
    """Return what leaves lines to the console and the history: pytest raises what it cannot format.

    To be called in the test, for which pytest adds its handlers anew.
    """

    def only_own():
        own = get_logger()
        monkeypatch.setattr(own, "propagate", False)
        monkeypatch.setattr(
            own, "handlers", [each for each in own.handlers if isinstance(each, OwnHandler)]
        )

    return only_own


def raises(*_):
    raise RuntimeError("called")


class NoText(Exception):
    __str__ = __repr__ = raises


class NoTruth(Exception):
    __bool__ = __eq__ = raises
    __hash__ = None


class NeedsArguments(Exception):
    def __init__(self, one, *, two):
        self.one, self.two = one, two


class NotPicklable(Exception):
    def __init__(self):
        super().__init__(threading.Lock())

    __reduce__ = __reduce_ex__ = raises


class Base(BaseException):
    pass


class HugeRepr:
    def __repr__(self):
        return "x" * (1 << 26)


class EndlessRepr:
    def __repr__(self):
        return f"<{self!r}>"


def caused(count):
    errors = [ValueError(str(place)) for place in range(count)]
    for place, error in enumerate(errors):
        error.__cause__ = errors[(place + 1) % count]  # a circle
    return errors[0]


def context_circle():
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    return one


def group():
    kinds = vars(sys.modules["builtins"])
    if "ExceptionGroup" not in kinds:  # before Python 3.11
        return ValueError("no groups")
    make = kinds["ExceptionGroup"]

    class Rude(make):
        derive = split = subgroup = raises

    return Rude(SURROGATE, [ValueError("a"), make("inner", [KeyError(SURROGATE), NoText()])])


ERRORS = {
    "no text": NoText,
    "no truth": NoTruth,
    "needs arguments": lambda: NeedsArguments(1, two=2),
    "not picklable": NotPicklable,
    "stop": lambda: StopIteration(3),
    "stop async": StopAsyncIteration,
    "circle of causes": lambda: caused(3),
    "circle of one": lambda: caused(1),
    "circle of contexts": context_circle,
    "10 MB": lambda: ValueError("m" * 10_000_000),
    "huge repr": lambda: ValueError(HugeRepr()),
    "endless repr": lambda: ValueError(EndlessRepr()),
    "surrogate": lambda: ValueError(SURROGATE),
    "bad bytes": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "group": group,
    "memory": MemoryError,
    "recursion": RecursionError,
    "base": Base,
    "generator exit": GeneratorExit,
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
}


@task
def fail(error):
    raise error


@flow
def fail_flow(holder):
    raise holder[0]


WAYS = {
    "call": fail,
    "submit": lambda error: fail.submit(error).result(),
    "map": lambda error: fail.map([error]).result(),
    "engine": fail.with_options(on_failure=[raises], on_completion=[raises]),
    "retries": lambda error: fail.with_options(retries=1).submit(error).result(),
    "flow": lambda error: fail_flow.with_options(
        on_failure=[lambda *_: None], validate_parameters=False
    )([error]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_raised_logged_and_recorded(way, kind, alone, capsys):
    """N5, N6: the very object, a state with its type, and the engine goes on"""
    alone()
    error, caught = ERRORS[kind](), None
    with ThreadPoolTaskRunner(2):
        try:
            WAYS[way](error)
        except BaseException as raised:  # whatever it is
            caught = raised
        assert caught is error
        assert task(lambda: 1).submit().result() == 1
    client = get_client(sync_client=True)
    runs = client.read_flow_runs() if way == "flow" else client.read_task_runs()
    [state] = [run.state for run in runs if not run.state.is_completed()]
    assert state.is_final()
    assert state.is_failed() or not isinstance(error, Exception)
    assert len(state.message) < 11_000
    if state.is_failed():
        assert type(error).__name__ in state.message
    shown = capsys.readouterr().err
    assert "Finished in state" in shown
    assert len(shown) < 10_000_000
    lines = [line.message for line in client.read_logs()]
    assert any(type(error).__name__ in line for line in lines)
    del error, caught, state


def test_what_is_long_is_whole_in_the_error_and_cut_in_the_state(alone):
    """N6: 10 MB"""
    alone()
    text = "m" * 10_000_000
    with pytest.raises(ValueError, match="mmm") as raised:
        fail(ValueError(text))
    assert str(raised.value) == text
    [run] = get_client(sync_client=True).read_task_runs()
    assert run.state.message.endswith("mmm... (10000000 long)")


@pytest.mark.parametrize("kind", ["no text", "no truth", "10 MB", "group", "stop async", "base"])
def test_an_error_of_an_async_flow_is_raised_as_it_is(kind, alone):
    """N6"""
    alone()
    error = ERRORS[kind]()

    @flow
    async def main():
        raise error

    async def run():
        try:
            await main()
        except BaseException as raised:  # `asyncio.run` itself trips over an error without a text
            return raised is error
        return False

    assert asyncio.run(run())


class Text(str):
    """A text of a kind of its own."""

    __slots__ = ()

    def __eq__(self, other):
        raise RuntimeError("called")

    __hash__ = str.__hash__


@pytest.mark.parametrize("text", [SURROGATE, Text("mine"), "\0\x1b[31m", "n" * 100_000, "", "\n"])
def test_names_tags_and_parameters_may_hold_any_text(text, alone, capsys):
    """N5: lone surrogates, control characters, texts of a kind of their own"""
    alone()

    @task(name=text or None, task_run_name=lambda: text, tags={text}, log_prints=True)
    def child(x):
        print(text)
        get_run_logger().error(text)
        get_run_logger().error("%s", text)
        return task_run.name, x

    @flow(name=text or "main", flow_run_name=lambda: text, log_prints=True)
    def main(x):
        with tags(text):
            assert child(x)[1] is x
            return flow_run.name, child.submit({text: x}).result(), FlowRunContext.get().flow_run.id

    name, (run_name, parameters), run_id = main(text)
    assert str(name) == str(run_name) == str(text) or len(text) == 0
    assert [str(value) for value in parameters.values()] == [str(text)]
    client = get_client(sync_client=True)
    record = client.read_flow_run(run_id)
    assert str(record.parameters["x"]) == str(text)
    assert all(str(tag) == str(text) for run in client.read_task_runs() for tag in run.tags)
    assert any(str(text) in line.message for line in client.read_logs())
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "make",
    [
        lambda: 10**5000,
        lambda: -(10**5000),
        lambda: float("nan"),
        lambda: float("inf"),
        lambda: 1j,
        HugeRepr,
    ],
)
def test_parameters_may_be_any_value(make):
    """N5: huge integers and the like, which the history of the run cannot hold as they are"""

    @flow
    def main(x, rest=None):
        return x, FlowRunContext.get().flow_run.id

    value = make()
    found, run_id = main(value, rest={Text("key"): [value]})
    assert found is value
    assert set(get_client(sync_client=True).read_flow_run(run_id).parameters) == {"x", "rest"}
    assert task(lambda x: x)(value) is value
