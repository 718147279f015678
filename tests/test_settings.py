"""Settings; the lines are of results.md, section 22, unless another is named."""

from __future__ import annotations

import contextvars
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxtask.settings
from oxtask.settings import (
    SETTINGS,
    Setting,
    Settings,
    find_setting,
    get_current_settings,
    reload_settings,
    table,
    temporary_settings,
)

RETRIES = find_setting("tasks.default_retries")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for each in SETTINGS.values():
        for name in (each.name, *each.aliases):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(table, "_from_environment", None)


def from_text(accessor: str, text: str):
    setting = find_setting(accessor)
    return setting.value_from(Settings.from_environment({setting.name: text}))


@pytest.mark.parametrize(
    ("accessor", "name", "default"),
    [
        ("debug_mode", "OXTASK_DEBUG_MODE", False),
        ("progress", "OXTASK_PROGRESS", "auto"),
        ("flows.default_retries", "OXTASK_FLOWS_DEFAULT_RETRIES", 0),
        ("flows.default_retry_delay_seconds", "OXTASK_FLOWS_DEFAULT_RETRY_DELAY_SECONDS", 0),
        ("logging.level", "OXTASK_LOGGING_LEVEL", "WARNING"),
        ("logging.log_prints", "OXTASK_LOGGING_LOG_PRINTS", False),
        ("logging.colors", "OXTASK_LOGGING_COLORS", True),
        ("results.default_serializer", "OXTASK_RESULTS_DEFAULT_SERIALIZER", "pickle"),
        ("results.local_storage_path", "OXTASK_RESULTS_LOCAL_STORAGE_PATH", None),
        ("results.persist_by_default", "OXTASK_RESULTS_PERSIST_BY_DEFAULT", False),
        ("tasks.default_retries", "OXTASK_TASKS_DEFAULT_RETRIES", 0),
        ("tasks.default_retry_delay_seconds", "OXTASK_TASKS_DEFAULT_RETRY_DELAY_SECONDS", 0),
        ("tasks.default_no_cache", "OXTASK_TASKS_DEFAULT_NO_CACHE", False),
        ("tasks.disable_caching", "OXTASK_TASKS_DISABLE_CACHING", False),
        ("tasks.refresh_cache", "OXTASK_TASKS_REFRESH_CACHE", False),
        (
            "tasks.runner.thread_pool_max_workers",
            "OXTASK_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS",
            None,
        ),
    ],
)
def test_each_setting_has_its_name_and_default(accessor, name, default):
    """Z1, and the table of section 22"""
    setting = SETTINGS[name]
    assert setting.accessor == accessor
    assert setting.default() == default
    assert setting.value() == default
    assert type(setting.value()) is type(default)
    assert getattr(oxtask.settings, name) is setting


@pytest.mark.parametrize(
    ("alias", "accessor", "text", "value"),
    [
        ("OXTASK_TASK_DEFAULT_RETRIES", "tasks.default_retries", "3", 3),
        (
            "OXTASK_TASK_DEFAULT_RETRY_DELAY_SECONDS",
            "tasks.default_retry_delay_seconds",
            "1.5",
            1.5,
        ),
        ("OXTASK_FLOW_DEFAULT_RETRIES", "flows.default_retries", "3", 3),
        ("OXTASK_FLOW_DEFAULT_RETRY_DELAY_SECONDS", "flows.default_retry_delay_seconds", "2", 2),
        (
            "OXTASK_TASK_RUNNER_THREAD_POOL_MAX_WORKERS",
            "tasks.runner.thread_pool_max_workers",
            "8",
            8,
        ),
    ],
)
def test_older_names_are_read_too(alias, accessor, text, value):
    """Z1, TE-30, FL-70, TR-10"""
    setting = find_setting(accessor)
    assert setting.value_from(Settings.from_environment({alias: text})) == value
    assert getattr(oxtask.settings, alias) is setting
    own_name_wins = Settings.from_environment({alias: text, setting.name: "1"})
    assert setting.value_from(own_name_wins) == 1
    empty_is_not_set = Settings.from_environment({alias: text, setting.name: " "})
    assert setting.value_from(empty_is_not_set) == value


@pytest.mark.parametrize("text", ["1", "true", "True", " YES ", "on", "t", "y"])
def test_words_for_true(text):
    assert from_text("tasks.refresh_cache", text) is True


@pytest.mark.parametrize("text", ["0", "false", "FALSE", "no", "Off", "f", "n"])
def test_words_for_false(text):
    assert from_text("logging.colors", text) is False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("0.5", 0.5),
        ("1,2,3", [1.0, 2.0, 3.0]),
        ("[1, 2.5]", [1.0, 2.5]),
        (" [ 4 ] ", [4.0]),
    ],
)
def test_a_retry_delay_is_a_number_or_a_list(text, value):
    """TE-33, and the row of tasks.default_retry_delay_seconds"""
    assert from_text("tasks.default_retry_delay_seconds", text) == value
    assert from_text("flows.default_retry_delay_seconds", text) == value


