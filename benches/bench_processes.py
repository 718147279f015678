"""Worker processes: what it costs to have a function called in one that is there already."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from workloads import increment

from oxtask import task
from oxtask.task_runners import ProcessPoolTaskRunner

COUNT = 200
WORKERS = 2


class Ours:
    """`ProcessPoolTaskRunner`."""

    def __init__(self):
        self._runner = ProcessPoolTaskRunner(max_workers=WORKERS)
        self._task = task(increment)

    def __enter__(self):
        self._runner.__enter__()
        return self

    def __exit__(self, *error):
        self._runner.__exit__(*error)

    def one(self, x):
        return self._runner.submit(self._task, {"x": x}).result()

    def many(self, xs):
        return self._runner.map(self._task, {"x": xs}).result()


class Standard:
    """`concurrent.futures.ProcessPoolExecutor`, with workers that are started in the same way."""

    def __init__(self):
        self._pool = ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._pool.shutdown()

    def one(self, x):
        return self._pool.submit(increment, x).result()

    def many(self, xs):
        return list(self._pool.map(increment, xs))


@pytest.fixture(params=[Ours, Standard], ids=["oxtask", "concurrent_futures"], scope="module")
def pool(request):
    with request.param() as warm:
        assert warm.many(range(50)) == list(range(1, 51))
        yield warm


def test_submit_and_result(benchmark, pool):
    def run():
        return sum(pool.one(x) for x in range(COUNT))

    assert benchmark.pedantic(run, rounds=5) == COUNT * (COUNT + 1) // 2


def test_map(benchmark, pool):
    def run():
        return sum(pool.many(range(COUNT)))

    assert benchmark.pedantic(run, rounds=5) == COUNT * (COUNT + 1) // 2
