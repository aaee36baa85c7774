"""The write path at the rates that people have: CPU per event above idle, time to visible, latency of the intake.

`run()` returns rows for the table: three rates on a young store, then the time to visible on a store with the parts of
half an hour.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import urllib.parse
from dataclasses import dataclass

import msgspec
from load import Sent, build_bodies, build_events, next_seed, start_sending
from rows import Rows, median_row, percentile
from serving import READ_KEY, WRITE_KEY, Server

RUNS = 3
_SECONDS, _IDLE_SECONDS = 30, 15
# Events a second, events in a request, and what a million may cost in CPU seconds: must and aim.
RATES = ((1_000, 10, None, None), (5_000, 50, None, None), (20_000, 100, None, None))
# The loader inserts about every 0.45 s: linger and the insert itself.
_PARTS = 30 * 60 * 100 // 45
_PART_ROWS = 2250


@dataclass(frozen=True, slots=True)
class Steady:
    """One run at a rate: CPU seconds per million above idle, seconds to visible, and the intake's answers."""

    cpu: float
    visible: list[float]
    sent: Sent


def run() -> Rows:
    """Measure all rows of this file."""
    rows: Rows = []
    with Server() as server:
        # Code that runs for the first time is not what a steady rate costs.
        measure_steady(server, 1_000, 10, 5)
        for rate, batch, must, aim in RATES:
            found = [measure_steady(server, rate, batch) for _ in range(RUNS)]
            rows += _build_rows(found, rate, batch, must, aim)
        _make_parts(server)
        aged = [percentile(measure_steady(server, 5_000, 50).visible, 0.95) for _ in range(RUNS)]
        what = "acknowledged → visible, p95 at 5,000 events/s, after the parts of 30 minutes"
        rows.append(median_row(what, aged, "s", 3, 1))
    return rows


def _build_rows(found: list[Steady], rate: int, batch: int, must: float | None, aim: float | None) -> Rows:
    at = f"at {rate:,} events/s in batches of {batch}"
    note = f"intake p99 {sorted(one.sent.percentile(0.99) for one in found)[len(found) // 2] * 1000:.1f} ms"
    what = f"server CPU seconds per million events above idle, steady {at}"
    return [
        median_row(what, [one.cpu for one in found], "s", must, aim, note=note),
        median_row(f"acknowledged → visible, p95 {at}", [percentile(one.visible, 0.95) for one in found], "s", 3, 1),
    ]  # fmt: skip


def measure_steady(server: Server, rate: int, batch: int, seconds: int = _SECONDS) -> Steady:
    """Send at a rate for so many seconds; what the server takes while nothing comes is taken off."""
    server.wait_loaded(0.1)
    time.sleep(3)  # merges of what came before
    before = server.cpu_seconds()
    time.sleep(_IDLE_SECONDS)
    idle = (server.cpu_seconds() - before) / _IDLE_SECONDS
    bodies = build_bodies(rate * seconds, batch, next_seed())
    before, started = server.cpu_seconds(), time.perf_counter()
    sending = start_sending(server.port, WRITE_KEY, bodies, connections=4, per_second=rate / batch)
    sent = sending.result()
    server.wait_loaded(0.1)
    time.sleep(2)
    used = server.cpu_seconds() - before - idle * (time.perf_counter() - started)
    # Probes cost questions: the time to visible is measured afterwards, so that they are no part of the CPU.
    return Steady(used / (rate * seconds) * 1e6, _measure_visible(server, rate, batch), sent)


def _measure_visible(server: Server, rate: int, batch: int, seconds: int = 15) -> list[float]:
    """Send probes beside the rate; the seconds from the moment a probe's answer is read until a question finds it."""
    bodies = build_bodies(rate * seconds, batch, next_seed())
    sending = start_sending(server.port, WRITE_KEY, bodies, connections=4, per_second=rate / batch)
    ended = threading.Event()
    threading.Thread(target=lambda: (sending.result(), ended.set())).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    delays = []
    for number in itertools.count():
        if ended.is_set():
            break
        probe = build_events(1, next_seed())[0] | {"event_name": "probe"}
        body = msgspec.json.encode(probe)
        connection.request("POST", "/v1/events", body, {"Authorization": f"Bearer {WRITE_KEY}"})
        answer = connection.getresponse()
        assert answer.read()
        acknowledged = time.perf_counter()
        assert answer.status == 200, answer.status
        question = (
            f"SELECT count() FROM events WHERE event_name = 'probe' AND event_id = '{probe['event_id']}'"
        )
        while _count(connection, question) == 0:
            time.sleep(0.005)
        delays.append(time.perf_counter() - acknowledged)
        # At another moment of the loader's turn each time.
        time.sleep(0.05 * (number % 7))
    connection.close()
    return delays


def _count(connection: http.client.HTTPConnection, sql: str) -> int:
    address = f"/clickhouse/?{urllib.parse.urlencode({'query': sql, 'default_format': 'JSONCompact'})}"
    connection.request("GET", address, headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": READ_KEY})
    with connection.getresponse() as answer:
        body = answer.read()
        assert answer.status == 200, body[:200]
    return int(json.loads(body)["data"][0][0])


def _make_parts(server: Server) -> None:
    """Make as many inserts as half an hour makes at 5,000 events/s, each with the rows of its time."""
    # Without lingering every body becomes an insert of its own: as many, and no waiting between them.
    server.restart("loader_linger_seconds=0")
    for _ in range(_PARTS // 20):
        for body in build_bodies(20 * _PART_ROWS, _PART_ROWS, next_seed()):
            server.post(body)
            server.wait_loaded(0.005)
    server.restart()


if __name__ == "__main__":
    for item in run():
        print(item)
