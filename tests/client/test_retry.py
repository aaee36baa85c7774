"""When to try again: pure arithmetic, so no test waits."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tallymark.client.retry import RetryPolicy, parse_retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_the_ceiling_doubles_up_to_the_cap():
    """With the largest draw the delays are base, twice, four times, ... and never above the cap."""
    policy = RetryPolicy(base=0.5, cap=30.0, draw=lambda: 1.0)
    assert [policy.build_delay(attempt, None) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert policy.build_delay(10_000, None) == 30.0


def test_jitter_is_full():
    """The draw scales the whole delay, down to nothing."""
    assert RetryPolicy(draw=lambda: 0.0).build_delay(5, None) == 0.0
    assert RetryPolicy(base=1.0, draw=lambda: 0.25).build_delay(3, None) == 1.0


def test_retry_after_is_a_lower_bound_with_a_cap():
    """What the server asked for is waited at least, but never longer than after_cap."""
    policy = RetryPolicy(base=1.0, after_cap=60.0, draw=lambda: 0.0)
    assert policy.build_delay(1, 7.0) == 7.0
    assert policy.build_delay(1, 1e9) == 60.0
    assert RetryPolicy(base=8.0, draw=lambda: 1.0).build_delay(1, 2.0) == 8.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 5000, 999_999_999.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Thu, 99 Jan 2026 99:00:00 GMT", None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(text, seconds):
    """Seconds and HTTP dates are understood; anything else says nothing."""
    assert parse_retry_after(text, NOW) == seconds


def test_a_batch_is_given_up_by_age_or_attempts():
    """Either limit ends the retries."""
    policy = RetryPolicy(max_age=10.0, max_attempts=3)
    assert not policy.is_exhausted(2, 9.9)
    assert policy.is_exhausted(3, 0.0)
    assert policy.is_exhausted(1, 10.0)


def test_the_applications_own_chance_is_left_alone():
    """Waiting draws no number from Python's shared generator: a seeded program goes on as without a client."""
    before = random.getstate()
    RetryPolicy().build_delay(3, None)
    assert random.getstate() == before
