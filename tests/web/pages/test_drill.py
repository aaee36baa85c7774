"""From each row of an answer there is a way to its events."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tallymark.queries.parse import parse_question
from tallymark.queries.result import Answer, Cost
from tallymark.web.drills import build_drills
from tallymark.web.filter_rows import build_filters, parse_rows

DAYS = {"from": "2026-01-01", "to": "2026-01-03", "interval": "day"}
SIDE = {"event_name": "a"}
TREND = {**DAYS, "kind": "trend", "series": [SIDE]}
RATIO = {**DAYS, "kind": "ratio", "numerator": SIDE, "denominator": {"event_name": "b"}}


def drills(question, rows):
    return build_drills(parse_question(question), Answer((), rows, [], Cost(0, 0)), "default", 100)


@pytest.mark.parametrize("question", [TREND, RATIO, {**TREND, "breakdown": ["os"]}])
def test_an_answer_without_rows_leads_nowhere(question):
    """No rows, no links, and no fault."""
    assert drills(question, []) == []


def test_intervals_keep_to_the_questions_time():
    """A week that began before the question leads to the events of what was asked, and so does the last."""
    week = {**TREND, "from": "2013-06-05", "to": "2013-06-12", "interval": "week"}
    rows = [["2013-06-03T00:00:00Z", 1], ["2013-06-10T00:00:00Z", 2]]
    links = [parse_qs(urlsplit(link).query) for link in drills(week, rows)]
    assert [(link["from"][0], link["to"][0]) for link in links] == [
        ("2013-06-05T00:00:00+00:00", "2013-06-10T00:00:00Z"),
        ("2013-06-10T00:00:00Z", "2013-06-12T00:00:00+00:00"),
    ]


def test_the_empty_text_is_not_missing():
    """A group of the empty text leads to the events that have it, a group without a value to those that lack the field."""
    question = {**TREND, "breakdown": ["plan"]}
    time = "2026-01-01T00:00:00Z"
    links = drills(question, [[time, "", 1], [time, None, 1]])
    fields = [dict(parse_qsl(urlsplit(link).query)) for link in links]
    empty, missing = (build_filters(parse_rows(one)) for one in fields)
    assert [(one.field, one.op, one.value) for one in empty] == [("plan", "eq", "")]
    assert [(one.field, one.op, one.value) for one in missing] == [("plan", "exists", False)]
    assert fields[0]["f0.value"] == '""'


def test_a_row_ends_where_the_next_begins():
    """The link of an interval covers it, the last one ends with the question."""
    times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    links = [parse_qs(urlsplit(link).query) for link in drills(TREND, [[time, 1] for time in times])]
    assert [(link["from"], link["to"]) for link in links] == [
        ([times[0]], [times[1]]),
        ([times[1]], ["2026-01-03T00:00:00+00:00"]),
    ]
