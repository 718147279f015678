"""`oxtask.testing.utilities`: helpers for tests of programs that use oxtask."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import pytest

from oxtask import flow, get_client, task
from oxtask.context import FlowRunContext
from oxtask.exceptions import ObjectNotFound
from oxtask.settings import get_current_settings, temporary_settings
from oxtask.testing.utilities import (
    assert_does_not_warn,
    exceptions_equal,
    get_most_recent_flow_run,
    oxtask_test_harness,
)


def home():
    return get_current_settings().home


def home_on_thread():
    homes = []
    thread = threading.Thread(target=lambda: homes.append(home()))
    thread.start()
    thread.join()
    return homes[0]


def test_a_block_has_a_home_of_its_own():
    """TH-01: and afterwards it is gone"""
    before = home()
    with oxtask_test_harness():
        inside = home()
        assert inside.is_dir()
        assert inside != before
        assert home_on_thread() == inside
        assert flow(lambda: task(home).submit().result())() == inside
    assert home() == home_on_thread() == before
    assert not inside.exists()


def test_blocks_nest_and_can_be_repeated(tmp_path, monkeypatch):
    """TH-01"""
    monkeypatch.setenv("OXTASK_HOME", str(tmp_path))
    homes = []
    with temporary_settings({"home": tmp_path / "own"}):
        for _ in range(2):
            with oxtask_test_harness(server_startup_timeout=None):
                homes.append(home())
                with oxtask_test_harness():
                    homes.append(home())
                assert home() == homes[-2]
        assert home() == tmp_path / "own"
    assert len(set(homes)) == 4
    monkeypatch.undo()
    from oxtask.settings import reload_settings

    reload_settings()


def test_what_a_block_raises_is_raised():
    """TH-01: and the home is put back"""
    before = home()
    with pytest.raises(LookupError), oxtask_test_harness():
        raise LookupError
    assert home() == before


def test_a_block_begins_and_ends_at_once():
    """TH-01: no server is started"""
    began = time.monotonic()
    for _ in range(20):
        with oxtask_test_harness():
            pass
    assert time.monotonic() - began < 2


def test_processes_of_a_block_share_its_home():
    """TH-01: and processes can be started afterwards"""
    spawn = multiprocessing.get_context("spawn")
    with oxtask_test_harness():
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            assert pool.submit(home).result() == home()
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(home).result() == home()


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (ValueError("a", 1), ValueError("a", 1), True),
        (ValueError("a"), ValueError("b"), False),
        (ValueError("a"), TypeError("a"), False),
        (ValueError("a"), UnicodeError("a"), False),
        (None, None, True),
        (None, ValueError(), False),
        (ValueError(), None, False),
    ],
)
def test_exceptions_are_equal_by_type_and_arguments(a, b, expected):
    """TH-02"""
    assert exceptions_equal(a, b) is expected


def test_a_warning_fails_a_block_that_must_not_warn():
    """TH-02"""
    with assert_does_not_warn():
        pass
    with pytest.raises(AssertionError, match="UserWarning: careful"), assert_does_not_warn():
        warnings.warn("careful")
    with assert_does_not_warn(ignore_warnings=[UserWarning]):
        warnings.warn("careful")
    with pytest.raises(LookupError), assert_does_not_warn():
        raise LookupError


def test_the_flow_run_that_was_made_last_is_found():
    """TH-02"""

    @flow(name="one of two")
    def one():
        return FlowRunContext.get().flow_run.id

    @flow(name="other of two")
    def other():
        return FlowRunContext.get().flow_run.id

    first, second, third = one(), other(), one()
    assert asyncio.run(get_most_recent_flow_run()).id == third
    assert asyncio.run(get_most_recent_flow_run(get_client(), "other of two")).id == second
    assert asyncio.run(get_most_recent_flow_run(flow_name="one of two")).id == third != first
    with pytest.raises(ObjectNotFound, match="No run of a flow 'none at all'"):
        asyncio.run(get_most_recent_flow_run(flow_name="none at all"))


def test_limits_of_a_block_end_with_it():
    """TH-01, CC-14"""
    from limit_tools import client, make

    @task
    def body():
        return 1

    assert not body._is_rich()
    with oxtask_test_harness():
        make("tag:x")
        assert body._is_rich()
    assert not body._is_rich()
    assert client.read_global_concurrency_limits() == []
