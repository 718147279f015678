"""oxtask and Prefect: one program for both, since only the import differs."""

from __future__ import annotations

from importlib import import_module

from workloads import (
    FAN_IN,
    FailOnce,
    identity,
    increment,
    increment_after_yielding,
    increment_async,
    nap,
    total,
)

from peers import Peer


class Flows(Peer):
    """Tasks in a flow, with default settings; the flow itself is not timed.

    Args:
        module: "oxtask" or "prefect".
    """

    def __init__(self, module):
        api = import_module(module)
        self.flow, self.task = api.flow, api.task
        self.runner = import_module(f"{module}.task_runners").ThreadPoolTaskRunner
        self.increment = self.task(increment)
        self.in_flow = False

    def work(self, name, load):
        if name == "stream" and not hasattr(self.increment, "stream"):
            return None  # Prefect has no such thing
        return super().work(name, load)

    def inside(self, name, body):
        """Call ``body`` in a flow: in the current one, unless the work needs another runner."""
        if self.in_flow and name != "retries":
            return body()
        options = {"task_runner": self.runner(max_workers=2)} if name == "retries" else {}
        outcome = []

        # Returned from the flow, a long list of results would be searched for states.
        @self.flow(**options)
        def bench():
            outcome.append(body())

        outer, self.in_flow = self.in_flow, True
        try:
            bench()
        finally:
            self.in_flow = outer
        return outcome[0]

    def map(self, load):
        task, items = self.increment, list(range(load.count))
        return lambda: task.map(items).result()

    def call(self, load):
        task, items = self.increment, list(range(load.count))
        return lambda: [task(x) for x in items]

    def submit(self, load):
        task, items = self.increment, list(range(load.count))

        def run():
            futures = [task.submit(x) for x in items]
            return [future.result() for future in futures]

        return run

    def round_trip(self, load):
        task, items = self.increment, list(range(load.count))
        return lambda: [task.submit(x).result() for x in items]

    def chain(self, load):
        task, count = self.increment, load.count

        def run():
            future = task.submit(0)
            for _ in range(count - 1):
                future = task.submit(future)
            return future.result()

        return run

    def async_map(self, load):
        task, items = self.task(increment_async), list(range(load.count))
        return lambda: task.map(items).result()

    def async_yield(self, load):
        task, items = self.task(increment_after_yielding), list(range(load.count))
        return lambda: task.map(items).result()

    def _reduced(self, level):
        task = self.task(total)
        while len(level) > 1:
            level = [task.submit(level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]
        return level[0].result()

    def tree(self, load):
        task, items = self.increment, list(range(load.count))
        return lambda: self._reduced([task.submit(x) for x in items])

    def tree_mapped(self, load):
        task, items = self.increment, list(range(load.count))
        return lambda: self._reduced(task.map(items))

    def sleepers(self, load):
        task, items = self.task(nap), list(range(load.count))
        return lambda: task.map(items, seconds=load.seconds).result()

    def retries(self, load):
        items = list(range(load.count))

        def run():
            work = FailOnce(load.count)
            task = self.task(work.function(), retries=1, retry_delay_seconds=load.seconds)
            return task.map(items).result(), work.calls

        return run

    def hold(self, load):
        task, items = self.task(identity), list(range(load.count))

        def run():
            futures = task.map(items)
            futures.wait()
            return futures.result

        return run

    def stream(self, load):
        task, count = self.increment, load.count
        return lambda: sum(task.stream(range(count)))
