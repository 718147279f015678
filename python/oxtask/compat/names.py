"""What Prefect's names are in oxtask, and what stands in for those it does not have.

A name that is in neither table is looked up under the same path: ``prefect.tasks.task`` is
``oxtask.tasks.task``.
"""

from __future__ import annotations

from oxtask.settings import SETTINGS

VERSION = "3.8.8"
"""The version of Prefect whose behaviour oxtask follows; what ``prefect.__version__`` says."""

NAMES: dict[str, str] = {
    # Modules
    "prefect.logging.configuration": "oxtask.logging.handlers",
    "prefect.main": "oxtask",
    "prefect.settings.context": "oxtask.settings",
    "prefect.settings.legacy": "oxtask.settings",
    "prefect.settings.models.root": "oxtask.settings",
    # Names in them
    "prefect.__version__": "oxtask.compat.names.VERSION",
    "prefect.client.orchestration.PrefectClient": "oxtask.client.orchestration.OxtaskClient",
    "prefect.client.orchestration.SyncPrefectClient": (
        "oxtask.client.orchestration.SyncOxtaskClient"
    ),
    **{
        f"prefect.concurrency._asyncio.{name}": f"oxtask.concurrency.errors.{name}"
        for name in ("AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError")
    },
    "prefect.exceptions.PrefectException": "oxtask.exceptions.OxtaskException",
    "prefect.exceptions.PrefectSignal": "oxtask.exceptions.OxtaskSignal",
    "prefect.flow_engine.FlowRunTimeoutError": "oxtask.exceptions.FlowRunTimeoutError",
    "prefect.futures.PrefectConcurrentFuture": "oxtask.futures.TaskRunFuture",
    "prefect.futures.PrefectDistributedFuture": "oxtask.futures.DistributedFuture",
    "prefect.futures.PrefectFlowRunFuture": "oxtask.futures.FlowRunFuture",
    "prefect.futures.PrefectFuture": "oxtask.futures.Future",
    "prefect.futures.PrefectFutureList": "oxtask.futures.FutureList",
    "prefect.futures.PrefectTaskRunFuture": "oxtask.futures.TaskRunFuture",
    "prefect.futures.PrefectWrappedFuture": "oxtask.futures.WrappedFuture",
    "prefect.logging.formatters.PrefectFormatter": "oxtask.logging.OxtaskFormatter",
    "prefect.logging.handlers.PrefectConsoleHandler": "oxtask.logging.handlers.ConsoleHandler",
    "prefect.logging.loggers.PrefectLogAdapter": "oxtask.logging.loggers.OxtaskLogAdapter",
    "prefect.logging.loggers.patch_print": "oxtask.logging.patch_print",
    "prefect.logging.loggers.print_as_log": "oxtask.logging.print_as_log",
    "prefect.task_engine.TaskRunTimeoutError": "oxtask.exceptions.TaskRunTimeoutError",
    "prefect.serializers.prefect_json_object_decoder": "oxtask.serializers.json_object_decoder",
    "prefect.serializers.prefect_json_object_encoder": "oxtask.serializers.json_object_encoder",
    "prefect.testing.utilities.prefect_test_harness": (
        "oxtask.testing.utilities.oxtask_test_harness"
    ),
    # Settings, which are environment variables too
    **{
        f"prefect.settings.PREFECT_{name.removeprefix('OXTASK_')}": f"oxtask.settings.{name}"
        for setting in SETTINGS.values()
        for name in (setting.name, *setting.aliases)
    },
}
"""Names of Prefect, with their modules, and what they are in oxtask."""

