"""`concurrent.futures.ThreadPoolExecutor` with its default number of workers.

It knows no dependencies, retries or streams: those works are written out by hand, as one would.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from workloads import FAN_IN, FailOnce, identity, increment, nap, total

from peers import Peer


def increment_result(future):
    return increment(future.result())


def total_results(futures):
    return total([future.result() for future in futures])


class Pool(Peer):
    def map(self, load):
        items = list(range(load.count))

        def run():
            with ThreadPoolExecutor() as pool:
                return list(pool.map(increment, items))

        return run

    def submit(self, load):
        items = list(range(load.count))

        def run():
            with ThreadPoolExecutor() as pool:
                futures = [pool.submit(increment, x) for x in items]
                return [future.result() for future in futures]

        return run

    def round_trip(self, load):
        items = list(range(load.count))

        def run():
            with ThreadPoolExecutor() as pool:
                return [pool.submit(increment, x).result() for x in items]

        return run

    def chain(self, load):
        count = load.count

        def run():
            # First in, first out: the run before has always been started, so nothing deadlocks.
            with ThreadPoolExecutor() as pool:
                future = pool.submit(increment, 0)
                for _ in range(count - 1):
                    future = pool.submit(increment_result, future)
                return future.result()

        return run

    def tree(self, load):
        items = list(range(load.count))

        def run():
            with ThreadPoolExecutor() as pool:
                level = [pool.submit(increment, x) for x in items]
                while len(level) > 1:
                    level = [
                        pool.submit(total_results, level[i : i + FAN_IN])
                        for i in range(0, len(level), FAN_IN)
                    ]
                return level[0].result()

        return run

    def sleepers(self, load):
        items = list(range(load.count))

        def run():
            # The default pool has a few workers more than processors; here everybody gets one.
            with ThreadPoolExecutor(max_workers=load.count) as pool:
                return list(pool.map(lambda x: nap(x, load.seconds), items))

        return run

    def retries(self, load):
        items = list(range(load.count))

        def run():
            work = FailOnce(load.count)
            fail_once = work.function()

            def retried(x):
                try:
                    return fail_once(x)
                except RuntimeError:
                    time.sleep(load.seconds)
                    return fail_once(x)

            with ThreadPoolExecutor(max_workers=2) as pool:
                return list(pool.map(retried, items)), work.calls

        return run

    def hold(self, load):
        items = list(range(load.count))

        def run():
            with ThreadPoolExecutor() as pool:
                futures = [pool.submit(identity, x) for x in items]
            return lambda: [future.result() for future in futures]

        return run

    def stream(self, load):
        count = load.count

        def run():
            sum_ = 0
            window = deque()
            with ThreadPoolExecutor() as pool:
                for x in range(count):
                    window.append(pool.submit(increment, x))
                    if len(window) == 1000:
                        sum_ += window.popleft().result()
                return sum_ + sum(future.result() for future in window)

        return run
