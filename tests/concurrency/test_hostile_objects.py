"""Objects of the user that misbehave: the error is told, and the engine goes on."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxtask import task
from oxtask.exceptions import OxtaskException
from oxtask.futures import resolve_futures_to_results
from oxtask.task_runners import ThreadPoolTaskRunner
from oxtask.utilities.annotations import allow_failure

PATIENCE = 10

# What `__del__` raises is told whenever the collector comes by.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def pool():
    with ThreadPoolTaskRunner(2) as runner:
        yield runner


class Boom(Exception):
    pass


class RaisesInEverything:
    """Every special method that Python code might call on a value raises."""

    def _boom(self, *args, **kwargs):
        raise Boom

    __eq__ = __ne__ = __lt__ = __bool__ = __len__ = __contains__ = __str__ = __repr__ = _boom
    __format__ = __getstate__ = __reduce__ = __reduce_ex__ = __copy__ = __deepcopy__ = _boom
    __call__ = __del__ = __index__ = __int__ = __dir__ = __sizeof__ = _boom
    __hash__ = _boom


class HashChanges:
    def __init__(self):
        self.count = 0

    def __hash__(self):
        self.count += 1
        return self.count

    def __eq__(self, other):
        return False


class ReprIsHuge:
    def __repr__(self):
        return "x" * (1 << 26)


class ReprRecurses:
    def __repr__(self):
        return f"<{self!r}>"


class AttributesRaise:
    def __getattribute__(self, name):
        raise Boom(name)


class ClassLies:
    @property
    def __class__(self):
        raise Boom


class IterRaises:
    def __iter__(self):
        raise Boom


class StringOfAKind(str):
    __slots__ = ()

    def __eq__(self, other):
        raise Boom

    __hash__ = str.__hash__


class IntOfAKind(int):
    def __eq__(self, other):
        raise Boom

    __hash__ = int.__hash__


class Meta(type):
    def __instancecheck__(cls, instance):
        raise Boom

    def __subclasscheck__(cls, other):
        raise Boom

    def __eq__(cls, other):
        raise Boom

    def __hash__(cls):
        raise Boom


class OfAKind(metaclass=Meta):
    pass


HOSTILE = [
    RaisesInEverything,
    HashChanges,
    ReprIsHuge,
    ReprRecurses,
    IterRaises,
    lambda: StringOfAKind("text"),
    lambda: IntOfAKind(3),
    lambda: "\ud800 a lone surrogate",
    lambda: 10**5000,
    lambda: float("nan"),
]
hostile = pytest.mark.parametrize("make", HOSTILE)


@task
def same(x):
    return x


@task
async def same_async(x):
    await asyncio.sleep(0)
    return x


@task
def drop(*args, **kwargs):
    return None


@task
def fail(error):
    raise error


@pytest.fixture
def quiet():
    """Leave out the logs: pytest would call the `repr` of what is in them."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@hostile
@pytest.mark.parametrize("kind", [same, same_async, same.with_options(retries=1)])
def test_a_hostile_value_goes_in_and_out_as_it_is(make, kind):
    """N5"""
    value = make()
    future = kind.submit(value)
    assert future.result() is value
    assert kind.map([value])[0].result() is value
    assert drop.submit(1, x=value).result() is None
    assert same.submit(future).result() is value
    if kind is not same_async:
        assert kind(value) is value
    assert future.state.is_completed()
    assert "completed" in repr(future)


@hostile
def test_a_hostile_value_in_a_collection_goes_in_and_out(make):
    """N5"""
    value = make()
    future = same.submit(1)
    one, pair, number = same.submit([value, {"key": value}, future]).result()
    assert one is value
    assert pair["key"] is value
    assert number == 1
    assert resolve_futures_to_results([future, (value,)])[1][0] is value


@pytest.mark.parametrize("make", [IterRaises, RaisesInEverything])
def test_an_iterable_that_cannot_be_iterated_fails_the_map(make):
    """N5, TR-04"""
    if make is RaisesInEverything:
        make = type("LenRaises", (), {"__len__": make._boom, "__iter__": make._boom})
    with pytest.raises(Boom):
        same.map(make())
    assert same.submit(1).result() == 1


def test_keys_that_compare_badly_are_told_to_the_body():
    """N5"""
    future = same.submit(1)
    keys = {StringOfAKind("a"): future}
    answer = same.submit(keys).result()
    assert list(answer.values()) == [1]


class HashesOnce:
    count = 0

    def __hash__(self):
        self.count += 1
        if self.count > 1:
            raise Boom
        return 1


@pytest.mark.parametrize("wrap", [lambda x: x, allow_failure])
def test_an_argument_that_breaks_the_walk_is_named(wrap):
    """N5, TE-68, 22.4"""

    @task
    def body(first, bad):
        return first, bad

    for use in (
        lambda value: body.submit(1, bad=value),
        lambda value: body.submit(1, value),
        lambda value: body.map([1], bad=[value])[0],
    ):
        future = use(wrap({HashesOnce(): same.submit(1)}))
        with pytest.raises(OxtaskException, match="parameter 'bad'") as raised:
            future.result()
        assert isinstance(raised.value.__cause__, Boom)
    assert same.submit(1).result() == 1


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("make", [AttributesRaise, ClassLies, OfAKind])
@pytest.mark.parametrize("kind", [same, same_async, same.with_options(retries=1)])
def test_a_value_that_cannot_even_be_asked_for_its_type_harms_nobody(make, kind):
    """N5: it goes through, or its own error is raised"""
    value = make()
    for use in (
        lambda: kind.submit(value),
        lambda: kind.submit([value, same.submit(1)]),
        lambda: kind.map([value])[0],
        lambda: kind.submit(1, wait_for=value),
    ):
        try:
            future = use()
        except Boom:
            continue
        error = future.result(raise_on_failure=False)
        assert error is value or type(error) in {Boom, OxtaskException, list, int}
    assert same.map([1, 2]).result() == [1, 2]