def test_words_are_accepted_in_any_case_and_none_means_no_limit():
    assert from_text("logging.level", " debug ") == "DEBUG"
    assert from_text("progress", "OFF") == "off"
    assert from_text("tasks.runner.thread_pool_max_workers", "None") is None


@pytest.mark.parametrize(
    ("accessor", "text"),
    [
        ("tasks.default_retries", "abc"),
        ("tasks.default_retries", "-1"),
        ("tasks.default_retries", "1.5"),
        ("tasks.runner.thread_pool_max_workers", "0"),
        ("tasks.refresh_cache", "perhaps"),
        ("logging.level", "LOUD"),
        ("progress", "true"),
        ("home", "~no-such-user-xyz/data"),
        *(
            ("tasks.default_retry_delay_seconds", text)
            for text in (
                *("x", "-1", "nan", "inf", "1e400", "[]", ",", "1,,2", "[1, true]", '{"a": 1}'),
                *("[1", "[[1]]", "[" * 100_000, str([1] * 51), "[1" + "0" * 400 + "]"),
            )
        ),
    ],
)
def test_a_bad_variable_is_named_with_its_value_and_what_is_accepted(accessor, text):
    """Z2"""
    setting = find_setting(accessor)
    with pytest.raises(ValueError) as caught:
        from_text(accessor, text)
    message = str(caught.value)
    assert message.startswith(f"Environment variable {setting.name}={text[:50]!r}"[:60])
    assert message.endswith(f"expected {setting.accepts}.")
    assert len(message) < 500


def test_all_bad_variables_are_named_at_once_as_the_user_wrote_them():
    bad = {"OXTASK_TASK_DEFAULT_RETRIES": "x", "OXTASK_LOGGING_COLORS": "purple"}
    with pytest.raises(ValueError) as caught:
        Settings.from_environment(bad)
    assert "OXTASK_TASK_DEFAULT_RETRIES='x'" in str(caught.value)
    assert "OXTASK_LOGGING_COLORS='purple'" in str(caught.value)


def test_unknown_variables_are_ignored():
    """Z2"""
    assert Settings.from_environment({"OXTASK_NO_SUCH": "1", "HOME": "/x"}) == Settings()


def test_the_environment_is_read_at_first_use_and_then_only_on_request(monkeypatch):
    """Z3"""
    monkeypatch.setenv(RETRIES.name, "2")
    assert RETRIES.value() == 2
    monkeypatch.setenv(RETRIES.name, "5")
    assert get_current_settings().tasks.default_retries == 2
    with temporary_settings({"logging.colors": False}):
        assert reload_settings().tasks.default_retries == 5
        assert RETRIES.value() == 2
    assert RETRIES.value() == 5


def test_a_bad_environment_is_reported_on_each_use_until_corrected(monkeypatch):
    monkeypatch.setenv(RETRIES.name, "x")
    for _ in range(2):
        with pytest.raises(ValueError):
            get_current_settings()
    monkeypatch.setenv(RETRIES.name, "1")
    assert RETRIES.value() == 1


def test_home_is_an_absolute_path_with_the_tilde_expanded(monkeypatch, tmp_path):
    """Z8"""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings().home == tmp_path / ".oxtask"
    assert from_text("home", "~/data") == tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    relative = Settings({"home": Path("data")})
    monkeypatch.chdir("/")
    assert relative.home == tmp_path / "data"


def test_debug_mode_forces_level_debug():
    """The row of debug_mode in section 22"""
    with temporary_settings({"debug_mode": True, "logging.level": "ERROR"}) as settings:
        assert settings.logging.level == "DEBUG"
        with temporary_settings({"debug_mode": False}) as inner:
            assert inner.logging.level == "ERROR"


def test_a_setting_acts_like_its_value():
    """Z4"""
    with temporary_settings({RETRIES: 3}) as settings:
        assert RETRIES == 3
        assert RETRIES != 4
        assert str(RETRIES) == "3"
        assert bool(RETRIES)
        assert RETRIES.value_from(Settings()) == 0
        assert RETRIES.value_from(settings) == 3
    assert not RETRIES
    assert hash(RETRIES) == hash(SETTINGS[RETRIES.name])
    assert find_setting("flows.default_retries") != RETRIES
    assert pickle.loads(pickle.dumps(RETRIES)) is RETRIES


def test_an_unknown_setting_is_no_attribute_and_no_key():
    """Z4, Z5"""
    with pytest.raises(AttributeError, match="'OXTASK_NOPE' is not an oxtask setting"):
        _ = oxtask.settings.OXTASK_NOPE
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = oxtask.settings.nope
    with pytest.raises(ImportError):
        from oxtask.settings import OXTASK_NOPE  # noqa: F401
    for key in ("OXTASK_NOPE", "tasks", 3, None):
        with pytest.raises(ValueError, match="Unknown setting"):
            with temporary_settings({key: 1}):
                pass


