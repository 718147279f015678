"""`Task.map` of a trivial sync task, at sizes that show whether the cost per item grows."""

import pytest


@pytest.mark.parametrize("count", [100, 10_000, 100_000])
@pytest.mark.parametrize("peer", ["plain", "oxtask"])
def test_map(do, peer, count):
    do(peer, "map", count)


@pytest.mark.parametrize("peer", ["pool", "oxtask"])
def test_map_beside_a_pool(do, peer):
    do(peer, "map", 20_000)
