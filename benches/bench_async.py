"""`Task.map` of async tasks, beside `asyncio.gather`."""

import pytest


@pytest.mark.parametrize("work", ["async_map", "async_yield"])
@pytest.mark.parametrize("peer", ["gather", "oxtask"])
def test_async(do, peer, work):
    do(peer, work, 10_000)
