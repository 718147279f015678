"""The options of a flow: checking them, deriving from them, changing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxtask._internal import functions, option_checks
from oxtask._internal.light_typing import Protocol, TypedDict
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import TypeVar

    from oxtask.client.schemas.objects import FlowRun
    from oxtask.filesystems import WritableFileSystem
    from oxtask.flows import Flow
    from oxtask.states import State
    from oxtask.task_runners import TaskRunner

    FlowT = TypeVar("FlowT", bound=Flow[..., Any])

HOOK_OPTIONS = ("on_completion", "on_failure", "on_cancellation", "on_crashed", "on_running")
BANNED_IN_NAMES = ("/", "%", "&", ">", "<")
_NAMES_OF_VALIDATORS = {
    "v__args",
    "v__kwargs",
    "v__positional_only",
    "v__duplicate_kwargs",
}


class FlowStateHook(Protocol):
    """A hook: called with the flow, the run and the state it entered."""

    def __call__(self, flow: Any, flow_run: FlowRun, state: State[Any], /) -> Any: ...


class FlowOptions(TypedDict, total=False):
    """The keyword options of a flow, for ``**options: Unpack[FlowOptions]``."""

    name: str | None
    version: str | None
    flow_run_name: Callable[..., str] | str | None
    retries: int | None
    retry_delay_seconds: float | None
    task_runner: TaskRunner[Any] | type[TaskRunner[Any]] | None
    description: str | None
    timeout_seconds: float | None
    validate_parameters: bool
    persist_result: bool | None
    result_storage: str | Path | WritableFileSystem | None
    result_serializer: Any
    cache_result_in_memory: bool
    log_prints: bool | None
    on_completion: Iterable[FlowStateHook] | None
    on_failure: Iterable[FlowStateHook] | None
    on_cancellation: Iterable[FlowStateHook] | None
    on_crashed: Iterable[FlowStateHook] | None
    on_running: Iterable[FlowStateHook] | None


# --- checking -------------------------------------------------------------------------------------


def checked(fn: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a flow with these options.

    Raises:
        TypeError, ValueError, InvalidNameError, ReservedArgumentError: The first thing that is
            wrong.
    """
    attributes = dict(options)
    inner, descriptor = option_checks.function(fn)
    for option in HOOK_OPTIONS:
        given = attributes.pop(option)
        attributes[f"{option}_hooks"] = option_checks.hooks(option, given, "flow")
    option_checks.run_name("flow_run_name", options["flow_run_name"])
    option_checks.storage(options["result_storage"])
    from oxtask.utilities.callables import raise_for_reserved_arguments  # noqa: PLC0415 - start-up

    raise_for_reserved_arguments(inner, option_checks.RESERVED)
    if options["version"] is None:
        del attributes["version"]  # worked out when somebody asks
    elif not isinstance(options["version"], str):
        msg = f"'version' must be a string or None; got {short_repr(options['version'])}"
        raise TypeError(msg)
    attributes.update(
        fn=inner,
        _given=dict(options),
        _descriptor=descriptor,
        _receiver=None,
        name=name(options["name"], inner),
        description=options["description"] or functions.description_of(inner),
        isasync=functions.is_async(inner),
        isgenerator=functions.is_generator(inner),
        retries=retries(options["retries"]),
        retry_delay_seconds=retry_delay(options["retry_delay_seconds"]),
        timeout_seconds=option_checks.timeout(options["timeout_seconds"]),
        should_validate_parameters=attributes.pop("validate_parameters"),
        task_runner=task_runner(options["task_runner"]),
    )
    if attributes["should_validate_parameters"]:
        _check_parameter_names(inner)
    if _is_persistence_derived(options):
        attributes["persist_result"] = True
    return attributes


def _is_persistence_derived(options: dict[str, Any]) -> bool:
    """Tell whether results are stored because it was said where or how, not that."""
    return options["persist_result"] is None and (
        options["result_storage"] is not None or options["result_serializer"] is not None
    )


def name(given: Any, fn: Any) -> str:
    """Return the name of a flow."""
    if not given:
        derived = functions.name_of(fn)
        return "unknown-lambda" if derived == "<lambda>" else derived.replace("_", "-")
    if not isinstance(given, str):
        hint = " Maybe you meant '@flow(options...)'?" if callable(given) else ""
        msg = (
            f"Expected string for flow parameter 'name'; got {type(given).__name__} instead: "
            f"{short_repr(given)}.{hint}"
        )
        raise TypeError(msg)
    if any(character in given for character in BANNED_IN_NAMES):
        from oxtask.exceptions import InvalidNameError  # noqa: PLC0415 - start-up time

        msg = (
            f"Name {short_repr(given)} contains an invalid character. "
            f"Must not contain any of: {', '.join(BANNED_IN_NAMES)}."
        )
        raise InvalidNameError(msg)
    return given


