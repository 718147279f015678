"""The result store. `oxtask.results` is where users find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from oxtask._internal.dispatch import in_async_context
from oxtask._internal.storage.backends import Backend, backend_of, place_of
from oxtask._internal.storage.memory_cache import MemoryCache
from oxtask._internal.storage.metadata import (
    ResultRecordMetadata,
    dump_value,
    is_plain,
    metadata_of,
    pack_record,
    unpack_envelope,
    unpack_record,
)
from oxtask._internal.storage.packed import PackedBackend
from oxtask._internal.storage.packing import warn_of, warn_once
from oxtask._internal.storage.record_format import seal_any, unseal
from oxtask._internal.storage.staged_record import StagedRecord
from oxtask._internal.storage.store_locks import StoreLocks
from oxtask._internal.text import short_repr
from oxtask._internal.times import utc_now
from oxtask.exceptions import CorruptRecordError, NewerRecordError
from oxtask.filesystems import NullFileSystem
from oxtask.results import ResultRecord
from oxtask.serializers import JSONSerializer, PickleSerializer, resolve_serializer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from typing_extensions import Self

    from oxtask._core import Pack
    from oxtask.locking.protocol import LockManager
    from oxtask.serializers import Serializer


class ResultStore(StoreLocks):
    """Writes results under keys and reads them back.

    Reads and writes have a form for sync code and one for async code, ``read`` and ``aread``.

    Args:
        result_storage: Where results are kept: a folder, a URL such as ``"s3://bucket/results"``,
            or a file system; by default the one of the settings.
        metadata_storage: Where what describes results is kept, if not with them. With a
            `NullFileSystem` nothing is ever found.
        lock_manager: Who manages the locks on keys.
        cache_result_in_memory: Whether what was written or read is kept in memory too.
        serializer: What turns values into bytes, or its type; by default that of the settings.
        storage_key_fn: Makes the key of a result that is written without one.
        cache: What is kept in memory; stores made from this one share it.
    """

    def __init__(  # noqa: PLR0917 - the order of fields users know
        self,
        result_storage: Any = None,
        metadata_storage: Any = None,
        lock_manager: LockManager | None = None,
        cache_result_in_memory: bool = True,
        serializer: Serializer[Any] | str | None = None,
        storage_key_fn: Callable[[], str] | None = None,
        cache: MemoryCache | None = None,
    ) -> None:
        from oxtask._internal.storage.defaults import (  # noqa: PLC0415 - it makes stores
            get_default_result_serializer,
            resolve_result_storage,
        )

        self.result_storage: Any = (
            None if result_storage is None else resolve_result_storage(result_storage, _sync=True)
        )
        self.metadata_storage: Any = (
            metadata_storage
            if metadata_storage is None or isinstance(metadata_storage, NullFileSystem)
            else resolve_result_storage(metadata_storage, _sync=True)
        )
        self.lock_manager: LockManager | None = lock_manager
        self.cache_result_in_memory: bool = cache_result_in_memory
        self.serializer: Serializer[Any] = (
            get_default_result_serializer()
            if serializer is None
            else resolve_serializer(serializer)
        )
        self.storage_key_fn: Callable[[], str] = storage_key_fn or (lambda: uuid4().hex)
        self.cache: MemoryCache = MemoryCache() if cache is None else cache

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ResultStore):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("result_storage", "lock_manager", "cache_result_in_memory", "serializer")
        )

    def __hash__(self) -> int:
        return id(self)

    def model_copy(self, *, update: dict[str, Any] | None = None) -> Self:
        """Return a copy that shares the memory cache.

        Args:
            update: Arguments that get another value in the copy.
        """
        names = ("result_storage", "metadata_storage", "lock_manager", "cache_result_in_memory")
        fields = {name: getattr(self, name) for name in (*names, "serializer", "storage_key_fn")}
        merged: dict[str, Any] = {**fields, "cache": self.cache, **(update or {})}
        return type(self)(**merged)

    @property
    def result_storage_block_id(self) -> UUID | None:
        """The id of the stored block that is the storage, if it is one."""
        block_id: UUID | None = getattr(self.result_storage, "_block_document_id", None)
        return block_id

    # --- reading and writing ----------------------------------------------------------------------

    def exists(self, key: str) -> bool:
        """Tell whether there is a record that counts; only what describes it is decoded."""
        try:
            normal = self._normal(key)
            if isinstance(self._heads, PackedBackend):
                return not self._is_write_only and self._heads.pack.contains(normal)
            expiration = metadata_of(unseal(self._heads.read(normal), normal)).expiration
        except Exception:  # noqa: BLE001 - what cannot be read is not there
            return False
        if self._is_write_only:
            return False
        return expiration is None or expiration > utc_now()

    async def aexists(self, key: str) -> bool:
        """Do what `exists` does, without blocking the event loop."""
        found: bool = await _in_thread(self.exists, key)
        return found

    def lookup(self, key: str) -> ResultRecord[Any] | None:
        """Return the record of a key, or ``None`` if there is none that counts.

        A record that is damaged, foreign or newer is none; there is one warning about each, and a
        damaged one is put aside.
        """
        if self._is_write_only:
            return None
        normal = self._normal(key)
        try:
            record = self._read(normal)
        except (CorruptRecordError, NewerRecordError) as error:
            self._set_aside(normal, error)
            return None
        except Exception as error:  # noqa: BLE001 - a storage that fails is one without the record
            # Most storages raise one of these for what is not there.
            if not isinstance(error, (FileNotFoundError, ValueError, KeyError)):
                self._warn(normal, f"The result of the key {short_repr(key)} is not used: {error}")
            return None
        expiration = record.expiration
        return record if expiration is None or expiration > utc_now() else None

    async def alookup(self, key: str) -> ResultRecord[Any] | None:
        """Do what `lookup` does, without blocking the event loop."""
        record: ResultRecord[Any] | None = await _in_thread(self.lookup, key)
        return record

    def read(self, key: str, holder: str | None = None) -> ResultRecord[Any]:
        """Return the record of a key, even if it has expired.

        Waits while another holder has the key locked.

        Args:
            key: The key, or the full path in the storage.
            holder: Who reads; by default this thread or asyncio task.

        Raises:
            ValueError: If a local folder has no such record.
            FileNotFoundError: If a remote storage has none.
            CorruptRecordError: If the record is damaged or foreign; it is put aside.
            NewerRecordError: If a newer version has written it.
        """
        normal = self._normal(key)
        manager = self.lock_manager
        if manager is not None and not self.is_lock_holder(key, holder):
            manager.wait_for_lock(self._location(key))
        try:
            return self._read(normal)
        except (CorruptRecordError, NewerRecordError) as error:
            self._set_aside(normal, error)
            raise

    async def aread(self, key: str, holder: str | None = None) -> ResultRecord[Any]:
        """Do what `read` does, without blocking the event loop."""
        holder = holder or self.generate_default_holder()
        record: ResultRecord[Any] = await _in_thread(self.read, key, holder)
        return record

    def create_result_record(
        self, obj: Any, key: str | None = None, expiration: datetime | None = None
    ) -> ResultRecord[Any]:
        """Return a record of a value, without writing it."""
        metadata = ResultRecordMetadata(
            storage_key=self._normal(self.storage_key_fn() if key is None else key),
            expiration=expiration,
            serializer=self.serializer,
            storage_block_id=self.result_storage_block_id,
        )
        metadata._storage = place_of(self.result_storage)
        return ResultRecord(obj, metadata)

    def write(
        self,
        obj: Any,
        key: str | None = None,
        expiration: datetime | None = None,
        holder: str | None = None,
    ) -> None:
        """Write a value.

        Args:
            obj: The value.
            key: The key; by default one is made.
            expiration: From when on the record no longer counts.
            holder: Who writes; by default this thread or asyncio task.

        Raises:
            SerializationError: If the value cannot be written.
            RuntimeError: If another holder has the key locked.
            ResultStoreError: If the storage fails; what was there before is still there.
        """
        self.persist_result_record(self.create_result_record(obj, key, expiration), holder)

    async def awrite(
        self,
        obj: Any,
        key: str | None = None,
        expiration: datetime | None = None,
        holder: str | None = None,
    ) -> None:
        """Do what `write` does, without blocking the event loop."""
        holder = holder or self.generate_default_holder()
        await _in_thread(self.write, obj, key, expiration, holder)

    def persist_result_record(
        self, result_record: ResultRecord[Any], holder: str | None = None
    ) -> None:
        """Write a record; see `write` for errors."""
        self.stage_result_record(result_record, holder).publish()

    async def apersist_result_record(
        self, result_record: ResultRecord[Any], holder: str | None = None
    ) -> None:
        """Do what `persist_result_record` does, without blocking the event loop."""
        holder = holder or self.generate_default_holder()
        await _in_thread(self.persist_result_record, result_record, holder)

    def stage_result_record(
        self, result_record: ResultRecord[Any], holder: str | None = None
    ) -> StagedRecord:
        """Write a record so that only its publication is left to do; see `write` for errors."""
        key = self._normal(result_record.metadata.storage_key)
        self.check_not_locked(key, holder)
        if self._heads is not self._backend:
            payload = dump_value(result_record.serializer, result_record.result)
            head = pack_record(result_record, key, payload)
            # The value first: what describes it must not be seen without it.
            parts = [self._backend.stage(key, [payload]), self._heads.stage(key, [head])]
        elif isinstance(self._backend, PackedBackend) and is_plain(result_record):
            sealed = seal_any(key, result_record.result, result_record.expiration)
            parts = [self._backend.stage(key, [sealed])]
        else:
            is_shared = not isinstance(self._backend, PackedBackend)
            sealed = pack_record(result_record, key, is_shared=is_shared)
            parts = [self._backend.stage(key, [sealed])]
        return StagedRecord(self, result_record, key, parts)

    # --- stores of flows and tasks ----------------------------------------------------------------

    def update_for_flow(self, flow: Any, *, _sync: bool | None = None) -> Any:
        """Return the store for a run of ``flow``: its storage, serializer and memory cache flag."""
        update = {"cache_result_in_memory": flow.cache_result_in_memory}
        return self._updated(flow, {**update, "metadata_storage": NullFileSystem()}, _sync)

    async def aupdate_for_flow(self, flow: Any) -> Self:
        """Do what `update_for_flow` does."""
        store: Self = self.update_for_flow(flow, _sync=True)
        return store

    def update_for_task(self, task: Any, *, _sync: bool | None = None) -> Any:
        """Return the store for a run of ``task``.

        That is with its storage, serializer and memory cache flag, the lock manager of its cache
        policy or else of the current transaction, and where its cache policy keeps metadata.
        """
        from oxtask._internal.transactions.current import (  # noqa: PLC0415 - it uses stores
            current_transaction,
        )

        update: dict[str, Any] = {"cache_result_in_memory": task.cache_result_in_memory}
        current = current_transaction()
        if current is not None and current.store is not None:
            update["lock_manager"] = current.store.lock_manager
        policy: Any = getattr(task, "cache_policy", None)
        if getattr(policy, "lock_manager", None) is not None:
            update["lock_manager"] = policy.lock_manager
        if getattr(policy, "key_storage", None) is not None:
            update["metadata_storage"] = policy.key_storage
        elif isinstance(self.metadata_storage, NullFileSystem):
            update["metadata_storage"] = None
        return self._updated(task, update, _sync)

    async def aupdate_for_task(self, task: Any) -> Self:
        """Do what `update_for_task` does."""
        store: Self = self.update_for_task(task, _sync=True)
        return store

    def _updated(self, owner: Any, update: dict[str, Any], is_sync: bool | None) -> Any:
        if owner.result_storage is not None:
            update["result_storage"] = owner.result_storage
        if owner.result_serializer is not None:
            update["serializer"] = owner.result_serializer
        store = self.model_copy(update=update)
        if is_sync is not True and (is_sync is False or in_async_context()):
            return _value(store)
        return store

    # --- storages ---------------------------------------------------------------------------------

    @property
    def _backend(self) -> Backend:
        backend: Backend | None = self.__dict__.get("_made_backend")
        if backend is None:
            if self.result_storage is None:
                from oxtask._internal.storage.defaults import (  # noqa: PLC0415 - it makes stores
                    get_default_result_storage,
                )

                self.result_storage = get_default_result_storage(_sync=True)
            backend = self.__dict__["_made_backend"] = backend_of(self.result_storage)
        return backend

    @property
    def _heads(self) -> Backend:
        if self.metadata_storage is None or isinstance(self.metadata_storage, NullFileSystem):
            return self._backend
        heads: Backend | None = self.__dict__.get("_made_heads")
        if heads is None:
            heads = self.__dict__["_made_heads"] = backend_of(self.metadata_storage)
        return heads

    def _normal(self, key: str) -> str:
        return self._backend.normal(key)

    def _location(self, key: str) -> str:
        return self._backend.location(self._normal(key))

    @property
    def _is_write_only(self) -> bool:
        return isinstance(self.metadata_storage, NullFileSystem)

    @property
    def _pack(self) -> Pack | None:
        """The pack, if all that this store does is to keep values in it and to look them up."""
        if self.lock_manager is not None or self.metadata_storage is not None:
            return None
        backend = self._backend
        if not isinstance(backend, PackedBackend):
            return None
        known = self.__dict__.get("_known_plain")
        if known is None or known[0] is not self.serializer:
            known = self.serializer, self.serializer == PickleSerializer()
            self.__dict__["_known_plain"] = known
        return backend.pack if known[1] else None

    @property
    def _trusts_json(self) -> bool:
        """Whether JSON is read that somebody else has written, which is no program."""
        return self.serializer == JSONSerializer()

    def _read(self, key: str) -> ResultRecord[Any]:
        if self._heads is self._backend and isinstance(self._backend, PackedBackend):
            envelope = self._backend.envelope(key)
            found: ResultRecord[Any] = ResultRecord(
                *unpack_envelope(envelope, trusts_json=self._trusts_json)
            )
            found.mark_persisted()
            return found
        location = version = blob = None
        is_cached = self.cache_result_in_memory and self._heads is self._backend
        if is_cached:
            location = self._backend.location(key)
            version = self._backend.version(location)
            blob = None if version is None else self.cache.get(location, version)
        if blob is None:
            blob = self._heads.read(key)
        payload = None if self._heads is self._backend else self._backend.read(key)
        record: ResultRecord[Any] = ResultRecord(
            *unpack_record(blob, key, payload, trusts_json=self._trusts_json)
        )
        record.mark_persisted()
        record.metadata._storage = place_of(self.result_storage)
        if location is not None and version is not None:
            self.cache.put(location, version, blob)
        return record

    def _forget(self, key: str) -> None:
        self.cache.remove(self._backend.location(key))

    def _set_aside(self, key: str, error: Exception) -> None:
        if isinstance(error, CorruptRecordError):
            self._forget(key)
            self._heads.put_aside(key)
        warn_of(self._heads.location(key), str(error))

    def _warn(self, key: str, text: str) -> None:
        warn_once(self._heads.location(key), text)


async def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    import asyncio  # noqa: PLC0415 - start-up time

    return await asyncio.to_thread(function, *arguments)


async def _value(value: Any) -> Any:
    return value
