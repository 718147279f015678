"""All settings, one declaration each, and which of them hold here and now.

The name of the environment variable follows from the place: ``Settings.tasks.default_retries`` is
``OXTASK_TASKS_DEFAULT_RETRIES``.

Reading the current settings costs one context variable: it is unset outside `temporary_settings`,
and what was read from the environment is the fallback of ``ContextVar.get``. A thread that a
program starts itself does not inherit `temporary_settings`; task runners copy the context.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr
from oxtask.settings.kinds import (
    BOOLEAN,
    BOOLEAN_OR_NONE,
    COUNT,
    DIRECTORY,
    DIRECTORY_OR_NONE,
    POSITIVE_COUNT_OR_NONE,
    RETRY_DELAY,
    TEXT,
    one_of,
)
from oxtask.settings.setting import (
    PREFIX,
    Setting,
    SettingsGroup,
    declare,
    group,
    name_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path


def _default_home() -> str:
    return os.path.expanduser("~/.oxtask")  # noqa: PTH111 - pathlib costs start-up time


class FlowsSettings(SettingsGroup):
    """Defaults of flows."""

    default_retries: int = declare(
        COUNT, 0, "Retries of a flow that does not say.", ("FLOW_DEFAULT_RETRIES",)
    )
    default_retry_delay_seconds: float | list[float] = declare(
        RETRY_DELAY,
        0,
        "Seconds before each retry of a flow that does not say.",
        ("FLOW_DEFAULT_RETRY_DELAY_SECONDS",),
    )


class LoggingToAPISettings(SettingsGroup):
    """Lines of run loggers that are kept, for clients to read."""

    enabled: bool = declare(BOOLEAN, True, "Keep lines at all.")
    max_log_size: int = declare(
        COUNT, 1_000_000, "Bytes of UTF-8 from which on the text of a line is cut off."
    )
    when_missing_flow: str = declare(
        one_of("warn", "error", "ignore"),
        "warn",
        "What is done about a line of a run logger that belongs to no run.",
    )


class LoggingSettings(SettingsGroup):
    """The `oxtask` logger."""

    level: str = declare(
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "WARNING",
        "Lines below this level are dropped.",
    )
    log_prints: bool = declare(
        BOOLEAN, False, "Log what `print` prints in a run that does not say."
    )
    colors: bool = declare(BOOLEAN, True, "Colour lines on a terminal.")
    to_api: LoggingToAPISettings = group(LoggingToAPISettings)


class HistorySettings(SettingsGroup):
    """What can be read back of runs; see `oxtask.client.orchestration.get_client`."""

    every_run: bool = declare(
        BOOLEAN, False, "Record every task run, also plain ones that nobody looks at."
    )
    max_runs: int = declare(
        COUNT, 10_000, "Ended task runs that are kept, and as many flow runs; the newest."
    )
    max_log_lines: int = declare(COUNT, 10_000, "Lines of run loggers that are kept; the newest.")


class ResultsSettings(SettingsGroup):
    """Results on disk."""

    persist_by_default: bool = declare(
        BOOLEAN, False, "Persist the results of runs that do not say."
    )
    on_persist_error: str = declare(
        one_of("fail", "warn"), "fail", "What a storage that fails does to the run; a task run."
    )
    default_serializer: str = declare(
        TEXT, "pickle", "The type of the serializer of results that do not say."
    )
    local_storage_path: Path | None = declare(
        DIRECTORY_OR_NONE,
        None,
        "The folder of results that do not say; `none` is `storage` in the home.",
        ("LOCAL_STORAGE_PATH",),
    )
    max_bytes: int | None = declare(
        POSITIVE_COUNT_OR_NONE,
        5 << 30,
        "The most bytes of all results in the default storage; those not used for longest go.",
    )
    max_age: int | None = declare(
        POSITIVE_COUNT_OR_NONE,
        None,
        "Seconds after which results in the default storage go that were not used.",
    )
    durability: str = declare(
        one_of("default", "full"),
        "default",
        "With `full`, a result in the default storage survives a power cut once it is written.",
    )


class TasksRunnerSettings(SettingsGroup):
    """Task runners."""

    thread_pool_max_workers: int | None = declare(
        POSITIVE_COUNT_OR_NONE,
        None,
        "Threads of a thread pool that does not say; `none` is without limit.",
        ("TASK_RUNNER_THREAD_POOL_MAX_WORKERS",),
    )
    process_pool_max_workers: int | None = declare(
        POSITIVE_COUNT_OR_NONE,
        None,
        "Processes of a process pool that does not say; `none` is one for each processor.",
    )


class TasksSettings(SettingsGroup):
    """Defaults of tasks. The first four are read when a task is made, the others by runs."""

    default_retries: int = declare(
        COUNT, 0, "Retries of a task that does not say.", ("TASK_DEFAULT_RETRIES",)
    )
    default_retry_delay_seconds: float | list[float] = declare(
        RETRY_DELAY,
        0,
        "Seconds before each retry of a task that does not say.",
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS",),
    )
    default_no_cache: bool = declare(
        BOOLEAN, False, "A task that does not name a cache policy has none."
    )
    disable_caching: bool = declare(BOOLEAN, False, "No task is cached, whatever it says.")
    default_persist_result: bool | None = declare(
        BOOLEAN_OR_NONE,
        None,
        "Persist the results of task runs that do not say; `none` for what their flow does.",
    )
    refresh_cache: bool = declare(
        BOOLEAN, False, "Compute and store anew, in tasks that do not say."
    )
    track_inputs: bool = declare(
        BOOLEAN,
        True,
        "While every run is recorded, know plain values by the run that returned them.",
    )
    runner: TasksRunnerSettings = group(TasksRunnerSettings)


class Settings(SettingsGroup):
    """A value for every setting; immutable.

    Args:
        values: Some values, by setting, accessor or name; all others are defaults.

    Raises:
        ValueError: If a setting does not exist or does not accept its value.

    Example:
        >>> Settings({"tasks.default_retries": 3}).tasks.default_retries
        3
    """

    home: Path = declare(DIRECTORY, _default_home, "Where oxtask keeps its files.")
    debug_mode: bool = declare(BOOLEAN, False, "Log at level DEBUG, and in more detail.")
    progress: str = declare(
        one_of("auto", "on", "off"), "auto", "The progress line; `auto`: on a terminal only."
    )
    flows: FlowsSettings = group(FlowsSettings)
    history: HistorySettings = group(HistorySettings)
    logging: LoggingSettings = group(LoggingSettings)
    results: ResultsSettings = group(ResultsSettings)
    tasks: TasksSettings = group(TasksSettings)

    _given: dict[str, Any]  # what does not come from a default, by accessor
    _stored: dict[str, Any]  # all, by accessor; before `debug_mode` has its effect

    def __init__(self, values: Mapping[Setting | str, Any] | None = None) -> None:
        given: dict[str, Any] = {}
        for key, value in (values or {}).items():
            found = find_setting(key)
            given[found.accessor] = found.coerce(value)
        defaults = {each.accessor: each.stored_default() for each in SETTINGS.values()}
        stored = {**defaults, **given}
        self.__dict__.update(_given=given, _stored=stored)
        super().__init__({**stored, "logging.level": "DEBUG"} if stored["debug_mode"] else stored)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings that ``environment`` (``os.environ``) gives.

        Empty variables count as not set, and an alias is read only if the setting's own name is
        not set.

        Raises:
            ValueError: If a variable holds what its setting does not accept; names all such.
        """
        given: dict[Setting | str, Any] = {}
        problems: list[str] = []
        for each in SETTINGS.values():
            for name in (each.name, *each.aliases):
                if environment.get(name, "").strip():
                    try:
                        given[each] = each.coerce(environment[name], name)
                    except ValueError as error:
                        problems.append(str(error))
                    break
        if problems:
            raise ValueError(
                "\n".join(("Correct or unset these environment variables:", *problems))
                if len(problems) > 1
                else f"Environment variable {problems[0]}"
            )
        return cls(given)

    def copy_with_update(
        self,
        updates: Mapping[Setting | str, Any] | None = None,
        set_defaults: Mapping[Setting | str, Any] | None = None,
        restore_defaults: Iterable[Setting | str] | None = None,
    ) -> Settings:
        """Return a changed copy.

        Args:
            updates: New values, by setting, accessor (``"tasks.default_retries"``) or name.
            set_defaults: The same, for settings that have no value yet.
            restore_defaults: Settings that get their default back, wherever the value came from.

        Raises:
            ValueError: If a setting does not exist or does not accept its value.
        """
        given: dict[Setting | str, Any] = dict(self._given.items())
        for key in restore_defaults or ():
            given.pop(find_setting(key).accessor, None)
        for key, value in (set_defaults or {}).items():
            found = find_setting(key)
            given.setdefault(found.accessor, found.coerce(value))
        for key, value in (updates or {}).items():
            found = find_setting(key)
            given[found.accessor] = found.coerce(value)
        return Settings(given)

    def to_environment_variables(
        self, *, exclude_unset: bool = False, include_aliases: bool = False
    ) -> dict[str, str]:
        """Return the environment variables that give these settings to another process.

        Args:
            exclude_unset: Leave out settings that have no value but their default.
            include_aliases: Name each value by the setting's aliases as well.
        """
        return {
            name: each.to_text(self._stored[each.accessor])
            for each in SETTINGS.values()
            if not exclude_unset or each.accessor in self._given
            for name in (each.name, *(each.aliases if include_aliases else ()))
        }

    def hash_key(self) -> str:
        """Return 32 hexadecimal digits: the same for equal settings, in any process."""
        import hashlib  # noqa: PLC0415 - start-up time

        text = repr(sorted(self.to_environment_variables().items()))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return self._stored == other._stored

    def __hash__(self) -> int:
        return hash(tuple(self._stored.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Settings, (self._given,)


SETTINGS: dict[str, Setting] = {each.name: each for each in name_settings(Settings)}
"""All settings by name, ``"OXTASK_..."``."""


def _by_any_name() -> dict[str, Setting]:
    return {
        name: each
        for each in SETTINGS.values()
        for name in (each.accessor, each.name, *each.aliases)
    }


_BY_ANY_NAME = _by_any_name()


def find_setting(key: Setting | str) -> Setting:
    """Return the setting with this accessor, name or alias.

    Raises:
        ValueError: If there is none.

    Example:
        >>> find_setting("tasks.default_retries").name
        'OXTASK_TASKS_DEFAULT_RETRIES'
    """
    if isinstance(key, Setting):
        return key
    found = _BY_ANY_NAME.get(key) if isinstance(key, str) else None
    if found is None:
        raise ValueError(
            f"Unknown setting {short_repr(key)}: `oxtask.settings.SETTINGS` lists all settings."
        )
    return found


_temporary: ContextVar[Settings] = ContextVar("oxtask_temporary_settings")
_from_environment: Settings | None = None  # until first use


def get_current_settings() -> Settings:
    """Return the settings that hold in this context.

    Raises:
        ValueError: On first use, if an environment variable holds what its setting does not accept.

    Example:
        >>> get_current_settings().tasks.default_retries
        0
    """
    return _temporary.get(_from_environment) or reload_settings()


def reload_settings() -> Settings:
    """Read the environment again, and return what it gives.

    For programs that change ``os.environ`` after the first use of a setting. Values of
    `temporary_settings` blocks that are open stay as they are.

    Raises:
        ValueError: If an environment variable holds what its setting does not accept.
    """
    global _from_environment
    before, _from_environment = _from_environment, Settings.from_environment(os.environ)
    _tell(_from_environment, is_begin=True)
    if before is not None:
        _tell(before, is_begin=False)
    return _from_environment


def read_also(prefix: str) -> None:
    """Accept every setting under another prefix as well, where its own name is not set.

    Raises:
        ValueError: If a variable of that prefix holds what its setting does not accept, and
            settings have been used before.

    Example:
        >>> read_also("ACME_")
        >>> find_setting("ACME_TASKS_DEFAULT_RETRIES").accessor
        'tasks.default_retries'
        >>> read_no_longer("ACME_")
    """
    for each in SETTINGS.values():
        names = (each.name, *each.aliases)
        each.aliases += tuple(prefix + name.removeprefix(PREFIX) for name in names)
    _aliases_changed()


def read_no_longer(prefix: str) -> None:
    """Undo `read_also`."""
    for each in SETTINGS.values():
        each.aliases = tuple(name for name in each.aliases if not name.startswith(prefix))
    _aliases_changed()


def _aliases_changed() -> None:
    _BY_ANY_NAME.clear()
    _BY_ANY_NAME.update(_by_any_name())
    if _from_environment is not None:
        reload_settings()


def _tell(settings: Settings, *, is_begin: bool) -> None:
    for listener in listeners:
        listener(settings, is_begin=is_begin)


listeners: list[Callable[..., object]] = []
"""Called with settings that hold from now on in this context, or hold no more: for what is worked
out once."""


@contextmanager
def temporary_settings(
    updates: Mapping[Setting | str, Any] | None = None,
    set_defaults: Mapping[Setting | str, Any] | None = None,
    restore_defaults: Iterable[Setting | str] | None = None,
) -> Generator[Settings, None, None]:
    """Change settings for a block of code; blocks nest.

    Args:
        updates: New values, by setting, accessor (``"tasks.default_retries"``) or name.
        set_defaults: The same, for settings that have no value yet.
        restore_defaults: Settings that get their default back, wherever the value came from.

    Yields:
        The settings inside the block.

    Raises:
        ValueError: If a setting does not exist or does not accept its value.

    Example:
        >>> with temporary_settings({"tasks.default_retries": 3}) as settings:
        ...     settings.tasks.default_retries
        3
    """
    settings = get_current_settings().copy_with_update(updates, set_defaults, restore_defaults)
    token = _temporary.set(settings)
    _tell(settings, is_begin=True)
    try:
        yield settings
    finally:
        _temporary.reset(token)
        _tell(settings, is_begin=False)
