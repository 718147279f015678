"""What ends worker processes when their program is killed.

A worker notices by itself that its program is no more, unless a call into C code keeps the
interpreter lock or it was stopped; and what its tasks have started would outlive a worker that the
operating system ends with its parent. So a shell waits for the end of a pipe that only the program
holds, and then kills the process groups it was told of.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from threading import Lock

_SCRIPT = 'groups=; while read -r line; do groups=$line; done; [ -n "$groups" ] && kill -9 $groups'


class _Warden:
    def __init__(self) -> None:
        self._lock = Lock()
        self._groups: set[int] = set()
        self._shell: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """End a process group with this process."""
        with self._lock:
            self._groups.add(group)
            if self._shell is None or self._shell.poll() is not None:
                self._forget_shell()
                # Without a shell the workers watch for themselves.
                with suppress(OSError):
                    self._shell = subprocess.Popen(  # noqa: S603 - a constant
                        ["/bin/sh", "-c", _SCRIPT],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,
                        bufsize=0,
                    )
            self._tell()

    def release(self, group: int) -> None:
        """Watch a process group no longer: it has ended."""
        with self._lock:
            self._groups.discard(group)
            self._tell()
            if not self._groups:
                self._forget_shell()

    def _tell(self) -> None:
        if self._shell is not None and self._shell.stdin is not None:
            line = " ".join(f"-{group}" for group in self._groups)
            with suppress(OSError):
                self._shell.stdin.write(f"{line}\n".encode())

    def _forget_shell(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            shell.wait()

    def forked(self) -> None:
        """Let go of the pipe in a forked child: the workers are not its own."""
        shell, self._lock, self._groups, self._shell = self._shell, Lock(), set(), None
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            shell.returncode = 0  # or it would be missed when it is gone


warden = _Warden()
os.register_at_fork(after_in_child=warden.forked)
