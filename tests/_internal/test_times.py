"""Time stamps and durations."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxtask._internal.times import (
    datetime_from_nanoseconds,
    duration_from_nanoseconds,
    microsecond_after,
    to_duration,
    to_utc,
    utc_now,
)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@given(st.integers(-(10**18), 10**19))
def test_nanoseconds_become_a_datetime_without_rounding(nanoseconds):
    """ST-11"""
    moment = datetime_from_nanoseconds(nanoseconds)
    assert (moment - EPOCH) // timedelta(microseconds=1) == nanoseconds // 1000
    assert moment.tzinfo is timezone.utc


@given(
    st.datetimes(
        min_value=datetime(1900, 1, 1),
        max_value=datetime(2200, 1, 1),
        timezones=st.timezones(),
    )
)
def test_a_time_of_any_zone_becomes_the_same_time_in_utc(moment):
    """ST-06"""
    # Not `==`: two zones never agree on a time that a change of clocks skips or repeats (PEP 495).
    assert to_utc(moment, "t") - EPOCH == moment - EPOCH
    assert to_utc(moment, "t").tzinfo is timezone.utc


def test_a_time_may_be_given_as_text():
    noon = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)
    for text in ("2030-01-31T12:00:00Z", "2030-01-31T13:00:00+01:00", "2030-01-31 12:00:00"):
        assert to_utc(text, "t") == noon


@pytest.mark.parametrize(
    ("value", "error"), [("noon", ValueError), (5, TypeError), (None, TypeError)]
)
def test_what_is_no_time_is_refused_by_name(value, error):
    with pytest.raises(error, match="'timestamp' must be a d"):
        to_utc(value, "timestamp")


def test_durations_are_timedeltas_or_seconds():
    assert to_duration(1.5, "d") == to_duration(timedelta(seconds=1.5), "d")
    assert duration_from_nanoseconds(1_500_999) == timedelta(microseconds=1500)
    with pytest.raises(TypeError, match="'d' must be a timedelta or a number of seconds; got 'x'"):
        to_duration("x", "d")


def test_now_is_in_utc_and_the_next_microsecond_is_later():
    """RR-09"""
    now = utc_now()
    assert now.tzinfo is timezone.utc
    assert microsecond_after(now) - now == timedelta(microseconds=1)
