"""The two ends of the line between a program and one of its worker processes.

What goes over it are frames: a length, a kind, and bytes. The worker's end blocks; the program's
never does, so that it can be told to give up in the middle of a frame.
"""

from __future__ import annotations

import os
import select
import struct
import time
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

Frame = tuple[int, bytes]
"""A kind and the content."""

READY, FAILED_START, BEGUN, LOG, VALUE, RAISED, TIMED_OUT = range(7)
"""What a worker says."""
RUN, STOP = 100, 101
"""What it is told."""

_HEADER = struct.Struct("<QB")
_CHUNK = 1 << 16


class ChannelClosedError(Exception):
    """The other end is gone: its process has ended, or is about to."""


class GivenUpError(Exception):
    """Somebody has called `Channel.give_up`."""


class Line:
    """The worker's end."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock = Lock()

    def send(self, kind: int, content: bytes = b"") -> None:
        """Send a frame; threads may do so at the same time."""
        header = _HEADER.pack(len(content), kind)
        with self._lock:
            if len(content) < _CHUNK:
                self.connection.sendall(header + content)
            else:
                self.connection.sendall(header)
                self.connection.sendall(content)

    def receive(self) -> Frame:
        """Wait for a frame.

        Raises:
            EOFError: If the program has closed its end, or is no more.
        """
        length, kind = _HEADER.unpack(self._exactly(_HEADER.size))
        return kind, bytes(self._exactly(length))

    def _exactly(self, length: int) -> bytearray:
        content = bytearray(length)
        view, done = memoryview(content), 0
        while done < length:
            try:
                received = self.connection.recv_into(view[done:])
            except OSError:
                received = 0
            if not received:
                raise EOFError
            done += received
        return content

    def wait_for_end(self) -> None:
        """Block until the program has closed its end, or is no more; what it sent stays unread."""
        # No event is asked for: that the line was hung up is always told.
        watcher = select.poll()
        watcher.register(self.connection.fileno(), 0)
        watcher.poll()


class Channel:
    """The program's end.

    Args:
        connection: The socket.
        life: A file descriptor that is readable when the process has ended. The socket alone does
            not tell: a process that the worker has forked may hold its end open.
    """

    def __init__(self, connection: socket.socket, life: int) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._life = life
        self._bell, self._bell_rope = os.pipe()
        self._buffer = bytearray()
        self._reading = self._watch(select.POLLIN)
        self._writing = self._watch(select.POLLOUT)
        self.is_given_up = False

    def _watch(self, event: int) -> select.poll:
        poll = select.poll()
        poll.register(self._connection.fileno(), event)
        poll.register(self._life, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        return poll

    def give_up(self) -> None:
        """Have the thread that uses the channel, now or next, raise `GivenUpError`."""
        if not self.is_given_up:
            self.is_given_up = True
            os.write(self._bell_rope, b"!")

    def listen_again(self) -> None:
        """Let the channel be used once more after it was given up."""
        if self.is_given_up:
            os.read(self._bell, 1)
            self.is_given_up = False

    def is_open(self) -> bool:
        """Tell whether the process is there and has nothing to say."""
        return not self._reading.poll(0)

    def wait_for_end(self, until: float) -> bool:
        """Wait for the end of the process, until `time.monotonic` says so; tell whether it came."""
        poll = select.poll()
        poll.register(self._life, select.POLLIN)
        return bool(poll.poll(max(0, int((until - time.monotonic()) * 1000))))

    def send(self, kind: int, content: bytes = b"") -> None:
        """Send a frame.

        Raises:
            ChannelClosedError: If the process has ended.
            GivenUpError: If `give_up` was called.
        """
        rest = memoryview(_HEADER.pack(len(content), kind) + content)
        while rest:
            try:
                rest = rest[self._connection.send(rest) :]
            except BlockingIOError:
                self._wait(self._writing, None)
            except OSError:
                raise ChannelClosedError from None

    def receive(self, deadline: float | None = None) -> Frame:
        """Wait for a frame.

        Args:
            deadline: When to stop waiting, as `time.monotonic` counts; ``None`` for never.

        Raises:
            TimeoutError: If the frame is not complete by then.
            ChannelClosedError: If the process has ended before that.
            GivenUpError: If `give_up` was called.
        """
        length, kind = _HEADER.unpack(self._take(_HEADER.size, deadline))
        return kind, self._take(length, deadline)

    def _take(self, length: int, deadline: float | None) -> bytes:
        buffer = self._buffer
        while len(buffer) < length:
            self._wait(self._reading, deadline)
            try:
                chunk = self._connection.recv(max(_CHUNK, min(length - len(buffer), 1 << 20)))
            except BlockingIOError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                raise ChannelClosedError
            buffer += chunk
        taken = bytes(memoryview(buffer)[:length])
        del buffer[:length]
        return taken

    def _wait(self, poll: select.poll, deadline: float | None) -> None:
        """Wait until the socket can be used."""
        left = None
        if deadline is not None:
            # Rounded up: not to ask again and again in the last millisecond.
            left = max(0, int((deadline - time.monotonic()) * 1000) + 1)
        ready = [descriptor for descriptor, _ in poll.poll(left)]
        if self.is_given_up and self._bell in ready:
            raise GivenUpError
        if self._connection.fileno() in ready:
            return  # whatever it has still said comes before its end
        if self._life in ready:
            raise ChannelClosedError
        if not ready and deadline is not None and deadline <= time.monotonic():
            raise TimeoutError

    def close(self) -> None:
        """Close this end."""
        self._connection.close()
        os.close(self._bell)
        os.close(self._bell_rope)
