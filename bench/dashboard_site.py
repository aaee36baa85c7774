"""A server over ten million events with a dashboard of twelve panels, and hand-written SQL for what they show.

`fill_store` makes the events, `open_site` starts the server over them and a store with the plain, merged table beside it,
and compares all figures of both. Definitions and SQL: `baseline/dashboard*`. `dashboards` measures.
"""

from __future__ import annotations

import json
import math
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import store_load
from browsing import Viewer
from filled import BASELINE, PATIENT, open_beside, open_store, run_command
from serving import Server

from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations

_FIELDS = "project=default&name=sign_up"
PAGE = f"/dashboard?{_FIELDS}"
_CHUNK = 1_000_000
# Of each step but the first of a sign-up a tenth is missing.
_KEPT = 0.925
# As many questions as the server asks at once.
_AT_ONCE = 8
_PROBLEM = re.compile(r'<p class="muted">([^<]*)')
_STEPS = ("INPUT_PHONE_NUMBER", "VERIFY_SMS_CODE", "INPUT_NAME", "INPUT_PASSWORD")


@dataclass(frozen=True, slots=True)
class Site:
    """A server over the events, the store with the baseline's plain table, and the baseline's SQL by panel."""

    server: Server
    plain: StoreClient
    cookies: str
    panels: dict[str, str]

    def viewer(self) -> Viewer:
        """Return somebody who is signed in."""
        return Viewer(self.server.port, self.cookies)

    def change(self) -> None:
        """Send a sign-up and wait until it can be queried: all that was remembered is old then."""
        self.server.post(build_sign_up())
        self.server.wait_loaded()

    def ask_plain(self) -> list[Any]:
        """Run the baseline's SQL of all panels, as many at once as the server asks."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._ask_plain, self.panels.values()))

    def _ask_plain(self, sql: str) -> Any:
        return json.loads(self.plain.query_raw(sql, fmt="JSONCompact"))

    def find_missing(self, page: str) -> str:
        """Return the panels that show no figure, with what they say instead."""
        shown = {one.partition('"')[0]: one for one in page.split('id="panel-')[1:]}
        missing = {name: shown.get(name, "") for name in self.panels}
        marks = ("data-chart", 'class="value"', "<td")
        return "; ".join(
            f"{name}: {' '.join(_PROBLEM.findall(text))}"
            for name, text in missing.items()
            if not any(mark in text for mark in marks)
        )

    def metric(self, name: str, what: str = "figures", **fields: str) -> Any:
        """Ask the API for a metric."""
        return self.server.get(f"/v1/metrics/{name}/{what}?{urlencode(fields)}")


def build_sign_up() -> bytes:
    """Make one whole sign-up within the dashboard's time, so that every panel changes."""
    name = uuid.uuid4().hex
    common = {
        "event_type": "behavior",
        "session_id": f"session-{name}",
        "user_id": f"user-{name}",
        "service_version": "2.1",
        "agent_browser": "Firefox",
        "attributes": {"os": "Web", "country": "de", "campaign": "campaign-1", "amount": 8.5},
    }
    events = [
        {
            "event_id": f"{name}-{step}",
            "event_time": f"2024-06-12T12:00:0{step}Z",
            "event_name": event,
            "value": 990.0,
        }
        for step, event in enumerate(_STEPS)
    ]
    return json.dumps([common | event for event in events]).encode()


def panel_path(panel: str, **fields: str) -> str:
    """Return the address of a panel in another form."""
    return f"/dashboard/panel?{_FIELDS}&{urlencode({'panel': panel, **fields})}"


def fill_store(folder: Path, rows: int) -> None:
    """Make the events of sign-ups over a year, as `questions` does, with more fields to break them down by."""
    folder.mkdir()
    with open_store(folder) as client:
        run_migrations(client)
        numbers = math.ceil(rows / _KEPT)
        for first in range(0, numbers, _CHUNK):
            _fill_chunk(client, numbers, first, min(_CHUNK, numbers - first))
        store_load._settle(client)


