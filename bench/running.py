"""The server as a whole: start, memory, recovery after kill -9, and the intake beside heavy questions.

`run()` returns rows for the table.
"""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

from load import build_bodies, send
from serving import WRITE_KEY, PeakMemory, Server
from writing import next_seed, row

RUNS = 5
PENDING = 1_000_000


def run() -> list[dict[str, Any]]:
    """Measure all rows of this file."""
    return [*measure_start(), *measure_memory(), measure_recovery(), measure_beside_questions()]


def measure_start() -> list[dict[str, Any]]:
    """Measure from the command to the first 2xx of the intake, on a folder that exists."""
    times = []
    with Server() as server:
        for _ in range(RUNS):
            server.stop()
            times.append(server.start())
    return [row("start to first 2xx", statistics.median(times), "s", 4, 2, "below")]


def measure_memory() -> list[dict[str, Any]]:
    """Measure PSS of all processes: idle after a start, and the peak while the flights are sent by the client."""
    from flights import build_events, read_flights  # noqa: PLC0415 - reads 8 MB

    from tallymark import Client  # noqa: PLC0415 - used here alone

    with Server() as server:
        time.sleep(3)
        idle = server.pss_bytes()
        with PeakMemory(server) as memory:
            client = Client(url=server.url, key=WRITE_KEY)
            client.send_all(build_events(read_flights()))
            client.close()
            server.wait_loaded(0.1)
            time.sleep(2)
    return [
        row("memory (PSS, all processes), idle", idle / 1e6, "MB", 800, 500, "below"),
        row("memory (PSS, all processes), peak while loading the flights", memory.peak / 1e6, "MB", 1800, 1200, "below"),
    ]  # fmt: skip


def measure_recovery() -> dict[str, Any]:
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
    return row(
        "kill -9 with 1M events pending → all stored",
        statistics.median(times),
        "s",
        None,
        20,
        "below",
        "3 runs",
    )


_HEAVY = {
    "kind": "funnel", "from": "2025-10-01T00:00:00Z", "to": "2025-11-01T00:00:00Z", "by": "session_id", "window": "7d",
    "steps": [{"name": name, "event_name": name} for name in ("page_viewed", "item_added", "checkout_started", "order_paid")],
}  # fmt: skip


def measure_beside_questions() -> dict[str, Any]:
    """Measure the intake's p99 at 2,000 events/s, alone and while 10 funnels over a million events are asked a second."""
    ratios, notes = [], []
    with Server() as server:
        send(server.port, WRITE_KEY, build_bodies(1_000_000, 500, next_seed()))
        server.wait_loaded(0.1)
        for _ in range(RUNS):
            alone = _paced(server)
            ended = threading.Event()
            asking = threading.Thread(target=_keep_asking, args=(server, ended))
            asking.start()
            beside = _paced(server)
            ended.set()
            asking.join()
            ratios.append(beside / alone)
            notes.append((alone, beside))
    alone, beside = (statistics.median(pair[place] for pair in notes) * 1000 for place in range(2))
    note = f"{alone:.1f} ms alone, {beside:.1f} ms beside"
    what = "intake p99 at 2,000 events/s while 10 heavy questions a second are asked"
    return row(what, statistics.median(ratios), "×", 2, 1.2, "below", note)


def _paced(server: Server, seconds: int = 10) -> float:
    bodies = build_bodies(2000 * seconds, 20, next_seed())
    return send(server.port, WRITE_KEY, bodies, per_second=100.0, connections=8).percentile(0.99)


def _keep_asking(server: Server, ended: threading.Event) -> None:
    """Ask ten questions a second, whether or not the earlier ones were answered (at most twenty at once)."""
    places = threading.Semaphore(20)

    def ask() -> None:
        try:
            server.ask(_HEAVY)
        except OSError:
            pass
        finally:
            places.release()

    threads = []
    while not ended.wait(0.1):
        if places.acquire(blocking=False):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    for item in run():
        print(item)
