"""Hashes of text, files and objects.

Objects are hashed by type and content, in Rust: ``1``, ``1.0`` and ``True`` differ, a list differs
from a tuple, the order of a dict or a set does not matter. Equal objects have the same hash in each
process, on each system. The encoding is oxtask's own, so hashes differ from those that Prefect
makes of the JSON text of objects, where for example ``{1: 2}`` and ``{"1": 2}`` are the same.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from oxtask import _core
from oxtask.exceptions import HashError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["file_hash", "hash_objects", "stable_hash"]

_md5: Callable[..., Any] = partial(hashlib.md5, usedforsecurity=False)
_CHUNK = 1 << 20


def stable_hash(*args: str | bytes, hash_algo: Callable[..., Any] = _md5) -> str:
    """Hash text and bytes, one after the other.

    Args:
        *args: Text is hashed as UTF-8. Nothing stands between two of them.
        hash_algo: A constructor of `hashlib`.

    Returns:
        The digest as hexadecimal digits.

    Raises:
        TypeError: If an argument is neither text nor bytes.

    >>> stable_hash("hello", "goodbye") == stable_hash(b"hellogoodbye")
    True
    """
    digest = hash_algo()
    for arg in args:
        digest.update(arg.encode() if isinstance(arg, str) else arg)
    found: str = digest.hexdigest()
    return found


def file_hash(path: str | Path, hash_algo: Callable[..., Any] = _md5) -> str:
    """Hash the content of a file.

    Args:
        path: The file.
        hash_algo: A constructor of `hashlib`.

    Returns:
        The digest as hexadecimal digits.

    Raises:
        OSError: If the file cannot be read; `FileNotFoundError` if there is none.
    """
    digest = hash_algo()
    with open(path, "rb") as file:  # noqa: PTH123 - a path may be a string
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    found: str = digest.hexdigest()
    return found


def hash_objects(
    *args: Any,
    hash_algo: Callable[..., Any] | str | None = None,
    raise_on_failure: bool = False,
    **kwargs: Any,
) -> str | None:
    """Hash objects by type and content.

    Args:
        *args: Objects of any type that can be pickled, or that have a method ``__oxtask_key__``
            that returns what to hash in their place.
        hash_algo: ``None`` for XXH3 with 128 bits; ``"blake3"`` for BLAKE3 with 256 bits, where
            somebody could profit from two objects with the same hash; or a constructor of
            `hashlib`, which is given the BLAKE3 digest.
        raise_on_failure: Whether an object that cannot be hashed is an error.
        **kwargs: More objects, with names.

    Returns:
        The digest as hexadecimal digits, or ``None`` if an object cannot be hashed.

    Raises:
        HashError: If an object cannot be hashed and ``raise_on_failure`` is set; it names the part.

    >>> hash_objects({"a": 1, "b": 2}) == hash_objects({"b": 2, "a": 1})
    True
    >>> hash_objects([1]) == hash_objects([1.0])
    False
    """
    native = hash_algo is None or isinstance(hash_algo, str)
    algorithm: Any = hash_algo if native else "blake3"
    try:
        found = _core.hash_value((args, kwargs), algorithm, "(args, kwargs)")
    except HashError:
        if raise_on_failure:
            raise
        return None
    if hash_algo is None or isinstance(hash_algo, str):
        return found
    digest: str = hash_algo(bytes.fromhex(found)).hexdigest()
    return digest
