"""What a metric's page says moved it, a funnel's page, and the time that a page opens on."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tallymark.metrics.explain import find_obstacle
from tallymark.plan.kinds.metric import Average, Conversion, Count, Formula, Gauge, Quantile, Rate
from tallymark.queries.question import Selection, Step
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.pages.metrics import group_explanation, write_contribution

store = pytest.mark.store
_TWO_DAYS = "from=2013-02-08&to=2013-02-09"


def _text(admin, path):
    answer = admin.request("GET", path)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def _put(server, name, **body):
    made = server.request("PUT", f"/v1/metrics/{name}", json.dumps(body), key=server.admin_key)
    assert made.status == 200, made.body


@pytest.fixture(scope="module")
def flown(server, build_event):
    """Store 400 planned flights of two days in 2013, most of which departed; and one event of today of another name."""
    events = []
    for n in range(400):
        day = "2013-02-07" if n % 2 else "2013-02-08"
        carrier = "UA" if n % 5 else "HA" if n < 20 else "AA"
        gone = n % 2 or n % 3 == 0
        attributes = {
            "carrier": carrier,
            "seldom": "x" if n % 7 == 0 else "y",
            "origin": ("JFK", "LGA", "EWR")[n % 3],
            "always": "the same",
            **({"tailnum": f"N{n}"} if gone else {}),
        }
        if n % 7 and n % 9:
            attributes.pop("seldom")
        happened = ["planned", *(["departed"] if gone else [])]
        events += [
            build_event(f"{name}-{n}", event_name=name, event_time=f"{day}T{n % 24:02}:{'00' if name == 'planned' else '30'}:00Z",
                        session_id=f"s{n}", attributes=attributes)
            for name in happened
        ]  # fmt: skip
    events.append(
        build_event(
            "today", event_name="heartbeat", event_time=(datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        )
    )
    assert server.send(events).status == 200
    server.wait_loaded()
    sides = {"numerator": {"event_name": "departed"}, "denominator": {"event_name": "planned"}}
    _put(server, "departure_rate", kind="ratio", minimum_sample=20, **sides)
    steps = [{"event_name": "planned"}, {"event_name": "departed"}]
    _put(server, "conversion", kind="funnel", by="session_id", window="1d", steps=steps)
    _put(server, "planned", kind="count", event_name="planned")
    _put(server, "twice", kind="formula", expression="planned * 2")
    _put(server, "today", kind="count", event_name="heartbeat")


@store
def test_fields_are_chosen_by_their_values(admin, flown):
    """Texts of 2 to 100 values that most events have, the fewest values first, and the hour: no tail numbers, no constants."""
    page = _text(admin, f"/metric?name=departure_rate&{_TWO_DAYS}")
    (chosen,) = re.findall(r'name="dimensions" value="([^"]*)"', page)
    assert chosen == "attributes.carrier attributes.origin event_hour"


@store
def test_ids_of_events_are_no_reason(admin, server, flown, build_event):
    """Of a few events every id is one of a few values, and yet no event is what moved a figure."""
    events = [
        build_event(f"few-{n}", event_name="few", event_time=f"2013-02-0{7 + n % 2}T12:00:00Z", attributes={"plan": "ab"[n % 2]})
        for n in range(20)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    _put(server, "few_events", kind="count", event_name="few")
    (chosen,) = re.findall(
        r'name="dimensions" value="([^"]*)"', _text(admin, f"/metric?name=few_events&{_TWO_DAYS}")
    )
    assert chosen == "attributes.plan event_hour"


@store
def test_rows_say_what_they_stand_on(admin, flown):
    """A share's contribution is in percentage points with one decimal, n of both times stands beside it, and few are greyed."""
    page = _text(admin, f"/metric?name=departure_rate&{_TWO_DAYS}&dimensions=carrier")
    table = page[
        page.index('<table class="contributions">') : page.index(
            "</table>", page.index('<table class="contributions">')
        )
    ]
    rows = {re.search(r"<bdi>(\w+)</bdi>", row)[1]: row for row in table.split("<tr")[1:]}
    assert re.search(r">-\d\d\.\d pp<", rows["UA"])
    assert "n = 160 → 160" in rows["UA"]
    assert re.search(r">100\.0 % → \d\d\.\d %<", rows["UA"])
    assert "n = 2 → 2: fewer than 20" in rows["HA"]
    assert {name: ' class="gone"' in row for name, row in rows.items()} == {
        "UA": False,
        "AA": False,
        "HA": True,
    }


