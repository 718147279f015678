"""Dask's threaded scheduler, given a finished graph with one node for each run.

That is where `delayed(...).compute(scheduler="threads")` ends up, without what `delayed` spends on
building and optimising the graph: the cheapest way to one tracked run an item. (A bag is cheaper
still, but runs a partition at a time, so its items are not runs.)
"""

from __future__ import annotations

from dask.threaded import get
from workloads import FAN_IN, increment, nap, total

from peers import Peer


class Dask(Peer):
    def map(self, load):
        items = range(load.count)

        def run():
            graph = {("run", x): (increment, x) for x in items}
            return get(graph, [("run", x) for x in items])

        return run

    def chain(self, load):
        count = load.count

        def run():
            graph = {("link", 1): (increment, 0)}
            for k in range(2, count + 1):
                graph["link", k] = (increment, ("link", k - 1))
            return get(graph, ("link", count))

        return run

    def tree(self, load):
        items = range(load.count)

        def run():
            level = [(0, x) for x in items]
            graph = {(0, x): (increment, x) for x in items}
            depth = 0
            while len(level) > 1:
                depth += 1
                groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
                level = [(depth, i) for i in range(len(groups))]
                graph.update(
                    {key: (total, group) for key, group in zip(level, groups, strict=True)}
                )
            return get(graph, level[0])

        return run

    def sleepers(self, load):
        items = range(load.count)

        def run():
            graph = {("run", x): (nap, x, load.seconds) for x in items}
            return get(graph, [("run", x) for x in items], num_workers=load.count)

        return run
