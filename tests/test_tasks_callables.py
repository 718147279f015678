"""Which callables can be tasks, and of which kind they are."""

from __future__ import annotations

import asyncio
import functools
import sys
from unittest.mock import AsyncMock, MagicMock

import pytest

from oxtask import flow, task


def add(x, y=1):
    return x + y


async def afetch(x):
    return x


def count(n):
    yield from range(n)


async def acount(n):
    for item in range(n):
        yield item


class Adder:
    """Adds what it holds."""

    def __init__(self, y):
        self.y = y

    def __call__(self, x):
        return x + self.y

    def method(self, x):
        return x * self.y


class AsyncAdder(Adder):
    async def __call__(self, x):
        return x + self.y


# `inspect` cannot read their signature before Python 3.11.
MOCKS = [(AsyncMock(), True, False)] if sys.version_info >= (3, 11) else []


@pytest.mark.parametrize(
    ("fn", "isasync", "isgenerator"),
    [
        (add, False, False),
        (afetch, True, False),
        (count, False, True),
        (acount, True, True),
        (lambda x: x, False, False),
        (Adder(1), False, False),
        (AsyncAdder(1), True, False),
        (Adder(1).method, False, False),
        (functools.partial(add, y=2), False, False),
        (functools.partial(afetch), True, False),
        (task(afetch), True, False),
        (len, False, False),
        (MagicMock(), False, False),
        *MOCKS,
    ],
)
def test_the_kind_of_a_function_is_recognised(fn, isasync, isgenerator):
    """7.1, 7.2, 7.3"""
    made = task(fn)
    assert (made.isasync, made.isgenerator) == (isasync, isgenerator)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: x + 1, 4),
        (Adder(1), 4),
        (Adder(2).method, 6),
        (functools.partial(add, y=5), 8),
        (task(add), 4),
        (MagicMock(return_value=4), 4),
        (abs, 3),
        (staticmethod(add), 4),
    ],
)
def test_all_kinds_of_callables_can_be_tasks(fn, expected):
    """7.1, 7.4, 7.5, W11"""
    made = task(fn)
    assert made(3) == expected

    @flow
    def main():
        return made.submit(3).result(), made.map([3, 3]).result()

    assert main() == (expected, [expected, expected])


def test_an_async_call_method_is_awaited():
    """7.3, W10"""
    made = task(AsyncAdder(1))
    assert asyncio.run(made(3)) == 4

    @flow
    def main():
        return made.submit(3).result()

    assert main() == 4


def wrapper_of(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def test_a_wrapped_async_function_is_awaited():
    """7.3, W10"""
    made = task(wrapper_of(wrapper_of(afetch)))
    assert made.isasync
    assert asyncio.run(made(3)) == 3

    @flow
    def main():
        return made.submit(3).result()

    assert main() == 3


def test_a_wrapper_may_return_the_value_of_its_async_function():
    """7.3: whether what it returns is to be awaited is seen then"""

    @functools.wraps(afetch)
    def cached(x):
        return 3 if x == 0 else afetch(x)

    made = task(cached)

    @flow
    def main():
        return made.map([0, 4]).result()

    assert main() == [3, 4]
    assert asyncio.run(made(0)) == 3


def test_a_class_of_the_program_can_be_a_task():
    """7.4, W11"""
    made = task(Adder)
    assert made(3).y == 3
    assert made.name == "Adder"


def test_a_callable_without_a_signature_is_refused():
    """7.4, W11"""
    with pytest.raises(TypeError, match="must have a signature that Python can read; got "):
        task(type)


def test_a_task_can_be_made_of_a_task():
    """7.1: the outer run wraps the inner one"""
    seen = []
    inner = task(add, on_running=[lambda t, run, state: seen.append("inner")])
    outer = task(inner, on_running=[lambda t, run, state: seen.append("outer")])
    assert outer(1) == 2
    assert seen == ["outer", "inner"]
