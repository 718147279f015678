"""The documents: every Python block runs, every link leads somewhere, every command exists."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benches/README.md")
] + sorted((ROOT / "docs").glob("*.md"))

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
COMMAND = re.compile(r"\bmake ([a-z]+(?:-[a-z]+)*)\b")


def named(path):
    return str(path.relative_to(ROOT))


def code_blocks(path):
    """Return the Python blocks of a document, each with the number of its first line."""
    text = path.read_text()
    return [(text.count("\n", 0, m.start(1)) + 1, m.group(1)) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if code_blocks(p)], ids=named)
def test_the_code_in_a_document_runs_from_top_to_bottom(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    namespace = {"__name__": "document"}
    for line, source in code_blocks(path):
        if ">>>" in source:
            test = doctest.DocTestParser().get_doctest(source, {}, named(path), str(path), line - 1)
            test.globs = namespace
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            report = []
            runner.run(test, out=report.append, clear_globs=False)
            assert not runner.failures, "".join(report)
        else:
            # So many empty lines that a traceback shows the document's own line numbers.
            exec(compile("\n" * (line - 1) + source, str(path), "exec"), namespace)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_between_documents_lead_somewhere(path):
    targets = [link for link in LINK.findall(path.read_text()) if "://" not in link]

    assert [link for link in targets if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_in_documents_are_in_the_makefile(path):
    makefile = (ROOT / "Makefile").read_text()
    shown = re.findall(r"`([^`]*)`", path.read_text())
    commands = {name for text in shown for name in COMMAND.findall(text)}

    assert [name for name in commands if f"\n{name}:" not in makefile] == []
