"""How fast the store takes rows: the engine's own bulk load from a file beside ours through HTTP, in one run.

`run()` returns rows for the bench table; `python bench/store_load.py` prints them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tallymark.store.chdb_server import run_store
from tallymark.store.client import StoreClient
from tallymark.store.engine import Engine, Scope, quote_text
from tallymark.store.limits import ALWAYS
from tallymark.store.migrations import run_migrations
from tallymark.store.schema import CREATE_EVENTS, EVENTS_TABLE, INSERT_SETTINGS

ROWS = 500_000
BATCH = 50_000
REPEATS = 5
PASSWORD = "store-bench-password"  # noqa: S105 - it guards nothing


def write_rows(path: Path, rows: int) -> None:
    """Write realistic rows, about 350 bytes of event and 8 attributes each, the same in every run."""
    source = random.Random(1)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    with path.open("w") as file:
        for number in range(rows):
            moment = (start + timedelta(milliseconds=number * 7)).isoformat(timespec="microseconds")[
                :-6
            ] + "Z"
            row = {
                "client_time": moment,
                "event_id": str(uuid.UUID(int=source.getrandbits(128))),
                "event_type": "behavior",
                "event_name": f"{source.choice('abcdefgh')}_clicked",
                "session_id": str(number // 3),
                "attributes": {
                    "carrier": source.choice("ABCDEFG"), "origin": source.choice(["JFK", "LGA", "EWR"]), "dest": "LAX",
                    "tailnum": f"N{source.randrange(4000)}", "distance": source.randrange(3000), "sequence": number,
                    "on_time": source.random() < 0.5, "delay": round(source.random() * 60, 2),
                },
                "project": "default",
                "source": "http",
                "received_at": moment,
                "skew_ms": 0,
                "journal_shard": 0,
                "journal_record": number // 500,
            }  # fmt: skip
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


def read_cpu(pid: int) -> float:
    """Return the CPU seconds that a process used so far, from the operating system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_pss(pid: int) -> float:
    """Return a process's proportional memory in megabytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def _baseline(data_dir: str, pipe: Connection) -> None:
    """Load files with the engine's own INSERT ... SELECT FROM file, one for each path and settings that arrive."""
    engine = Engine(Path(data_dir), memory_limit_bytes=4 << 30)
    with engine.connection(Scope(), "baseline", dict(ALWAYS)) as connection:
        connection.run(CREATE_EVENTS)
    pipe.send(None)
    while order := pipe.recv():
        rows, settings = order
        with engine.connection(Scope(), "baseline", {**ALWAYS, **INSERT_SETTINGS, **settings}) as connection:
            connection.run(f"TRUNCATE TABLE {EVENTS_TABLE}")
            cpu, began = read_cpu(os.getpid()), time.perf_counter()
            connection.run(
                f"INSERT INTO {EVENTS_TABLE} SELECT * FROM file({quote_text(rows)}, 'JSONEachRow')"
            )
            pipe.send((time.perf_counter() - began, read_cpu(os.getpid()) - cpu))
    engine.close()


# What a bulk load can be tuned by: threads that parse, threads that write, and how much is written at once.
_BULK_SETTINGS = tuple(
    {"input_format_parallel_parsing": parsing, "max_insert_threads": threads, **blocks}
    for parsing in ("0", "1")
    for threads in ("1", "2")
    for blocks in ({}, {"max_insert_block_size": "65536", "min_insert_block_size_rows": "65536"})
)


class BulkLoad:
    """The engine's own load of a file, in a process of its own, at the settings that were fastest in a trial."""

    def __init__(self, folder: Path, rows: Path) -> None:
        self._rows = str(rows)
        self._process, self._pipe = _start(_baseline, str(folder / "baseline"))
        self._pipe.recv()
        self.settings: dict[str, str] = {}
        trials = [min(self._load(settings)[0] for _ in range(2)) for settings in _BULK_SETTINGS]
        self.settings = _BULK_SETTINGS[trials.index(min(trials))]

    def _load(self, settings: dict[str, str]) -> tuple[float, float]:
        self._pipe.send((self._rows, settings))
        seconds, cpu = self._pipe.recv()
        return seconds, cpu

    def load(self) -> tuple[float, float]:
        """Load the file into an empty table; return seconds and CPU seconds."""
        return self._load(self.settings)

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def _serve(data_dir: str, pipe: Connection) -> None:
    run_store(Path(data_dir), 0, PASSWORD, memory_limit_bytes=4 << 30, ready=pipe.send)


def _start(target: Any, *arguments: str) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    return process, ours


