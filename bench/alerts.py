"""Alerts: how soon people hear, what a round costs, how often nothing is wrong, how soon something is found.

`run()` returns rows for the table. Latency and CPU on a running server; a round over ten million events; false alarms and
detection on simulated traffic, through the verdicts and states of the server itself.
By hand: `python bench/alerts.py [--rows N] [PART ...]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dashboard_site
import numpy as np
from filled import open_store
from rows import Rows, percentile, row
from serving import Server

from tallymark.alerts.book import Book
from tallymark.alerts.conditions import judge, list_needed
from tallymark.alerts.notices import Notices
from tallymark.alerts.silences import Silences
from tallymark.alerts.standing import Standing, advance
from tallymark.alerts.watcher import Watcher
from tallymark.alerts.windows import Window
from tallymark.catalog.definitions import Definitions, Write
from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.receivers import Receivers
from tallymark.catalog.repository import Catalog
from tallymark.catalog.sealing import open_sealer
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.metrics.figures import Figure
from tallymark.plan.kinds.alert import Alert, Falls, Unusual
from tallymark.plan.kinds.metric import Count, Rate
from tallymark.queries.events import Present, find_present
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.question import Selection
from tallymark.queries.run import run_question

ROWS = 10_000_000
ALERTS, METRICS = 1_000, 50
# Alerts beside those whose messages are timed.
_BESIDE = 200
_TIMED = 10
_SAMPLES = 30
_REST_SECONDS = 60
# Four weeks of an alert on a window of an hour, judged every five minutes, after eight weeks to learn from.
_STEP = 300
_WEEK = 7 * 86_400 // _STEP
_START = datetime(2026, 1, 5, tzinfo=UTC)


# A running server


class _Hook:
    """Keeps when it was told of which alert."""

    def __init__(self) -> None:
        told: list[tuple[float, str]] = []
        self.told = told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                told.append((time.perf_counter(), body["title"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def measure_latency() -> Rows:
    """Measure from the answer that an event is on the disk to the message that it causes, with 200 alerts at 5 s, and what rest costs."""
    hook = _Hook()
    with Server(None, "alert_seconds=5", "alert_inward=127.0.0.1") as server:
        try:
            key = _make_admin(server)
            idle = _measure_rest(server)
            moved_idle = _measure_rest(server, "unwatched")
            _define(server, key, hook.port)
            busy = _measure_rest(server)
            moved_busy = _measure_rest(server, "steady")
            times = _time_messages(server, hook)
        finally:
            hook.close()
    p95 = percentile(times, 0.95)
    note = f"p50 {statistics.median(times):.1f}, worst {max(times):.1f} s of {len(times)}; alert_seconds = 5"
    share, moved = (
        (more - less) / _REST_SECONDS * 100 for less, more in ((idle, busy), (moved_idle, moved_busy))
    )
    return [
        row(f"event acknowledged → notification received, p95 with {_BESIDE} alerts", p95, "s", 20, 8, "below", note),
        row(f"CPU of evaluation at rest, {_BESIDE} alerts, all processes", share, "% of a core", None, 5, "below",
            f"{busy:.2f} against {idle:.2f} s in {_REST_SECONDS} s without any; alert_seconds = 5"),
        row(f"the same while each of the events of all {_BESIDE} comes once a second", moved, "% of a core", None, None, "below",
            f"{moved_busy:.2f} against {moved_idle:.2f} s in {_REST_SECONDS} s without any alert"),
    ]  # fmt: skip


def _make_admin(server: Server) -> str:
    command = [
        str(Path(sys.executable).with_name("tallymark")),
        "keys",
        "create",
        "admin",
        "--data",
        str(server.folder),
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    time.sleep(2)
    return made


def _put(server: Server, key: str, method: str, path: str, body: Any) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    asked = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.status in (200, 201)


def _define(server: Server, key: str, port: int) -> None:
    """Define 200 alerts that have nothing to say, and ten that fire on an event of theirs."""
    for number in range(_TIMED):
        metric = {"kind": "count", "event_name": f"marker_{number}", "owner": "bench"}
        _put(server, key, "PUT", f"/v1/metrics/marker_{number}", metric)
        alert = {
            "metric": f"marker_{number}",
            "when": {"is": "above", "value": 0},
            "window": "10s",
            "every": "5s",
            "no_data": {"for": "1h"},
        }
        _put(server, key, "PUT", f"/v1/alerts/marker_{number}", alert)
    for number in range(_BESIDE // 10):
        metric = {"kind": "count", "event_name": f"steady_{number}", "owner": "others"}
        _put(server, key, "PUT", f"/v1/metrics/steady_{number}", metric)
        for other in range(10):
            alert = {
                "metric": f"steady_{number}",
                "when": {"is": "above", "value": 10_000 + other},
                "window": "5m",
                "no_data": {"tell": False},
            }
            _put(server, key, "PUT", f"/v1/alerts/steady_{number}_{other}", alert)
    _put(
        server,
        key,
        "POST",
        "/v1/receivers",
        {"name": "hook", "url": f"json://127.0.0.1:{port}/", "owners": ["bench"]},
    )


def _measure_rest(server: Server, sent: str = "") -> float:
    """Return the CPU seconds that all processes take in a minute of rest, or while events called `sent` come every second."""

    def wait(seconds: int) -> None:
        for _ in range(seconds):
            began = time.perf_counter()
            if sent:
                now = datetime.now(UTC).isoformat()
                events = [
                    {
                        "event_id": uuid.uuid4().hex,
                        "event_time": now,
                        "event_type": "metric",
                        "event_name": f"{sent}_{number}",
                    }
                    for number in range(_BESIDE // 10)
                ]
                server.post(json.dumps(events).encode())
            time.sleep(max(0.0, began + 1 - time.perf_counter()))

    wait(15)
    before = server.cpu_seconds()
    wait(_REST_SECONDS)
    return server.cpu_seconds() - before


def _time_messages(server: Server, hook: _Hook) -> list[float]:
    """Send an event for one alert after another, at odd moments, and wait for each message."""
    times: list[float] = []
    for number in range(_SAMPLES):
        name = f"marker_{number % _TIMED}"
        seen = len(hook.told)
        now = datetime.now(UTC).isoformat()
        event = {"event_id": uuid.uuid4().hex, "event_time": now, "event_type": "metric", "event_name": name}
        server.post(json.dumps([event]).encode())
        began = time.perf_counter()
        while not any(name in title and "Over" not in title for _, title in hook.told[seen:]):
            assert time.perf_counter() - began < 120, f"nobody was told of {name}"
            time.sleep(0.02)
        times.append(next(when for when, title in hook.told[seen:] if name in title) - began)
        time.sleep(0.7 + number % 5)
    return times


# A round


def measure_round(rows: int = ROWS) -> Rows:
    """Measure a round of 1,000 alerts on 50 metrics over ten million events: windows, conditions and delays of all kinds."""
    with tempfile.TemporaryDirectory(prefix="tallymark-bench-") as name:
        folder = Path(name)
        dashboard_site.fill_store(folder / "filled", rows)
        with open_store(folder / "filled") as store, ThreadPoolExecutor(3) as pool:
            catalog = _make_catalog(folder)
            asked = 0

            def ask(project: str, question: Any) -> Any:
                nonlocal asked
                asked += 1
                return run_question(question, store, project, explain=False)

            def look(project: str, window: Window) -> Present:
                nonlocal asked
                asked += 1
                return find_present(store, project, window.start, window.end)

            watcher = Watcher(
                catalog, Book(catalog), Notices(catalog), Silences(catalog), Receivers(catalog, open_sealer(folder)),
                ask, look, pool, 10,
            )  # fmt: skip
            now = datetime(2024, 6, 12, 12, tzinfo=UTC)
            times, questions = [], []
            for number in range(8):
                at, asked_before, began = now + timedelta(seconds=10 * number), asked, time.perf_counter()
                pulse = watcher.tick(at, at)
                times.append(time.perf_counter() - began)
                questions.append(asked - asked_before)
                assert not pulse.problems, pulse.problems
    # Between the ends of windows there is nothing to judge: such rounds would flatter the median.
    later = [took for took, count in list(zip(times, questions, strict=True))[2:] if count]
    usual = statistics.median(one for one in questions[2:] if one)
    note = f"worst {max(later):.2f} s; {usual:.0f} questions; the first round, which learns, {times[0]:.1f} s and {questions[0]} questions"
    what = f"one evaluation round of {ALERTS:,} alerts on {METRICS} metrics over 10M events (median of {len(later)})"
    return [row(what, statistics.median(later), "s", 10, 2, "below", note)]


def _make_catalog(folder: Path) -> Catalog:
    engine = open_engine(sqlite_url(folder))
    run_migrations(engine)
    catalog = Catalog(engine)
    catalog.create_project("default")
    steps, systems = (
        ("INPUT_PHONE_NUMBER", "VERIFY_SMS_CODE", "INPUT_NAME", "INPUT_PASSWORD"),
        ("iOS", "Android", "Web"),
    )
    writes = []
    for number in range(METRICS):
        name, step = f"m{number}", steps[number % 4]
        only = [
            {"field": "os", "op": "eq", "value": systems[number % 3]},
            {"field": "campaign", "op": "eq", "value": f"campaign-{number % 20}"},
        ]
        metric: dict[str, Any] = {
            "name": name,
            "kind": "count",
            "event_name": step,
            "filters": only[: number % 3],
        }
        if number % 5 == 0:
            metric = {
                "name": name,
                "kind": "ratio",
                "numerator": {"event_name": step},
                "denominator": {"event_name": steps[0]},
                "filters": only[: number % 3],
            }
        writes.append(Write("metric", name, json.dumps(metric), 0))
        for other in range(ALERTS // METRICS):
            when: dict[str, Any] = {"is": "below", "value": other / 100}
            if other % 10 >= 6:
                when = {"is": "falls", "percent": 20 + other, "against": "last week"}
            if other % 10 == 9:
                when = {"is": "unusual"}
            alert = {
                "name": f"{name}_{other}",
                "metric": name,
                "when": when,
                "window": ("15m", "1h")[other % 2],
            }
            writes.append(Write("alert", alert["name"], json.dumps(alert), 0))
    Definitions(catalog).change("default", "bench", writes)
    return catalog


# Simulated traffic


def _count_alarms(alert: Alert, metric: Any, figures: list[Figure], weeks: int) -> tuple[int, int | None]:
    """Run an alert over figures of windows that end five minutes apart; returns how often it fired, and the first place."""
    standing = Standing(since=_START, seen=_START)
    fired, first = 0, None
    for place in range(weeks * _WEEK, len(figures)):
        end = _START + timedelta(seconds=_STEP * place)
        earlier = [figures[place - week * _WEEK] for _, week in list_needed(alert.when)]
        after = advance(standing, judge(alert, metric, figures[place], earlier), end, alert)
        if after.state == "firing" and standing.state != "firing":
            fired, first = fired + 1, place if first is None else first
        standing = after
    return fired, first


def _build_counts(chance: np.random.Generator, an_hour: float, steps: int) -> list[int]:
    """Return counts of windows of an hour that end five minutes apart, of traffic that never changes."""
    small = chance.poisson(an_hour / 12, steps + 11)
    return [int(one) for one in np.convolve(small, np.ones(12, dtype=int), "valid")]


def _build_shares(chance: np.random.Generator, totals: list[int], rate: float) -> list[Figure]:
    figures = []
    for total in totals:
        through = int(chance.binomial(total, rate))
        figures.append(
            Figure(
                through / total if total else None,
                total,
                *(wilson_interval(through, total) if total else (None, None)),
            )
        )
    return figures


def measure_false_alarms() -> Rows:
    """Measure how often 200 alerts on the usual fire in four weeks of traffic that never changes."""
    chance = np.random.default_rng(20260105)
    alert = Alert(name="a", metric="m", when=Unusual(), window="1h")
    metric = Count(name="m", event_name="seen")
    alarms = []
    for number in range(200):
        an_hour = (30, 100, 300, 1000, 3000)[number % 5]
        counts = _build_counts(chance, an_hour, 12 * _WEEK)
        alarms.append(_count_alarms(alert, metric, [Figure(one, one) for one in counts], 8)[0])
    by_size = ", ".join(
        f"{size}/h {statistics.mean(alarms[place::5]):.2f}"
        for place, size in enumerate((30, 100, 300, 1000, 3000))
    )
    what = "false alarms: 200 alerts on the usual count of an hour, judged every 5 minutes over 4 weeks of stationary traffic"
    return [row(what, statistics.mean(alarms), "per alert and month", None, 1, "below", by_size)]


def measure_detection() -> Rows:
    """Measure how many windows after a drop by a fifth of the conversion an alert fires."""
    chance = np.random.default_rng(20260105)
    metric = Rate(name="m", numerator=Selection(event_name="b"), denominator=Selection(event_name="a"))
    rows = []
    for sessions in (100, 1000, 10_000):
        found = {}
        for name, when in (("falls", Falls(percent=10)), ("unusual", Unusual(side="below"))):
            alert = Alert(name="a", metric="m", when=when, window="1h")
            delays: list[float] = []
            missed = 0
            for _ in range(30):
                totals = _build_counts(chance, sessions, 8 * _WEEK + 12 * 24)
                before, after = totals[: 8 * _WEEK], totals[8 * _WEEK :]
                # The window holds what came before the drop, too: its share falls step by step.
                rates = [0.8 - 0.16 * min(1.0, (place + 1) / 12) for place in range(len(after))]
                figures = _build_shares(chance, before, 0.8)
                figures += [
                    _build_shares(chance, [total], rate)[0] for total, rate in zip(after, rates, strict=True)
                ]
                _, first = _count_alarms(alert, metric, figures, 8)
                if first is None:
                    missed += 1
                else:
                    delays.append((first - 8 * _WEEK + 1) * _STEP / 3600)
            found[name] = (statistics.median(delays) if delays else float("inf"), missed)
        best = min(value for value, _ in found.values())
        note = ", ".join(
            f"{name} {value:.2f} windows, {missed} of 30 missed in a day"
            for name, (value, missed) in found.items()
        )
        rows.append(
            row(
                f"a drop by 20 % of the conversion at {sessions:,} sessions an hour, window 1 h: windows until it fires",
                best,
                "windows",
                None,
                2,
                "below",
                note,
            )
        )
    return rows


PARTS: dict[str, Callable[[], Rows]] = {
    "latency": measure_latency,
    "round": measure_round,
    "false": measure_false_alarms,
    "detection": measure_detection,
}


def run() -> Rows:
    """Measure all of it."""
    return [found for part in PARTS.values() for found in part()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure alerts.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; all when absent")
    for part in parser.parse_args().parts or PARTS:
        for one in PARTS[part]():
            print(one, flush=True)


if __name__ == "__main__":
    main()
