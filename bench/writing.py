"""The write path: CPU per event, throughput against the engine and against plain decoding, time to visible.

`run()` returns rows for the table. Every rate is a median of 5 runs on one server with what it compares itself
to measured in between.
"""

from __future__ import annotations

import statistics
import threading
import time
import urllib.parse
import urllib.request
from typing import Any

import msgspec
from load import build_bodies, build_events, send
from serving import READ_KEY, WRITE_KEY, Server
from store_load import bulk_load_rate

RUNS = 5
EVENTS = 200_000
_seeds = iter(range(int(time.time()), 2**40))


def run() -> list[dict[str, Any]]:
    """Measure all rows of this file."""
    return [*measure_rates(), *measure_visible()]


def measure_rates() -> list[dict[str, Any]]:
    """Measure CPU seconds per million events and the two ratios of throughput."""
    cpu, whole, alone, decoding = [], [], [], []
    with Server() as server:
        send(server.port, WRITE_KEY, build_bodies(20_000, 500, next(_seeds)))
        server.wait_loaded()
        for _ in range(RUNS):
            bodies = build_bodies(EVENTS, 500, next(_seeds))
            cpu_before, started = server.cpu_seconds(), time.perf_counter()
            send(server.port, WRITE_KEY, bodies)
            server.wait_loaded(0.1)
            whole.append(EVENTS / (time.perf_counter() - started))
            time.sleep(2)  # merges of these parts belong to these events
            cpu.append((server.cpu_seconds() - cpu_before) / EVENTS * 1e6)
        # The loader pauses while the intake is measured alone; everything is loaded afterwards.
        loader = server.role("loader")
        for _ in range(RUNS):
            bodies = build_bodies(EVENTS // 2, 100, next(_seeds))
            decoding.append(_decode_rate(bodies, EVENTS // 2))
            loader.suspend()
            sent = send(server.port, WRITE_KEY, bodies)
            loader.resume()
            alone.append(EVENTS / 2 / sent.seconds)
            server.wait_loaded(0.1)
    bulk = bulk_load_rate(_rows(EVENTS))
    ratio_alone = statistics.median(a / d for a, d in zip(alone, decoding, strict=True))
    ratio_whole = statistics.median(whole) / bulk
    return [
        _row("server CPU seconds per million events, intake to queryable", statistics.median(cpu), "s", 20, 12, "below"),
        _row("durable intake to queryable vs. the engine's own bulk load", ratio_whole, "×", 0.30, 0.45, "above",
             f"{statistics.median(whole):,.0f} against {bulk:,.0f} events/s"),
        _row("durable intake alone, batches of 100, vs. msgspec decoding", ratio_alone, "×", 0.20, 0.40, "above",
             f"{statistics.median(alone):,.0f} against {statistics.median(decoding):,.0f} events/s"),
    ]  # fmt: skip


def _decode_rate(bodies: list[bytes], events: int) -> float:
    decoder = msgspec.json.Decoder()
    started = time.perf_counter()
    for body in bodies:
        decoder.decode_lines(body)
    return events / (time.perf_counter() - started)


def _rows(count: int) -> list[dict[str, Any]]:
    """Make the rows that the loader would insert for `count` events."""
    rows = []
    for number, event in enumerate(build_events(count, next(_seeds))):
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
        rows.append(_row("acknowledged → visible, p95 at 5,000 events/s, fresh store", fresh, "s", 3, 1, "below"))
        _make_parts(server)
        aged = _visible_p95(server)
        rows.append(_row("the same after 30 minutes' worth of parts", aged, "s", 3, 1, "below"))
    return rows


def _visible_p95(server: Server, seconds: int = 20) -> float:
    bodies = build_bodies(5000 * seconds, 50, next(_seeds))
    background = threading.Thread(
        target=send, args=(server.port, WRITE_KEY, bodies), kwargs={"per_second": 100.0, "connections": 4}
    )
    background.start()
    delays = []
    until = time.monotonic() + seconds - 3
    while time.monotonic() < until:
        probe = build_events(1, next(_seeds))[0] | {"event_name": "probe"}
        send(server.port, WRITE_KEY, [msgspec.json.encode(probe)], connections=1)
        acknowledged = time.perf_counter()
        question = f"SELECT count() FROM events WHERE event_name = 'probe' AND event_id = '{probe['event_id']}'"
        while _count(server, question) == 0:
            time.sleep(0.01)
        delays.append(time.perf_counter() - acknowledged)
    background.join()
    server.wait_loaded()
    return sorted(delays)[int(0.95 * len(delays))]


def _count(server: Server, sql: str) -> int:
    address = f"{server.url}/clickhouse/?{urllib.parse.urlencode({'query': sql, 'default_format': 'TSV'})}"
    request = urllib.request.Request(address, headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": READ_KEY})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.read())


def _make_parts(server: Server) -> None:
    """Make as many inserts as half an hour makes, each with the rows of its time (2,000), as fast as they go."""
    from tallymark.store.client import StoreClient  # noqa: PLC0415 - loads the driver

    orders = server.store_orders()
    store = StoreClient(orders["store_url"], "tallymark", orders["store_password"])
    rows = _rows(2000)
    for number in range(_PARTS):
        body = b"".join(
            msgspec.json.encode(row | {"event_id": f"{number}-{place}", "journal_record": 10**9 + number}) + b"\n"
            for place, row in enumerate(rows)
        )
        store.insert_ndjson("tallymark.events", body, token=f"aged-{number}")
    store.close()


def _row(
    what: str, value: float, unit: str, must: float, aim: float, side: str, note: str = ""
) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "must": must, "aim": aim, "side": side, "note": note}


if __name__ == "__main__":
    for item in run():
        print(item)
