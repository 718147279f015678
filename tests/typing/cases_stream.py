"""`Task.stream`, over iterables and async iterables (tasks.md 32, and 18.18 which it extends)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

from typing_extensions import assert_type

from oxtask import task


@task
def double(number: int, plus: int = 0) -> int:
    return 2 * number + plus


@task
async def fetch(page: int) -> str:
    return str(page)


@task
def count(to: int) -> Generator[int, None, None]:
    yield from range(to)


async def pages() -> AsyncGenerator[int, None]:
    yield 1


def a_stream_yields_results() -> None:
    """32.4"""
    assert_type(double.stream(range(10)), Iterator[int])
    for number in double.stream([1, 2], plus=3, ordered=False, window=10):
        assert_type(number, int)


def a_stream_of_an_async_task_yields_what_coroutines_return() -> None:
    """32.5 b"""
    assert_type(fetch.stream(range(10)), Iterator[str])
    assert_type(next(fetch.stream(range(10))), str)


def a_stream_of_a_generator_task_yields_lists() -> None:
    """17.10"""
    assert_type(count.stream(range(10)), Iterator[list[int]])


async def an_async_iterable_makes_an_async_stream() -> None:
    """32.4"""
    async for number in double.stream(pages()):
        assert_type(number, int)
    async for text in fetch.stream(pages()):
        assert_type(text, str)
    async for numbers in count.stream(pages()):
        assert_type(numbers, list[int])


async def an_async_stream_can_be_closed() -> None:
    """32.4"""
    stream = double.stream(pages())
    results: AsyncIterator[int] = stream
    await stream.aclose()
    print(results)


def the_source_must_be_iterable() -> None:
    """32.4"""
    double.stream(10)  # type: ignore[call-overload]
    double.stream()  # type: ignore[call-overload]
    double.stream([1], window="10")  # type: ignore[call-overload]


async def the_two_kinds_are_not_the_same() -> None:
    """32.4"""
    iter(double.stream(pages()))  # type: ignore[call-overload]
    aiter(double.stream([1]))  # type: ignore[arg-type]
