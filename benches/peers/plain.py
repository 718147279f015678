"""A plain Python loop that calls the same functions: the unit of every ratio.

The async works have the same unit as the others, a call of the sync function.
"""

from __future__ import annotations

from workloads import identity, increment, units

from peers import Peer


class Plain(Peer):
    def submit(self, load):
        items = list(range(load.count))
        return lambda: [increment(x) for x in items]

    map = call = round_trip = async_map = async_yield = submit

    def chain(self, load):
        count = load.count

        def run():
            value = 0
            for _ in range(count):
                value = increment(value)
            return value

        return run

    def tree(self, load):
        # One plain call for each node, leaf or not, so that the unit stays the same.
        items = list(range(units("tree", load)))
        leaves = load.count

        def run():
            return [increment(x) for x in items], leaves

        return run

    tree_mapped = tree

    def hold(self, load):
        items = list(range(load.count))

        def run():
            results = [identity(x) for x in items]
            return lambda: results

        return run

    def stream(self, load):
        count = load.count

        def run():
            last = 0
            for x in range(count):
                last = increment(x)
            return last

        return run

    def answer(self, name, result):
        # The others sum up; a sum in these loops would make the unit larger.
        if name == "stream":
            return result * (result + 1) // 2
        if name in {"tree", "tree_mapped"}:
            values, leaves = result
            return sum(values[:leaves])
        return result
