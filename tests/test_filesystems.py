"""File systems: folders, and what fsspec reaches."""

from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path

import pytest

from oxtask.filesystems import (
    LocalFileSystem,
    NullFileSystem,
    ReadableFileSystem,
    RemoteFileSystem,
    WritableFileSystem,
)


@pytest.fixture
def local(tmp_path):
    return LocalFileSystem(tmp_path / "base")


@pytest.fixture
def remote():
    return RemoteFileSystem(f"memory://files/{os.urandom(4).hex()}")


def test_what_is_written_is_read(local, remote, tmp_path):
    """results.md F2, F4, F5, F9"""
    assert local.write_path("a/b", b"1") == str(tmp_path / "base" / "a" / "b")
    assert remote.write_path("a/b", b"2") == f"{remote.basepath}/a/b"
    assert (local.read_path("a/b"), remote.read_path("a/b")) == (b"1", b"2")
    assert local.read_path(str(tmp_path / "base" / "a" / "b")) == b"1"
    assert remote.read_path(f"{remote.basepath}/a/b") == b"2"

    async def main():
        await local.write_path("c", b"3")
        await remote.awrite_path("c", b"4")
        return (
            await local.read_path("c"),
            await remote.aread_path("c"),
            local.read_path("c", _sync=True),
        )

    assert asyncio.run(main()) == (b"3", b"4", b"3")


def test_kinds_of_file_systems_are_told_apart(local):
    """results.md F1"""
    assert isinstance(local, WritableFileSystem)
    assert isinstance(local, ReadableFileSystem)
    with pytest.raises(TypeError):
        WritableFileSystem()
    assert asyncio.run(NullFileSystem().read_path("x")) is None
    assert asyncio.run(NullFileSystem().write_path("x", b"")) is None


def test_a_folder_is_found_when_it_is_used(tmp_path, monkeypatch):
    """results.md F2"""
    monkeypatch.chdir(tmp_path)
    assert LocalFileSystem()._resolve_path() == tmp_path
    assert LocalFileSystem("~")._resolve_path() == Path.home().resolve()
    assert LocalFileSystem(tmp_path).basepath == str(tmp_path)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "~", "link/x"])
def test_paths_stay_in_the_folder(local, tmp_path, path):
    """results.md F3"""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "link").symlink_to(tmp_path)
    for use in (local.read_path, lambda path: local.write_path(path, b"")):
        with pytest.raises(ValueError, match="outside of the base path"):
            use(path)


def test_what_is_no_file_is_refused(local):
    """results.md F4"""
    local.write_path("folder/file", b"")
    with pytest.raises(ValueError, match="does not exist"):
        local.read_path("nothing")
    with pytest.raises(ValueError, match="is not a file"):
        local.read_path("folder")
    with pytest.raises(ValueError, match="already exists and is not a file"):
        local.write_path("folder", b"")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("folder", "must start with a scheme"),
        (3, "must start with a scheme"),
        ("memory://", "must include a location"),
        ("file:///tmp", "cannot be 'file'"),
    ],
)
def test_a_base_that_is_no_url_is_refused(url, message):
    """results.md F7"""
    with pytest.raises(ValueError, match=message):
        RemoteFileSystem(url)


@pytest.mark.parametrize(
    "path",
    ["../x", "a/%2e%2e/x", "a\\..\\x", "memory://other/x", "memory://files", "s3://files/x"],
)
def test_paths_stay_in_the_url(path):
    """results.md F8, W-F1"""
    remote = RemoteFileSystem("memory://files/base")
    with pytest.raises(ValueError, match="outside of the base path"):
        remote.read_path(path)
    with pytest.raises(ValueError, match="outside of the base path"):
        remote.read_path("memory://files/base2/x")


def test_a_missing_object_and_a_missing_package_say_so(remote, monkeypatch):
    """results.md F7, F9"""
    with pytest.raises(FileNotFoundError):
        remote.read_path("nothing")
    with pytest.raises(ValueError, match="Protocol not known"):
        RemoteFileSystem("nothing://x").read_path("y")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(RuntimeError, match="is missing a Python module"):
        RemoteFileSystem("memory://x").read_path("y")


def test_file_systems_can_be_sent_and_hide_their_settings(remote):
    """results.md F7"""
    remote.write_path("x", b"1")
    secret = RemoteFileSystem("s3://bucket", settings={"secret": "hidden"})
    assert "hidden" not in repr(secret)
    assert pickle.loads(pickle.dumps(remote)) == remote
    assert pickle.loads(pickle.dumps(remote)).read_path("x") == b"1"
    assert secret != remote
