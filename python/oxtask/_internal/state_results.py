"""From a state that says where its result is stored to the same state with the result."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from oxtask.exceptions import MissingResult

if TYPE_CHECKING:
    from oxtask._internal.state import State
    from oxtask._internal.storage.metadata import ResultRecordMetadata
    from oxtask.results import ResultStore


def is_stored(state: State[Any]) -> bool:
    """Tell whether a state of a run that has ended holds, of its result, where it is stored."""
    module = sys.modules.get("oxtask._internal.storage.metadata")
    return module is not None and isinstance(state.data, module.ResultRecordMetadata)


def read(state: State[Any], *, retries: bool = True) -> State[Any]:
    """Return a copy of a state with its result in place of where that is stored.

    Args:
        state: One for which `is_stored` holds.
        retries: Whether a storage elsewhere, which may show late what was written, is asked again;
            a folder is asked once.

    Raises:
        MissingResult: If the state does not say where.
        Exception: What the storage raises if it is not there; see `ResultStore.read`.
    """
    from oxtask import states  # noqa: PLC0415 - circular
    from oxtask.filesystems import LocalFileSystem  # noqa: PLC0415 - start-up time

    metadata: ResultRecordMetadata = state.data
    if metadata.storage_key is None:
        raise MissingResult("The state does not say under which key its result is stored.")
    store = _store_of(metadata)
    store._normal(metadata.storage_key)  # resolves the storage
    is_here = isinstance(store.result_storage, LocalFileSystem)
    left = states.RESULT_READ_MAXIMUM_ATTEMPTS if retries and not is_here else 1
    while True:
        left -= 1
        try:
            record = store.read(metadata.storage_key)
        except Exception:
            if left <= 0:
                raise
            time.sleep(states.RESULT_READ_RETRY_DELAY)
        else:
            return state.model_copy(update={"data": record, "timestamp": state.timestamp})


def _store_of(metadata: ResultRecordMetadata) -> ResultStore:
    from oxtask.results import ResultStore, get_result_store  # noqa: PLC0415 - start-up time

    storage = metadata._storage
    return get_result_store() if storage is None else ResultStore(storage)
