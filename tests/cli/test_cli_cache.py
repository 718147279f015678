"""``oxtask cache``: stored results, in packs and in folders."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from oxtask.results import ResultStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(params=["pack", "folder"])
def place(request, tmp_path):
    """Return a store, and the options that name its folder."""
    if request.param == "pack":
        return ResultStore(), []
    (tmp_path / "results").mkdir()
    return ResultStore(tmp_path / "results"), ["--storage", str(tmp_path / "results")]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that has tasks."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cli_cache_tasks.py").write_text(
        "from oxtask import task\n"
        "from oxtask.cache_policies import INPUTS\n\n"
        "@task(cache_policy=INPUTS)\n"
        "def double(x, log=False):\n"
        "    raise RuntimeError('never run')\n\n"
        "class Group:\n"
        "    double = double\n\n"
        "number = 3\n"
    )
    (tmp_path / "cli_cache_broken.py").write_text("1 / 0\n")
    return "cli_cache_tasks"


def fill(store):
    store.write(1, "jobs/1")
    store.write("x" * 100_000, "jobs/2", datetime.now(timezone.utc) + timedelta(hours=2))
    store.write({1}, "old", LONG_AGO)


def test_results_are_counted_and_listed(oxtask, place):
    """results.md 5"""
    store, options = place
    fill(store)

    stats = oxtask("cache", "stats", "--json", *options, as_json=True)
    assert (stats["records"], stats["damaged"]) == (3, 0)
    assert stats["bytes"] > 100_000
    assert "Results: 3" in oxtask("cache", "stats", *options)
    listed = oxtask("cache", "ls", "--json", *options, as_json=True)
    assert [each["key"] for each in listed] == ["jobs/1", "jobs/2", "old"]
    assert listed[2]["expires"] == LONG_AGO.isoformat()
    jobs = oxtask("cache", "ls", "jobs/", *options)
    assert "jobs/2" in jobs
    assert "in 1 hour" in jobs
    assert "old" not in jobs
    assert "2 more" in oxtask("cache", "ls", "--limit", "1", *options)


def test_a_result_is_explained_by_its_record(oxtask, place):
    """results.md 5"""
    store, options = place
    fill(store)
    with_serializer = store.model_copy(update={"serializer": "json"})
    with_serializer.write([1], "own")

    found = oxtask("cache", "explain", "old", "--json", *options, as_json=True)
    assert (found["key"], found["expires"]) == ("old", LONG_AGO.isoformat())
    written = datetime.fromisoformat(found["written"])
    assert abs(datetime.now(timezone.utc) - written) < timedelta(minutes=1)
    assert "json" in oxtask("cache", "explain", "own", *options)
    assert "no result with the key 'x'" in oxtask("cache", "explain", "x", *options, code=1)


def test_results_are_removed(oxtask, place):
    """results.md 5"""
    store, options = place
    fill(store)

    assert "Removed 1 result(s)" in oxtask("cache", "rm", "jobs/1", *options)
    output = oxtask("cache", "rm", "jobs/1", "jobs/2", *options, code=1)
    assert "Removed 1" in output
    assert "jobs/1" in output
    assert [each["key"] for each in oxtask("cache", "ls", "--json", *options, as_json=True)] == [
        "old"
    ]


def test_what_has_expired_is_pruned(oxtask, place):
    """results.md 5"""
    store, options = place
    fill(store)

    assert oxtask("cache", "prune", "--json", *options, as_json=True)["records"] == 1
    assert oxtask("cache", "stats", "--json", *options, as_json=True)["records"] == 2
    assert "Removed 0 result(s)" in oxtask("cache", "prune", *options)


def test_what_is_damaged_or_left_in_a_folder_is_pruned(oxtask, tmp_path):
    """RELIABILITY D1, D5"""
    folder = tmp_path / "results"
    store = ResultStore(folder, cache_result_in_memory=False)
    store.write(1, "a/b")
    store.write(1, "c")
    (folder / "c").write_bytes((folder / "c").read_bytes()[:-1])
    (folder / "notes.txt").write_text("not a result")
    (folder / "a" / ".oxtask-0123456789abcdef.tmp").write_text("left by a process")
    assert store.lookup("c") is None
    options = ["--storage", str(folder)]

    assert oxtask("cache", "stats", "--json", *options, as_json=True)["damaged"] == 1
    oxtask("cache", "prune", *options)

    names = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert names == ["b", "notes.txt"]


def test_to_look_makes_no_storage(oxtask):
    """results.md 5"""
    from oxtask.settings import get_current_settings

    assert oxtask("cache", "stats", "--json", as_json=True)["records"] == 0
    assert oxtask("cache", "ls") == "Results: none\n"
    assert "Removed 0" in oxtask("cache", "prune")
    assert "no result" in oxtask("cache", "rm", "x", code=1)
    assert not (get_current_settings().home / "storage").exists()


@pytest.mark.parametrize("arguments", ["[2]", '{"x": 2}', '{"log": false, "x": 2}'])
def test_a_call_is_explained_without_being_made(oxtask, module, arguments):
    """results.md H13: `oxtask.cache.explain`"""
    found = oxtask("cache", "explain", f"{module}:double", arguments, "--json", as_json=True)
    text = oxtask("cache", "explain", f"{module}:Group.double", arguments)

    assert set(found["inputs"]) == {"x", "log"}
    assert found["stored"] is False
    assert found["key"] in text
    assert "no result with this key" in text

    ResultStore().write(4, found["key"])
    assert "a result with this key" in oxtask("cache", "explain", f"{module}:double", arguments)


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (["cli_cache_tasks:double", "[2"], 2, "not JSON"),
        (["cli_cache_tasks:double", "2"], 2, "must be a JSON list"),
        (["cli_cache_tasks:double", "[1, 2, 3]"], 1, "too many positional arguments"),
        (["cli_cache_tasks:double", '{"y": 1}'], 1, "y"),
        (["cli_cache_tasks:number", "[]"], 1, "no task 'number'"),
        (["cli_cache_tasks:nothing", "[]"], 1, "no task 'nothing'"),
        (["no_such_module:double", "[]"], 1, "'no_such_module'"),
        (["cli_cache_broken:double", "[]"], 1, "ZeroDivisionError"),
    ],
)
def test_a_call_that_cannot_be_explained_is_a_line(oxtask, module, call, code, message):
    """results.md H13"""
    output = oxtask("cache", "explain", *call, code=code)

    assert message in output
    assert "Traceback" not in output


def test_a_folder_that_is_not_there_is_a_line(oxtask, tmp_path):
    """results.md 5"""
    assert "no folder" in oxtask("cache", "ls", "--storage", str(tmp_path / "x"), code=1)
