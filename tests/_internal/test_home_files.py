"""Small files in the home: private, whole, of a known form (RELIABILITY 3.2)."""

from __future__ import annotations

import os
import threading

import pytest

from oxtask._internal.home_files import Document, Guard, make_private
from oxtask.exceptions import ConfigurationError


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_and_folders_are_their_owners_alone(tmp_path, umask):
    """Z12"""
    before = os.umask(umask)
    try:
        document = Document(str(tmp_path / "a" / "b.json"))
        document.change(lambda content: content.update(x=1))
    finally:
        os.umask(before)

    assert document.read() == {"version": 1, "x": 1}
    assert mode(tmp_path / "a") == 0o700
    assert {mode(path) for path in (tmp_path / "a").iterdir()} == {0o600}


def test_a_folder_that_others_may_change_is_refused(tmp_path):
    """Z11"""
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o775)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        make_private(str(tmp_path / "a"))

    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigurationError, match="is no folder"):
        make_private(str(tmp_path / "link"))


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    """Z11"""
    (tmp_path / "other").write_text('{"version": 1}')
    (tmp_path / "a.json").symlink_to(tmp_path / "other")
    tmp_path.chmod(0o700)

    with pytest.raises(OSError, match=r"a\.json"):
        Document(str(tmp_path / "a.json")).read()

    (tmp_path / "guard").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="guard"), Guard(str(tmp_path / "guard")):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"x": 1}'])
def test_a_damaged_file_is_refused(tmp_path, text):
    """RELIABILITY 3.2"""
    path = tmp_path / "a.json"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match="is damaged"):
        Document(str(path)).change(lambda content: content.update(x=1))
    assert path.read_text() == text


@pytest.mark.parametrize("version", [0, 2, "1"])
def test_a_file_of_another_version_is_refused(tmp_path, version):
    """DESIGN: a newer file is refused with a clear error."""
    path = str(tmp_path / "a.json")
    Document(path, version=version).write({"x": 1})

    with pytest.raises(ConfigurationError, match="update oxtask"):
        Document(path).read()


def test_a_change_that_fails_changes_nothing(tmp_path):
    """RELIABILITY 1, rule 7"""
    document = Document(str(tmp_path / "a" / "b.json"))
    document.write({"x": 1})

    with pytest.raises(ValueError, match="JSON"):
        document.change(lambda content: content.update(x=float("nan")))
    with pytest.raises(ZeroDivisionError):
        document.change(lambda content: content.update(x=1 / 0))

    assert document.read() == {"version": 1, "x": 1}
    document.change(lambda content: content.update(x=2))
    assert document.read() == {"version": 1, "x": 2}


def test_changes_follow_each_other(tmp_path):
    """RELIABILITY 1, rule 3"""
    document = Document(str(tmp_path / "a" / "b.json"))

    def add():
        for _ in range(10):
            document.change(lambda content: content.update(x=content.get("x", 0) + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert document.read()["x"] == 40


def test_who_waits_for_a_guard_in_vain_is_told(tmp_path, monkeypatch):
    """RELIABILITY 1, rule 1"""
    monkeypatch.setattr("oxtask._internal.home_files._GUARD_SECONDS", 0.05)
    path = str(tmp_path / "a" / "guard")

    with Guard(path), pytest.raises(TimeoutError, match="Is it stopped"), Guard(path):
        pass
