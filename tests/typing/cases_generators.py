"""Generator tasks (tasks.md 27 and 32.4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

from typing_extensions import assert_type

from oxtask import task


@task
def count(to: int) -> Generator[int, float, str]:
    yield from range(to)
    return "done"


@task
def count_plainly(to: int) -> Iterator[int]:
    yield from range(to)


@task(retries=1)
async def acount(to: int) -> AsyncGenerator[int, str]:
    for number in range(to):
        yield number


@task
async def acount_plainly(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


def a_call_returns_the_generator() -> None:
    """27.1, 32.4"""
    assert_type(count(3), Generator[int, float, str])
    assert_type(count_plainly(3), Iterator[int])
    for number in count(3):
        assert_type(number, int)
    count("3")  # type: ignore[call-overload]


async def an_async_call_returns_the_generator_at_once() -> None:
    """27.1, 32.4"""
    assert_type(acount(3), AsyncGenerator[int, str])
    async for number in acount(3):
        assert_type(number, int)
    async for number in acount_plainly(3):
        assert_type(number, int)
    await acount(3)  # type: ignore[misc]


def what_is_sent_and_returned_is_known() -> None:
    """27.2, 27.4"""

    def whole() -> Generator[int, float, None]:
        assert_type((yield from count(3)), str)

    generator = count(3)
    assert_type(generator.send(1.5), int)
    generator.send("x")  # type: ignore[arg-type]
    print(whole)


async def what_is_sent_to_an_async_generator_is_known() -> None:
    """27.4"""
    generator = acount(3)
    assert_type(await generator.asend("x"), int)
    await generator.asend(1)  # type: ignore[arg-type]


def wait_for_keeps_the_generator() -> None:
    """32.3"""
    assert_type(count(3, wait_for=[]), Generator[int, float, str])
