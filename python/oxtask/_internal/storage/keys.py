"""Keys of results, and the names of files and objects they become."""

from __future__ import annotations

import os
import posixpath
import re
from hashlib import blake2b

from oxtask._internal.storage.local_files import PREFIX
from oxtask._internal.text import short_repr

_MAX_NAME = 200
"""The most bytes of a name; file systems allow 255, and names get suffixes."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f%]" if os.name == "posix" else r'[\x00-\x1f\x7f%<>:"\\|?*]')


def normal_key(key: str) -> str:
    """Return a relative key without empty parts, ``.`` and ``..``.

    Raises:
        TypeError: If the key is no string.
        ValueError: If it is empty or leads out of the storage.

    Example:
        >>> normal_key("a/./b/../c")
        'a/c'
    """
    if not isinstance(key, str):
        raise TypeError(f"The key of a result must be a string; got {short_repr(key)}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"The key {short_repr(key)} is no text: it has half a character") from None
    normal = posixpath.normpath(key)
    if normal in {".", ".."} or normal.startswith(("../", "/")):
        raise ValueError(
            f"The key {short_repr(key)} is outside of the base path of the storage: give a key "
            "that is not empty, with no leading '/' and no '..'."
        )
    return normal


def stored_name(key: str) -> str:
    """Return the relative path under which a normal key is stored.

    It is the key itself, unless file systems would not take it.

    Example:
        >>> stored_name("reports/2030-01.json")
        'reports/2030-01.json'
    """
    return "/".join(_name(part) for part in key.split("/"))


def _name(part: str) -> str:
    name = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02x}", part)
    if name.startswith(PREFIX):
        name = f"%2e{name[1:]}"
    if name.endswith(".corrupt") or (os.name != "posix" and name.endswith((".", " "))):
        name = f"{name}%"
    if len(name.encode()) > _MAX_NAME:
        digest = blake2b(part.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        name = f"{name.encode()[:100].decode('utf-8', 'ignore')}~{digest}"
    return name
