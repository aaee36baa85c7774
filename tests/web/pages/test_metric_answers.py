"""What the API answers about metrics: timers, explanations, who looked, versions, and mistakes at their argument."""

from __future__ import annotations

import json
import re
import statistics
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from tallymark.catalog.tables import ASKED, DEFINITION

pytestmark = pytest.mark.store
DAY = "from=2026-01-31&to=2026-02-01"
TIMES = [([10.0, 20.0, 40.0], [3, 5, 2]), ([20.0, 80.0], [6, 4]), ([15.0], [180])]
VALUES = sorted(
    value for bins, counts in TIMES for value, n in zip(bins, counts, strict=True) for _ in range(n)
)


def _put(server, path, body, status=200):
    answer = server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key)
    assert answer.status == status, answer.body
    return answer.json


def _rows(answer):
    names = [column["name"] for column in answer["columns"]]
    return [dict(zip(names, row, strict=True)) for row in answer["rows"]]


@pytest.fixture(scope="module")
def timed(server, build_event):
    """Store the sketches of a timer on one day, and 400 events of twelve fields of two days."""
    events = [
        build_event(f"timer-{number}", event_type="metric", event_name="took", sketch_values=bins, sketch_counts=counts)
        for number, (bins, counts) in enumerate(TIMES)
    ]  # fmt: skip
    events += [
        build_event(f"seen-{n}", event_name="seen", event_time=f"2026-01-{30 + n % 2}T12:00:00Z",
                    attributes={"carrier": "ABCDEFGHIJKLMNOP"[n % 16], **{f"f{k}": n % 3 for k in range(11)}})
        for n in range(400)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    of_timer = {"event_name": "took", "field": "sketch"}
    _put(server, "metrics/mean", {"kind": "average", "minimum_sample": 200, **of_timer})
    _put(server, "metrics/slowest", {"kind": "quantile", "q": 0.95, "minimum_sample": 201, **of_timer})
    _put(server, "metrics/seen", {"kind": "count", "event_name": "seen"})


def test_a_timer_can_be_averaged_and_ranked(server, timed):
    """A metric over sketches stands on the values in them, has an interval that holds the figure, and its own minimum sample."""
    (mean,) = _rows(server.get(f"/v1/metrics/mean/figures?{DAY}").json["figures"])
    assert (mean["figure"], mean["n"], mean["enough"]) == (pytest.approx(statistics.mean(VALUES)), 200, True)
    reach = 1.959964 * statistics.stdev(VALUES) / 200**0.5 + 0.01 * mean["figure"]
    assert mean["high"] - mean["figure"] == pytest.approx(reach)
    (slow,) = _rows(server.get(f"/v1/metrics/slowest/figures?{DAY}").json["figures"])
    assert (slow["figure"], slow["n"], slow["enough"]) == (VALUES[189], 200, False)
    # Ranks 183 and 198 of 200 values.
    assert (slow["low"], slow["high"]) == (
        pytest.approx(VALUES[182] * 0.99),
        pytest.approx(VALUES[197] * 1.01),
    )


def test_an_explanation_wants_one_to_ten_fields(server, timed):
    """Without a field, and with eleven, it is said how many there can be, at the argument."""
    asked = f"/v1/metrics/seen/explain?{DAY}"
    for fields in ("", "&breakdown=", "&breakdown=" + ",".join(f"f{n}" for n in range(11))):
        answer = server.get(asked + fields)
        assert (answer.status, answer.json["code"], answer.json["at"]) == (
            400,
            "invalid_question",
            "breakdown",
        )
        assert "10 fields" in answer.json["message"]
    many = server.get(f"/v1/metrics/seen/figures?{DAY}&breakdown=" + ",".join(f"f{n}" for n in range(6)))
    assert (many.status, many.json["at"]) == (400, "breakdown")
    ten = server.get(f"{asked}&breakdown=" + ",".join(f"f{n}" for n in range(10)))
    assert ten.status == 200
    assert len({row["dimension"] for row in _rows(ten.json)}) == 10


@pytest.mark.parametrize(("limit", "rows"), [("", 9), ("&limit=3", 4), ("&limit=100", 16)])
def test_an_explanation_has_as_many_values_as_are_asked(server, timed, limit, rows):
    """The others stand in one row; without a limit eight are shown."""
    answer = server.get(f"/v1/metrics/seen/explain?{DAY}&breakdown=carrier{limit}")
    found = _rows(answer.json)
    assert len(found) == rows
    assert sum(row["values"] for row in found) == 16


def test_an_explanation_by_a_field_that_there_is_not(server, timed):
    """It says so, with the names that are near."""
    notes = server.get(f"/v1/metrics/seen/explain?{DAY}&breakdown=carier").json["notes"]
    assert notes == ["No event called seen has the attribute 'carier'. Near names: carrier."]


@pytest.mark.parametrize("name", ["interval=day", "others=true"])
def test_what_means_nothing_to_an_explanation_is_refused(server, timed, name):
    """An argument that would change nothing is not taken as if it did."""
    answer = server.get(f"/v1/metrics/seen/explain?{DAY}&breakdown=carrier&{name}")
    assert (answer.status, answer.json["at"]) == (400, name.partition("=")[0])
    assert "Allowed: from, to, timezone, filters, breakdown, limit, compare, key." in answer.json["message"]


@pytest.mark.parametrize(
    ("more", "at", "says"),
    [
        ("filters=zz", "filters", "JSON list"), ("filters=" + quote('{"field": 1}'), "filters", "array"),
        ("filters=" + quote('[{"op": "eq"}]'), "filters[0]", "Fields: field, op, value"),
        ("filters=" + quote('[{"field": "x", "op": "is"}]'), "filters[0].op", "Allowed: contains"),
        ("interval=fortnight", "interval", "Allowed: day, hour"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_argument(server, timed, more, at, says):
    """The path is that of the address, and the message has what is allowed there."""
    answer = server.get(f"/v1/metrics/seen/figures?{DAY}&{more}")
    assert (answer.status, answer.json["code"], answer.json["at"]) == (400, "invalid_question", at)
    assert says in answer.json["message"]


def test_both_times_are_told(server, timed):
    """Figures and those that they are compared with say for which time they are."""
    answer = server.get(f"/v1/metrics/seen/figures?{DAY}&compare=previous&timezone=Europe/Berlin").json
    times = [(answer[part]["from"], answer[part]["to"]) for part in ("figures", "compared")]
    assert times == [
        ("2026-01-31T00:00:00+01:00", "2026-02-01T00:00:00+01:00"),
        ("2026-01-30T00:00:00+01:00", "2026-01-31T00:00:00+01:00"),
    ]


def _looks(server):
    with server.open_catalog() as catalog, catalog.engine.connect() as connection:
        return {(row.name, row.times) for row in connection.execute(sa.select(ASKED))}


def test_only_a_metric_that_there_is_is_looked_at(server, admin, timed):
    """Asking for names that nothing has leaves nothing behind, and what is made later, or anew, was not looked at."""
    _put(server, "metrics/watched", {"kind": "count", "event_name": "seen"})
    for name in ("ghost", "watched", "ghost", "ghost-2"):
        for what in ("figures", "explain"):
            server.get(f"/v1/metrics/{name}/{what}?{DAY}&breakdown=carrier")
    server.wait_until(lambda: ("watched", 2) in _looks(server), "the looks are noted")
    assert not [name for name, _ in _looks(server) if name.startswith("ghost")]
    assert server.request("DELETE", "/v1/metrics/watched", key=server.admin_key).status == 200
    assert "watched" not in {name for name, _ in _looks(server)}
    for name in ("ghost", "watched"):
        _put(server, f"metrics/{name}", {"kind": "count", "event_name": "seen"})
        page = admin.request("GET", f"/metric?name={name}&{DAY}").body.decode()
        assert "Not looked at in 30 days" in page
    server.wait_until(lambda: {("ghost", 1), ("watched", 1)} <= _looks(server), "both looks are noted")
    assert "Looked at once in 30 days." in admin.request("GET", f"/metric?name=ghost&{DAY}").body.decode()


def test_the_catalogue_and_home_have_one_rule(server, admin, timed):
    """A metric that was made a minute ago is not unused; an old one is, unless something has it."""
    for name in ("fresh", "old", "in_formula"):
        _put(server, f"metrics/{name}", {"kind": "count", "event_name": "seen", "owner": "admin"})
    _put(
        server,
        "metrics/scraped",
        {"kind": "formula", "expression": "in_formula * 2", "scrape": "1h", "owner": "admin"},
    )
    with server.open_catalog() as catalog, catalog.engine.begin() as connection:
        ago = datetime.now(UTC) - timedelta(days=31)
        older = DEFINITION.c.name.in_(["old", "in_formula", "scraped"])
        connection.execute(sa.update(DEFINITION).where(older).values(changed_at=ago))
    page = admin.request("GET", "/catalogue?unused=1").body.decode()
    assert re.findall(r"<code>(\w+)</code>", page) == ["old"]
    assert "1 unused for 30 days" in page
    home = admin.request("GET", "/needs?part=section").body.decode()
    assert "Not looked at in 30 days, and in no dashboard or formula:" in home
    assert "name=old" in home
    assert not {"name=fresh", "name=in_formula", "name=scraped"} & set(
        re.findall(r"name=\w+", home.split("Not looked at")[1])
    )


def test_who_makes_what_there_is_learns_its_version(server, timed):
    """Without a version an existing object is not changed, and the answer says how; nobody else has to have changed it."""
    _put(server, "metrics/again", {"kind": "count", "event_name": "seen"})
    refused = _put(server, "metrics/again", {"kind": "count", "event_name": "other"}, 409)
    assert refused["code"] == "conflict"
    assert refused["message"] == "The metric 'again' exists already, at version 1. ?version=1 changes it."
    _put(server, "metrics/again?version=1", {"kind": "count", "event_name": "other"})
    late = _put(server, "metrics/again?version=1", {"kind": "count", "event_name": "third"}, 409)
    assert "is at version 2: somebody else changed it" in late["message"]
    board = {"last": "30d", "panels": []}
    _put(server, "dashboards/again", board)
    assert "at version 1. ?version=1 changes it." in _put(server, "dashboards/again", board, 409)["message"]


def test_the_description_tells_what_can_be_asked(server):
    """Versions of both kinds of object, every kind of question, and no argument that an explanation does not take."""
    paths = server.get("/v1/openapi/openapi.json").json["paths"]

    def named(path, method):
        return {one["name"] for one in paths[path][method].get("parameters", [])}

    for plural in ("metrics", "dashboards"):
        for method in ("put", "delete"):
            assert named(f"/v1/{plural}/{{name}}", method) == {"name", "version"}
    assert {"interval", "others"} <= named("/v1/metrics/{name}/figures", "get")
    assert not {"interval", "others"} & named("/v1/metrics/{name}/explain", "get")
    for kind in ("trend", "ratio", "funnel", "change", "histogram"):
        assert f"`{kind}`" in paths["/v1/query"]["post"]["description"]
