"""The write path at full load: CPU per event, throughput beside the engine's own bulk load and beside plain decoding.

`run()` returns rows for the table. What is compared is measured in turns, five times each, on one server.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from load import build_bodies, build_events, next_seed, send
from rows import Row, Rows, median_row
from serving import WRITE_KEY, Server
from store_load import BulkLoad

RUNS = 5
EVENTS = 200_000
# Group commit lives of senders side by side.
_SENDERS = 16


def run() -> Rows:
    """Measure all rows of this file."""
    with tempfile.TemporaryDirectory() as place, Server() as server:
        send(server.port, WRITE_KEY, build_bodies(20_000, 500, next_seed()))
        server.wait_loaded()
        return [*measure_whole(server, Path(place)), measure_intake(server)]


def measure_whole(server: Server, place: Path) -> Rows:
    """Measure CPU per million events up to queryable, and the rate beside the engine's bulk load of the same rows."""
    path = place / "rows.ndjson"
    path.write_bytes(msgspec.json.Encoder().encode_lines(_rows(EVENTS)))
    bulk = BulkLoad(place, path)
    cpu, ours, theirs = [], [], []
    for _ in range(RUNS):
        bodies = build_bodies(EVENTS, 500, next_seed())
        cpu_before, started = server.cpu_seconds(), time.perf_counter()
        send(server.port, WRITE_KEY, bodies)
        server.wait_loaded(0.1)
        ours.append(EVENTS / (time.perf_counter() - started))
        time.sleep(2)  # merges of these parts belong to these events
        cpu.append((server.cpu_seconds() - cpu_before) / EVENTS * 1e6)
        theirs.append(EVENTS / bulk.load()[0])
    bulk.close()
    best = ", ".join(f"{name}={value}" for name, value in bulk.settings.items())
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    what = "durable intake to queryable vs. the engine's own bulk load at its best settings, in turns"
    return [
        median_row("server CPU seconds per million events at full load, batches of 500, young store", cpu, "s", 20, 12),
        median_row(what, ratios, "×", 0.30, 0.45, "above", note=f"{_rate(ours)} against {_rate(theirs)} events/s; {best}"),
    ]  # fmt: skip


def measure_intake(server: Server) -> Row:
    """Measure the durable intake alone beside plain decoding; the loader pauses meanwhile and loads afterwards."""
    alone, decoding = [], []
    loader = server.role("loader")
    for _ in range(RUNS):
        bodies = build_bodies(EVENTS // 2, 100, next_seed())
        decoding.append(_decode_rate(bodies, EVENTS // 2))
        loader.suspend()
        sent = send(server.port, WRITE_KEY, bodies, connections=_SENDERS)
        loader.resume()
        alone.append(EVENTS / 2 / sent.seconds)
        server.wait_loaded(0.1)
    ratios = [one / other for one, other in zip(alone, decoding, strict=True)]
    what = f"durable intake alone, batches of 100 from {_SENDERS} senders, vs. msgspec decoding"
    note = f"{_rate(alone)} against {_rate(decoding)} events/s"
    return median_row(what, ratios, "×", 0.20, 0.40, "above", note=note)


def _rate(rates: list[float]) -> str:
    return f"{sorted(rates)[len(rates) // 2]:,.0f}"


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


if __name__ == "__main__":
    for item in run():
        print(item)
