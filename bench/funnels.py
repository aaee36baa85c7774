"""How much of the store's CPU a funnel takes whose people repeat its steps, beside `windowFunnel` over the same events.

`run()` makes a million events for each length of session (4, 8, 80 and 800 events, each a random step), starts a
server over them and asks both through HTTP, in turns: the question at `/v1/query`, the baseline at `/clickhouse`.
Both run in the same store process, whose CPU seconds are compared. Rows: `windowFunnel` times ours.
Run by hand: `python bench/funnels.py [--events N] [--lengths 4,800]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import urllib.request
from pathlib import Path

from filled import PATIENT, open_store
from rows import Row, Rows, row
from serving import READ_KEY, Server

from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations

LENGTHS = (4, 8, 80, 800)
EVENTS = 1_000_000
RUNS = 7
_STEPS = "abcd"
_WINDOW_SECONDS = 3_600
_CHUNK = 1_000_000


def run(events: int = EVENTS, lengths: tuple[int, ...] = LENGTHS) -> Rows:
    """Make the events, compare the answers and measure; one row per length of session."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        folder.mkdir()
        with open_store(folder) as client:
            run_migrations(client)
            for length in lengths:
                for first in range(0, events, _CHUNK):
                    _fill(client, length, events, first, min(_CHUNK, events - first))
        with Server(folder) as server:
            return [_measure(server, length, events) for length in lengths]


def _fill(client: StoreClient, length: int, events: int, first: int, count: int) -> None:
    """Make sessions of `length` events, half a minute apart on average, over a year."""
    spacing = 31_000_000_000_000 // max(events // length, 1)
    sql = f"""
        INSERT INTO tallymark.events (client_time, event_id, event_type, event_name, session_id, project, source,
            received_at, skew_ms, journal_shard, journal_record)
        SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(
                intDiv(number, {length}) * {spacing} + (number % {length}) * 30000000 + cityHash64(number) % 30000000),
            'event-{length}-' || toString(number), 'behavior',
            ['a', 'b', 'c', 'd'][1 + cityHash64(number, 9) % 4] || '{length}',
            'session-' || hex(cityHash64(intDiv(number, {length}))), 'default', 'http', '2026-01-01 00:00:00', 0, 0,
            intDiv(number, 500)
        FROM numbers({first}, {count})"""
    client.command(sql, settings=PATIENT)


def _ask_baseline(server: Server, length: int) -> list[int]:
    """Ask `windowFunnel` for how many reached each step."""
    names = [f"'{name}{length}'" for name in _STEPS]
    steps = ", ".join(f"event_name = {name}" for name in names)
    reached = ", ".join(f"countIf(level >= {place + 1})" for place in range(len(names)))
    sql = f"""
        SELECT {reached} FROM (
            SELECT windowFunnel({_WINDOW_SECONDS * 1_000_000})(toUInt64(toUnixTimestamp64Micro(event_time)), {steps}) AS level
            FROM events WHERE event_name IN ({", ".join(names)})
                AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-02 00:00:00'
            GROUP BY session_id)
        FORMAT JSONCompact"""
    headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": READ_KEY}
    request = urllib.request.Request(f"{server.url}/clickhouse/", sql.encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return [int(cell) for cell in json.load(answer)["data"][0]]


def _ask_ours(server: Server, length: int) -> list[int]:
    """Ask the funnel for the same."""
    answer = server.ask(
        {
            "kind": "funnel",
            "from": "2024-01-01T00:00:00Z",
            "to": "2025-01-02T00:00:00Z",
            "by": "session_id",
            "window": f"{_WINDOW_SECONDS}s",
            "steps": [{"event_name": f"{name}{length}"} for name in _STEPS],
        }
    )
    return [row[2] for row in answer["rows"]]


def _measure(server: Server, length: int, events: int) -> Row:
    store = server.role("store")
    asked = {"ours": _ask_ours, "baseline": _ask_baseline}
    answers = {name: ask(server, length) for name, ask in asked.items()}
    assert answers["ours"] == answers["baseline"], f"{length} events a session: {answers}"
    spent: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(RUNS):
        for name, ask in asked.items():
            before = sum(store.cpu_times()[:2])
            ask(server, length)
            spent[name].append(sum(store.cpu_times()[:2]) - before)
    ours, baseline = (statistics.median(spent[name]) for name in asked)
    ranges = [f"{min(times):.2f} to {max(times):.2f}" for times in spent.values()]
    note = f"CPU of the store: {ours:.2f} s ({ranges[0]}); windowFunnel {baseline:.2f} s ({ranges[1]}); {RUNS} runs"
    what = f"funnel of 4 steps over {events:,} events, {length} a session, random steps: times windowFunnel"
    return row(what, ours / baseline, "×", 3, 1.5, "below", note)


def main() -> None:
    """Measure as the arguments say and print the rows."""
    parser = argparse.ArgumentParser(description="Measure funnels over people who repeat the steps.")
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events to make for each length")
    parser.add_argument(
        "--lengths", default=",".join(map(str, LENGTHS)), help="events a session, with commas"
    )
    arguments = parser.parse_args()
    for found in run(arguments.events, tuple(int(one) for one in arguments.lengths.split(","))):
        print(found)


if __name__ == "__main__":
    main()