def _split(path: Path) -> list[bytes]:
    lines = path.read_bytes().splitlines(keepends=True)
    return [b"".join(lines[begin : begin + BATCH]) for begin in range(0, len(lines), BATCH)]


def _settle(client: StoreClient) -> None:
    """Wait until no merge runs and none is left to do."""
    deadline = time.monotonic() + 120
    quiet = 0
    while quiet < 10 and time.monotonic() < deadline:
        running = client.query_rows("SELECT count() FROM system.merges").rows[0][0]
        quiet = 0 if running else quiet + 1
        time.sleep(0.1)


def _load(client: StoreClient, pid: int, batches: list[bytes], repeat: int) -> tuple[float, float, float]:
    client.command(f"TRUNCATE TABLE {EVENTS_TABLE}")
    cpu, own, began = read_cpu(pid), time.process_time(), time.perf_counter()
    for number, batch in enumerate(batches):
        client.insert_ndjson(EVENTS_TABLE, batch, token=f"{repeat}-{number}")
    elapsed, used = time.perf_counter() - began, read_cpu(pid) - cpu + time.process_time() - own
    _settle(client)
    return elapsed, used, read_cpu(pid) - cpu + time.process_time() - own


def _watch_memory(pid: int, done: threading.Event, found: list[float]) -> None:
    """Keep the most memory that a process had, looked at ten times a second."""
    while not done.wait(0.1):
        found[0] = max(found[0], read_pss(pid))


def _latency(call: Any, times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def _figure(what: str, value: float, unit: str) -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "unit": unit}


def measure_bulk_load(folder: Path, rows: Path) -> tuple[float, float]:
    """Return seconds and CPU seconds of the engine's own load of the file, on all cores: medians of five runs."""
    bulk = BulkLoad(folder, rows)
    runs = [bulk.load() for _ in range(REPEATS)]
    bulk.close()
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def _run_served(pid: int, port: int, rows: Path, base_elapsed: float) -> list[dict[str, Any]]:
    with StoreClient(f"http://127.0.0.1:{port}", password=PASSWORD) as client:
        run_migrations(client)
        idle = read_pss(pid)
        select = _latency(lambda: client.query_rows("SELECT 1"), 500)
        batches = _split(rows)
        done, peak = threading.Event(), [0.0]
        watching = threading.Thread(target=_watch_memory, args=(pid, done, peak))
        watching.start()
        runs = [_load(client, pid, batches, repeat) for repeat in range(REPEATS)]
        done.set()
        watching.join()
        small = b"".join(batches[0].splitlines(keepends=True)[:500])
        tokens = iter(range(1000))
        one = _latency(lambda: client.insert_ndjson(EVENTS_TABLE, small, token=f"small-{next(tokens)}"), 30)
        loaded = read_pss(pid)
    elapsed, cpu, cpu_merged = (statistics.median(run[place] for run in runs) for place in range(3))
    return [
        _figure(f"through HTTP, batches of {BATCH}", ROWS / elapsed, "rows/s"),
        _figure("through HTTP beside the bulk load", base_elapsed / elapsed, "ratio"),
        _figure("through HTTP, CPU of store and sender", cpu * 1e6 / ROWS, "s per million rows"),
        _figure("through HTTP, CPU with the merges", cpu_merged * 1e6 / ROWS, "s per million rows"),
        _figure("insert of 500 rows", one, "ms"),
        _figure("SELECT 1 through StoreClient", select, "ms"),
        _figure("memory of the store, idle", idle, "MB PSS"),
        _figure("memory of the store, peak of the load", peak[0], "MB PSS"),
        _figure("memory of the store, after the load", loaded, "MB PSS"),
    ]


def run() -> list[dict[str, Any]]:
    """Measure and return figures: `what`, `value`, `unit`; medians of five runs of half a million rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = folder / "rows.ndjson"
        write_rows(rows, ROWS)
        size = rows.stat().st_size / ROWS
        base_elapsed, base_cpu = measure_bulk_load(folder, rows)
        process, pipe = _start(_serve, str(folder / "served"))
        try:
            figures = _run_served(process.pid, pipe.recv(), rows, base_elapsed)
        finally:
            process.terminate()
            process.join()
    return [
        _figure("row", size, "bytes"),
        _figure("the engine's own bulk load", ROWS / base_elapsed, "rows/s"),
        _figure("the engine's own bulk load, CPU", base_cpu * 1e6 / ROWS, "s per million rows"),
        *figures,
    ]


if __name__ == "__main__":
    for figure in run():
        print(f"{figure['what']:45} {figure['value']:>12} {figure['unit']}")
