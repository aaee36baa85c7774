"""A dashboard of twelve panels over ten million events, as browsers get it, beside hand-written SQL.

Its time, with many viewers too, what a change is made of, pictures, and the bytes of a visit. `run()` returns rows for
the table; what is measured, and that its figures are right, stands in `dashboard_site`.
By hand: `python bench/dashboards.py [--rows N] [PART ...]`.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import running
from browsing import Cache
from dashboard_site import PAGE, Site, build_sign_up, fill_store, open_site, panel_path
from rows import Rows, percentile, row

ROWS = 10_000_000
RUNS = 7
_SMALL = 1 << 30
# So many viewers look for so long, and where a load takes long each of them at least so often.
_VIEW_SECONDS = 30
_LEAST_LOADS = {1: 20, 4: 6, 16: 4}
_DIMENSIONS = ("os", "country", "campaign", "agent_browser", "agent_language", "service_version")
# The ends of two periods of 182 days each.
_BEFORE, _BETWEEN, _AFTER = "2024-01-01", "2024-07-01", "2024-12-30"


def _time(call: Callable[[], Any]) -> float:
    """Return milliseconds."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def measure_page(site: Site) -> Rows:
    """Measure the page with the server's own settings, then with what it chooses on a machine of 4 GiB."""
    rows = _measure_page(site, "", 1.3, 1.1)
    site.server.restart(f"store_memory_bytes={_SMALL}")
    rows += _measure_page(site, f", store with {_SMALL >> 30} GiB", None, None)
    site.server.restart()
    return rows


def _measure_page(site: Site, settings: str, must: float | None, aim: float | None) -> Rows:
    """Measure the page after the data changed, the same page again, and the baseline's SQL, in turns."""
    viewer = site.viewer()

    def look() -> None:
        missing = site.find_missing(viewer.load(PAGE).text)
        assert not missing, missing

    look()
    times: dict[str, list[float]] = {"cold": [], "warm": [], "plain": []}
    for _ in range(RUNS):
        site.change()
        for key, call in (("cold", look), ("warm", look), ("plain", site.ask_plain)):
            times[key].append(_time(call))
    cold, warm, plain = (statistics.median(found) for found in times.values())
    what = "dashboard of 12 panels, {} vs. baseline SQL (must ≤ 1.3× + 100 ms, aim ≤ 1.1× + 30 ms)"
    return [
        row(what.format(name + settings), value, "ms", must and round(plain * must + 100, 1),
            aim and round(plain * aim + 30, 1), "below", f"{value:.0f} ms; baseline {plain:.0f} ms")
        for name, value in (("cold", cold), ("warm", warm))
    ]  # fmt: skip


def measure_viewers(site: Site) -> Rows:
    """Measure the page with several viewers at once while a sign-up arrives every second."""
    found: dict[str, list[float]] = {}
    wrong: list[str] = []
    for name, viewers, every in (("1", 1, 0), ("4", 4, 0), ("16", 16, 0), ("human", 16, 5)):
        site.change()
        with _changing(site, wrong), ThreadPoolExecutor(viewers) as pool:
            began = time.perf_counter()
            times = [
                pool.submit(
                    _keep_looking, site, wrong, _LEAST_LOADS[viewers], every, began + every * number / viewers
                )
                for number in range(viewers)
            ]
            found[name] = sorted(itertools.chain.from_iterable(one.result() for one in times))
    p95 = {name: percentile(times, 0.95) for name, times in found.items()}
    notes = {
        name: f"p50 {statistics.median(times):.1f}, p95 {p95[name]:.1f}, worst {times[-1]:.1f} s of {len(times)} loads"
        for name, times in found.items()
    }
    what = "dashboard p95, {} viewers one load after another, data changing every second: times one viewer's"
    return [
        row("dashboard p95, one viewer one load after another, data changing every second", p95["1"], "s", None, None, "below", notes["1"]),
        row(what.format(4), p95["4"] / p95["1"], "×", None, None, "below", notes["4"]),
        row(what.format(16), p95["16"] / p95["1"], "×", 3, 1.5, "below", notes["16"]),
        row("dashboard p95, 16 viewers who each load it every 5 s, data changing every second", p95["human"], "s", None, None, "below", notes["human"]),
        row("dashboard loads that failed or lacked a figure, all of these", len(wrong), "loads", 0, 0, "below", "; ".join(sorted(set(wrong)))[:300]),
    ]  # fmt: skip


@contextmanager
def _changing(site: Site, wrong: list[str]) -> Iterator[None]:
    """Send a sign-up every second."""
    ended = threading.Event()

    def change() -> None:
        while not ended.wait(1):
            try:
                site.server.post(build_sign_up())
            except (OSError, AssertionError) as error:
                wrong.append(f"intake: {type(error).__name__} {error}"[:80])

    changing = threading.Thread(target=change)
    changing.start()
    try:
        yield
    finally:
        ended.set()
        changing.join()