@pytest.mark.parametrize(
    "key", [RETRIES, "tasks.default_retries", RETRIES.name, "OXTASK_TASK_DEFAULT_RETRIES"]
)
def test_temporary_settings_take_any_spelling_nest_and_end(key):
    """Z5"""
    with temporary_settings({key: 1}):
        with pytest.raises(KeyError):
            with temporary_settings({key: "2"}) as inner:
                assert inner is get_current_settings()
                assert RETRIES.value() == 2
                raise KeyError
        assert RETRIES.value() == 1
    assert RETRIES.value() == 0


def test_set_defaults_fill_only_what_is_not_set_and_restore_defaults_ignore_all_sources(
    monkeypatch,
):
    """Z5"""
    monkeypatch.setenv(RETRIES.name, "4")
    defaults = {RETRIES: 9, "flows.default_retries": 9}
    with temporary_settings(set_defaults=defaults) as settings:
        assert (settings.tasks.default_retries, settings.flows.default_retries) == (4, 9)
        with temporary_settings(restore_defaults=defaults) as restored:
            assert (restored.tasks.default_retries, restored.flows.default_retries) == (0, 0)
        with temporary_settings({RETRIES: 1}, {RETRIES: 2}, [RETRIES]):
            assert RETRIES.value() == 1


def test_temporary_settings_are_checked_before_the_block():
    """Z5"""
    for bad in (True, 1.5, None, "x", -1):
        with pytest.raises(ValueError, match=r"OXTASK_TASKS_DEFAULT_RETRIES=.* whole number"):
            with temporary_settings({RETRIES: bad}):
                raise AssertionError
    assert RETRIES.value() == 0


def test_temporary_settings_follow_the_context_and_not_the_thread():
    """W-Z1"""
    seen = []
    with temporary_settings({RETRIES: 7}):
        copied = contextvars.copy_context()
        for target in (RETRIES.value, lambda: copied.run(RETRIES.value)):
            thread = threading.Thread(target=lambda target=target: seen.append(target()))
            thread.start()
            thread.join()
    assert seen == [0, 7]


def test_settings_cannot_be_changed_in_place():
    settings = Settings({"tasks.default_retry_delay_seconds": [1, 2]})
    for change in (
        lambda: setattr(settings, "debug_mode", True),
        lambda: setattr(settings, "home", "/x"),
        lambda: setattr(settings.tasks.runner, "thread_pool_max_workers", 1),
        lambda: delattr(settings.tasks, "default_retries"),
    ):
        with pytest.raises(AttributeError, match="temporary_settings"):
            change()
    settings.tasks.default_retry_delay_seconds.append(3)
    assert settings.tasks.default_retry_delay_seconds == [1.0, 2.0]


VALUES = {
    "debug_mode": st.booleans(),
    "progress": st.sampled_from(["auto", "on", "off"]),
    "home": st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1).map(Path),
    "logging.level": st.sampled_from(["debug", "INFO", "Critical"]),
    "tasks.default_retries": st.integers(0, 10**30),
    "tasks.runner.thread_pool_max_workers": st.none() | st.integers(1, 10**30),
    "tasks.default_retry_delay_seconds": st.integers(0, 10**30)
    | st.floats(0, allow_infinity=False)
    | st.lists(st.floats(0, allow_infinity=False), min_size=1, max_size=50),
}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_environment_variables_and_pickle_carry_settings_to_another_process(values):
    """Z6, TR-23, CX-08"""
    settings = Settings(values)
    for exclude_unset in (True, False):
        variables = settings.to_environment_variables(exclude_unset=exclude_unset)
        copy = Settings.from_environment(variables)
        assert copy == settings
        assert hash(copy) == hash(settings)
        assert copy.hash_key() == settings.hash_key()
        assert repr(copy) == repr(settings)
    unpickled = pickle.loads(pickle.dumps(settings))
    assert unpickled == settings
    assert unpickled.copy_with_update(set_defaults={"debug_mode": True}) == (
        settings.copy_with_update(set_defaults={"debug_mode": True})
    )


def test_exported_variables_can_leave_out_defaults_and_add_aliases():
    """Z6"""
    settings = Settings({RETRIES: 3})
    assert settings.to_environment_variables(exclude_unset=True) == {RETRIES.name: "3"}
    both = settings.to_environment_variables(exclude_unset=True, include_aliases=True)
    assert both == {RETRIES.name: "3", "OXTASK_TASK_DEFAULT_RETRIES": "3"}
    assert Settings({RETRIES: 3}).hash_key() != Settings().hash_key()
    assert set(settings.to_environment_variables()) == set(SETTINGS)


def test_every_setting_is_described():
    for setting in SETTINGS.values():
        assert isinstance(setting, Setting)
        assert setting.description.endswith(".")


def test_importing_settings_loads_nothing_heavy():
    heavy = {"logging", "pydantic", "dataclasses", "inspect", "json", "pathlib", "asyncio"}
    code = (
        "import sys, typing, contextlib, contextvars\n"
        "before = set(sys.modules)\n"
        "import oxtask.settings\n"
        "oxtask.settings.get_current_settings().tasks.default_retries\n"
        f"print(*(({heavy!r} - before) & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert run.stdout.strip() == ""
