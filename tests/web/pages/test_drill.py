"""From each row of an answer there is a way to its events."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tallymark.queries.parse import parse_question
from tallymark.queries.result import Answer, Cost
from tallymark.web.drills import build_drills

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


def test_a_row_ends_where_the_next_begins():
    """The link of an interval covers it, the last one ends with the question."""
    times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    links = [parse_qs(urlsplit(link).query) for link in drills(TREND, [[time, 1] for time in times])]
    assert [(link["from"], link["to"]) for link in links] == [
        ([times[0]], [times[1]]),
        ([times[1]], ["2026-01-03T00:00:00+00:00"]),
    ]
