"""`Task.stream` over a lazy iterable, beside a pool with a sliding window."""

import pytest


@pytest.mark.parametrize("peer", ["plain", "pool", "oxtask"])
def test_stream(do, peer):
    do(peer, "stream", 10_000)