@store
def test_a_funnel_is_drawn_with_all_its_steps(admin, flown):
    """Its page has the funnel as a chart and as a table, no interval to choose, and says why its change has no parts."""
    page = _text(admin, f"/metric?name=conversion&{_TWO_DAYS}")
    (chart,) = re.findall(r'id="metric-data">(.*?)</script>', page)
    assert [row["y"] for row in json.loads(chart)["rows"]] == [200, 67]
    # The table has the digits of the headline.
    assert page.count(">33.5 %<") == 3
    assert "33.50" not in page
    assert 'name="interval"' not in page
    assert "A funnel has no parts that add up" in page
    assert 'name="dimensions"' not in page
    assert "No field is known" not in page
    by_origin = _text(admin, f"/metric?name=conversion&{_TWO_DAYS}&by=origin&interval=day")
    assert "JFK" in by_origin


@store
@pytest.mark.parametrize("name", ["planned", "departure_rate", "conversion", "twice"])
def test_old_events_are_shown_at_once(admin, flown, name):
    """Without a time in the address the page shows the 30 days up to the newest event, and says so; with one, that."""
    page = _text(admin, f"/metric?name={name}")
    assert "Its newest event is of 2013-02-08: shown are the 30 days up to it." in page
    assert 'name="from" value="2013-01-10"' in page
    assert 'name="to" value="2013-02-09"' in page
    assert "There is no figure in this time." not in page
    assert "newest event is of" not in _text(admin, f"/metric?name={name}&last=7d")


@store
def test_new_events_are_the_last_days(admin, server, flown, build_event):
    """A metric whose event still arrives, or never did, opens on the last 30 days."""
    _put(server, "never", kind="count", event_name="never_seen")
    for name in ("today", "never"):
        page = _text(admin, f"/metric?name={name}")
        assert "newest event is of" not in page
        assert 'name="last" value="30d"' in page


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "ratio", "+1.2 pp"), (-0.61534, "ratio", "-61.5 pp"), (0.0, "ratio", "0.0 pp"), (-0.0001, "ratio", "0.0 pp"),
        (1234.0, "", "+1,234"), (-7, "flights", "-7"), (0.0, "", "0"), (0.123456, "s", "+0.123"), (-12345.678, "", "-12,346"),
    ],
)  # fmt: skip
def test_contributions_have_the_digits_that_matter(value, unit, text):
    """Shares in percentage points with one decimal, other figures with three digits, counts whole."""
    assert write_contribution(value, unit) == text


def test_without_a_count_nothing_is_said_of_it():
    """A sum has no n, and no row of it is greyed."""
    names = ["dimension", "value", "values", "before", "after", "n_before", "n_after", "contribution"]
    answer = Answer(
        tuple(Column(name, "number") for name in names),
        [["os", "a", 1, 2.0, 3.0, None, None, 1.0]],
        [],
        Cost(0.0),
    )
    (field,) = group_explanation(answer, "EUR", 100)
    assert (field.rows[0]["n"], field.rows[0]["weak"], field.rows[0]["text"]) == ("", "", "+1")


@pytest.mark.parametrize(
    ("before", "after", "n", "unit", "is_share", "texts"),
    [
        (0.987804, 0.945122, 902, "ratio", True, ("98.78 %", "94.5 %")),
        (0.987804, 0.945122, 902, "ratio", False, ("99 %", "95 %")),
        (12.639, 14.1234, 40, "min", False, ("13", "14")),
        (1234.0, 99.0, None, "flights", False, ("1,234", "99")),
        (1234.5678, None, None, "EUR", False, ("1,235", "–")),
    ],
)
def test_figures_before_and_after_are_as_sure_as_elsewhere(before, after, n, unit, is_share, texts):
    """A share has the digits of its interval at that n, an estimate those that n allows, and what was counted all."""
    names = ["dimension", "value", "values", "before", "after", "n_before", "n_after", "contribution"]
    row = ["os", "a", 1, before, after, n, n, 1.0]
    answer = Answer(tuple(Column(name, "number") for name in names), [row], [], Cost(0.0))
    (field,) = group_explanation(answer, unit, is_share=is_share)
    assert (field.rows[0]["before"], field.rows[0]["after"]) == texts


_EVENT = Selection(event_name="a")


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (Conversion(name="m", by="user_id", window="1d", steps=(Step(event_name="a"), Step(event_name="b"))), "A funnel has"),
        (Gauge(name="m", event_name="a"), "A gauge has"),
        (Formula(name="m", expression="a + b"), "A formula has"),
        (Quantile(name="m", event_name="a", field="sketch"), "A quantile of sketches has"),
        (Average(name="m", event_name="a", field="sketch"), "An average of sketch"),
        (Quantile(name="m", event_name="a"), ""), (Count(name="m", event_name="a"), ""), (Average(name="m", event_name="a"), ""),
        (Rate(name="m", numerator=_EVENT, denominator=_EVENT), ""),
    ],
)  # fmt: skip
def test_what_has_no_parts_says_why(metric, says):
    """The reason is known without asking for fields."""
    assert find_obstacle(metric).startswith(says)
    assert bool(find_obstacle(metric)) == bool(says)


