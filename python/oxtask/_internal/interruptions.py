"""What oxtask raises in the user's code to make it stop.

Derived from `BaseException`, so that an ``except Exception`` in the code does not swallow it.
"""

from __future__ import annotations


class Interruption(BaseException):
    """The base: somebody around the code has no use for it any more."""

    reason = "it is not wanted any more"

    def __init__(self) -> None:
        super().__init__(self.reason)


class ScopeExpired(Interruption):
    """Raised in code that is out of time, wherever it is."""

    reason = "the time of the run, or of one around it, is up"


class RunInterrupted(Interruption):
    """Raised in a body whose run was cancelled or timed out."""

    reason = "the run was cancelled, or its time is up"


class FlowInterrupted(Interruption):
    """Raised in a flow run that is cancelled, and on its way out in the runs inside of it."""

    reason = "the flow run, or one around it, was cancelled"


class RaisedElsewhere(BaseException):
    """Raised in place of what a body came to in another process, or of a `GeneratorExit`.

    A `GeneratorExit` that is thrown into generators of generators closes them: those inside do not
    get to see it.

    Attributes:
        error: The exception; it has no frames of this process.
        is_crash: Whether the run crashed with it, whatever its class.
    """

    def __init__(self, error: BaseException, *, is_crash: bool) -> None:
        super().__init__(error)
        self.error = error
        self.is_crash = is_crash


def original(error: BaseException) -> BaseException:
    """Return the exception that another one stands for, or the exception itself."""
    return error.error if isinstance(error, RaisedElsewhere) else error
