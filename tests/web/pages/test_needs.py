"""What needs somebody, over HTTP: whose metrics, which of them are out of their usual range, and which nobody uses."""

from __future__ import annotations

import html
import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tallymark.catalog.tables import DEFINITION
from tallymark.web.needs import MOST

pytestmark = pytest.mark.store

EVIL = "<script>alert(1)</script>\u202e'\""
# Event -> how many on each day, a week apart, the last one yesterday.
HISTORY = {
    "steady": [30, 33, 28, 31, 29, 32, 30, 31, 30],
    "fell": [60, 62, 58, 61, 59, 60, 63, 57, 3],
    "rose": [10, 11, 9, 10, 12, 8, 10, 11, 60],
    "timed": [12, 12, 12, 12, 12, 12, 12, 12, 0],
    "begun": [0, 0, 0, 0, 0, 0, 20, 20, 20],
}


def put(server, metrics, project="default"):
    key = server.admin_key if project == "default" else server.make_key("admin", project)
    for name, body in metrics.items():
        made = server.request("PUT", f"/v1/metrics/{name}", json.dumps(body), key=key)
        assert made.status == 200, made.body


def count(event_name, owner, **more):
    return {"kind": "count", "event_name": event_name, "owner": owner, **more}


def flat(page):
    """Return a page's words, without its elements."""
    apart = re.sub(r"<(?=/?(?:td|th|tr|p|small|h2|summary|label|button))", " <", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", apart)).split())


def make_project(server, visitor, name):
    server.make_project(name)
    server.wait_until(
        lambda: visitor.request("GET", f"/settings?project={name}").status == 200, "the project is known"
    )


def section(visitor, project="default", **more):
    fields = "".join(f"&{name}={value}" for name, value in more.items())
    answer = visitor.request("GET", f"/needs?project={project}&part=section{fields}")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def follow(visitor, owners, project="default", **more):
    """Send the form with these owners ticked, as the page shows them."""
    page = section(visitor, project)
    marks = {
        html.unescape(name): mark
        for mark, name in re.findall(r'name="owner" value="(\w+)"[^>]*><bdi>([^<]*)</bdi>', page)
    }
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
    fields = [("csrf", csrf), ("project", project), *more.items()]
    fields += [("owner", marks[owner]) for owner in owners]
    return visitor.request("POST", "/needs/follow", fields)


@pytest.fixture(scope="module")
def yesterday():
    """Give the last whole day, and not in the minutes in which it becomes another one."""
    now = datetime.now(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    if midnight - now < timedelta(minutes=3):
        time.sleep((midnight - now).total_seconds() + 1)
    return (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def told(server, build_event, yesterday):
    """Store nine weeks of events, and metrics of several owners over them."""
    events = [
        build_event(f"{name}-{back}-{n}", event_name=name, value=float(n % 5),
                    event_time=(yesterday - timedelta(weeks=back, seconds=n)).isoformat())
        for name, days in HISTORY.items()
        for back, times in enumerate(reversed(days))
        for n in range(times)
    ]  # fmt: skip
    for start in range(0, len(events), 500):
        assert server.send(events[start : start + 500]).status == 200
    server.wait_loaded()
    put(server, {
        "steady": count("steady", "Admin", title="Steady one"),
        "fell": count("fell", "admin", title="Fallen one"),
        "rose": count("rose", "ADMIN", title="Risen one"),
        "errors": count("rose", "admin", title="More errors", better="down"),
        "waits": {"kind": "average", "event_name": "timed", "owner": "admin"},
        "begun": count("begun", "admin"),
        "never": count("no_such_event", "admin"),
        "part": {"kind": "ratio", "owner": "admin", "minimum_sample": 50, "numerator": {"event_name": "steady"}, "denominator": {"event_name": "steady"}},
        "explains": count("fell", "admin", role="intermediate", caveat="x", title="Only explains"),
        "sum_of_two": {"kind": "formula", "owner": "admin", "expression": "steady + fell"},
        "funnel": {"kind": "funnel", "owner": "admin", "by": "event_id", "window": "1h",
                   "steps": [{"event_name": "steady"}, {"event_name": "fell"}]},
        "others": count("fell", "growth", title="Growth's own"),
        "evil": count("fell", EVIL, title=EVIL),
    })  # fmt: skip


@pytest.fixture(scope="module")
def ana(server, told, make_visitor):
    """Sign somebody in who owns nothing."""
    with server.open_catalog() as catalog:
        catalog.add_person("ana", "a long password")
    visitor = make_visitor(server)
    assert visitor.sign_in("a long password", "ana").status == 303
    return visitor


def test_what_is_out_is_told_with_its_band(admin, told, yesterday):
    """Below and above, bad before good, with the figure, what is usual, and by how many weeks."""
    page = section(admin)
    words = flat(page)
    assert "4 of your 10 metrics are out of their usual range. Yesterday" in words
    assert f"Yesterday ({yesterday:%a} {yesterday.day} {yesterday:%b})" in words
    places = [words.index(f" {title} ") for title in ("Fallen one", "Risen one", "More errors")]
    assert max(places[0], places[2]) < places[1]
    assert re.search(r"Fallen one admin 3 3\d to 8\d below its usual range weeks seen: 8", words)
    assert re.search(r"Risen one ADMIN 60 \d to 1\d above its usual range weeks seen: 8", words)
    assert f"Usual on a {yesterday:%A}" in words
    assert "sum_of_two" in words
    assert "Only explains" not in words
    assert "Steady one" not in words


def test_a_title_leads_to_the_metric_on_that_day(admin, told, yesterday):
    """The link shows the judged day beside the week before."""
    links = [html.unescape(one) for one in re.findall(r'href="(/metric[^"]+)"', section(admin))]
    (link,) = [one for one in links if one.endswith("name=fell")]
    assert f"from={yesterday:%Y-%m-%d}&to=" in link
    assert "compare=week" in link
    page = flat(admin.request("GET", link).body.decode())
    assert "n = 3" in page


def test_what_cannot_be_judged_says_why(admin, told, yesterday):
    """No data, silence, too few and too short a history are lines, and no alarm."""
    words = flat(section(admin))
    last = yesterday - timedelta(weeks=1)
    assert f"waits (since {last:%a} {last.day} {last:%b})" in words
    assert "part (30 of the 50 that it needs)" in words
    assert re.search(r"No events in these nine weeks: [^.]*never", words)
    assert "Too little history to know what is usual: begun (2 weeks seen)." in words


def test_another_time_zone_has_other_days(admin, told):
    """A zone may be named; one that there is not is refused with near names."""
    assert "Asia/Tokyo)" in flat(section(admin, tz="Asia/Tokyo"))
    answer = admin.request("GET", "/needs?tz=Mars/Base")
    assert answer.status == 400
    assert "no time zone" in answer.body.decode()


def test_nothing_is_mine_until_i_follow_somebody(ana, told):
    """Who owns nothing is told how to get something; who follows an owner gets that owner's metrics."""
    words = flat(section(ana))
    assert "No metric here is yours. One is yours when its definition says owner: ana" in words
    assert "Fallen one" not in words
    answer = follow(ana, ["growth"])
    assert (answer.status, answer.headers["location"]) == (303, "/?project=default#needs")
    words = flat(section(ana))
    assert "Growth's own" in words
    assert "Your one metric is out of its usual range." in words
    assert "I look after growth" in words
    assert "Fallen one" not in words
    follow(ana, ["growth", "admin"])
    words = flat(section(ana))
    assert "Growth's own" in words
    assert "Fallen one" in words
    assert "Risen one" not in words
    assert follow(ana, [], at="needs").headers["location"] == "/needs?project=default#needs"
    assert "No metric here is yours" in flat(section(ana))


def test_titles_and_owners_are_text(ana, told):
    """What somebody wrote into a definition neither runs nor turns its neighbours around."""
    owner = next(
        html.unescape(name) for name in re.findall(r"<bdi>([^<]*)</bdi>", section(ana)) if "script" in name
    )
    follow(ana, [owner])
    page = section(ana)
    assert page.count("\\u202e") >= 3
    for text in (page, ana.request("GET", "/needs").body.decode()):
        assert "<script>alert" not in text
        assert "\u202e" not in text
    follow(ana, [])


def test_the_form_is_guarded(ana, told):
    """Without its token, or with owners that there are not, nothing is followed."""
    assert ana.request("POST", "/needs/follow", {"owner": "growth"}).status == 403
    csrf = ana.token("/needs")
    assert ana.request("POST", "/needs/follow", {"csrf": csrf, "owner": "0" * 16}).status == 303
    assert "No metric here is yours" in flat(section(ana))


def test_home_waits_for_nothing(admin, told):
    """The home page holds the place and a link; what is judged comes later, by itself or as a page."""
    page = admin.request("GET", "/").body.decode()
    assert 'data-from="/needs?project=default&amp;part=section"' in page
    assert '<a href="/needs?project=default">What needs me</a>' in page
    assert "usual range" not in page
    whole = admin.request("GET", "/needs").body.decode()
    assert '<h2 id="needs-title">' in whole
    assert " style=" not in whole
    assert not re.search(r"<script(?![^>]*src=)", whole)


def test_unused_metrics_are_named(server, admin, told):
    """Old ones that nobody opened and nothing uses; not those that were looked at, changed, or stand somewhere."""
    project = "unused"
    make_project(server, admin, project)
    put(server, {
        "forgotten": count("x", "admin", title="Forgotten one"),
        "fresh": count("x", "admin", title="Fresh one"),
        "in_formula": count("x", "admin", title="Part of another"),
        "formula": {"kind": "formula", "owner": "admin", "expression": "in_formula * 2", "scrape": "1h", "title": "Scraped"},
        "on_board": count("x", "admin", title="On a board"),
        "others": count("x", "growth", title="Not mine"),
        "explains": count("x", "admin", title="Also forgotten", role="intermediate", caveat="x"),
    }, project)  # fmt: skip
    board = {"last": "30d", "panels": [{"name": "p", "kind": "line", "metrics": ["on_board"]}]}
    key = server.make_key("admin", project)
    assert server.request("PUT", "/v1/dashboards/board", json.dumps(board), key=key).status == 200
    with server.open_catalog() as catalog, catalog.engine.begin() as connection:
        old = datetime.now(UTC) - timedelta(days=31)
        there = (DEFINITION.c.project == project) & (DEFINITION.c.name != "fresh")
        connection.execute(sa.update(DEFINITION).where(there).values(changed_at=old))
    words = flat(section(admin, project))
    line = "Not looked at in 30 days, and in no dashboard or formula:"
    assert f"{line} Also forgotten, Forgotten one." in words
    assert admin.request("GET", f"/metric?project={project}&name=forgotten").status == 200
    server.wait_until(lambda: f"{line} Also forgotten." in flat(section(admin, project)), "the look is noted")


def test_a_quiet_project_raises_no_alarm(server, admin, build_event, yesterday):
    """Where nothing at all happened yesterday its counts are not low: there is no data."""
    make_project(server, admin, "quiet")
    key = server.make_key("write", "quiet")
    events = [
        build_event(f"quiet-{back}-{n}", event_name="order",
                    event_time=(yesterday - timedelta(weeks=back, seconds=n)).isoformat())
        for back in range(1, 9) for n in range(40)
    ]  # fmt: skip
    server.wait_until(lambda: server.send(events, key=key).status == 200, "the events are taken")
    put(server, {"orders": count("order", "admin")}, "quiet")
    server.wait_loaded(server.make_key("read", "quiet"))
    words = flat(section(admin, "quiet"))
    assert "orders (since" in words
    assert "out of" not in words
    assert "Your one metric cannot be judged." in words


def test_more_than_fifty(server, admin, told):
    """Fifty are judged, and it is said of how many."""
    make_project(server, admin, "many")
    put(server, {f"metric_{n:02}": count("x", "admin") for n in range(MOST + 3)}, "many")
    words = flat(section(admin, "many"))
    assert "None of the 50 metrics looked at can be judged." in words
    assert "50 of your 53 metrics are judged, the first by name." in words
    assert "metric_49" in words
    assert "metric_50" not in words


def test_a_project_without_metrics(server, admin, told):
    """There is a way to the first metric, and nothing else."""
    make_project(server, admin, "bare")
    words = flat(section(admin, "bare"))
    assert "No metric is defined in this project yet" in words
    assert "I look after" not in words


def test_nobody_sees_it_without_a_session(server, told):
    """Page and part lead to the sign-in."""
    for path in ("/needs", "/needs?part=section"):
        assert server.request("GET", path, key=server.admin_key).status == 303
