"""Who waits for the end of a run that is known by its id.

Nobody looks again and again: a wait is a notice on the board below, and `run_history` takes the
notices of a run off it, on the thread that ended the run. What nobody waits for is told to nobody.
"""

from __future__ import annotations

import os
from _thread import RLock
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from oxtask._internal.state import State

_board: dict[int, list[Notice]] = {}
# Reentrant because a signal handler may end a run at that instant; no user code runs under it.
_lock = RLock()


class Notice:
    """Calls a function when a run has ended, once."""

    __slots__ = ("_functions", "_number")

    def __init__(self, number: int, function: Callable[[], object]) -> None:
        self._number = number
        self._functions = [function]

    def give(self) -> None:
        """Call the function, unless that was done; its errors are logged."""
        try:
            function = self._functions.pop()
        except IndexError:
            return
        try:
            function()
        except Exception as error:  # noqa: BLE001 - who ends a run is not who waits for it
            from oxtask._internal.outcomes import callback_failed  # noqa: PLC0415 - circular

            callback_failed(error)

    def take_back(self) -> None:
        """See that the function is not called any more."""
        self._functions.clear()
        with _lock:
            notices = _board.get(self._number)
            if notices is not None and self in notices:
                notices.remove(self)
                if not notices:
                    del _board[self._number]


def expect(number: int, is_over: Callable[[], bool], function: Callable[[], object]) -> Notice:
    """Have a function called when a run has ended; at once if it has.

    Args:
        number: The run.
        is_over: Tells whether it has ended.
        function: What is called, on the thread that ends the run.
    """
    notice = Notice(number, function)
    with _lock:
        _board.setdefault(number, []).append(notice)
    if is_over():  # asked last: who ends the run now finds the notice
        notice.give()
        notice.take_back()
    return notice


def tell(number: int) -> None:
    """Give the notices of a run that has ended."""
    if _board:
        with _lock:
            notices = _board.pop(number, ())
        for notice in notices:
            notice.give()


def wait(number: int, is_over: Callable[[], bool], timeout: float | None) -> bool:
    """Block until a run has ended, at most ``timeout`` seconds; tell whether it has."""
    from threading import Event  # noqa: PLC0415 - start-up time

    event = Event()
    notice = expect(number, is_over, event.set)
    try:
        return event.wait(timeout)
    finally:
        notice.take_back()


async def await_end(number: int, is_over: Callable[[], bool], timeout: float | None) -> bool:
    """Do what `wait` does without blocking the event loop."""
    from oxtask._internal.outcomes import told  # noqa: PLC0415 - circular

    notices: list[Notice] = []

    def listen(function: Callable[..., Any]) -> None:
        notices.append(expect(number, is_over, function))

    try:
        return await told(listen, timeout)
    finally:
        for notice in notices:
            notice.take_back()


listeners: dict[int, list[Callable[[State[Any]], object]]] = {}
"""What is called with the states that runs enter, by run; `RunLog.enter` looks here."""


@contextmanager
def listening(number: int, function: Callable[[State[Any]], object]) -> Generator[None]:
    """Have a function called with every state that a run enters, for a block of code."""
    with _lock:
        listeners.setdefault(number, []).append(function)
    try:
        yield
    finally:
        with _lock:
            functions = listeners[number]
            functions.remove(function)
            if not functions:
                del listeners[number]


def entered(number: int, state: State[Any]) -> None:
    """Tell those who listen that a run has entered a state."""
    for function in tuple(listeners.get(number, ())):
        function(state)


def _renew() -> None:
    global _lock  # noqa: PLW0603 - the thread that held it does not exist after fork
    _lock = RLock()
    _board.clear()  # those who wait are in the parent
    listeners.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
