"""`Task.submit`: independent, one at a time, in a chain, in a tree; waiting for many."""

import pytest
from workloads import increment

from oxtask import task
from oxtask.futures import as_completed, wait

COUNT = 10_000


@pytest.mark.parametrize("work", ["submit", "round_trip", "chain", "tree"])
@pytest.mark.parametrize("peer", ["plain", "oxtask"])
def test_submit(do, peer, work):
    do(peer, work, COUNT)


@pytest.mark.parametrize("work", ["submit", "round_trip", "chain", "tree"])
def test_submit_to_a_pool(do, work):
    do("pool", work, COUNT)


def test_as_completed(in_flow):
    count = 1_000
    increments = task(increment)

    def run():
        return sum(future.result() for future in as_completed(increments.map(range(count))))

    assert in_flow(run) == count * (count + 1) // 2


def test_wait(in_flow):
    count = 1_000
    increments = task(increment)

    def run():
        return wait(increments.map(range(count)))

    done, not_done = in_flow(run)
    assert (len(done), len(not_done)) == (count, 0)
