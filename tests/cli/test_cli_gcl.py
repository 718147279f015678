"""``oxtask gcl``: limits from the command line (CC-13)."""

from __future__ import annotations

import json

import pytest

from oxtask.client._limits import ConcurrencyLimitClient
from oxtask.concurrency.sync import concurrency


def read(name="a"):
    return ConcurrencyLimitClient().read_global_concurrency_limit_by_name(name)


def test_a_limit_is_made_changed_shown_and_removed(oxtask):
    """CC-13"""
    assert "Created" in oxtask("gcl", "create", "a", "--limit", "2")
    assert "Updated" in oxtask("gcl", "update", "a", "-l", "3", "--slot-decay-per-second", "0.5")

    assert (read().limit, read().slot_decay_per_second, read().active) == (3, 0.5, True)
    assert "limit:" in oxtask("gcl", "inspect", "a")
    assert "Deleted" in oxtask("gcl", "delete", "a")
    assert oxtask("gcl", "ls") == "Global concurrency limits: none\n"


def test_the_options_of_create_are_those_of_the_reference(oxtask):
    """CC-13"""
    oxtask("gcl", "create", "a", "-l", "5", "--disable", "--active-slots", "2")

    assert (read().limit, read().active, read().active_slots) == (5, False, 2)


@pytest.mark.parametrize("option", [["--json"], ["-o", "json"], ["--output", "JSON"]])
def test_lists_are_for_people_or_for_programs(oxtask, option):
    """CC-13"""
    oxtask("gcl", "create", "tag:x", "-l", "2")
    with concurrency("tag:x"):
        found = oxtask("gcl", "ls", *option, as_json=True)
        one = oxtask("gcl", "inspect", "tag:x", *option, as_json=True)
        table = oxtask("gcl", "ls")

    assert found == [one]
    assert (one["name"], one["limit"], one["active_slots"]) == ("tag:x", 2, 1)
    assert "tag:x" in table
    assert "Active slots" in table


def test_what_is_inspected_is_written_to_a_file(oxtask, tmp_path):
    """CC-13"""
    oxtask("gcl", "create", "a", "-l", "2")
    oxtask("gcl", "inspect", "a", "--output", "json", "--file", str(tmp_path / "a.json"))

    assert json.loads((tmp_path / "a.json").read_text())["name"] == "a"


def test_limits_are_switched_on_and_off(oxtask):
    """CC-05, CC-13"""
    oxtask("gcl", "create", "a", "-l", "1")

    oxtask("gcl", "disable", "a")
    assert not read().active
    assert "already disabled" in oxtask("gcl", "disable", "a", code=1)
    oxtask("gcl", "enable", "a")
    assert read().active
    assert "already enabled" in oxtask("gcl", "enable", "a", code=1)
    oxtask("gcl", "update", "a", "--disable")
    assert not read().active
    oxtask("gcl", "update", "a", "--enable")
    assert read().active


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["inspect", "x"], 1, "no concurrency limit 'x'"),
        (["delete", "x"], 1, "no concurrency limit 'x'"),
        (["enable", "x"], 1, "no concurrency limit 'x'"),
        (["update", "x", "-l", "1"], 1, "no concurrency limit 'x'"),
        (["create", "a", "-l", "1"], 1, "a concurrency limit 'a' already"),
        (["create", "b", "-l", "-1"], 1, "`limit` must be a whole number"),
        (["create", "a/b", "-l", "1"], 1, "`name` must be"),
        (["create", "b"], 2, "Missing option"),
        (["create", "b", "-l", "many"], 2, "not a valid integer"),
        (["update", "a"], 2, "Say what to change"),
        (["update", "a", "--enable", "--disable"], 2, "contradict"),
        (["update", "a", "--active-slots", "-1"], 1, "`active_slots` must be"),
        (["nothing"], 2, "No such command"),
        (["ls", "-o", "xml"], 2, "Invalid value"),
    ],
)
def test_what_a_user_does_wrong_is_a_line_and_an_exit_code(oxtask, words, code, message):
    """CC-13"""
    oxtask("gcl", "create", "a", "-l", "1")

    output = oxtask("gcl", *words, code=code)

    assert message in output
    assert "Traceback" not in output


def test_a_file_of_a_newer_version_is_refused(oxtask):
    """Files of OXTASK_HOME: a newer file is refused with a clear error."""
    from oxtask.settings import get_current_settings

    oxtask("gcl", "create", "a", "-l", "1")
    path = get_current_settings().home / "limits" / "limits.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    # Another process has changed it: its number says so.
    (path.parent / "guard").write_bytes(bytes(8) + b"\x09" + bytes(7))

    assert "update oxtask" in oxtask("gcl", "ls", code=1)
