"""The page of one event and the answers about none, over HTTP."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urlencode

import pytest

from tallymark.web.pages.events import describe_skew

pytestmark = pytest.mark.store

NAMED = {"project": "default", "kind": "trend", "from": "2026-11-01", "to": "2026-11-24", "interval": "day"}


def texts(answer):
    """Return what a page says, without its markup."""
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.body.decode()))


@pytest.fixture(scope="module")
def told(server, build_event):
    """Send events of which some are kept in quarantine and one has a clock of its own."""
    good = [
        build_event("told-1", event_name="checkout_paid", attributes={"plan": "a", "x": 1}),
        build_event("told-2", event_name="t", event_time="2026-11-10T00:00:00Z"),
    ]
    assert server.send(good).status == 200
    behind = [build_event("skewed", event_name="skewed", event_time="2020-01-01T00:00:00Z")]
    assert server.send(behind, query="?sent_at=2020-01-01T00:00:00Z").status == 200
    kept = '{"event_id":"Kept-1","event_time":"NEVER Ever","event_type":"b","event_name":"Checkout_Paid","attributes":{"Amount":1.50}}'
    assert server.send(kept).status == 400
    assert server.send('{"event_id":"Kept-1","event_type":"b","event_name":"again \u202e"}').status == 400
    server.wait_loaded()
    return server


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"s0.event": "checkout_payd"}, "No event is called 'checkout_payd'. Near names: checkout_paid."),
        (
            {"from": "2026-01-01", "s0.event": "checkout_paid", "b0": "plam"},
            "has the attribute 'plam'. Near names: plan.",
        ),
        ({"s0.event": "t", "f0.field": "plam", "f0.value": "a"}, "has the attribute 'plam'."),
        (
            {"s0.event": "checkout_paid", "f0.field": "plan", "f0.value": "c", "b0": "plan"},
            "The answer is empty.",
        ),
        ({"kind": "ratio", "s0.event": "checkout_payd", "s1.event": "ta"}, "No event is called 'ta'."),
        (
            {"kind": "ratio", "s0.event": "checkout_payd", "s1.event": "ta"},
            "No event is called 'checkout_payd'.",
        ),
    ],
)
def test_a_question_without_rows_is_answered(admin, told, fields, note):
    """A typo, or nothing that matches, gives the empty answer with what is near, and not a fault."""
    answer = admin.request("GET", "/explore?" + urlencode({**NAMED, **fields}))
    assert answer.status == 200
    assert "The answer is empty." in texts(answer)
    assert note in texts(answer)


def test_a_quarantined_event_is_shown_as_it_is_kept(admin, told):
    """Its body stands on its page with letters and numbers as they are, and leads to the sample in quarantine."""
    answer = admin.request("GET", "/event?id=Kept-1")
    page = answer.body.decode()
    assert answer.status == 200
    bodies = [
        html.unescape(body) for body in re.findall(r'<pre id="kept-\d+"[^>]*>(.*?)</pre>', page, re.DOTALL)
    ]
    assert [json.loads(body)["event_name"] for body in bodies] == ["again \u202e", "Checkout_Paid"]
    assert '"event_time": "NEVER Ever"' in bodies[1]
    assert "\u202e" not in page
    assert "is kept in quarantine, below" in texts(answer)
    links = [html.unescape(link) for link in re.findall(r'href="(/quarantine\?[^"]*before=\d+)"', page)]
    assert len(links) == 2
    first = admin.request("GET", links[1]).body.decode().split('<ol class="samples">')[1].split("</li>")[0]
    assert "NEVER Ever" in html.unescape(first)


def test_other_projects_keep_theirs_to_themselves(admin, told):
    """The same id in another project shows nothing of this one's quarantine."""
    told.make_project("elsewhere")
    told.wait_until(
        lambda: (
            admin.request("GET", "/event?project=elsewhere&id=Kept-1").status == 404
            and "There is no project" not in texts(admin.request("GET", "/event?project=elsewhere&id=Kept-1"))
        ),
        "the project is known",
    )
    assert "NEVER" not in texts(admin.request("GET", "/event?project=elsewhere&id=Kept-1"))


def test_a_message_keeps_its_letters(admin, told):
    """The trace says what was wrong in the letters in which it came; only a sentence's first letter is made large."""
    said = texts(admin.request("GET", "/event?id=Kept-1"))
    assert re.search(r"Quarantine \d+: event_time 'NEVER Ever' is no time that exists, in ISO 8601", said)


def test_a_wrong_clock_is_told_in_days(admin, told):
    """By how much a clock was off is written in units that people count in."""
    said = texts(admin.request("GET", "/event?id=skewed"))
    assert re.search(
        r"That clock was [\d,]+ d( \d+ h)? behind; the event's time is corrected by this\.", said
    )
    assert " ms." not in said


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(217_562_316_163, "2,518 d 1 h behind"), (-90_000, "1 min 30 s ahead"), (-7_500_000, "2 h 5 min ahead")],
)
def test_a_clock_is_behind_or_ahead(milliseconds, said):
    """What is added to a client's times tells which way its clock was wrong."""
    assert said in describe_skew(milliseconds)
