"""What grows with what is stored: CPU per event, memory, disk and the start of a server with 1, 10 and 30 million events.

`run()` returns rows for the table; one folder grows through all sizes, filled through the intake at full load. Sizes in
millions come from TALLYMARK_BENCH_MILLIONS ("1,10,30").
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from load import build_bodies, next_seed, send
from rows import Rows, median_row, row
from serving import WRITE_KEY, Server

MILLIONS = tuple(int(size) for size in os.environ.get("TALLYMARK_BENCH_MILLIONS", "1,10,30").split(","))
_CHUNK = 500_000
_STARTS = 5


def run() -> Rows:
    """Grow a folder, and measure at each size."""
    rows: Rows = []
    with Server() as server:
        rows += _measure_at_rest(server, 0)
        stored = 0
        for millions in MILLIONS:
            used = _grow(server, millions * 1_000_000 - stored)
            span = f"from {stored // 1_000_000} to {millions} million stored"
            per_million = used / (millions * 1_000_000 - stored) * 1e6
            rows.append(row(f"server CPU seconds per million events at full load, {span}", per_million, "s"))
            stored = millions * 1_000_000
            rows += _measure_at_rest(server, millions)
    return rows


def _grow(server: Server, events: int) -> float:
    """Send so many events; return the CPU seconds of all processes until they are stored and merged."""
    before = server.cpu_seconds()
    for first in range(0, events, _CHUNK):
        send(server.port, WRITE_KEY, build_bodies(min(_CHUNK, events - first), 500, next_seed()))
    server.wait_loaded(0.1)
    time.sleep(10)  # merges of these parts belong to these events
    return server.cpu_seconds() - before


def _measure_at_rest(server: Server, millions: int) -> Rows:
    """Measure memory while nothing comes, as it is after loading and after a start, the start itself, and the disk."""
    name = f"{millions} million events" if millions else "an empty folder"
    bounds = (800, 500) if millions in (0, 10) else (None, None)
    loaded = server.pss_bytes() / 1e6
    starts, ready = [], []
    for _ in range(_STARTS):
        server.stop()
        began = time.perf_counter()
        starts.append(server.start())
        server.post(build_bodies(1, 1, next_seed())[0])
        server.wait_loaded()
        ready.append(time.perf_counter() - began)
    time.sleep(5)
    rows = [
        median_row(f"start to first 2xx, {name}", starts, "s", 4, 2),
        median_row(f"start until a first event is stored, dedup filters read, {name}", ready, "s"),
        row(
            f"memory (PSS, all processes), idle after a start, {name}",
            server.pss_bytes() / 1e6,
            "MB",
            *bounds,
        ),
    ]
    if millions:
        disk = sum(file.stat().st_size for file in Path(server.folder).rglob("*") if file.is_file())
        per_event = disk / millions / 1e6
        rows.append(row(f"memory (PSS, all processes), right after loading, {name}", loaded, "MB"))
        rows.append(row(f"disk per event, journal of 24 h with it, {name}", per_event, "bytes"))
    return rows


if __name__ == "__main__":
    for item in run():
        print(item)