_NO_SERVER = "oxtask has no server"
_NO_SCHEDULES = (
    f"{_NO_SERVER} and no schedules; call the flow in the program, and start that with cron, a "
    "systemd timer or what else runs programs for you"
)
_NO_PAUSES = f"{_NO_SERVER} that could wait for an answer; end the flow, and start another with it"
_NO_RESULTS = (
    "results are not kept on disk in this version; leave out the options that need it, or store "
    "the value in the task and read it if it is there"
)
_NO_BLOCKS = (
    "there are no blocks; use `oxtask.variables`, read environment variables or a file, and pass "
    "values as parameters"
)
_NO_EVENTS = f"{_NO_SERVER} that would take events; use the hooks of tasks and flows"
_NO_LEASES = (
    "slots belong to processes, and have no leases; use `concurrency` and `rate_limit` of "
    "`prefect.concurrency.sync` and `prefect.concurrency.asyncio`"
)
_SUBMIT = "there are no background workers; use `task.submit()` in a flow"
_PLAIN_TYPES = "annotate with the types of pydantic (`pydantic.NonNegativeInt`) or of `typing`"

ALTERNATIVES: dict[str, str] = {
    "prefect._internal": "it is private to Prefect",
    "prefect.agent": _NO_SCHEDULES,
    "prefect.automations": _NO_EVENTS,
    "prefect.blocks": _NO_BLOCKS,
    "prefect.cli": "the commands of oxtask are in `oxtask --help`, and are not to be imported",
    "prefect.client": f"{_NO_SERVER}; `oxtask.get_client()` reads the runs of this process",
    "prefect.concurrency": _NO_LEASES,
    "prefect.context.AssetContext": "use `prefect.assets.add_asset_metadata` in the task",
    "prefect.context.use_profile": "use `prefect.settings.temporary_settings`",
    "prefect.deploy": _NO_SCHEDULES,
    "prefect.deployments": _NO_SCHEDULES,
    "prefect.docker": _NO_SCHEDULES,
    "prefect.engine": _NO_PAUSES,
    "prefect.events": _NO_EVENTS,
    "prefect.exceptions": f"{_NO_SERVER} that could raise it; take it out of the `except`",
    "prefect.flow_runs": _NO_PAUSES,
    "prefect.flows.aserve": _NO_SCHEDULES,
    "prefect.flows.load_flow_from_entrypoint": "import the module that holds the flow",
    "prefect.flows.serve": _NO_SCHEDULES,
    "prefect.futures.PrefectWrappedFuture": "subclass `oxtask.futures.Future`",
    "prefect.infrastructure": _NO_SCHEDULES,
    "prefect.input": _NO_PAUSES,
    "prefect.runner": _NO_SCHEDULES,
    "prefect.schedules": _NO_SCHEDULES,
    "prefect.server": _NO_SERVER,
    "prefect.settings": f"leave the setting out; {_NO_SERVER}, and most settings are about it",
    "prefect.task_runners.PrefectTaskRunner": _SUBMIT,
    "prefect.task_runners.SequentialTaskRunner": "use `ThreadPoolTaskRunner(max_workers=1)`",
    "prefect.task_worker": _SUBMIT,
    "prefect.telemetry": "oxtask sends nothing anywhere",
    "prefect.types": _PLAIN_TYPES,
    "prefect.utilities.asyncutils": "use `asyncio`: `asyncio.run`, `asyncio.to_thread`",
    "prefect.utilities.visualization": "oxtask draws no flows in this version",
    "prefect.workers": _NO_SCHEDULES,
    **{
        f"prefect.{prefix}{name}": hint
        for prefix in ("", "a")
        for name, hint in (
            ("pause_flow_run", _NO_PAUSES),
            ("resume_flow_run", _NO_PAUSES),
            ("serve", _NO_SCHEDULES),
            ("suspend_flow_run", _NO_PAUSES),
        )
    },
}
"""What to do without a name that oxtask does not have, or any below it."""


def alternative(name: str) -> str:
    """Return what to do without ``name``, ``"prefect.serve"``; the closest entry decides.

    Example:
        >>> alternative("prefect.task_runners.SequentialTaskRunner")
        'use `ThreadPoolTaskRunner(max_workers=1)`'
    """
    while name:
        if name in ALTERNATIVES:
            return ALTERNATIVES[name]
        name = name.rpartition(".")[0]
    return "docs/coming-from-prefect.md tells what is there, and what to use instead of the rest"
