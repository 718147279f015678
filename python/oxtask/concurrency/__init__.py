"""Limits of what happens at a time: see `oxtask.concurrency.sync` and `oxtask.concurrency.asyncio`.

Limits are kept in ``OXTASK_HOME`` and hold for all processes of this user. Slots end with the
process that holds them, however it ends; a process that is forked off has none of its parent's.
"""
