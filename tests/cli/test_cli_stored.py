"""``oxtask variable`` and ``oxtask artifact``."""

from __future__ import annotations

import pytest

from oxtask import flow
from oxtask.artifacts import Artifact, create_markdown_artifact, create_table_artifact
from oxtask.variables import Variable


@pytest.mark.parametrize(
    ("text", "value"), [("text", "text"), ("3", 3), ('{"a": [null]}', {"a": [None]}), ('"3"', "3")]
)
def test_a_variable_is_set_and_read(oxtask, text, value):
    """VA-01"""
    assert oxtask("variable", "set", "a", text, "--tag", "x", "--tag", "y") == "Set variable 'a'.\n"

    assert Variable.get("a") == value
    assert oxtask("variable", "get", "a", as_json=True) == value
    found = oxtask("variable", "inspect", "a", "--json", as_json=True)
    assert (found["name"], found["value"], found["tags"]) == ("a", value, ["x", "y"])
    assert "tags:    x, y" in oxtask("variable", "inspect", "a")


def test_variables_are_replaced_on_purpose_and_removed(oxtask):
    """VA-01"""
    oxtask("variable", "set", "a", "1")
    assert "Use --overwrite" in oxtask("variable", "set", "a", "2", code=1)
    oxtask("variable", "set", "a", "2", "--overwrite")
    assert [each["value"] for each in oxtask("variable", "ls", "--json", as_json=True)] == [2]
    assert "a" in oxtask("variable", "ls")

    oxtask("variable", "unset", "a")
    for words in (["get", "a"], ["inspect", "a"], ["unset", "a"]):
        assert "no variable 'a'" in oxtask("variable", *words, code=1)
    assert oxtask("variable", "ls") == "Variables: none\n"
    assert "must only contain" in oxtask("variable", "set", "A", "1", code=1)


def test_artifacts_are_listed_shown_and_deleted(oxtask):
    """AR-01"""

    @flow
    def program():
        create_markdown_artifact("one", key="a")
        create_markdown_artifact("two", key="a", description="d")
        return create_table_artifact([[1]], key="b")

    table_id = program()

    listed = oxtask("artifact", "ls", "--json", as_json=True)
    assert [(each["key"], each["data"]) for each in listed] == [("a", "two"), ("b", "[[1]]")]
    assert len(oxtask("artifact", "ls", "--all", "-o", "json", as_json=True)) == 3
    assert str(table_id) in oxtask("artifact", "ls")
    shown = oxtask("artifact", "inspect", "a", "--json", as_json=True)
    assert [each["data"] for each in shown] == ["two", "one"]
    assert len(oxtask("artifact", "inspect", "a", "--limit", "1", "--json", as_json=True)) == 1
    assert "description: d" in oxtask("artifact", "inspect", "a").replace("  ", "")

    oxtask("artifact", "delete", "--id", str(table_id))
    assert "Deleted 2 artifact(s)" in oxtask("artifact", "delete", "a")
    assert Artifact.get() is None
    assert oxtask("artifact", "ls") == "Artifacts: none\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["inspect", "x"], 1, "no artifact with the key 'x'"),
        (["delete", "x"], 1, "no artifact with the key 'x'"),
        (["delete", "--id", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"], 1, "no artifact 0f1e"),
        (["delete", "--id", "x"], 2, "not a valid UUID"),
        (["delete"], 2, "either a key or an --id"),
        (["ls", "--limit", "-1"], 2, "Invalid value"),
    ],
)
def test_what_a_user_does_wrong_is_a_line_and_an_exit_code(oxtask, words, code, message):
    """AR-01"""
    assert message in oxtask("artifact", *words, code=code)


def test_text_of_others_cannot_move_the_cursor(oxtask):
    """RELIABILITY 3.3: what is shown is text, whatever it looks like."""
    Variable.set("a", "x\x1b[2J[red]y")

    for words in (["ls"], ["inspect", "a"], ["get", "a"]):
        output = oxtask("variable", *words)
        assert "\x1b" not in output
        assert "[red]" in output
