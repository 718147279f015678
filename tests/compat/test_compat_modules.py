"""`oxtask.compat.install`: what ``import prefect`` leads to."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pkgutil import resolve_name
from types import ModuleType

import pytest

import oxtask
from oxtask import compat
from oxtask.settings import get_current_settings, reload_settings, temporary_settings


@pytest.fixture
def installed():
    compat.install()
    yield
    compat.uninstall()


def run(code, **environment):
    """Run a program in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(statement):
    """Return what an import statement binds."""
    namespace = {}
    exec(statement, namespace)
    del namespace["__builtins__"]
    return namespace


def test_the_decorators_are_those_of_oxtask(installed):
    """tasks.md 1.1"""
    names = ["Flow", "State", "Task", "allow_failure", "flow", "get_run_logger", "tags", "task"]

    found = imported(f"from prefect import {', '.join(names)}, unmapped")

    assert found == {name: getattr(oxtask, name) for name in [*names, "unmapped"]}


@pytest.mark.parametrize(
    "path",
    [
        "client.schemas.objects.TaskRun",
        "context.TaskRunContext",
        "context.get_run_context",
        "exceptions.MissingContextError",
        "flows.Flow",
        "futures.as_completed",
        "logging.get_run_logger",
        "logging.loggers.get_run_logger",
        "settings.temporary_settings",
        "states.Completed",
        "task_runners.ThreadPoolTaskRunner",
        "tasks.exponential_backoff",
        "utilities.annotations.quote",
        "utilities.callables.get_call_parameters",
        "utilities.collections.visit_collection",
    ],
)
def test_a_name_is_found_under_the_path_it_has_in_oxtask(path, installed):
    """tasks.md 1.2 to 1.9"""
    module, _, name = path.rpartition(".")

    found = imported(f"from prefect.{module} import {name}")

    assert found == {name: resolve_name(f"oxtask.{path}")}


@pytest.mark.parametrize("name", compat.NAMES)
def test_a_renamed_name_leads_to_what_it_is_now(name, installed):
    """tasks.md 1.9, engine.md FU-01, EX-01, EX-04"""
    there = resolve_name(compat.NAMES[name])
    module, _, attribute = name.rpartition(".")

    found = imported(f"from {module} import {attribute}")[attribute]

    if isinstance(there, ModuleType):
        assert importlib.import_module(name) is found
        assert dir(found)
    else:
        assert found is there


def test_modules_are_at_hand_after_importing_the_package_alone(installed):
    prefect = imported("import prefect")["prefect"]

    assert prefect.futures.PrefectFuture is importlib.import_module("oxtask.futures").Future
    assert prefect.client.schemas.TaskRun.__name__ == "TaskRun"
    assert prefect.main.flow is oxtask.flow


def test_star_takes_the_public_names_under_their_old_names(installed):
    found = imported("from prefect.futures import *")

    assert {"PrefectFuture", "PrefectFutureList", "wait", "as_completed"} <= found.keys()
    assert not {"Future", "FutureList", "TYPE_CHECKING"} & found.keys()
    assert "flow" in imported("from prefect import *")


def test_an_attribute_is_what_it_is_at_the_time(installed, monkeypatch):
    """engine.md RT-01: the attributes of some modules change from run to run."""
    futures = imported("import prefect.futures as futures")["futures"]
    monkeypatch.setattr("oxtask.futures.wait", "now")

    assert futures.wait == "now"


@pytest.mark.parametrize(
    ("statement", "name", "instead"),
    [
        ("from prefect import serve", "prefect.serve", "cron"),
        ("import prefect.deployments", "prefect.deployments", "cron"),
        ("from prefect.deployments import run_deployment", "prefect.deployments", "cron"),
        (
            "from prefect.task_runners import PrefectTaskRunner",
            "prefect.task_runners.PrefectTaskRunner",
            "task.submit()",
        ),
        ("from prefect.blocks.system import Secret", "prefect.blocks", "environment variables"),
        (
            "from prefect.settings import PREFECT_API_URL",
            "prefect.settings.PREFECT_API_URL",
            "leave the setting out",
        ),
        ("from prefect.tasks import nothing", "prefect.tasks.nothing", "coming-from-prefect.md"),
        ("import prefect._internal", "prefect._internal", "private"),
        ("import prefect.compat", "prefect.compat", "coming-from-prefect.md"),
        ("import prefect.tasks.task", "prefect.tasks.task", "coming-from-prefect.md"),
    ],
)
def test_what_is_missing_is_refused_with_its_name_and_what_to_use(
    statement, name, instead, installed
):
    with pytest.raises(ImportError) as caught:
        imported(statement)

    assert caught.value.name == name
    assert str(caught.value).startswith(f"oxtask has no '{name}': ")
    assert instead in str(caught.value)


def test_an_attribute_that_is_missing_is_refused_with_what_to_use(installed):
    prefect = imported("import prefect")["prefect"]

    with pytest.raises(AttributeError, match=r"oxtask has no 'prefect\.serve': .* cron"):
        prefect.serve
    assert not hasattr(prefect, "nothing")
    assert not hasattr(prefect, "compat")
    assert not hasattr(prefect.tasks, "_private")