def retries(given: Any) -> int:
    """Return the number of retries of a flow."""
    if given is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        default: int = get_current_settings().flows.default_retries
        return default
    return option_checks.retries(given)


def retry_delay(given: Any) -> float:
    """Return the delay before each retry of a flow, in seconds.

    The setting may be a list, as that of tasks; a flow has one delay, the first.
    """
    if given is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        default = get_current_settings().flows.default_retry_delay_seconds
        given = default[0] if isinstance(default, list) else default
    return option_checks.retry_delay(given)


def task_runner(given: Any) -> Any:
    """Return the runner of a flow: an instance; ``None`` for the default."""
    if given is None:
        return None
    from oxtask.task_runners import TaskRunner  # noqa: PLC0415 - start-up time

    runner = given() if isinstance(given, type) and issubclass(given, TaskRunner) else given
    if not isinstance(runner, TaskRunner):
        msg = f"'task_runner' must be a TaskRunner or a subclass of it; got {short_repr(given)}"
        raise TypeError(msg)
    return runner


def _check_parameter_names(fn: Any) -> None:
    """Refuse the names that the reference keeps for its validator, so that flows stay portable."""
    taken = _NAMES_OF_VALIDATORS.intersection(getattr(fn, "__code__", checked.__code__).co_varnames)
    if not taken:
        return
    from oxtask.utilities.callables import signature_plan  # noqa: PLC0415 - start-up time

    for reserved in taken.intersection(signature_plan(fn).names):
        msg = (
            "Flow function is not compatible with `validate_parameters`. Disable validation or "
            f"change the argument names: {reserved!r} is taken."
        )
        raise ValueError(msg)


def version_of(fn: Any) -> str | None:
    """Return the version of a flow that has none of its own: the MD5 sum of its file.

    ``None`` for functions that come from no file, or from one that is not there.
    """
    inner = functions.unwrapped(fn)
    code: Any = getattr(getattr(inner, "__wrapped__", inner), "__code__", None)
    try:
        with open(code.co_filename, "rb") as file:  # noqa: PTH123 - start-up time
            content = file.read()
    except (AttributeError, OSError, ValueError):
        return None
    try:
        # `hashlib` would load OpenSSL to come to the same.
        from _md5 import md5  # type: ignore[import-not-found] # noqa: PLC0415
    except ImportError:
        from hashlib import md5  # noqa: PLC0415
    digest: str = md5(content).hexdigest()  # noqa: S324 - tells versions apart, no more
    return digest


# --- variants -------------------------------------------------------------------------------------


def with_options(flow: FlowT, options: dict[str, Any]) -> FlowT:
    """Return a copy of a flow with some options replaced."""
    unknown = options.keys() - FlowOptions.__annotations__.keys()
    if unknown:
        msg = (
            f"with_options() got an unexpected keyword argument {min(unknown)!r}; "
            f"the options are {', '.join(FlowOptions.__annotations__)}"
        )
        raise TypeError(msg)
    given = {**_current(flow), **options}
    for option in ("validate_parameters", "cache_result_in_memory"):
        if given[option] is None:
            given[option] = _current(flow)[option]
    attributes = vars(flow)
    descriptor = attributes["_descriptor"]
    fn: Any = descriptor(flow.fn) if descriptor else flow.fn
    new = type(flow)(fn, **given)
    vars(new)["_receiver"] = attributes["_receiver"]
    return new


def _current(flow: Flow[..., Any]) -> dict[str, Any]:
    """Return the options of a flow as they are now, whether given or changed since."""
    attributes = vars(flow)
    current = dict(attributes["_given"])
    for option in current.keys() & attributes.keys():
        current[option] = attributes[option]
    current["validate_parameters"] = flow.should_validate_parameters
    if _is_persistence_derived(attributes["_given"]):
        current["persist_result"] = None
    for option in HOOK_OPTIONS:
        current[option] = list(attributes[f"{option}_hooks"])
    return current


def bound(flow: FlowT, instance: Any, owner: type | None) -> FlowT:
    """Return a flow as an attribute of an object or a class.

    The copy carries the object it is bound to; the flow itself is not changed.
    """
    descriptor = vars(flow)["_descriptor"]
    if descriptor is staticmethod:
        return flow
    receiver = instance
    if descriptor is classmethod:
        receiver = type(instance) if owner is None else owner
    if receiver is None:
        return flow
    from copy import copy  # noqa: PLC0415 - start-up time

    copied = copy(flow)
    vars(copied)["_receiver"] = receiver
    return copied
