"""Whether the runs of a task are cached and their results kept: decided when the task is made.

The options work on one another: a cache policy asks for results to be kept, and a task whose
results are not kept is not cached. What a task was given is in its ``_given``; here is what follows
from that.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr
from oxtask.utilities.annotations import NotSet

if TYPE_CHECKING:
    from oxtask.cache_policies import CachePolicy


def decided(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the cache policy of a task, and whether its results are kept.

    Args:
        name: The name of the task, for warnings.
        options: Its options as they were given.

    Returns:
        ``_policy``, which is `NotSet` for the default policy, and ``persist_result``, which is
        ``None`` if that is up to the runs around.

    Raises:
        TypeError: If ``cache_policy`` is no cache policy, or ``hash_ignore`` holds no names.
        ValueError: If ``result_storage_key`` is empty.
    """
    from oxtask.settings import get_current_settings  # noqa: PLC0415 - start-up time

    settings = get_current_settings().tasks
    policy, storage_key = options["cache_policy"], options["result_storage_key"]
    persists = options["persist_result"]
    if storage_key == "":
        raise ValueError(
            "`result_storage_key` must not be empty; give a template such as "
            '"{parameters[date]}.json", or None for a key of the cache'
        )
    is_given = policy is not NotSet
    if is_given and policy is not None:
        _check(policy)
    if settings.default_no_cache and policy is NotSet:
        policy = _no_cache()
    if options["cache_key_fn"] is not None:
        if is_given and policy is not None:
            _warn(
                name, "Both `cache_policy` and `cache_key_fn` are set: `cache_key_fn` will be used."
            )
        from oxtask.cache_policies import CachePolicy  # noqa: PLC0415 - start-up time

        policy = CachePolicy.from_cache_key_fn(options["cache_key_fn"])
    is_real = policy is not NotSet and policy is not None and not _is_none(policy)
    if persists is None and (
        is_real
        or storage_key is not None
        or options["result_storage"] is not None
        or options["result_serializer"] is not None
    ):
        persists = True
    if settings.disable_caching:
        policy = _no_cache()
    elif persists is False:
        if is_real:
            _warn(name, "Ignoring `cache_policy` because `persist_result` is False.")
        policy = None if policy is None else _no_cache()
    elif storage_key is not None and not _is_none(policy):
        policy = None  # the storage key is the key of the cache
    whole = policy_of(policy) if options["hash_ignore"] else None
    if whole is not None:
        for parameter in ignored(options["hash_ignore"]):
            whole -= parameter
        policy = whole
    return {"_policy": policy, "persist_result": persists}


def _check(policy: Any) -> None:
    from oxtask.cache_policies import CachePolicy  # noqa: PLC0415 - start-up time

    if not isinstance(policy, CachePolicy):
        raise TypeError(
            f"`cache_policy` must be a cache policy; got {short_repr(policy)} of type "
            f"{type(policy).__name__}. Use one of oxtask.cache_policies such as INPUTS, or "
            "`cache_key_fn` for a function that makes keys"
        )


def ignored(given: Any) -> tuple[str, ...]:
    """Return the names of parameters that keys leave out.

    Raises:
        TypeError: If ``given`` is no collection of names.
    """
    if given is None:
        return ()
    names = (given,) if isinstance(given, str) or not hasattr(given, "__iter__") else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"`hash_ignore` must hold names of parameters; got {short_repr(name)}")
    return names


def policy_of(stored: Any) -> CachePolicy | None:
    """Return the policy that is kept as ``_policy``."""
    if stored is not NotSet:
        policy: CachePolicy | None = stored
        return policy
    from oxtask.cache_policies import DEFAULT  # noqa: PLC0415 - start-up time

    return DEFAULT


def _no_cache() -> CachePolicy:
    from oxtask.cache_policies import NO_CACHE  # noqa: PLC0415 - start-up time

    return NO_CACHE


def _is_none(policy: Any) -> bool:
    """Tell whether a policy never makes a key."""
    module = sys.modules.get("oxtask.cache_policies")
    return module is not None and isinstance(policy, module._None)


def _warn(name: str, text: str) -> None:
    from oxtask.logging import get_logger  # noqa: PLC0415 - start-up time

    get_logger("tasks").warning("Task %s: %s", short_repr(name), text)
