"""How numbers, times and values are written on a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.web.shapes import (
    shape_ago,
    shape_attributes,
    shape_bytes,
    shape_cell,
    shape_duration,
    shape_json,
    shape_share,
    shape_time,
    shape_value,
)

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.00 %"),
        (1.0, "100.00 %"),
        (0.975, "97.50 %"),
        (0.99999, "99.99900 %"),
        (0.000001, "0.00010 %"),
    ],
)
def test_a_share_that_is_nearly_certain_does_not_read_as_certain(share, text):
    """Only exactly 0 and 1 are written as 0 and 100 per cent."""
    assert shape_share(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.004, "4 ms"),
        (2.5, "2.5 s"),
        (60, "1 min"),
        (3_720, "1 h 2 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 5_073, "5,073 d"),
    ],
)
def test_a_duration_has_the_units_that_matter(seconds, text):
    """A length of time is written in its one or two largest units."""
    assert shape_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, None, "\N{EN DASH}"),
        (True, None, "true"),
        (992_643, "events", "992,643"),
        (12.345678, None, "12.35"),
        (1234.56, None, "1,234.6"),
        (0.5, "ratio", "50.00 %"),
        (3_660, "s", "1 h 1 min"),
        ("<b>", None, "<b>"),
    ],
)
def test_cells_are_written_by_type_and_unit(value, unit, text):
    """A missing value, a boolean, a number and a text each have one form."""
    assert shape_cell(value, unit) == text


def test_times_are_utc_with_milliseconds_where_asked():
    """A time in another zone is shown in UTC."""
    assert shape_time("2013-02-08T15:05:00+01:00") == "2013-02-08 14:05:00"
    assert shape_time("2013-02-08T14:05:00.123456Z", precise=True) == "2013-02-08 14:05:00.123"


def test_ages_are_whole():
    """How long ago something was is told without a fraction."""
    assert shape_ago(NOW - timedelta(seconds=2.9), NOW) == "2 s ago"
    assert shape_ago(NOW + timedelta(seconds=5), NOW) == "just now"


def test_sizes():
    """Sizes step by a thousand."""
    assert [shape_bytes(size) for size in (140, 12_345, 5_000_000)] == ["140 B", "12.3 kB", "5.0 MB"]


def test_json_is_indented_and_broken_json_stays():
    """A text that is JSON is laid out; one that is not is shown as it came."""
    assert shape_json('{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert shape_json("{broken") == "{broken"
    assert shape_value(["default"]) == '["default"]'


def test_a_line_of_attributes_shows_what_would_turn_it_around():
    """Direction overrides and controls are written out, because they stand beside others on one line."""
    text = shape_attributes({"a": "\u202eabc\n", "n": 5})
    assert text == "a=\\u202eabc\\u000a  n=5"


def test_a_line_of_attributes_is_short():
    """However many and long attributes are, the line stays short."""
    assert len(shape_attributes({f"name{n}" * 20: "x" * 10_000 for n in range(1000)})) <= 121
