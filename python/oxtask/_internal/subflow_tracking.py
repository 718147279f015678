"""The task run that stands, in a flow run, for a flow that was called in it.

Nothing of it is kept while the called flow runs but where it belongs; the states follow from those
of the called flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oxtask import _core
from oxtask._internal import run_sources
from oxtask._internal.ids import new_id
from oxtask._internal.run_inputs import Sources
from oxtask._internal.state import engine_state
from oxtask._internal.task_runs import RunLog
from oxtask.client.schemas.objects import TaskRun

if TYPE_CHECKING:
    from oxtask.client.schemas.objects import FlowRun
    from oxtask.context import FlowRunContext
    from oxtask.flows import Flow


class Tracking(NamedTuple):
    """Where a called flow belongs in the flow run that called it.

    Attributes:
        number: The id of the task run.
        flow_name: The called flow.
        key: What tells this call of the flow from others.
        version: The version of the flow.
        flow_run_number: The id of the flow run that called it.
        flow_run_run_count: How many attempts of that had started.
        sources: Where the parameters come from, packed.
    """

    number: int
    flow_name: str
    key: str
    version: str | None
    flow_run_number: int
    flow_run_run_count: int
    sources: Any

    def run_for(self, child: RunLog[FlowRun]) -> RunLog[TaskRun]:
        """Return the run, as it follows from where the called flow stands."""
        record = TaskRun(
            id=self.number,
            name=f"{self.flow_name}-{self.key}",
            flow_run_id=self.flow_run_number,
            flow_run_run_count=self.flow_run_run_count,
            task_key=self.flow_name,
            task_version=self.version,
            dynamic_key=self.key,
            task_inputs=Sources.unpack(self.sources),
            tags=child.record.tags,
        )
        run = RunLog(record)
        for state in child.history:
            if not run.history:
                record._expected_start_time = state._timestamp
            own = state.state_details.model_dump(exclude_none=True)
            run.enter(
                engine_state(
                    state.type,
                    state.name,
                    state._timestamp,
                    state.message,
                    details={
                        name: value
                        for name, value in {**own, "child_flow_run_id": child.record.id}.items()
                        if name not in {"flow_run_id", "task_run_id"}
                    },
                )
            )
        return run


def tracking_of(
    flow: Flow[..., Any], parameters: dict[str, Any], wait_for: Any, parent: FlowRunContext
) -> Tracking:
    """Take note of a flow that was called in a flow run.

    Args:
        flow: The called flow.
        parameters: What it was called with, not resolved.
        wait_for: What it waits for.
        parent: The context it was called in.
    """
    outer = run_sources.enclosing_run(_core.current_run.get(None), parent)
    if outer is None:
        calls = parent.task_run_dynamic_keys
        count = calls.get(flow.name, 0)
        calls[flow.name] = count + 1
        key = str(count)
    else:
        # Which call of a task this is cannot be told: tasks run side by side.
        key = str(new_id())
    receiver = flow._receiver_name()
    names = [name for name in flow._signature_plan().names if name != receiver]
    sources = run_sources.sources_in(names, parameters, wait_for).within(outer)
    caller = parent.flow_run
    return Tracking(
        new_id().int,
        flow.name,
        key,
        flow.version,
        caller.id.int,
        caller.run_count,
        sources.pack(),
    )
