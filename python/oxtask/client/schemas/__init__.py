"""Records of runs and their states; see `oxtask.client.schemas.objects`."""

from oxtask.client.schemas.logs import Log
from oxtask.client.schemas.objects import (
    FlowRun,
    FlowRunPolicy,
    State,
    StateDetails,
    StateType,
    TaskRun,
    TaskRunPolicy,
)

__all__ = [
    "FlowRun",
    "FlowRunPolicy",
    "Log",
    "State",
    "StateDetails",
    "StateType",
    "TaskRun",
    "TaskRunPolicy",
]
