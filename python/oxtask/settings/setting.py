"""One setting, and groups of settings: the machinery below `oxtask.settings.table`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from oxtask.settings.kinds import Kind

PREFIX = "OXTASK_"


class Setting:
    """A setting: its names, its default and what it accepts.

    A ``Setting`` compares equal to its current value, and is true if that value is.

    Attributes:
        name: The environment variable, ``"OXTASK_TASKS_DEFAULT_RETRIES"``.
        accessor: The path of the attribute in `Settings`, ``"tasks.default_retries"``.
        description: What the setting does.
        aliases: Other environment variables that are read if ``name`` is not set.
    """

    __slots__ = ("_default", "_key", "_kind", "accessor", "aliases", "description", "name")

    def __init__(
        self, kind: Kind, default: Any, description: str, aliases: tuple[str, ...] = ()
    ) -> None:
        self._kind = kind
        self._default = default
        self._key = ""
        self.accessor: str = ""
        self.name: str = ""
        self.description: str = description
        self.aliases: tuple[str, ...] = tuple(PREFIX + alias for alias in aliases)

    def __set_name__(self, owner: type, key: str) -> None:
        self._key = key

    @property
    def accepts(self) -> str:
        """What can be given, in words."""
        return self._kind.accepts

    def default(self) -> Any:
        """Return the value that holds if nothing sets one."""
        return self._present(self.stored_default())

    def value(self) -> Any:
        """Return the current value.

        Raises:
            ValueError: If an environment variable holds what its setting does not accept.
        """
        from oxtask.settings.table import get_current_settings  # noqa: PLC0415 - built from this class

        return self.value_from(get_current_settings())

    def value_from(self, settings: SettingsGroup) -> Any:
        """Return the value of this setting in ``settings``."""
        value: Any = settings
        for key in self.accessor.split("."):
            value = getattr(value, key)
        return value

    def stored_default(self) -> Any:
        """Return the default in its stored form; see `oxtask.settings.kinds`."""
        return self._default() if callable(self._default) else self._default

    def coerce(self, value: Any, given_as: str | None = None) -> Any:
        """Return the stored form of ``value``.

        Args:
            value: Text as in an environment variable, or a Python object.
            given_as: The name the user used, for the error; by default ``name``.

        Raises:
            ValueError: If the setting does not accept ``value``.
        """
        try:
            return self._kind.coerce(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise ValueError(
                f"{given_as or self.name}={short_repr(value)} is not valid: "
                f"expected {self.accepts}."
            ) from None

    def to_text(self, stored: Any) -> str:
        """Return a stored form as text for an environment variable."""
        return self._kind.to_text(stored)

    def _present(self, stored: Any) -> Any:
        return stored if self._kind.present is None else self._kind.present(stored)

    def __bool__(self) -> bool:
        return bool(self.value())

    def __str__(self) -> str:
        return str(self.value())

    def __repr__(self) -> str:
        return f"<Setting {self.name}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Setting):
            return self.name == other.name
        return bool(self.value() == other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        from oxtask.settings.table import find_setting  # noqa: PLC0415 - built from this class

        return find_setting, (self.name,)


class _PresentedSetting(Setting):
    """A setting that users read in another form than the stored one.

    A data descriptor, so it is asked before the instance's ``__dict__``; a plain `Setting` has no
    ``__get__`` and costs nothing on access.
    """

    __slots__ = ()

    def __get__(self, instance: SettingsGroup | None, owner: type) -> Any:
        return self if instance is None else self._present(instance.__dict__[self._key])

    def __set__(self, instance: SettingsGroup, value: Any) -> None:
        setattr(instance, self._key, value)  # raises; `SettingsGroup` is immutable


def declare(kind: Kind, default: Any, description: str, aliases: tuple[str, ...] = ()) -> Any:
    """Declare a setting in a group.

    Args:
        kind: What it accepts.
        default: The default in its stored form, or a function of no arguments that returns it.
        description: What the setting does.
        aliases: Further names, without the prefix.
    """
    declared = Setting if kind.present is None else _PresentedSetting
    return declared(kind, default, description, aliases)


def group(kind: type[SettingsGroup]) -> Any:
    """Declare a group in a group."""
    return kind


class SettingsGroup:
    """Some settings under one name; immutable.

    Subclasses list their settings as class attributes; instances hold the values.
    """

    _members: ClassVar[dict[str, Setting | type[SettingsGroup]]] = {}

    def __init_subclass__(cls) -> None:
        cls._members = {
            key: member
            for key, member in vars(cls).items()
            if isinstance(member, Setting)
            or (isinstance(member, type) and issubclass(member, SettingsGroup))
        }

    def __init__(self, stored: Mapping[str, Any], path: str = "") -> None:
        """Take the values of this group out of ``stored``, by accessor."""
        for key, member in self._members.items():
            self.__dict__[key] = (
                stored[path + key]
                if isinstance(member, Setting)
                else member(stored, f"{path}{key}.")
            )

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(
            f"Settings cannot be changed in place (attribute {key!r}): "
            "use `with temporary_settings({...}):` or an environment variable."
        )

    def __delattr__(self, key: str) -> None:
        self.__setattr__(key, None)

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={getattr(self, key)!r}" for key in self._members)
        return f"{type(self).__name__}({values})"


def name_settings(kind: type[SettingsGroup], path: str = "") -> Iterator[Setting]:
    """Give every setting below ``kind`` its names, and yield it."""
    for key, member in kind._members.items():
        if isinstance(member, Setting):
            member.accessor = path + key
            member.name = PREFIX + member.accessor.upper().replace(".", "_")
            yield member
        else:
            yield from name_settings(member, f"{path}{key}.")
