"""Settings: what oxtask does when the code does not say.

A setting has one name in three spellings: the environment variable
``OXTASK_TASKS_DEFAULT_RETRIES`` (also a `Setting` in this module), the attribute
``get_current_settings().tasks.default_retries`` and the accessor ``"tasks.default_retries"``.
A value comes from the innermost `temporary_settings` block that gives one, else from the
environment, else it is the default.

The environment is read once, when a setting is first needed; a later change of ``os.environ`` is
seen only after `reload_settings`. All settings stand in `oxtask.settings.table`.
"""

from __future__ import annotations

from oxtask.settings.setting import Setting
from oxtask.settings.table import (
    SETTINGS,
    Settings,
    find_setting,
    get_current_settings,
    reload_settings,
    temporary_settings,
)

__all__ = [
    "SETTINGS",
    "Setting",
    "Settings",
    "find_setting",
    "get_current_settings",
    "reload_settings",
    "temporary_settings",
]

globals().update(SETTINGS)


def __getattr__(name: str) -> Setting:
    """Find a setting by an older name; the present names are in the module's namespace."""
    if not name.startswith("OXTASK_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return find_setting(name)
    except ValueError:
        raise AttributeError(f"{name!r} is not an oxtask setting") from None