def test_installing_twice_is_installing_once(installed):
    finders = list(sys.meta_path)

    compat.install()

    assert sys.meta_path == finders


def test_uninstalling_takes_everything_back():
    before = list(sys.meta_path)
    compat.install()
    imported("import prefect.flows")

    compat.uninstall()
    compat.uninstall()

    assert sys.meta_path == before
    assert not [name for name in sys.modules if name.split(".")[0] == "prefect"]
    with pytest.raises(ValueError, match="Unknown setting"):
        with temporary_settings({"PREFECT_TASKS_DEFAULT_RETRIES": 1}):
            pass


def test_a_prefect_that_is_imported_already_is_an_error_that_names_it(monkeypatch):
    foreign = ModuleType("prefect")
    foreign.__file__ = "/elsewhere/prefect/__init__.py"
    monkeypatch.setitem(sys.modules, "prefect", foreign)

    with pytest.raises(RuntimeError, match=r"imported already, from /elsewhere.*before anything"):
        compat.install()
    assert sys.modules["prefect"] is foreign


def test_a_prefect_that_is_only_installed_is_left_aside(tmp_path):
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "__init__.py").write_text("raise RuntimeError('the other one')")

    printed = run(
        """
        import os, sys
        sys.path.insert(0, os.environ["OTHER"])
        from oxtask.compat import install

        install()
        import oxtask, prefect
        print(prefect.flow is oxtask.flow, prefect.__version__)
        """,
        OTHER=str(tmp_path),
    )
    assert printed == f"True {compat.VERSION}\n"


def test_nothing_is_loaded_before_it_is_asked_for():
    """engine.md PF-02: what is not used costs nothing."""
    printed = run(
        """
        import sys
        from oxtask import flow, task

        print([name for name in sys.modules if name.startswith("oxtask.compat")])
        """
    )
    assert printed == "[]\n"

    printed = run(
        """
        import sys
        from oxtask.compat import install

        install()
        import prefect.flows, prefect.futures
        print({"oxtask.flows", "oxtask.futures", "oxtask._core"} & sys.modules.keys())
        """
    )
    assert printed == "set()\n"


def test_environment_variables_of_prefect_count_where_there_are_none_of_oxtask(monkeypatch):
    """engine.md TE-30"""
    monkeypatch.setenv("PREFECT_TASKS_DEFAULT_RETRIES", "3")
    monkeypatch.setenv("PREFECT_TASK_DEFAULT_RETRY_DELAY_SECONDS", "0.5")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
    monkeypatch.setenv("OXTASK_LOGGING_LEVEL", "INFO")
    assert reload_settings().tasks.default_retries == 0

    compat.install()
    try:
        settings = get_current_settings()
        assert settings.tasks.default_retries == 3
        assert settings.tasks.default_retry_delay_seconds == 0.5
        assert settings.logging.level == "INFO"
        task = oxtask.task(lambda: None)
        assert task.retries == 3
    finally:
        compat.uninstall()
    assert get_current_settings().tasks.default_retries == 0


def test_a_bad_environment_variable_is_named_as_it_was_given(installed, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("PREFECT_TASKS_DEFAULT_RETRIES", "many")
        with pytest.raises(ValueError, match="PREFECT_TASKS_DEFAULT_RETRIES='many' is not valid"):
            reload_settings()
    reload_settings()


def test_settings_may_be_changed_under_their_old_names(installed):
    """engine.md CX-12"""
    found = imported(
        "from prefect.settings import PREFECT_TASKS_DEFAULT_RETRIES as retries, temporary_settings"
    )

    with found["temporary_settings"]({found["retries"]: 4}):
        assert found["retries"].value() == 4
        with found["temporary_settings"]({"PREFECT_FLOWS_DEFAULT_RETRIES": 2}):
            assert get_current_settings().flows.default_retries == 2
            assert get_current_settings().tasks.default_retries == 4


def test_a_program_can_ask_whether_a_module_is_there(installed):
    assert find_spec("prefect.flows").name == "prefect.flows"
    assert "prefect.flows" in repr(importlib.import_module("prefect.flows"))


def test_concurrency_limits_are_those_of_oxtask(installed):
    """EX-04, CC-13"""
    errors = "ConcurrencySlotAcquisitionError, AcquireConcurrencySlotTimeoutError"

    found = imported(f"from prefect.concurrency.asyncio import concurrency, rate_limit, {errors}")

    assert found["concurrency"] is importlib.import_module("oxtask.concurrency.asyncio").concurrency
    assert imported(f"from prefect.concurrency._asyncio import {errors}").items() <= found.items()
    imported("from prefect.concurrency.sync import concurrency, rate_limit")
    imported("from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate")
    imported("from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse")
    with pytest.raises(ImportError, match="slots belong to processes"):
        imported("import prefect.concurrency.v1")
