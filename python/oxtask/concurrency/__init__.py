"""Limits of what happens at a time: see `oxtask.concurrency.sync` and `oxtask.concurrency.asyncio`.

The limits live in this process, and end with it. A flow that runs in a process of its own has none
of its parent's; forked processes begin with the limits, and with all slots free.
"""
