"""Hashing objects that raise, lie, or change what is being hashed."""

from __future__ import annotations

import threading
from unittest.mock import MagicMock

import pytest

from oxtask.exceptions import HashError
from oxtask.utilities.hashing import hash_objects


def key(value):
    return hash_objects(value, raise_on_failure=True)


class Acting:
    """Does something when it is hashed."""

    def __init__(self, act):
        self.act = act

    def __oxtask_key__(self):
        return self.act()


def fail(error):
    raise error


def test_an_error_of_the_user_says_what_it_was():
    """H9"""
    with pytest.raises(HashError, match="no key today") as caught:
        key([Acting(lambda: fail(RuntimeError("no key today\nand more")))])
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_an_interrupt_goes_through(error):
    """H9: only hashing fails"""
    with pytest.raises(type(error)):
        hash_objects([Acting(lambda: fail(error))])


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda a: [a, 1, 2], lambda c: c.clear()),
        (lambda a: [a, 1, 2], lambda c: c.extend(range(1000))),
        (lambda a: {1: a, 2: 3}, lambda c: c.clear()),
        (lambda a: {1: a, 2: 3}, lambda c: c.update({i: i for i in range(1000)})),
        (lambda a: {a, 1, 2}, lambda c: c.clear()),
        (lambda a: {a, 1, 2}, lambda c: c.update(range(1000))),
    ],
)
def test_a_container_that_changes_while_it_is_hashed_is_refused(make, change):
    """Issue: hostile objects"""
    container = None
    acting = Acting(lambda: change(container))
    container = make(acting)
    assert hash_objects(container) is None


def test_a_dict_whose_items_are_exchanged_while_it_is_hashed_does_no_harm():
    """Issue: hostile objects"""
    container = {}

    def exchange():
        items = list(container.items())
        container.clear()
        container.update((f"new {name}", value) for name, value in items)

    container.update({str(i): Acting(exchange) if i == 3 else i for i in range(12)})
    hash_objects(container)


def test_hashing_runs_within_hashing():
    """Issue: hostile objects"""
    inner = {"a": [1, 2], "b": {3}}
    assert key([Acting(lambda: key(inner))]) == key([Acting(lambda: key(inner))])


def test_an_object_that_returns_itself_is_a_cycle():
    """Issue: hostile objects"""
    acting = Acting(None)
    acting.act = lambda: acting
    assert key(acting) == key(acting)


def test_an_object_without_end_is_refused():
    """Issue: deep nesting"""

    class Endless:
        def __oxtask_key__(self):
            return Endless()

    with pytest.raises(HashError, match="nested deeper"):
        key(Endless())


def test_an_object_that_pretends_to_be_everything_is_refused():
    """Issue: hostile objects"""
    assert hash_objects(MagicMock()) is None


def test_an_object_that_lies_about_its_class_is_hashed_as_what_it_is():
    """Issue: hostile objects"""

    class Liar:
        __class__ = dict

    assert key(Liar()) != key({})


def test_a_container_is_not_asked_for_its_items_by_overridden_methods():
    """Issue: hostile objects"""

    class Loud(list):
        def __iter__(self):
            raise AssertionError

        def __getitem__(self, place):
            raise AssertionError

    assert key(Loud([1])) != key(Loud([2]))


def test_a_raising_property_does_not_matter():
    """Issue: hostile objects"""

    class Raising:
        def __getattr__(self, name):
            raise ValueError(name)

    assert key(Raising()) == key(Raising())


def test_many_threads_hash_large_buffers_at_a_time():
    """Issue: buffers are hashed without the interpreter lock"""
    buffers = [bytes([i]) * 9_000_000 for i in range(4)]
    expected = [key(buffer) for buffer in buffers]
    found = {}

    def work(number):
        found[number] = [key(buffer) for buffer in buffers]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(8))
    assert len(set(expected)) == 4