def _keep_looking(site: Site, wrong: list[str], least: int, every: int, first: float) -> list[float]:
    """Load the page at once again, or every so many seconds; returns the seconds of each load from when it was due."""
    viewer = site.viewer()
    times: list[float] = []
    until = time.perf_counter() + _VIEW_SECONDS
    for number in itertools.count():
        due = first + every * number if every else time.perf_counter()
        if number >= least and due >= until:
            return times
        time.sleep(max(0, due - time.perf_counter()))
        try:
            page = viewer.load(PAGE).text
        except (OSError, http.client.HTTPException, AssertionError) as error:
            wrong.append(f"{type(error).__name__} {error}"[:80])
            page, viewer = "", site.viewer()
        times.append(time.perf_counter() - due)
        missing = site.find_missing(page) if page else ""
        if missing:
            wrong.append(f"without {missing}")
    return times


def measure_explanation(site: Site) -> Rows:
    """Measure what a change is made of by six fields, and one breakdown of the same events, each asked for the first time."""
    rows = []
    for name in ("begun", "completed"):
        explained: list[float] = []
        broken: dict[str, list[float]] = {field: [] for field in _DIMENSIONS}
        for _ in range(RUNS):
            site.change()
            fields = {
                "from": _BETWEEN,
                "to": _AFTER,
                "compare": "previous",
                "breakdown": ",".join(_DIMENSIONS),
            }
            explained.append(_time(partial(site.metric, name, "explain", **fields)))
            for field in _DIMENSIONS:
                whole = {"from": _BEFORE, "to": _AFTER, "breakdown": field}
                broken[field].append(_time(partial(site.metric, name, **whole)))
        one = statistics.median(statistics.median(times) for times in broken.values())
        value = statistics.median(explained)
        kind = {"begun": "count", "completed": "ratio"}[name]
        what = f"explain of a {kind} over {len(_DIMENSIONS)} fields vs. one breakdown"
        rows.append(row(what, value / one, "×", 5, 3, "below", f"{value:.0f} against {one:.0f} ms"))
    return rows


def measure_pictures(site: Site) -> Rows:
    """Measure each panel as PNG after the data changed, and the same picture again."""
    viewer = site.viewer()

    def fetch(panel: str) -> None:
        answer = viewer.load(panel_path(panel, form="png"))
        assert answer.body.startswith(b"\x89PNG"), panel

    # The process that draws starts with the first picture.
    fetch("begun")
    cold, warm = {}, {}
    for panel in site.panels:
        site.change()
        cold[panel], warm[panel] = (_time(partial(fetch, panel)) for _ in range(2))
    rows = []
    for what, times, aim in (
        ("first picture after the data changed", cold, 300),
        ("the same again", warm, 50),
    ):
        quickest, slowest = min(times, key=lambda name: times[name]), max(times, key=lambda name: times[name])
        note = f"{quickest} {times[quickest]:.0f} to {slowest} {times[slowest]:.0f} ms"
        value = statistics.median(times.values())
        rows.append(row(f"a panel as PNG, {what} (median of 12)", value, "ms", None, aim, "below", note))
    return rows


def measure_intake(site: Site, runs: int = 3) -> Rows:
    """Measure the intake's p99 at 2,000 events/s, alone and while up to 10 pictures a second are asked, each a new one."""
    numbers = itertools.count()

    def ask() -> None:
        number = next(numbers)
        panel = list(site.panels)[number % len(site.panels)]
        answer = site.viewer().get(panel_path(panel, form="png", width=str(500 + number % 1000)))
        assert answer.status == 200, answer.status

    asked = running.Asked()
    pairs = [running.measure_beside(site.server, ask, asked) for _ in range(runs)]
    what = "intake p99 at 2,000 events/s while up to 10 panels a second are asked as PNG"
    return [running.build_beside_row(what, pairs, asked)]


def measure_bytes(site: Site) -> Rows:
    """Measure what a browser loads for the page, at the first visit and at the second."""
    cache = Cache(site.viewer())
    rows = []
    for visit, unit, scale, aim in (("first", "MB", 1e6, 1.2), ("second", "KB", 1e3, 100)):
        loaded = cache.visit(PAGE)
        largest = ", ".join(
            f"{address.partition('?')[0].rpartition('/')[2]} {size / 1000:.1f}"
            for address, size in loaded.most_common(3)
        )
        note = f"{len(loaded)} requests; KB: {largest}"
        what = f"bytes of a dashboard of 12 panels, {visit} visit"
        rows.append(row(what, loaded.total() / scale, unit, None, aim, "below", note))
    return rows


PARTS: dict[str, Callable[[Site], Rows]] = {
    "page": measure_page,
    "viewers": measure_viewers,
    "explain": measure_explanation,
    "pictures": measure_pictures,
    "bytes": measure_bytes,
    "intake": measure_intake,
}


def run(rows: int = ROWS, parts: list[str] | None = None) -> Rows:
    """Fill, start, compare and measure."""
    with tempfile.TemporaryDirectory(prefix="tallymark-bench-") as name:
        fill_store(Path(name) / "filled", rows)
        with open_site(Path(name) / "filled", Path(name)) as site:
            return [found for part in parts or PARTS for found in PARTS[part](site)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a dashboard.")
    parser.add_argument("--rows", type=int, default=ROWS, help="how many events to make")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; all when absent")
    given = parser.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for one in run(given.rows, given.parts):
        print(one)


if __name__ == "__main__":
    main()
