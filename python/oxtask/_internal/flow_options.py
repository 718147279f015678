"""The options of a flow: checking them and deriving from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from oxtask._internal import task_options
from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from oxtask.client.schemas.objects import FlowRun
    from oxtask.states import State

HOOK_OPTIONS = ("on_completion", "on_failure", "on_cancellation", "on_crashed", "on_running")
BANNED_IN_NAMES = ("/", "%", "&", ">", "<")


class FlowStateHook(Protocol):
    """A hook: called with the flow, the run and the state it entered."""

    def __call__(self, flow: Any, flow_run: FlowRun, state: State[Any], /) -> Any: ...


def checked(fn: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a flow with these options.

    Raises:
        TypeError, ValueError, InvalidNameError, ReservedArgumentError: The first thing that is wrong.
    """
    attributes = dict(options)
    descriptor = type(fn) if isinstance(fn, (classmethod, staticmethod)) else None
    inner = fn.__func__ if descriptor else fn
    if not callable(inner):
        msg = f"'fn' must be callable; got {short_repr(fn)}"
        raise TypeError(msg)
    for option in HOOK_OPTIONS:
        attributes[f"{option}_hooks"] = hooks(option, attributes.pop(option))
    run_name = options["flow_run_name"]
    if run_name is not None and not isinstance(run_name, str) and not callable(run_name):
        kind = type(run_name).__name__
        msg = f"Expected string or callable for 'flow_run_name'; got {kind} instead."
        raise TypeError(msg)
    from oxtask.utilities.callables import raise_for_reserved_arguments  # noqa: PLC0415 - start-up

    raise_for_reserved_arguments(inner, task_options.RESERVED)
    attributes.update(
        fn=inner,
        _given=dict(options),
        _descriptor=descriptor,
        _receiver=None,
        name=name(options["name"], inner),
        description=options["description"] or task_options._derived_description(inner),
        isasync=task_options._is_async(inner),
        isgenerator=task_options._is_generator(inner),
        retries=retries(options["retries"]),
        retry_delay_seconds=retry_delay(options["retry_delay_seconds"]),
        timeout_seconds=task_options.timeout(options["timeout_seconds"]),
        should_validate_parameters=attributes.pop("validate_parameters"),
        task_runner=task_runner(options["task_runner"]),
    )
    if attributes["isgenerator"]:
        msg = "generator functions cannot be flows yet; make the function return a list"
        raise NotImplementedError(msg)
    if attributes["persist_result"] is None and (
        options["result_storage"] is not None or options["result_serializer"] is not None
    ):
        attributes["persist_result"] = True
    return attributes


def hooks(option: str, given: Any) -> list[Any]:
    """Return the hooks of an option as a list of its own."""
    if given is None:
        return []
    try:
        functions = list(given)
    except TypeError:
        msg = (
            f"Expected iterable for '{option}'; got {type(given).__name__} instead. Please provide a "
            f"list of hooks to '{option}':\n\n@flow({option}=[hook1, hook2])\ndef my_flow():\n\tpass"
        )
        raise TypeError(msg) from None
    for function in functions:
        if not callable(function):
            msg = (
                f"Expected callables in '{option}'; got {type(function).__name__} instead. Please "
                f"provide a list of hooks to '{option}':\n\n@flow({option}=[hook1, hook2])\n"
                "def my_flow():\n\tpass"
            )
            raise TypeError(msg)
    return functions


def name(given: Any, fn: Any) -> str:
    """Return the name of a flow."""
    if not given:
        derived = task_options._derived_name(fn)
        return "unknown-lambda" if derived == "<lambda>" else derived.replace("_", "-")
    if not isinstance(given, str):
        hint = ". Maybe you meant '@flow(options...)'?" if callable(given) else ""
        msg = f"Expected string for flow parameter 'name'; got {type(given).__name__} instead{hint}"
        raise TypeError(msg)
    if any(character in given for character in BANNED_IN_NAMES):
        from oxtask.exceptions import InvalidNameError  # noqa: PLC0415 - start-up time

        msg = f"Name {given!r} contains an invalid character. Must not contain any of: {BANNED_IN_NAMES}."
        raise InvalidNameError(msg)
    return given


def retries(given: Any) -> int:
    """Return the number of retries of a flow."""
    if given is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        default: int = get_current_settings().flows.default_retries
        return default
    return task_options._retries(given)


def retry_delay(given: Any) -> float:
    """Return the delay before each retry of a flow, in seconds."""
    if given is None:
        from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

        given = get_current_settings().flows.default_retry_delay_seconds
        given = given[0] if isinstance(given, list) else given or 0
    task_options._check_delay(given)
    delay: float = given
    return delay


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
