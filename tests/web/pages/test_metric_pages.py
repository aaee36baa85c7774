"""Pages of metrics and dashboards, over HTTP: what they show, and that nothing that arrives runs in them."""

from __future__ import annotations

import html
import json
import re

import pytest

pytestmark = pytest.mark.store

EVIL = "<script>alert(1)</script>\u202e'\""
_DAY = "from=2026-01-31&to=2026-02-01"


def _text(admin, path):
    answer = admin.request("GET", path)
    if answer.status == 303:
        answer = admin.request("GET", answer.headers["location"])
    assert answer.status == 200, answer.body
    return answer.body.decode()


@pytest.fixture(scope="module")
def told(server, build_event):
    """Store events of two platforms, and metrics and a dashboard over them, with names that want to run."""
    events = [
        build_event(f"page-{n}", event_name="bought", event_time=f"2026-01-31T{n % 24:02}:30:00Z", value=float(n),
                    agent_os="iOS" if n % 3 else EVIL[:50], attributes={"plan": EVIL})
        for n in range(60)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    metrics = {
        "bought": {"kind": "count", "title": EVIL, "owner": EVIL, "event_name": "bought", "unit": "purchases"},
        "amount": {"kind": "average", "event_name": "bought", "minimum_sample": 1000, "role": "intermediate", "caveat": EVIL},
        "gone": {"kind": "count", "event_name": "no_such_event"},
        "part_of_all": {"kind": "ratio", "numerator": {"event_name": "bought", "filters": [{"field": "agent_os", "op": "eq", "value": "iOS"}]},
                        "denominator": {"event_name": "bought"}},
    }  # fmt: skip
    for name, body in metrics.items():
        made = server.request("PUT", f"/v1/metrics/{name}", json.dumps(body), key=server.admin_key)
        assert made.status == 200, made.body
    panels = [
        {"name": "number", "kind": "number", "metrics": ["bought", "amount"], "compare": "week"},
        {"name": "line", "kind": "line", "metrics": ["part_of_all"], "title": EVIL},
        {"name": "area", "kind": "area", "metrics": ["bought"]},
        {"name": "stacked", "kind": "stacked", "metrics": ["bought"], "breakdown": ["agent_os"]},
        {"name": "bar", "kind": "bar", "metrics": ["part_of_all"], "breakdown": ["attributes.plan"]},
        {"name": "bars", "kind": "bar", "metrics": ["bought"]},
        {"name": "table", "kind": "table", "metrics": ["bought"], "breakdown": ["agent_os"]},
        {"name": "nothing", "kind": "line", "metrics": ["gone"]},
        {"name": "spread", "kind": "histogram", "metrics": ["amount"], "title": EVIL},
        {"name": "week", "kind": "heatmap", "metrics": ["bought"], "title": EVIL},
    ]
    board = {
        "title": EVIL,
        "description": EVIL,
        "from": "2026-01-31",
        "to": "2026-02-01",
        "interval": "hour",
        "panels": panels,
    }
    made = server.request("PUT", "/v1/dashboards/board", json.dumps(board), key=server.admin_key)
    assert made.status == 200, made.body


@pytest.mark.parametrize(
    "path",
    ["/catalogue", "/catalogue?q=bought", "/catalogue?unused=1", f"/metric?name=bought&{_DAY}", f"/metric?name=amount&{_DAY}&by=agent_os",
     f"/metric?name=part_of_all&{_DAY}&compare=none", f"/metric?name=gone&{_DAY}", "/dashboards", "/dashboard?name=board",
     "/dashboard?name=board&part=panels", "/dashboard?name=board&last=7d&f0.field=agent_os&f0.value=iOS"],
)  # fmt: skip
def test_pages_answer_and_nothing_runs(admin, told, path):
    """Every page answers, and what users wrote stands in it as text."""
    answer = admin.request("GET", path)
    assert answer.status == 200, answer.body.decode()
    assert "<script>alert" not in answer.body.decode()
    assert "\u202e" not in answer.body.decode()


def test_a_metric_says_what_it_stands_on(admin, told):
    """The page has the figure, n, the interval's reason to be careful, the caveat and the definition."""
    page = _text(admin, f"/metric?name=amount&{_DAY}")
    assert "n = 60" in page
    assert "too few to rely on" in page
    assert "Intermediate" in page
    assert "minimum_sample: 1000" in page


@pytest.mark.parametrize(
    "page",
    ["/metric?name=bought&{}&interval=day", "/explore?kind=trend&{}&interval=day&s0.event=bought"],
    ids=["metric", "explore"],
)
def test_an_interval_that_is_counted_in_part_is_told(admin, told, page):
    """A course that begins or ends inside an interval says so: half a day is not drawn as a fall."""
    whole = _text(admin, page.format(_DAY))
    assert "counted in part" not in whole
    half = _text(admin, page.format("from=2026-01-30&to=2026-01-31T12%3A00"))
    assert "The last day is counted in part: 00:00 to 12:00." in half


def test_a_change_from_nothing_is_not_split(admin, told):
    """Where a ratio had no figure before, there is nothing to split, and that is all that is said."""
    page = _text(admin, f"/metric?name=part_of_all&{_DAY}&dimensions=agent_os")
    assert "there is no change to explain" in page
    assert 'class="contributions"' not in page


def test_a_panel_that_shows_nothing_says_so(admin, told):
    """A metric whose event was never seen tells it in its panel; the other panels are there."""
    page = _text(admin, "/dashboard?name=board")
    assert page.count('class="panel ') == 10
    assert "There is no figure in this time." in page
    assert '60 <span class="unit">purchases' in page


def _chart(page, name):
    found = re.search(rf'id="{name}-data">(.*?)</script>', page)
    return json.loads(found[1])


def test_a_histogram_has_every_value_and_leads_to_them(admin, told):
    """The numbers 0 to 59 lie in buckets of two, one of which leads to its two events."""
    chart = _chart(_text(admin, "/dashboard?name=board&part=panels"), "spread")
    bars = [row for row in chart["rows"] if "y" in row]
    assert {row["y"] for row in bars} == {2}
    assert sum(row["y"] for row in bars) == 60
    assert [row["m"] for row in chart["rows"] if "m" in row] == [29.5]
    assert _text(admin, bars[3]["h"]).count('<td class="time">') == 2


def test_a_heat_map_leads_to_an_hour_of_the_week(admin, told):
    """31 January 2026 is a Saturday in UTC; in Tokyo its last nine hours are Sunday's first."""
    chart = _chart(_text(admin, "/dashboard?name=board&part=panels"), "week")
    found = {(row["d"], row["o"]): row for row in chart["rows"]}
    assert len(found) == 24
    assert (found["Sat", "03"]["v"], found["Sat", "20"]["v"]) == (3, 2)
    assert _text(admin, found["Sat", "20"]["h"]).count('<td class="time">') == 2
    tokyo = _chart(
        _text(admin, "/dashboard?name=board&part=panels&tz=Asia/Tokyo&from=2026-01-31&to=2026-02-02"), "week"
    )
    found = {(row["d"], row["o"]): row for row in tokyo["rows"]}
    assert (found["Sun", "05"]["v"], found["Sat", "05"]["v"]) == (2, 0)
    assert _text(admin, found["Sun", "05"]["h"]).count('<td class="time">') == 2


def test_a_panel_as_a_table(admin, told):
    """The page of a panel's figures has them all as text, says the time, and leads back."""
    page = _text(admin, "/dashboard/panel?name=board&panel=stacked&form=table")
    assert page.count("<tr") == 1 + 24 * 2
    assert "2026-01-31 03:00" in page
    assert "/dashboard?name=board&amp;project=default#panel-stacked" in page
    assert "<script>alert" not in page
    problem = _text(admin, "/dashboard/panel?name=board&panel=nothing&form=table")
    assert "There is no figure in this time." in problem


def test_one_colour_for_one_value(admin, told):
    """A platform has the same colour in an area, as a bar, on the metric's page and in Explore."""
    page = _text(admin, "/dashboard?name=board&part=panels")
    colours = {one["label"]: one["key"] for one in _chart(page, "stacked")["series"]}
    metric = _chart(_text(admin, f"/metric?name=part_of_all&{_DAY}&by=agent_os"), "metric")
    assert {one["label"]: one["key"] for one in metric["series"]} == colours
    assert len(set(colours.values())) == 2


def test_a_filter_of_all_panels_can_be_removed(admin, told):
    """The button beside a condition takes it away, in every panel and form; a wrong one is marked where it stands."""
    two = "f0.field=agent_os&f0.value=iOS&f1.field=value&f1.op=lt&f1.value=30"
    assert '20 <span class="unit">purchases' in _text(admin, f"/dashboard?name=board&{two}")
    page = _text(admin, f"/dashboard?name=board&{two}&drop=f1")
    assert '40 <span class="unit">purchases' in page
    assert 'name="f0.field" value="agent_os"' in page
    assert 'value="value"' not in page
    wrong = admin.request(
        "GET", "/dashboard?name=board&f0.field=agent_os&f0.op=matches&f0.value=" + "x" * 600
    )
    assert wrong.status == 400
    assert "wrong" in wrong.body.decode()


def test_a_metric_that_nobody_looks_after_is_found(admin, told):
    """An owner who is not there any more, and that nobody follows, is told; metrics without one are listed with them."""
    page = _text(admin, "/catalogue?orphans=1")
    assert "4 that nobody looks after" in page
    assert page.count("nobody signs in by that name or follows it") == 1
    assert page.count("<small>no owner</small>") == 3


def test_every_figure_leads_to_its_events(admin, told):
    """From a row of a metric's table one comes to the events that it counts, and to no others."""
    page = _text(admin, f"/metric?name=bought&{_DAY}&interval=none&by=agent_os&compare=none")
    links = [html.unescape(link) for link in re.findall(r'href="(/events\?[^"]+)"', page)]
    (ios,) = [link for link in links if "value=iOS" in link]
    assert _text(admin, ios).count('<td class="time">') == 40


def test_filters_hold_in_every_panel(admin, told):
    """A condition of the link narrows all panels."""
    assert '40 <span class="unit">purchases' in _text(
        admin, "/dashboard?name=board&f0.field=agent_os&f0.value=iOS"
    )


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/metric?name=nothing", 404, "no metric"),
        ("/metric", 404, "no metric"),
        ("/dashboard?name=nothing", 404, "no dashboard"),
        ("/metric?name=bought&from=soon&to=later", 400, "soon"),
        ("/metric?name=bought&last=forever", 400, "24h, 30d"),
        ("/dashboard?name=board&last=0d", 400, "24h, 30d"),
        ("/dashboard?name=board&f0.field=value&f0.op=lt&f0.value=x", 400, ""),
        ("/dashboard?name=board&f0.field=agent_os&f0.op=bogus&f0.value=x", 400, "bogus"),
        ("/metric?name=bought&interval=fortnight&from=2026-01-01&to=2026-01-02", 400, ""),
    ],
)
def test_mistakes_are_told_on_the_page(admin, told, path, status, says):
    """What an address gets wrong is answered with a page that says what is allowed."""
    answer = admin.request("GET", path)
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (status, "text/html")
    assert says in answer.body.decode()