@store
def test_what_a_dashboard_shows_is_looked_at(admin, server, flown):
    """A look at a dashboard, at a panel, at an explanation, or a scrape is one at each metric that it shows."""
    names = [f"watched_{n}" for n in range(5)]
    for place, name in enumerate(names):
        _put(server, name, kind="count", event_name="planned", **({"scrape": "1h"} if place == 4 else {}))

    def unseen():
        rows = _text(admin, "/catalogue?q=watched").split("<tr>")[2:]
        return [
            name
            for name in names
            for row in rows
            if f"<code>{name}</code>" in row and "not in 30 days" in row
        ]

    for board, shown in (("watch", names[:2]), ("panel", names[2:3])):
        panels = [{"name": name, "kind": "line", "metrics": [name]} for name in shown]
        body = json.dumps({"last": "30d", "panels": panels})
        made = server.request("PUT", f"/v1/dashboards/{board}", body, key=server.admin_key)
        assert made.status == 200, made.body
    assert unseen() == names
    _text(admin, "/dashboard?name=watch")
    _text(admin, f"/dashboard/panel?name=panel&panel={names[2]}&form=table")
    days = "from=2013-02-08&to=2013-02-09&breakdown=carrier"
    assert server.get(f"/v1/metrics/{names[3]}/explain?{days}").status == 200
    assert server.get("/metrics").status == 200
    server.wait_until(lambda: unseen() == [], "the looks are noted")


@store
def test_prometheus_is_told_what_is_too_few(server, flown):
    """A figure below its minimum sample, one of an event that was never seen, and a caveat can be seen there."""
    said = {"role": "intermediate", "caveat": "Retries count\nas new tries."}
    _put(server, "few", kind="count", event_name="heartbeat", scrape="1d", minimum_sample=10, **said)
    _put(server, "many", kind="count", event_name="heartbeat", scrape="1d", minimum_sample=1)
    _put(server, "unseen", kind="count", event_name="never_seen", scrape="1h")
    text = server.get("/metrics").body.decode()

    def gauge(name, metric):
        (found,) = re.findall(rf'^{name}{{metric="{metric}",[^}}]*}} (\S+)$', text, re.MULTILINE) or [None]
        return found and float(found)

    assert [gauge("tallymark_figure_enough", one) for one in ("few", "many", "unseen")] == [0, 1, 0]
    assert [gauge("tallymark_figure_missing", one) for one in ("few", "many", "unseen")] == [0, 0, 1]
    assert [gauge("tallymark_figure", one) for one in ("few", "many", "unseen")] == [1, 1, None]
    assert [gauge("tallymark_figure_failed", one) for one in ("few", "many", "unseen")] == [0, 0, 0]
    (told,) = re.findall(r"^# HELP tallymark_figure (.*)$", text, re.MULTILINE)
    assert "few: Retries count\\nas new tries." in told
    for name in ("few", "many", "unseen"):
        assert server.request("DELETE", f"/v1/metrics/{name}", key=server.admin_key).status == 200


@store
@pytest.mark.parametrize(
    ("more", "at", "says"),
    [
        ("limit=0", "limit", "1 to 1,000"), ("limit=-5", "limit", "1 to 1,000"), ("limit=x", "limit", "1 to 1,000"),
        ("limit=1001", "limit", "1 to 1,000"), ("limit=%D9%A3", "limit", "1 to 1,000"), ("others=maybe", "others", "true or false"),
        ("breakdown=n", "breakdown[0]", "would stand twice"), ("breakdown=carrier,low", "breakdown[1]", "would stand twice"),
        ("breakdown=figure", "breakdown[0]", "would stand twice"), ("breakdown=carrier,carrier", "breakdown[1]", "would stand twice"),
        ("breakdown=time", "breakdown[0]", "would stand twice"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(server, flown, more, at, says):
    """Figures and explanations say what is allowed, at the argument."""
    for what in ("figures", "explain"):
        answer = server.get(f"/v1/metrics/planned/{what}?{_TWO_DAYS}&{more}")
        # An explanation always tells of the others together: there is no such argument.
        unknown = (at, what) == ("others", "explain")
        code = "invalid_request" if unknown else "invalid_question"
        assert (answer.status, answer.json["code"], answer.json["at"]) == (400, code, at)
        assert says in answer.json["message"] or unknown


@store
def test_arguments_that_make_sense(server, flown):
    """The ends of what is allowed, and an attribute that is called as a column is."""
    for more in (
        "limit=1",
        "limit=1000",
        "others=false",
        "others=true&breakdown=carrier&limit=1",
        "breakdown=attributes.n",
    ):
        assert server.get(f"/v1/metrics/planned/figures?{_TWO_DAYS}&{more}").status == 200
