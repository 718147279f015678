"""A direct call of a task in a flow, and what a flow itself costs."""

import pytest

from oxtask import flow


@pytest.mark.parametrize("peer", ["plain", "oxtask"])
def test_call(do, peer):
    do(peer, "call", 10_000)


def test_empty_flow(benchmark):
    @flow
    def empty():
        return 1

    assert benchmark(empty) == 1
