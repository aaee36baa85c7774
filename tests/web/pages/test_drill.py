"""From each row of an answer there is a way to its events."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from tallymark.queries.filters import find_digest
from tallymark.queries.parse import parse_question
from tallymark.queries.result import Answer, Cost
from tallymark.web.drills import build_drills
from tallymark.web.filter_rows import build_filters, parse_rows, write_name

DAYS = {"from": "2026-01-01", "to": "2026-01-03", "interval": "day"}
SIDE = {"event_name": "a"}
TREND = {**DAYS, "kind": "trend", "series": [SIDE]}
RATIO = {**DAYS, "kind": "ratio", "numerator": SIDE, "denominator": {"event_name": "b"}}


def drills(question, rows):
    return build_drills(parse_question(question), Answer((), rows, [], Cost(0)), "default", 100)


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


# Texts that addresses, forms and splitting of lines make hard; the longest that an event may carry among them.
HARD = [
    "x" * 1500, "ü" * 4096, "漢" * 60_000, "a" * 250_000, " lead and trail ", "\u0085", "a\u0085b", "\u2028", "\ufeffbom", "\ttab\t", "#:&=?%+;/..",
    "[1, 2]", '"quoted"', "5", "5.0", "true", "null", "9" * 23, "1e999", "-0", "{}", "\\", "'", "<b>&amp;", "e\u0301", "\U0001f600",
    "line\r\nfeed", "\x1f\x7f", "\u202eright to left", "%41", "a,b", "NaN",
]  # fmt: skip


# Those that are hard in a name as well; each takes several pages.
HARD_NAMES = [
    " lead and trail ",
    "\u0085",
    "\u2028",
    "#:&=?%+;/..",
    '"quoted"',
    "<b>&amp;",
    "%41",
    "漢" * 60_000,
]


@pytest.fixture(scope="module")
def hard(server):
    """Send an event with each hard text, in attributes and names where these are short enough; wait for them."""
    events = []
    for place, text in enumerate(HARD):
        short = text[:60]
        events.append(
            {
                "event_id": f"hard-{place}",
                "event_time": "2026-01-01T12:00:00Z",
                "event_type": "behavior",
                "event_name": "hard",
                "user_id": short,
                "attributes": {"text": text, f"name {short}": "there"},
            }
        )
        events.append(
            {**events[-1], "event_id": f"named-{place}", "event_name": f"n{place}{short}", "attributes": {}}
        )
    for event in events:
        assert server.send([event]).json["accepted"] == 1
    server.wait_loaded()
    return server


def _links(page):
    """Return the addresses of events on a page: of its table and of its chart."""
    text = html.unescape(page.decode())
    (chart,) = re.findall(r'data">(\{.*?\})</script>', page.decode()) or ["{}"]
    charted = [row["h"] for row in json.loads(chart).get("rows", []) if "h" in row]
    return set(re.findall(r'href="(/events\?[^"]+)"', text)) | set(charted)


def _ask(server, question):
    return server.request("POST", "/v1/query", json.dumps(question), key=server.read_key)


def _explore(fields):
    return "/explore?" + urlencode(
        {"kind": "trend", "from": "2026-01-01T12:00", "to": "2026-01-01T12:30", **fields}
    )


def _follow(admin, path):
    answer = admin.request("GET", path)
    while answer.status == 303:
        path = answer.headers["location"]
        answer = admin.request("GET", path)
    return answer


@pytest.mark.parametrize("field", ["text", "user_id"])
def test_every_link_of_a_page_leads_to_its_events(admin, hard, field):
    """Each drill of a page, also from a text of 250,000 characters, answers 200 with the one event of that value."""
    page = _follow(admin, _explore({"s0.event": "hard", "b0": field, "limit": "100"}))
    assert page.status == 200
    links = _links(page.body)
    assert len(links) >= len({text if field == "text" else text[:60] for text in HARD})
    found = set()
    for link in links:
        answer = _follow(admin, link)
        assert answer.status == 200, link[:300]
        ids = set(re.findall(rb"id=(hard-\d+)", answer.body))
        assert ids, link[:300]
        found |= ids
    assert len(found) == len(HARD)


def test_names_with_blanks_and_odd_characters_lead_to_their_events(admin, hard):
    """Names of events and of attributes keep what they hold, blanks at their ends too, on the way through addresses."""
    for text in HARD_NAMES:
        place, short = HARD.index(text), text[:60]
        links = _links(_follow(admin, _explore({"s0.event": write_name(f"n{place}{short}")})).body)
        answers = [_follow(admin, link) for link in links]
        assert {answer.status for answer in answers} == {200}
        assert any(f"id=named-{place}".encode() in answer.body for answer in answers), short
        if "." in short or "`" in short:
            # Dots lead into objects, and some texts between backticks are the store's own.
            continue
        fields = {"s0.event": "hard", "b0": write_name(f"attributes.name {short}"), "limit": "100"}
        links = [
            link for link in _links(_follow(admin, _explore(fields)).body) if "there" in link.split("tz=")[0]
        ]
        assert links, short
        assert all(f"id=hard-{place}".encode() in _follow(admin, link).body for link in links), short


@pytest.mark.parametrize("value", ["a" * 250_000, "漢" * 60_000, "x" * 1500])
def test_the_api_compares_with_whatever_an_event_carries(hard, value):
    """A filter of a question may hold the longest text of an event; its digest finds the same one."""
    for one in ({"op": "eq", "value": value}, {"op": "digest", "value": find_digest(value)}):
        series = [{"event_name": "hard", "filters": [{"field": "text", **one}]}]
        answer = _ask(hard, {"kind": "trend", "from": "2026-01-01", "to": "2026-01-02", "series": series})
        assert answer.json["rows"] == [[1]], answer.body[:300]
