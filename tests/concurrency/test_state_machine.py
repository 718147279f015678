"""Random programs against a model of twenty lines: every run ends once, and as the model says."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from oxtask import task
from oxtask.futures import FutureList, as_completed, wait
from oxtask.task_runners import ThreadPoolTaskRunner

PATIENCE = 10
KINDS = ("value", "error", "flaky", "hopeless", "delayed", "nested", "async", "async nested")


class Flaw(Exception):
    pass


@task
def value(number, inputs):
    return number + sum(inputs)


@task
def error(number, inputs):
    raise Flaw(number)


@task
async def value_async(number, inputs):
    for _ in range(number % 3):
        await asyncio.sleep(0)
    return number + sum(inputs)


@task
def nested(number, inputs):
    return value.submit(value.submit(number, inputs), []).result()


@task
async def nested_async(number, inputs):
    child = value_async.submit(number, inputs)
    return await child.aresult() if number % 2 else child.result()


def flaky(failures, retries, delay):
    """Make a task that fails so many times."""
    counts = Counter()

    @task(retries=retries, retry_delay_seconds=delay)
    def body(number, inputs):
        counts[number] += 1
        if counts[number] <= failures:
            raise Flaw(number)
        return number + sum(inputs)

    return body


def gated(gate):
    """Make a task that waits until the gate is open."""

    @task
    def body(number, inputs):
        assert gate.wait(PATIENCE)
        return number + sum(inputs)

    return body


class Run:
    """What the model knows of a run."""

    def __init__(self, number, kind, inputs, gate=None):
        self.number, self.kind, self.inputs, self.gate = number, kind, inputs, gate
        self.cancelled = False
        self.future = None

        self.held, self.name, self.value = False, "", None

    def foresee(self):
        """Work out whether it can end, and if so how; its inputs have done so before."""
        self.held, self.name, self.value = False, "Cancelled", None
        if self.cancelled:
            return
        if any(one.held for one in self.inputs):
            self.held = True
        elif any(one.name != "Completed" for one in self.inputs):
            self.name = "NotReady"
        elif self.gate is not None and not self.gate.is_set():
            self.held = True
        elif self.kind in {"error", "hopeless"}:
            self.name = "Failed"
        else:
            self.name = "Completed"
            self.value = self.number + sum(one.value for one in self.inputs)


TASKS = {
    "value": value,
    "error": error,
    "nested": nested,
    "async": value_async,
    "async nested": nested_async,
}
FLAKY = {"flaky": (1, 2, 0), "hopeless": (9, 1, 0), "delayed": (1, 1, 0.001)}
"""How many failures, how many retries, and the delay between them."""


class Programs(RuleBasedStateMachine):
    runs = Bundle("runs")
    gates = Bundle("gates")

    @initialize(workers=st.sampled_from([1, 2, 4, None]))
    def start(self, workers):
        logging.disable()  # thousands of runs are meant to fail
        self.workers = workers
        self.runner = ThreadPoolTaskRunner(workers)
        self.runner.__enter__()
        self.all = []
        self.ends = Counter()
        self.lock = threading.Lock()

    def make(self, kind, inputs, gate=None):
        run = Run(len(self.all) + 1, kind, inputs, gate)
        self.all.append(run)
        return run

    def body(self, kind, gate=None):
        if kind == "gated":
            return gated(gate)
        return TASKS[kind] if kind in TASKS else flaky(*FLAKY[kind])

    def watch(self, run, future):
        run.future = future
        future.add_done_callback(self.ended)
        return run

    def ended(self, future):
        assert future.done()
        with self.lock:
            self.ends[future] += 1

    @rule(target=runs, kind=st.sampled_from(KINDS), inputs=st.lists(runs, max_size=3))
    def submit(self, kind, inputs):
        run = self.make(kind, inputs)
        return self.watch(run, self.body(kind).submit(run.number, [one.future for one in inputs]))

    @rule(target=runs, kind=st.sampled_from(KINDS), inputs=st.lists(runs, max_size=3))
    def submit_after(self, kind, inputs):
        run = self.make(kind, inputs)
        futures = [one.future for one in inputs]
        future = self.body(kind).submit(run.number, futures, wait_for=[*futures, 1])
        return self.watch(run, future)

    @rule(
        target=runs,
        kind=st.sampled_from(["value", "error", "flaky", "async"]),
        inputs=st.lists(st.lists(runs, max_size=2), min_size=1, max_size=4),
    )
    def map(self, kind, inputs):
        made = [self.make(kind, own) for own in inputs]
        futures = self.body(kind).map(
            [run.number for run in made], [[one.future for one in own] for own in inputs]
        )
        return multiple(*(self.watch(run, one) for run, one in zip(made, futures, strict=True)))

    @rule(target=gates, inputs=st.lists(runs, max_size=2))
    def submit_gated(self, inputs):
        held = sum(run.gate is not None and not run.gate.is_set() for run in self.all)
        if self.workers is not None and held + 1 >= self.workers:
            return multiple()  # the others need a worker
        gate = threading.Event()
        run = self.make("gated", inputs, gate)
        future = self.body("gated", gate).submit(run.number, [one.future for one in inputs])
        return self.watch(run, future)

    @rule(target=runs, run=consumes(gates))
    def open_gate(self, run):
        run.gate.set()
        return run

    @rule(target=runs, run=consumes(gates), by=st.booleans())
    def cancel_gated(self, run, by):
        self.cancel(run)
        run.gate.set()
        return run

    def foresee(self):
        for run in self.all:
            run.foresee()

    @rule(run=runs)
    def cancel(self, run):
        self.foresee()
        was_held = run.held
        won = run.future.cancel()
        assert run.future.done()
        if won:
            assert not run.cancelled
            run.cancelled = True
        elif was_held:
            raise AssertionError("a run that had not ended was not cancelled")

    @rule(run=runs)
    def await_one(self, run):
        self.foresee()
        if not run.held:
            run.future.wait(timeout=PATIENCE)
            self.check(run)

    @rule(some=st.lists(runs, max_size=5))
    def await_some(self, some):
        self.foresee()
        some = [run for run in some if not run.held]
        futures = {run.future for run in some}
        assert wait(futures, timeout=PATIENCE).done == futures
        assert set(as_completed(futures)) == futures
        FutureList(futures).wait()
        for run in some:
            self.check(run)

    @invariant()
    def what_is_held_has_not_ended(self):
        for run in self.all if hasattr(self, "all") else []:
            run.foresee()
            assert not (run.held and run.future.done())

    def check(self, run):
        assert run.future.state.name == run.name
        if run.name == "Completed":
            assert run.future.result() == run.value
        elif run.name == "Failed":
            assert isinstance(run.future.result(raise_on_failure=False), Flaw)

    def teardown(self):
        try:
            if hasattr(self, "runner"):
                self.end_all()
        finally:
            logging.disable(logging.NOTSET)

    def end_all(self):
        for run in self.all:
            if run.gate is not None:
                run.gate.set()
        self.foresee()
        for run in self.all:
            run.future.wait(timeout=PATIENCE)
            self.check(run)
        self.runner.__exit__(None, None, None)
        assert self.ends == Counter(run.future for run in self.all)


class Longer(Programs):
    pass


def settled(machine, **options):
    """Return the test case of a machine; a failure prints what reproduces it."""
    case = machine.TestCase
    case.__doc__ = "A3"
    case.settings = settings(
        stateful_step_count=50,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **options,
    )
    return case


TestPrograms = settled(Programs, max_examples=100, derandomize=True)
TestLonger = pytest.mark.soak(settled(Longer, max_examples=2_000))
