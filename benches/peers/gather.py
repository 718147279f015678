"""`asyncio.gather` over one coroutine an item; retries are written out by hand."""

from __future__ import annotations

import asyncio

from workloads import FailOnce, increment_after_yielding, increment_async

from peers import Peer


async def gathered(coroutines):
    return await asyncio.gather(*coroutines)


class Gather(Peer):
    def async_map(self, load):
        items = list(range(load.count))
        return lambda: asyncio.run(gathered(increment_async(x) for x in items))

    def async_yield(self, load):
        items = list(range(load.count))
        return lambda: asyncio.run(gathered(increment_after_yielding(x) for x in items))

    def retries(self, load):
        items = list(range(load.count))

        def run():
            work = FailOnce(load.count)
            fail_once = work.function()

            async def retried(x):
                try:
                    return fail_once(x)
                except RuntimeError:
                    await asyncio.sleep(load.seconds)
                    return fail_once(x)

            return asyncio.run(gathered(retried(x) for x in items)), work.calls

        return run

    def hold(self, load):
        items = list(range(load.count))

        async def tasks():
            made = [asyncio.ensure_future(increment_async(x - 1)) for x in items]
            await asyncio.wait(made)
            return made

        def run():
            made = asyncio.run(tasks())
            return lambda: [task.result() for task in made]

        return run
