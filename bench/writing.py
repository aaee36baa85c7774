"""The write path: CPU per event, throughput against the engine and against plain decoding, time to visible.

`run()` returns rows for the table. Every rate is a median of 5 runs on one server with what it compares itself
to measured in between.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
from load import build_bodies, build_events, send
from serving import READ_KEY, WRITE_KEY, Server
from store_load import measure_bulk_load

RUNS = 5
EVENTS = 200_000
# Group commit lives of senders side by side.
_SENDERS = 16
# The loader inserts about every 0.45 s: linger and the insert itself.
_PARTS = 30 * 60 * 100 // 45
_PART_ROWS = 2250
_seeds = iter(range(int(time.time()), 2**40))


def next_seed() -> int:
    """Return a seed that gives events whose ids nobody has sent yet."""
    return next(_seeds)


def run() -> list[dict[str, Any]]:
    """Measure all rows of this file."""
    return [*measure_rates(), *measure_visible()]


def measure_rates() -> list[dict[str, Any]]:
    """Measure CPU seconds per million events and the two ratios of throughput."""
    cpu, whole, alone, decoding = [], [], [], []
    with Server() as server:
        send(server.port, WRITE_KEY, build_bodies(20_000, 500, next_seed()))
        server.wait_loaded()
        for _ in range(RUNS):
            bodies = build_bodies(EVENTS, 500, next_seed())
            cpu_before, started = server.cpu_seconds(), time.perf_counter()
            send(server.port, WRITE_KEY, bodies)
            server.wait_loaded(0.1)
            whole.append(EVENTS / (time.perf_counter() - started))
            time.sleep(2)  # merges of these parts belong to these events
            cpu.append((server.cpu_seconds() - cpu_before) / EVENTS * 1e6)
        # The loader pauses while the intake is measured alone; everything is loaded afterwards.
        loader = server.role("loader")
        for _ in range(RUNS):
            bodies = build_bodies(EVENTS // 2, 100, next_seed())
            decoding.append(_decode_rate(bodies, EVENTS // 2))
            loader.suspend()
            sent = send(server.port, WRITE_KEY, bodies, connections=_SENDERS)
            loader.resume()
            alone.append(EVENTS / 2 / sent.seconds)
            server.wait_loaded(0.1)
    bulk = _bulk_rate()
    ratio_alone = statistics.median(a / d for a, d in zip(alone, decoding, strict=True))
    ratio_whole = statistics.median(whole) / bulk
    return [
        row("server CPU seconds per million events, intake to queryable", statistics.median(cpu), "s", 20, 12, "below"),
        row("durable intake to queryable vs. the engine's own bulk load", ratio_whole, "×", 0.30, 0.45, "above",
             f"{statistics.median(whole):,.0f} against {bulk:,.0f} events/s"),
        row(f"durable intake alone, batches of 100 from {_SENDERS} senders, vs. msgspec decoding", ratio_alone, "×", 0.20, 0.40, "above",
             f"{statistics.median(alone):,.0f} against {statistics.median(decoding):,.0f} events/s"),
    ]  # fmt: skip


def _bulk_rate() -> float:
    """Load the same rows with the engine's own INSERT ... SELECT FROM file; events per second."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "rows.ndjson"
        encoder = msgspec.json.Encoder()
        path.write_bytes(encoder.encode_lines(_rows(EVENTS)))
        seconds, _ = measure_bulk_load(Path(place), path)
    return EVENTS / seconds


def _decode_rate(bodies: list[bytes], events: int) -> float:
    decoder = msgspec.json.Decoder()
    started = time.perf_counter()
    for body in bodies:
        decoder.decode_lines(body)
    return events / (time.perf_counter() - started)


def _rows(count: int) -> list[dict[str, Any]]:
    """Make the rows that the loader would insert for `count` events."""
    rows = []
    for number, event in enumerate(build_events(count, next_seed())):
        event["client_time"] = event.pop("event_time")
        known = {
            "project": "default", "source": "http", "received_at": "2026-01-05T12:00:00.000000Z", "skew_ms": 0,
            "journal_shard": 0, "journal_record": number // 500,
        }  # fmt: skip
        rows.append(event | known)
    return rows


def measure_visible() -> list[dict[str, Any]]:
    """Measure acknowledged → visible at 5,000 events/s, on a fresh store and on one with half an hour's parts."""
    rows = []
    with Server() as server:
        fresh = _visible_p95(server)
        rows.append(
            row("acknowledged → visible, p95 at 5,000 events/s, fresh store", fresh, "s", 3, 1, "below")
        )
        _make_parts(server)
        aged = _visible_p95(server)
        rows.append(row("the same after 30 minutes' worth of parts", aged, "s", 3, 1, "below"))
    return rows


def _visible_p95(server: Server, seconds: int = 20) -> float:
    bodies = build_bodies(5000 * seconds, 50, next_seed())
    background = threading.Thread(
        target=send, args=(server.port, WRITE_KEY, bodies), kwargs={"per_second": 100.0, "connections": 4}
    )
    background.start()
    delays = []
    until = time.monotonic() + seconds - 3
    while time.monotonic() < until:
        probe = build_events(1, next_seed())[0] | {"event_name": "probe"}
        send(server.port, WRITE_KEY, [msgspec.json.encode(probe)], connections=1)
        acknowledged = time.perf_counter()
        question = (
            f"SELECT count() FROM events WHERE event_name = 'probe' AND event_id = '{probe['event_id']}'"
        )
        while _count(server, question) == 0:
            time.sleep(0.01)
        delays.append(time.perf_counter() - acknowledged)
    background.join()
    server.wait_loaded()
    return sorted(delays)[int(0.95 * len(delays))]


def _count(server: Server, sql: str) -> int:
    address = f"{server.url}/clickhouse/?{urllib.parse.urlencode({'query': sql, 'default_format': 'TSV'})}"
    request = urllib.request.Request(
        address, headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": READ_KEY}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.read())


def _make_parts(server: Server) -> None:
    """Make as many inserts as half an hour makes at 5,000 events/s, each with the rows of its time."""
    # Without lingering every body becomes an insert of its own: as many, and no waiting between them.
    server.restart("loader_linger_seconds=0")
    for _ in range(_PARTS // 20):
        for body in build_bodies(20 * _PART_ROWS, _PART_ROWS, next_seed()):
            server.post(body)
            server.wait_loaded(0.005)
    server.restart()


def row(
    what: str, value: float, unit: str, must: float | None, aim: float | None, side: str, note: str = ""
) -> dict[str, Any]:
    """Return a row of the table; `side` says whether a figure should be `below` or `above` its bounds."""
    return {"what": what, "value": value, "unit": unit, "must": must, "aim": aim, "side": side, "note": note}


if __name__ == "__main__":
    for item in run():
        print(item)