class HookWithoutName:
    def __init__(self, seen):
        self.seen = seen

    def __call__(self, *_):
        self.seen.append("called")
        raise Boom

    def __getattribute__(self, name):
        if name.startswith("__"):
            raise Boom
        return object.__getattribute__(self, name)

    __repr__ = RaisesInEverything.__repr__


def test_a_hostile_hook_is_called_and_harms_nobody():
    """N5, tasks.md 11.6"""
    seen = []
    hooks = [HookWithoutName(seen)]
    made = same.with_options(on_running=hooks, on_completion=hooks)
    assert made(1) == 1
    assert made.submit(2).result() == 2
    assert asyncio.run(same_async.with_options(on_completion=hooks)(3)) == 3
    assert seen == ["called"] * 5


class RaisesInLife(RaisesInEverything):
    """The same, but it goes quietly: workers let go of what a method is bound to in their time."""

    __hash__ = RaisesInEverything.__hash__

    def __del__(self):
        return None


@pytest.mark.parametrize("make", [RaisesInLife, *HOSTILE[1:]])
def test_methods_of_a_hostile_object_are_bound(make):
    """N5, tasks.md 9.4"""

    def bound(self, x):
        return self, x

    async def abound(self, x):
        return self, x

    value = make()
    for function in (bound, abound):
        method = task(function).__get__(value, type(value))
        assert method.submit(1).result()[0] is value
        assert method.map([1])[0].result()[1] == 1
    assert task(bound).__get__(value, type(value))(1)[0] is value


class UnreadableTuple(tuple):
    __slots__ = ()

    def __iter__(self):
        raise Boom

    __len__ = __iter__


class UnreadableList(list):
    def __iter__(self):
        raise Boom


@pytest.mark.parametrize("make", [lambda: UnreadableTuple((1,)), lambda: UnreadableList([1])])
@pytest.mark.parametrize("kind", [same, same_async, same.with_options(retries=1)])
def test_a_collection_that_cannot_be_read_goes_in_and_out(make, kind):
    """N5, tasks.md 29.3"""
    value = make()
    assert kind.submit(value).result() is value
    assert kind.map([value, 2]).result()[0] is value
    if kind is not same_async:
        assert kind(value) is value


class UnreadableItem:
    """Raises where the walk asks of which kind an object is."""

    @property
    def __class__(self):
        raise Boom


def test_an_argument_that_cannot_be_walked_fails_its_run_and_not_the_submit():
    """N5, tasks.md 22.4"""
    future = same.submit(allow_failure([UnreadableItem()]))
    with pytest.raises(OxtaskException, match="parameter 'x'") as raised:
        future.result()
    assert isinstance(raised.value.__cause__, Boom)
    assert same.submit(2).result() == 2


class BadError(Exception):
    def __init__(self, one, two):
        super().__init__(one)

    def __str__(self):
        raise Boom

    def __repr__(self):
        raise Boom


class BoolRaises(Exception):
    def __bool__(self):
        raise Boom

    def __eq__(self, other):
        raise Boom

    __hash__ = None


def cyclic():
    error = ValueError("one")
    error.__cause__ = TypeError("two")
    error.__cause__.__cause__ = error
    return error


ERRORS = [
    lambda: BadError(1, 2),
    BoolRaises,
    StopIteration,
    StopAsyncIteration,
    cyclic,
    lambda: ValueError("m" * 10_000_000),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: ValueError("\ud800"),
    lambda: ValueError(RaisesInEverything()),
    MemoryError,
    RecursionError,
]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("make", ERRORS)
@pytest.mark.parametrize("options", [{}, {"retries": 1}])
def test_a_hostile_exception_is_raised_as_it_is(make, options):
    """N5, EX-05"""
    error = make()
    future = fail.with_options(**options).submit(error)
    assert future.result(raise_on_failure=False) is error
    assert future.state.is_failed()
    assert isinstance(str(future.state), str)
    with pytest.raises(type(error)):
        future.result()
    assert fail.map([error]).result(raise_on_failure=False)[0] is error
    assert same.submit(1).result() == 1


def test_a_stop_iteration_in_an_async_body_is_a_runtime_error():
    """N5: as in Python"""

    @task
    async def stop():
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        stop.submit().result()


def test_a_body_that_recurses_too_deep_fails_alone():
    """N5"""

    @task
    def recurse():
        return recurse.fn() + 1

    futures = [recurse.submit() for _ in range(4)]
    for future in futures:
        with pytest.raises(RecursionError):
            future.result()
    assert same.submit(1).result() == 1


def test_results_that_are_awaitables_iterators_and_classes_are_plain_results():
    """N5"""

    @task
    def give(make):
        return make()

    for make in (lambda: iter([1]), lambda: int, lambda: threading.Lock(), lambda: give):
        assert type(give.submit(make).result()) is type(make())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@settings(max_examples=50)
@given(values, values)
def test_any_value_comes_back_equal_and_untouched_ones_identical(one, two):
    """N5, 21.5"""
    assert same.submit(one).result() is one
    future = same.submit(two)
    mixed = same.submit([one, {"k": future}, (future, one)]).result()
    assert mixed == [one, {"k": two}, (two, one)]
    assert mixed[0] is one
