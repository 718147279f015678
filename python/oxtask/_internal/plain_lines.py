"""The line that a plain run writes when it completes: all that it logs at INFO.

It is the line that `log_lines.finished` would write, made from the numbers of the run: a record and
states for every run that only a line is to name would cost many times as much as the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal.log_lines import INFO, TASK_RUNS, logger, plain_end
from oxtask._internal.state import engine_state
from oxtask._internal.state_types import StateType
from oxtask._internal.task_runs import COMPLETED, name_in_flow
from oxtask.context import FlowRunContext
from oxtask.logging import messages
from oxtask.logging.formatters import UNKNOWN
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from oxtask._core import Run

_TEXT = messages.finished(engine_state(StateType.COMPLETED))[1]
_NO_FLOW = {"flow_run_id": None, "flow_run_name": UNKNOWN, "flow_name": UNKNOWN}


def completing(run: Run, value: Any) -> None:
    """Write that a plain run completes; called by the core, in the context of the run.

    Args:
        run: The run.
        value: What it came to.
    """
    own = logger(TASK_RUNS)
    if not own.isEnabledFor(INFO):
        return
    if get_current_settings().debug_mode:
        plain_end(run, COMPLETED, value)
        return
    task, number = run.task, run.id
    digits = f"{number:032x}"
    context = FlowRunContext.get()
    # As `logging` does it, but for the search for the caller, which is this function.
    record = own.makeRecord(TASK_RUNS, INFO, __file__, 0, _TEXT, (), None, "completing")
    record.__dict__.update(
        task_run_id=f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}",
        task_run_name=task.name if context is None else name_in_flow(task, number),
        task_name=task.name,
        **(_NO_FLOW if context is None else _fields_of(context)),
    )
    own.handle(record)


def _fields_of(context: FlowRunContext) -> dict[str, str]:
    """Return the fields of a flow run, which are worked out once."""
    flow_run, flow = context.flow_run, context.flow
    known: dict[str, str] | None = context.__dict__.get("_line_fields")
    name = UNKNOWN if flow is None else flow.name
    if (
        known is None
        or known["flow_run_name"] is not flow_run.name
        or known["flow_name"] is not name
    ):
        known = context.__dict__["_line_fields"] = {
            "flow_run_id": str(flow_run.id),
            "flow_run_name": flow_run.name,
            "flow_name": name,
        }
    return known
