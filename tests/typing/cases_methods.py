"""Tasks and flows that are methods (tasks.md 9 and 32.5 d)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from typing_extensions import assert_type

from oxtask import State, Task, flow, task
from oxtask.futures import Future, FutureList

T = TypeVar("T")


class Reader:
    @task
    def read(self, page: int, scale: float = 1) -> str:
        return f"{page} {scale}"

    @task(retries=1)
    async def fetch(self, page: int) -> str:
        return str(page)

    @flow
    def survey(self, pages: list[int]) -> list[str]:
        return self.read.map(pages).result()

    @flow(name="survey")
    async def asurvey(self, pages: list[int]) -> list[str]:
        return [await self.fetch(page) for page in pages]

    @task
    @classmethod
    def of_class(cls, page: int) -> str:
        return cls.__name__ * page

    @classmethod
    @task
    def of_class_too(cls, page: int) -> str:
        return cls.__name__ * page

    @task
    @staticmethod
    def of_none(page: int) -> str:
        return str(page)

    @staticmethod
    @task
    def of_none_too(page: int) -> str:
        return str(page)

    @staticmethod
    @task
    def without_parameters() -> str:
        return ""

    @flow
    @staticmethod
    def static_flow(page: int) -> str:
        return str(page)


class FastReader(Reader):
    pass


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content

    @task
    def swap(self, content: T) -> T:
        content, self.content = self.content, content
        return content


# Methods


def a_method_needs_no_self(reader: Reader) -> None:
    """32.5 d"""
    assert_type(reader.read(1), str)
    assert_type(reader.read(page=1, scale=2.5), str)
    bound: Task[[int], str] = task(Reader().of_none.fn)
    print(bound)


def the_arguments_of_a_method_are_checked(reader: Reader) -> None:
    """32.5 d"""
    reader.read("1")  # type: ignore[call-overload]
    reader.read()  # type: ignore[call-overload]
    reader.read(reader, 1)  # type: ignore[call-overload]


async def an_async_method_is_awaited(reader: Reader) -> None:
    """32.5 d, 9.3"""
    assert_type(await reader.fetch(1), str)
    assert_type(await reader.fetch(1, return_state=True), State[str])


def a_method_is_submitted_and_mapped(reader: Reader) -> None:
    """9.1"""
    assert_type(reader.read.submit(1), Future[str])
    assert_type(reader.fetch.submit(1), Future[str])
    assert_type(reader.read.map([1, 2]), FutureList[str])
    assert_type(reader.read(1, return_state=True), State[str])


def a_method_of_the_class_takes_the_object_first(reader: Reader) -> None:
    """9.2"""
    assert_type(Reader.read(reader, 1), str)
    Reader.read(1)  # type: ignore[call-overload]
    Reader.read("reader", 1)  # type: ignore[call-overload]


def a_method_is_inherited(reader: FastReader) -> None:
    """9.3"""
    assert_type(reader.read(1), str)
    assert_type(FastReader.read(reader, 1), str)
    reader.read("1")  # type: ignore[call-overload]


def a_method_of_a_generic_class_knows_its_types(box: Box[int]) -> None:
    """9.3"""
    assert_type(box.swap(1), int)
    assert_type(Box("a").swap.submit("b"), Future[str])
    box.swap("a")  # type: ignore[call-overload]


def options_leave_a_method_bound(reader: Reader) -> None:
    """9.12"""
    assert_type(reader.read.with_options(retries=3)(1), str)


# Class methods and static methods


def a_class_method_needs_no_class(reader: Reader) -> None:
    """9.6"""
    assert_type(Reader.of_class(1), str)
    assert_type(Reader.of_class_too(1), str)
    assert_type(reader.of_class(1), str)
    assert_type(reader.of_class_too(1), str)
    assert_type(FastReader.of_class(1), str)


def the_arguments_of_a_class_method_are_checked(reader: Reader) -> None:
    """9.6"""
    Reader.of_class("1")  # type: ignore[call-overload]
    Reader.of_class_too()  # type: ignore[call-overload]
    reader.of_class("1")  # type: ignore[call-overload]


def a_static_method_takes_all_its_parameters(reader: Reader) -> None:
    """9.7"""
    assert_type(Reader.of_none(1), str)
    assert_type(Reader.of_none_too(1), str)
    assert_type(reader.of_none(1), str)
    assert_type(reader.of_none_too(1), str)
    assert_type(reader.without_parameters(), str)


def the_arguments_of_a_static_method_are_checked(reader: Reader) -> None:
    """9.7"""
    Reader.of_none("1")  # type: ignore[call-overload]
    reader.of_none_too("1")  # type: ignore[call-overload]
    reader.without_parameters(1)  # type: ignore[call-overload]


# Flows


def a_flow_is_a_method_alike(reader: Reader) -> None:
    """32.5 d"""
    assert_type(reader.survey([1]), list[str])
    assert_type(reader.survey([1], return_state=True), State[list[str]])
    assert_type(Reader.survey(reader, [1]), list[str])
    assert_type(reader.static_flow(1), str)
    reader.survey("1")  # type: ignore[call-overload]


async def an_async_flow_is_a_method_alike(reader: Reader) -> None:
    """32.5 d"""
    assert_type(await reader.asurvey([1]), list[str])
    assert_type(await reader.asurvey([1], return_state=True), State[list[str]])


def a_bound_method_is_a_task(reader: Reader) -> None:
    """9.1"""
    tasks: list[Task[..., Any]] = [reader.read, reader.fetch, Reader.of_class]
    print(tasks)