def _fill_chunk(client: StoreClient, numbers: int, first: int, count: int) -> None:
    sql = f"""
        INSERT INTO tallymark.events (client_time, event_id, event_type, event_name, value, session_id, user_id,
            service_version, agent_browser, agent_language, attributes, project, source, received_at, skew_ms,
            journal_shard, journal_record)
        WITH intDiv(number, 4) AS session
        SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(
                session * intDiv(31622000000000, {max(numbers // 4, 1)}) + (number % 4) * (20000000 + cityHash64(number) % 60000000)),
            'event-' || toString(number), 'behavior', {list(_STEPS)}[1 + number % 4], (cityHash64(number) % 100000) / 100.,
            'session-' || hex(cityHash64(session)), 'user-' || toString(cityHash64(session, 6) % 400000),
            '2.' || toString(intDiv(number * 4, {numbers}) + cityHash64(session, 5) % 3),
            ['Chrome', 'Safari', 'Firefox', 'Edge'][1 + cityHash64(session, 4) % 4],
            ['de', 'en', 'fr', 'hi', 'ja', 'es'][1 + cityHash64(session, 8) % 6],
            ('{{"os":"' || ['iOS', 'Android', 'Web'][1 + cityHash64(session, 1) % 3]
                || '","country":"' || ['de', 'fr', 'us', 'jp', 'in'][1 + cityHash64(session, 2) % 5]
                || '","campaign":"campaign-' || toString(cityHash64(session, 9) % 20)
                || '","amount":' || toString((cityHash64(number, 3) % 10000) / 8.) || '}}')::JSON,
            'default', 'http', '2026-01-01 00:00:00', 0, 0, intDiv(number, 500)
        FROM numbers({first}, {count}) WHERE number % 4 = 0 OR cityHash64(number, 7) % 10 < 9"""
    client.command(sql, settings=PATIENT)


def _define(server: Server) -> None:
    """Apply the definitions with an admin key, which a server notices within a second."""
    key = run_command(server, "keys", "create", "admin")[-1]
    file = {
        "name": "dashboard.yaml",
        "text": (BASELINE / "dashboard.yaml").read_text(encoding="utf-8"),
    }
    body = json.dumps({"files": [file], "origin": "bench", "apply": True}).encode()
    headers = {"Authorization": f"Bearer {key}"}
    for _ in range(100):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{server.url}/v1/plan", body, headers), timeout=60
            ) as answer:
                applied = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            time.sleep(0.1)
        else:
            assert applied["applied"], applied["plan"]
            return
    raise AssertionError("the server does not know its admin key")


@contextmanager
def open_site(filled: Path, place: Path) -> Iterator[Site]:
    """Start a server over a copy of a filled store, and the baseline's store over another; compare their figures."""
    with open_beside(filled, place) as (server, client):
        _define(server)
        names = [path.stem.removeprefix("dashboard_") for path in sorted(BASELINE.glob("dashboard_*.sql"))]
        panels = {name: (BASELINE / f"dashboard_{name}.sql").read_text(encoding="utf-8") for name in names}
        site = Site(server, client, Viewer(server.port).sign_in(), panels)
        _compare(site)
        yield site


def _compare(site: Site) -> None:
    """Fail unless page and baseline show the same figures: a fast wrong answer is worth nothing."""
    assert len(site.panels) == 12
    for panel, found in zip(site.panels, site.ask_plain(), strict=True):
        ours = _read_ours(site, panel, [column["name"] for column in found["meta"]])
        plain = found["data"]
        if "totals" in found:
            plain.append(["whole", *found["totals"][1:]])
        assert len(ours) == len(plain), f"{panel}: {len(ours)} rows are not {len(plain)}"
        for one, other in zip(sorted(ours, key=_lead), sorted(plain, key=_lead), strict=True):
            # Of its course a number shows nothing earlier.
            for left, right in zip(one, other, strict=panel != "begun"):
                number = isinstance(left, int | float) and isinstance(right, int | float)
                same = math.isclose(left, right, rel_tol=1e-9) if number else left == right
                assert same, f"{panel}: {one} is not {other}"


def _lead(cells: list[Any]) -> tuple[str, ...]:
    return tuple(cell for cell in cells if isinstance(cell, str))


def _read_ours(site: Site, panel: str, names: list[str]) -> list[list[Any]]:
    """Return a panel's figures in the baseline's columns: of a number its course, then the whole."""
    shown = json.loads(site.viewer().load(panel_path(panel, form="json")).text)
    assert not shown["problem"], shown
    (figures,) = shown["figures"]
    if panel == "funnel":
        return [[cells[0] for cells in _choose(figures, ["reached"])]]
    if figures["columns"][0]["name"] != "figure":
        return _choose(figures, names)
    year = {"from": "2024-01-01", "to": "2025-01-01"}
    course = _choose(site.metric(figures["metric"], **year, interval="week")["figures"], names)
    (whole,) = _choose(figures, names)
    if panel == "begun":
        whole += _choose(site.metric("begun", **year, compare="week")["compared"], ["figure"])[0]
    return [*course, ["whole", *whole]]


def _choose(figures: Any, names: list[str]) -> list[list[Any]]:
    """Return the rows with the columns of these names; times as dates."""
    present = [column["name"] for column in figures["columns"]]
    places = [present.index(name) for name in names if name in present]
    return [
        [cells[place][:10] if present[place] == "time" else cells[place] for place in places]
        for cells in figures["rows"]
    ]
