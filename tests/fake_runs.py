"""Contexts of runs without an engine, for tests of what only looks at the current run."""

from __future__ import annotations

import sys
import types
import uuid
from contextvars import ContextVar

import pytest

FLOW_ID, TASK_ID = uuid.UUID(int=1), uuid.UUID(int=2)


class _Context:
    def __init__(self, **fields):
        self.__dict__.update(fields)

    @classmethod
    def get(cls):
        return cls.current.get()

    def __enter__(self):
        self.token = self.current.set(self)
        return self

    def __exit__(self, *error):
        self.current.reset(self.token)


class FlowRunContext(_Context):
    current = ContextVar("flow", default=None)


class TaskRunContext(_Context):
    current = ContextVar("task", default=None)


def flow_context(log_prints=False, flow_run_id=FLOW_ID, name="red-fox"):
    run = types.SimpleNamespace(id=flow_run_id, name=name, flow_run_id=None)
    flow = types.SimpleNamespace(name="etl")
    return FlowRunContext(flow=flow, flow_run=run, log_prints=log_prints)


def task_context(log_prints=False, flow_run_id=FLOW_ID, name="load-0"):
    run = types.SimpleNamespace(id=TASK_ID, name=name, flow_run_id=flow_run_id)
    task = types.SimpleNamespace(name="load")
    return TaskRunContext(task=task, task_run=run, log_prints=log_prints)


@pytest.fixture
def fake_runs(monkeypatch):
    """Let `oxtask.context` be the classes above."""
    module = types.ModuleType("oxtask.context")
    module.FlowRunContext, module.TaskRunContext = FlowRunContext, TaskRunContext
    monkeypatch.setitem(sys.modules, "oxtask.context", module)
