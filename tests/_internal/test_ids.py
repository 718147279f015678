"""Time-ordered identifiers."""

import os
import time
from datetime import datetime, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxtask._internal import ids
from oxtask._internal.ids import new_id, to_uuid


def test_an_id_says_its_version_and_variant():
    """ST-11"""
    id = new_id()
    assert (id.version, id.variant) == (7, RFC_4122)


def test_ids_differ():
    """ST-11"""
    assert len({new_id() for _ in range(1000)}) == 1000


@given(st.lists(st.integers(0, 2**60), min_size=2, max_size=5))
def test_ids_sort_by_the_time_they_were_made(moments):
    """ST-11: to a 4096th of a millisecond; what is closer is decided by chance."""
    with pytest.MonkeyPatch.context() as patch:
        made = []
        for moment in moments:
            patch.setattr(ids.time, "time_ns", lambda moment=moment: moment)
            millisecond, rest = divmod(moment, 1_000_000)
            made.append((millisecond, rest * 4096 // 1_000_000, new_id()))
    assert sorted(made) == sorted(made, key=lambda entry: entry[2])


def test_an_id_holds_the_milliseconds_it_was_made_at():
    """ST-11"""
    before = time.time_ns() // 1_000_000
    milliseconds = new_id().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000
    assert datetime.fromtimestamp(milliseconds / 1000, timezone.utc).year >= 2025


def test_the_random_part_comes_from_the_operating_system(monkeypatch):
    """ST-11: a seed or a fork must not repeat ids."""
    monkeypatch.setattr(os, "urandom", lambda count: b"\xff" * count)
    assert new_id().int & (1 << 62) - 1 == (1 << 62) - 1


@pytest.mark.parametrize("value", [UUID(int=5), str(UUID(int=5)), 5])
def test_an_id_may_be_given_as_text_or_number(value):
    assert to_uuid(value, "id") == UUID(int=5)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("x", ValueError),
        (-1, ValueError),
        (2**128, ValueError),
        (True, TypeError),
        (1.5, TypeError),
    ],
)
def test_what_is_no_id_is_refused_by_name(value, error):
    with pytest.raises(error, match="'flow_run_id' must be a UUID; got"):
        to_uuid(value, "flow_run_id")
