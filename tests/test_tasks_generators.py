"""Generator tasks: item by item, in both directions, and collected when submitted."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from ways import history

from oxtask import flow, task
from oxtask._core import current_run
from oxtask.context import TaskRunContext
from oxtask.exceptions import ParameterBindError

VARIABLE = contextvars.ContextVar("variable", default="unset")
FUTURES = []


@pytest.fixture(autouse=True)
def futures():
    FUTURES.clear()
    return FUTURES


def note():
    FUTURES.append(current_run.get().future)


@task
def count(n):
    note()
    yield from range(n)
    return "returned"


@task
async def acount(n):
    note()
    for item in range(n):
        await asyncio.sleep(0)
        yield item


def collect(generator):
    """Return the items of a generator, async or not, and what it raised."""

    async def acollect():
        items = []
        try:
            async for item in generator:
                items.append(item)
        except Exception as error:
            items.append(error)
        return items

    if hasattr(generator, "__aiter__"):
        return asyncio.run(acollect())
    items = []
    try:
        for item in generator:
            items.append(item)
    except Exception as error:
        items.append(error)
    return items


both = pytest.mark.parametrize("made", [count, acount])


@both
def test_nothing_runs_before_the_first_item(made):
    """27.1, TE-91"""
    generator = made(3)
    assert FUTURES == []
    assert collect(generator) == [0, 1, 2]
    assert history(FUTURES[0]) == ["Pending", "Running", "Completed"]


@both
def test_wrong_arguments_raise_at_the_call(made):
    """27.1"""
    with pytest.raises(ParameterBindError):
        made()


@both
def test_a_state_cannot_be_asked_for(made):
    """27.3, W40, TE-90: at the call"""
    with pytest.raises(ValueError, match="return_type for a generator task must be 'result'"):
        made(3, return_state=True)


def test_items_come_while_the_run_is_under_way():
    """27.2, TE-91"""
    generator = count(2)
    assert next(generator) == 0
    assert history(FUTURES[0]) == ["Pending", "Running"]
    assert next(generator) == 1
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "returned"
    assert FUTURES[0].result() == "returned"


def test_a_generator_can_hand_its_items_and_value_through():
    """27.2"""

    @task
    def outer():
        return (yield from count(2))

    def consume():
        returned.append((yield from outer()))

    returned = []
    assert list(consume()) == [0, 1]
    assert returned == ["returned"]


def test_the_consumer_can_send_and_throw():
    """27.4, W41, TE-98"""

    @task
    def echo():
        received = []
        while len(received) < 3:
            try:
                received.append((yield len(received)))
            except LookupError as error:
                received.append(str(error))
        return received

    generator = echo()
    assert next(generator) == 0
    assert generator.send("a") == 1
    assert generator.throw(LookupError("b")) == 2
    with pytest.raises(StopIteration) as stop:
        generator.send("c")
    assert stop.value.value == ["a", "b", "c"]


def test_the_consumer_can_send_and_throw_into_an_async_one():
    """27.4, W41"""
    received = []

    @task
    async def echo():
        while len(received) < 3:
            try:
                received.append((yield len(received)))
            except LookupError as error:
                received.append(str(error))

    async def main():
        generator = echo()
        assert await anext(generator) == 0
        assert await generator.asend("a") == 1
        assert await generator.athrow(LookupError("b")) == 2
        with pytest.raises(StopAsyncIteration):
            await generator.asend("c")

    asyncio.run(main())
    assert received == ["a", "b", "c"]


@both
def test_a_submitted_generator_results_in_a_list(made):
    """17.10, W24, 27.10, TE-97"""

    @flow
    def main():
        return made.submit(3).result(), made.map([1, 2]).result(), made.submit(0).result()

    assert main() == ([0, 1, 2], [[0], [0, 1]], [])


def test_a_returned_generator_becomes_a_list():
    """27.10, 29.5, W20, ST-46: in the state and for the caller"""

    @task
    def returns():
        return (x for x in range(3))

    assert returns() == [0, 1, 2]
    assert returns(return_state=True).result(_sync=True) == [0, 1, 2]
    assert flow(lambda: returns.submit().result())() == [0, 1, 2]


def test_a_generator_that_is_yielded_is_not_read():
    """TE-97"""

    @task
    def yields():
        yield (x for x in range(3))

    assert list(next(yields())) == [0, 1, 2]


def test_inputs_are_resolved():
    """27.1, 22.1"""

    @flow
    def main():
        n = task(lambda: 3).submit()
        return list(count(n))

    @flow
    async def amain():
        n = task(lambda: 3).submit()
        return [item async for item in acount(n, wait_for=[n])]

    assert main() == asyncio.run(amain()) == [0, 1, 2]


@pytest.mark.parametrize("is_async", [False, True])
def test_the_body_runs_in_a_context_of_its_own(is_async):
    """26.2"""

    def items():
        for _ in range(2):
            context = TaskRunContext.get()
            seen = (VARIABLE.get(), context.task_run.run_count, list(context.parameters))
            VARIABLE.set("body")
            yield seen

    async def aitems():
        for item in items():
            yield item

    made = task(aitems if is_async else items)

    async def consume():
        VARIABLE.set("consumer")
        received = []
        async for item in made():
            received.append((item, VARIABLE.get(), TaskRunContext.get()))
        return received

    def consume_sync():
        VARIABLE.set("consumer")
        return [(item, VARIABLE.get(), TaskRunContext.get()) for item in made()]

    whole = (lambda: asyncio.run(consume())) if is_async else consume_sync
    received = contextvars.copy_context().run(whole)
    assert received == [
        (("consumer", 1, []), "consumer", None),
        (("body", 1, []), "consumer", None),
    ]


def test_generators_of_methods_are_bound():
    """9.3"""

    class Holder:
        @task
        def items(self, n):
            for item in range(n):
                yield self, item

    holder = Holder()
    assert list(holder.items(2)) == [(holder, 0), (holder, 1)]


def test_a_failed_upstream_raises_at_the_first_item():
    """27.1, W20"""
    from oxtask.exceptions import UpstreamTaskError

    @flow
    def main():
        failed = task(lambda: 1 / 0).submit()
        generator = count(failed)
        with pytest.raises(UpstreamTaskError):
            next(generator)

    main()
