"""Where results are kept, and whether, if nobody says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from oxtask._internal.dispatch import in_async_context
from oxtask._internal.text import short_repr
from oxtask.context import FlowRunContext, TaskRunContext, get_run_context
from oxtask.exceptions import MissingContextError
from oxtask.filesystems import LocalFileSystem, PackedFileSystem, RemoteFileSystem
from oxtask.serializers import Serializer, resolve_serializer
from oxtask.settings import get_current_settings

if TYPE_CHECKING:
    from oxtask._internal.storage.store import ResultStore


def get_default_result_storage(*, _sync: bool | None = None) -> Any:
    """Return the storage of the settings.

    That is a folder with a file for each key, if the settings name one, or else a pack, in the
    folder ``storage`` of the home.
    """
    settings = get_current_settings()
    folder = settings.results.local_storage_path
    storage = PackedFileSystem(settings.home / "storage") if folder is None else folder
    return resolve_result_storage(storage, _sync=_sync)


def resolve_result_storage(storage: Any, *, _sync: bool | None = None) -> Any:
    """Return a storage given as a folder, a URL or an object that reads and writes paths.

    Raises:
        TypeError: If ``storage`` is none of these.
        ValueError: If it is a URL that cannot be used.
    """
    if isinstance(storage, str) and "://" in storage:
        storage = RemoteFileSystem(storage)
    elif isinstance(storage, (str, os.PathLike)):
        storage = LocalFileSystem(storage)
    elif not (hasattr(storage, "read_path") and hasattr(storage, "write_path")):
        raise TypeError(
            "Result storage must be one of the following types: a path, a URL, or an object with "
            f"`read_path` and `write_path`; got {short_repr(storage)} of type "
            f"{type(storage).__name__}"
        )
    return _dual(storage, _sync)


def get_default_result_serializer() -> Serializer[Any]:
    """Return the serializer of the settings."""
    return resolve_serializer(get_current_settings().results.default_serializer)


def get_default_persist_setting() -> bool:
    """Return whether runs that do not say keep their results, by the settings."""
    return get_current_settings().results.persist_by_default


def get_default_persist_setting_for_tasks() -> bool:
    """Return whether task runs that do not say keep their results, by the settings."""
    of_tasks = get_current_settings().tasks.default_persist_result
    return get_default_persist_setting() if of_tasks is None else of_tasks


def should_persist_result() -> bool:
    """Return whether the run this code is in keeps its result."""
    try:
        return bool(get_run_context().persist_result)
    except MissingContextError:
        return get_default_persist_setting()


def get_result_store() -> ResultStore:
    """Return the store of the run this code is in, or a new one."""
    from oxtask._internal.storage.store import ResultStore  # noqa: PLC0415 - it uses this module

    for context in (TaskRunContext.get(), FlowRunContext.get()):
        store = None if context is None else context.result_store
        if isinstance(store, ResultStore):
            return store
    return ResultStore()


def _dual(value: Any, is_sync: bool | None) -> Any:
    if is_sync is not True and (is_sync is False or in_async_context()):
        return _awaitable(value)
    return value


async def _awaitable(value: Any) -> Any:
    return value
