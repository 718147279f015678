"""Locks on keys, for transactions that must not run at the same time.

A lock is held by a holder, which is a string, and dies with the process that acquired it. Each
acquisition has a fencing token, a number greater than that of any acquisition of the key before: a
holder whose lock has run out (``hold_timeout``) and was taken by another can be told from it.

Locks on several keys are to be acquired in one order everywhere, for example sorted; else give
``acquire_timeout``, so that two holders who wait for each other do not wait for ever.
"""

from __future__ import annotations

from oxtask.locking.protocol import LockManager

__all__ = ["LockManager"]
