"""The server as a whole: memory while it loads, recovery after kill -9, and the intake beside heavy questions.

`run()` returns rows for the table.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from load import build_bodies, next_seed, send
from rows import Row, Rows, median_row, row
from serving import WRITE_KEY, PeakMemory, Server

RUNS = 5
PENDING = 1_000_000
# They ask beside the intake.
_PEOPLE = 8


def run() -> Rows:
    """Measure all rows of this file."""
    return [measure_memory(), measure_recovery(), measure_beside_questions()]


def measure_memory() -> Row:
    """Measure the most memory (PSS) of all processes while the flights are sent by the client."""
    from flights import build_events, read_flights  # noqa: PLC0415 - reads 8 MB

    from tallymark import Client  # noqa: PLC0415 - used here alone

    with Server() as server, PeakMemory(server) as memory:
        client = Client(url=server.url, key=WRITE_KEY)
        client.send_all(build_events(read_flights()))
        client.close()
        server.wait_loaded(0.1)
        time.sleep(2)
    what = "memory (PSS, all processes), peak while loading the flights into an empty folder"
    return row(what, memory.peak / 1e6, "MB", 1800, 1200)


def measure_recovery() -> Row:
    """Measure kill -9 of everything with a million events pending, until all of them are stored."""
    times = []
    for _ in range(3):
        with Server() as server:
            loader = server.role("loader")
            loader.suspend()
            send(server.port, WRITE_KEY, build_bodies(PENDING, 500, next_seed()))
            server.kill()
            started = time.perf_counter()
            server.start()
            server.wait_loaded(0.05)
            times.append(time.perf_counter() - started)
            stored = server.get("/v1/ledger?interval=day")["totals"]["stored"]
            assert stored == PENDING, stored
    return median_row("kill -9 with 1M events pending → all stored", times, "s", None, 20)


_HEAVY = {
    "kind": "funnel", "from": "2025-10-01T00:00:00Z", "to": "2025-11-01T00:00:00Z", "by": "session_id", "window": "7d",
    "steps": [{"name": name, "event_name": name} for name in ("page_viewed", "item_added", "checkout_started", "order_paid")],
}  # fmt: skip


def measure_beside_questions() -> Row:
    """Measure the intake's p99 at 2,000 events/s, alone and while heavy questions over a million events are asked.

    Eight people ask, each the next question when the last is answered, ten a second at most together. All are answered.
    """
    asked = Asked()
    with Server() as server:
        send(server.port, WRITE_KEY, build_bodies(1_000_000, 500, next_seed()))
        server.wait_loaded(0.1)
        pairs = [measure_beside(server, lambda: server.ask(_HEAVY), asked) for _ in range(RUNS)]
    what = "intake p99 at 2,000 events/s while up to 10 heavy questions a second are asked"
    return build_beside_row(what, pairs, asked)


@dataclass(slots=True)
class Asked:
    """What became of what was asked beside the intake; failures by name."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def measure_beside(server: Server, ask: Callable[[], object], asked: Asked) -> tuple[float, float]:
    """Return the intake's p99 at 2,000 events/s in seconds: alone, and while `ask` is called by eight people."""
    alone = _measure_paced(server)
    ended = threading.Event()
    people = [threading.Thread(target=_keep_asking, args=(ask, asked, ended)) for _ in range(_PEOPLE)]
    for person in people:
        person.start()
    try:
        return alone, _measure_paced(server)
    finally:
        ended.set()
        for person in people:
            person.join()


def build_beside_row(what: str, pairs: list[tuple[float, float]], asked: Asked) -> Row:
    """Return the row of the intake's p99 beside something as a multiple of that alone; what failed fails it."""
    alone, beside = (statistics.median(pair[place] for pair in pairs) * 1000 for place in range(2))
    failures = "".join(f", {count} × {name}" for name, count in asked.failed.most_common(3))
    note = f"{alone:.1f} ms alone, {beside:.1f} ms beside; {asked.answered} answered{failures}"
    ratios = [two / one for one, two in pairs]
    return median_row(what, ratios, "×", 2, 1.2, note=note, failed=asked.failed.total())


def _measure_paced(server: Server, seconds: int = 10) -> float:
    bodies = build_bodies(2000 * seconds, 20, next_seed())
    return send(server.port, WRITE_KEY, bodies, per_second=100.0, connections=8).percentile(0.99)


def _keep_asking(ask: Callable[[], object], asked: Asked, ended: threading.Event) -> None:
    """Ask again and again, not more often than this person's share of ten a second."""
    while not ended.is_set():
        began = time.perf_counter()
        try:
            ask()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            asked.failed[f"{type(error).__name__} {error}"[:60]] += 1
        else:
            asked.answered += 1
        ended.wait(max(0.0, _PEOPLE / 10 - (time.perf_counter() - began)))


if __name__ == "__main__":
    for item in run():
        print(item)
