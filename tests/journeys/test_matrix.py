"""Every route with every kind of key of two projects: who may do what, and that nobody sees another's data."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.server.app import build_application
from tallymark.server.config import Config
from tallymark.server.orders import Orders

pytestmark = pytest.mark.store

EVERYONE = {"none", "unknown", "write", "read", "admin"}
READERS, WRITERS, ADMINS = {"read", "admin"}, {"write", "admin"}, {"admin"}
ROTA = '{"people":["ana","bo"],"begins":"2026-01-05"}'
ALERT = '{"name":"made","metric":"shared","when":{"is":"above","value":1e9},"window":"1h"}'
QUESTION = json.dumps(
    {"kind": "trend", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z",
     "series": [{"name": "n", "event_name": "clicked", "measure": {"op": "count"}}]}
)  # fmt: skip
# Route -> who may, the address to try, the body.
TABLE: dict[tuple[str, str], tuple[set[str], str, str]] = {
    ("POST", "/v1/events"): (WRITERS, "/v1/events", "[]"),
    ("OPTIONS", "/v1/events"): (EVERYONE, "/v1/events", ""),
    ("GET", "/v1/events"): (READERS, "/v1/events", ""),
    ("GET", "/v1/events/{event_id:str}/trace"): (READERS, "/v1/events/secret-of-a/trace", ""),
    ("GET", "/v1/trace"): (READERS, "/v1/trace?event_id=secret-of-a", ""),
    ("GET", "/v1/ledger"): (READERS, "/v1/ledger", ""),
    ("GET", "/v1/names"): (READERS, "/v1/names", ""),
    ("GET", "/v1/fields"): (READERS, "/v1/fields", ""),
    ("POST", "/v1/query"): (READERS, "/v1/query", QUESTION),
    ("GET", "/v1/quarantine"): (READERS, "/v1/quarantine", ""),
    ("POST", "/v1/quarantine/replay"): (ADMINS, "/v1/quarantine/replay", '{"ids":[1,2,3]}'),
    ("GET", "/v1/keys"): (ADMINS, "/v1/keys", ""),
    ("POST", "/v1/keys"): (ADMINS, "/v1/keys", '{"scope":"read"}'),
    ("DELETE", "/v1/keys/{key_id:int}"): (ADMINS, "/v1/keys/{key}", ""),
    ("GET", "/v1/metrics"): (READERS, "/v1/metrics", ""),
    ("GET", "/v1/metrics/{name:str}"): (READERS, "/v1/metrics/metric_of_a", ""),
    ("PUT", "/v1/metrics/{name:str}"): (ADMINS, "/v1/metrics/made", '{"kind":"count","event_name":"x"}'),
    ("DELETE", "/v1/metrics/{name:str}"): (ADMINS, "/v1/metrics/metric_of_a", ""),
    ("GET", "/v1/metrics/{name:str}/figures"): (
        READERS,
        "/v1/metrics/metric_of_a/figures?from=2026-01-01&to=2026-02-01",
        "",
    ),
    ("GET", "/v1/metrics/{name:str}/explain"): (
        READERS,
        "/v1/metrics/metric_of_a/explain?from=2026-01-01&to=2026-02-01&breakdown=os",
        "",
    ),
    ("GET", "/v1/dashboards"): (READERS, "/v1/dashboards", ""),
    ("GET", "/v1/dashboards/{name:str}"): (READERS, "/v1/dashboards/dashboard_of_a", ""),
    ("PUT", "/v1/dashboards/{name:str}"): (ADMINS, "/v1/dashboards/made", '{"last":"30d"}'),
    ("DELETE", "/v1/dashboards/{name:str}"): (ADMINS, "/v1/dashboards/dashboard_of_a", ""),
    ("POST", "/v1/plan"): (READERS, "/v1/plan", '{"files":[]}'),
    ("GET", "/v1/plan/export"): (READERS, "/v1/plan/export", ""),
    ("GET", "/v1/plan/schema"): (READERS, "/v1/plan/schema", ""),
    ("GET", "/v1/embeds"): (ADMINS, "/v1/embeds", ""),
    ("POST", "/v1/embeds"): (ADMINS, "/v1/embeds", '{"dashboard":"dashboard_of_a","panel":"p"}'),
    ("DELETE", "/v1/embeds/{embed_id:int}"): (ADMINS, "/v1/embeds/1", ""),
    ("GET", "/v1/alerts"): (READERS, "/v1/alerts", ""),
    ("GET", "/v1/alerts/{name:str}"): (READERS, "/v1/alerts/alert_of_a", ""),
    ("PUT", "/v1/alerts/{name:str}"): (ADMINS, "/v1/alerts/made", ALERT),
    ("DELETE", "/v1/alerts/{name:str}"): (ADMINS, "/v1/alerts/alert_of_a?version=1", ""),
    ("GET", "/v1/alerts/{name:str}/preview"): (READERS, "/v1/alerts/alert_of_a/preview", ""),
    ("GET", "/v1/rotas"): (READERS, "/v1/rotas", ""),
    ("GET", "/v1/rotas/{name:str}"): (READERS, "/v1/rotas/rota_of_a", ""),
    ("PUT", "/v1/rotas/{name:str}"): (ADMINS, "/v1/rotas/made", ROTA),
    ("DELETE", "/v1/rotas/{name:str}"): (ADMINS, "/v1/rotas/rota_of_a?version=1", ""),
    ("GET", "/v1/alerting"): (READERS, "/v1/alerting", ""),
    ("GET", "/v1/alerting/history"): (READERS, "/v1/alerting/history", ""),
    ("POST", "/v1/alerting/preview"): (READERS, "/v1/alerting/preview", ALERT),
    ("GET", "/v1/silences"): (READERS, "/v1/silences", ""),
    ("POST", "/v1/silences"): (
        ADMINS,
        "/v1/silences",
        json.dumps({"reason": "a move", "until": f"{datetime.now(UTC) + timedelta(days=1):%FT%TZ}"}),
    ),
    ("DELETE", "/v1/silences/{number:int}"): (ADMINS, "/v1/silences/1", ""),
    ("GET", "/v1/receivers"): (ADMINS, "/v1/receivers", ""),
    ("POST", "/v1/receivers"): (
        ADMINS,
        "/v1/receivers",
        '{"name":"hook","url":"json://hooks.invalid/","owners":["*"]}',
    ),
    ("POST", "/v1/receivers/{name:str}/test"): (ADMINS, "/v1/receivers/hook/test", "{}"),
    ("DELETE", "/v1/receivers/{name:str}"): (ADMINS, "/v1/receivers/hook", ""),
    # Who has a token, and a key helps nobody who has none.
    ("GET", "/embed/{token:str}"): (EVERYONE, "/embed/no-token", ""),
    ("GET", "/embed/{token:str}/{file:str}"): (EVERYONE, "/embed/no-token/panel.json", ""),
    ("GET", "/embed/{token:str}/{file:str}/{rest:path}"): (EVERYONE, "/embed/no-token/panel.json/deeper", ""),
    ("GET", "/clickhouse"): (READERS, "/clickhouse?query=select+*+from+events", ""),
    ("POST", "/clickhouse"): (READERS, "/clickhouse", "select * from events"),
    ("GET", "/clickhouse/{tail:path}"): (READERS, "/clickhouse/?query=select+*+from+events", ""),
    ("POST", "/clickhouse/{tail:path}"): (READERS, "/clickhouse/", "select * from events"),
    ("GET", "/healthz"): (EVERYONE, "/healthz", ""),
    ("GET", "/readyz"): (EVERYONE, "/readyz", ""),
    # Without a key it has the server's own numbers; a key has to be one that may read.
    ("GET", "/metrics"): ({"none", *READERS}, "/metrics", ""),
    ("GET", "/v1/openapi"): (EVERYONE, "/v1/openapi", ""),
    ("GET", "/v1/openapi/openapi.json"): (EVERYONE, "/v1/openapi/openapi.json", ""),
}
# Pages are for people who have signed in: a key opens none of them.
PAGES = {
    ("GET", "/needs"), ("POST", "/needs/follow"),
    ("GET", "/"), ("GET", "/live"), ("GET", "/events"), ("GET", "/event"), ("GET", "/explore"), ("GET", "/explore.csv"),
    ("GET", "/explore/choices"), ("GET", "/quarantine"), ("POST", "/quarantine/replay"), ("GET", "/settings"),
    ("POST", "/settings/projects"), ("POST", "/settings/keys"), ("POST", "/settings/keys/revoke"),
    ("POST", "/settings/privacy"), ("POST", "/sign-out"), ("GET", "/catalogue"), ("GET", "/metric"),
    ("GET", "/dashboards"), ("GET", "/dashboard"), ("GET", "/dashboard/panel"),
    ("POST", "/metric/save"), ("POST", "/dashboard/make"), ("POST", "/dashboard/add"), ("POST", "/dashboard/arrange"),
    ("POST", "/dashboard/remove"), ("POST", "/dashboard/embed"),
    ("GET", "/definition"), ("POST", "/definition"), ("POST", "/metric/remove"),
    ("GET", "/alerts"), ("GET", "/alert"), ("POST", "/alert/silence"), ("POST", "/alert/silence/end"), ("POST", "/alert/remove"),
    ("POST", "/receivers"),
}  # fmt: skip
OPEN_PAGES = {
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/static/{version:str}/{name:str}"),
    ("GET", "/favicon.ico"),
    ("GET", "/v1/openapi/{path:str}"),
    # Who has a link of a message needs no session.
    ("GET", "/alert/answer/{token:str}"),
    ("POST", "/alert/answer/{token:str}"),
}
SECRETS = ("secret-of-a", "name-of-a", "attribute_of_a", "a.secret", "title-of-a")


def _build_routes(folder) -> set[tuple[str, str]]:
    """List what the application serves, from the application itself."""
    engine = open_engine(sqlite_url(folder))
    run_migrations(engine)
    Catalog(engine).set_fact("secret", "ab" * 32)
    engine.dispose()
    framework, intake, services = build_application(
        Orders(Config(data=str(folder)), "http://127.0.0.1:9", 9, "password"), 64
    )
    try:
        return {
            (str(method), route.path)
            for route in framework.routes
            for method in getattr(route, "methods", ())
            if method not in ("OPTIONS", "HEAD")
        }
    finally:
        intake.journal.close()
        services.close()


@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
def test_every_route_is_in_the_table(tmp_path):
    """A route that nobody has thought about here fails this test."""
    served = _build_routes(tmp_path) | {("POST", "/v1/events"), ("OPTIONS", "/v1/events")}
    assert served - TABLE.keys() - PAGES - OPEN_PAGES == set()
    assert TABLE.keys() - served == set()


@pytest.fixture(scope="module")
def keys(server, build_event) -> dict[str, dict[str, str]]:
    """Keys of two projects; project a has an event, a quarantined event and more that b must never see."""
    found = {"none": {"a": "", "b": ""}, "unknown": {"a": "no-such-key-at-all", "b": "no-such-key-at-all"}}
    for project in ("a", "b"):
        server.make_project(f"project-{project}")
        for scope in ("write", "read", "admin"):
            found.setdefault(scope, {})[project] = server.make_key(scope, f"project-{project}")
    events = [
        build_event("secret-of-a", event_name="name-of-a", attributes={"attribute_of_a": "a.secret"}),
        {"event_id": "secret-of-a-too", "event_name": "name-of-a"},
    ]
    sent = server.send(events, key=found["write"]["a"])
    assert sent.status == 207
    server.send(build_event("event-of-b"), key=found["write"]["b"])
    metric = {"kind": "count", "title": "title-of-a", "event_name": "name-of-a"}
    dashboard = {
        "last": "30d",
        "panels": [{"name": "p", "kind": "line", "metrics": ["metric_of_a"], "title": "title-of-a"}],
    }
    alert = {**json.loads(ALERT), "name": "alert_of_a", "title": "title-of-a"}
    shared = {"kind": "count", "event_name": "anything"}
    for project, path, body in (
        ("a", "metrics/metric_of_a", metric),
        ("a", "dashboards/dashboard_of_a", dashboard),
        ("a", "metrics/shared", shared),
        ("b", "metrics/shared", shared),
        ("a", "alerts/alert_of_a", alert),
        ("a", "rotas/rota_of_a", {**json.loads(ROTA), "title": "title-of-a"}),
    ):
        made = server.request("PUT", f"/v1/{path}", json.dumps(body), key=found["admin"][project])
        assert made.status == 200, made.body
    server.wait_loaded(found["read"]["a"])
    server.wait_loaded(found["read"]["b"])
    return found


@pytest.mark.parametrize("project", ["a", "b"])
@pytest.mark.parametrize("scope", sorted(EVERYONE))
@pytest.mark.parametrize("route", sorted(TABLE), ids=" ".join)
def test_matrix(server, keys, route, scope, project):
    """Who may do something is never told 401 or 403; who may not always is, and sees nothing."""
    allowed, path, body = TABLE[route]
    if "{key}" in path:
        # A key of the other project, so that nothing is really revoked: that is as good as none.
        other = "b" if project == "a" else "a"
        listed = server.get("/v1/keys", keys["admin"][other]).json["keys"]
        path = path.format(key=listed[0]["id"])
    answer = server.request(route[0], path, body or None, key=keys[scope][project])
    if scope in allowed:
        # Names and ids of the other project, and what was removed already, are as good as none.
        assert answer.status in (
            (200, 201, 204, 404, 409) if "{" in route[1] or "embeds" in route[1] else (200, 201, 204)
        ), answer.body
    else:
        assert answer.status == (403 if scope in ("write", "read", "admin") else 401), answer.body
    if (project == "b" or scope not in allowed) and route[1] != "/v1/openapi":
        seen = answer.body.decode("utf-8", "replace").replace(
            '"event_id":"secret-of-a","verdict":"unknown"', ""
        )
        assert not any(secret in seen for secret in SECRETS), seen


def test_project_a_sees_its_own(server, keys):
    """What b must not see is there for a: otherwise the matrix would show nothing."""
    read = keys["read"]["a"]
    metric = json.dumps({"kind": "count", "title": "title-of-a", "event_name": "name-of-a"})
    server.request("PUT", "/v1/metrics/metric_seen_by_a", metric, key=keys["admin"]["a"])
    for path in (
        "/v1/events",
        "/v1/trace?event_id=secret-of-a",
        "/v1/names",
        "/v1/fields",
        "/v1/quarantine",
        "/v1/metrics",
    ):
        assert any(secret in server.get(path, read).body.decode() for secret in SECRETS), path
    assert server.trace("secret-of-a", read)["verdict"] == "stored"
    assert {row["source"] for row in server.ledger(read)["rows"]} >= {"http"}
    assert server.ledger(read)["totals"]["quarantined"]["missing_field"] >= 1
    assert server.ledger(keys["read"]["b"])["totals"]["quarantined"] == {}


def test_admin_of_b_cannot_touch_a(server, keys):
    """An admin key rules its own project alone: no key and no quarantined event of another."""
    for row in server.get("/v1/keys", keys["admin"]["a"]).json["keys"]:
        assert server.request("DELETE", f"/v1/keys/{row['id']}", key=keys["admin"]["b"]).status == 404
    events = server.get("/v1/quarantine", keys["read"]["a"]).json["events"]
    order = json.dumps({"ids": [event["id"] for event in events]})
    assert events
    answer = server.request("POST", "/v1/quarantine/replay", order, key=keys["admin"]["b"])
    assert answer.json == {"accepted": 0, "rejected": []}
    assert server.get("/v1/events", keys["read"]["a"]).status == 200


@pytest.mark.parametrize(
    "statement",
    ["SELECT count() FROM events WHERE event_id = 'secret-of-a'", "SELECT count() FROM tallymark.events WHERE project = 'project-a'",
     "SELECT count() FROM merge('tallymark', 'events') WHERE project != 'project-b'"],
)  # fmt: skip
def test_sql_of_b_counts_nothing_of_a(server, keys, statement):
    """SQL on the public port sees one project, whatever it asks for."""
    answer = server.request("POST", "/clickhouse/", statement, key=keys["read"]["b"])
    assert answer.body.strip() == b"0" or answer.status >= 400


def test_same_id_in_two_projects_is_two_events(server, keys, build_event):
    """An event id belongs to its project: the same one elsewhere is neither duplicate nor conflict."""
    for project in ("a", "b"):
        assert (
            server.send(build_event("shared-id", value=len(project)), key=keys["write"][project]).status
            == 200
        )
    for project in ("a", "b"):
        ledger = server.wait_loaded(keys["read"][project])
        assert ledger["totals"]["duplicate"] == 0
        assert server.trace("shared-id", keys["read"][project])["verdict"] == "stored"


@pytest.mark.parametrize("route", sorted(PAGES), ids=" ".join)
def test_keys_open_no_page(server, keys, route):
    """A page asks for a person: with any key, or none, it shows the way to sign in or refuses."""
    for scope in ("none", "admin"):
        answer = server.request(route[0], route[1], "" if route[0] == "POST" else None, key=keys[scope]["a"])
        assert answer.status in (302, 303, 401, 403), (route, answer.status)
        assert not any(secret in answer.body.decode() for secret in SECRETS)
        if answer.status in (302, 303):
            assert "/sign-in" in answer.headers["location"]
