"""`make bench`: measure everything in docs/performance.md and print it; also as JSON in bench/results/.

`make bench PART="writing growth"` measures parts. A part that fails, or falls short of what it must meet, is named at
the end, and the run goes on; then the exit code is 1.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(ROOT.parent / "demo")]

import alerts  # noqa: E402 - the paths above come first
import client_calls  # noqa: E402 - the same
import dashboards  # noqa: E402 - the same
import dedup_ids  # noqa: E402 - the same
import funnels  # noqa: E402 - the same
import growth  # noqa: E402 - the same
import questions  # noqa: E402 - the same
import running  # noqa: E402 - the same
import steady  # noqa: E402 - the same
import writing  # noqa: E402 - the same
from rows import Rows, describe_miss, judge, render_table, row  # noqa: E402 - the same


def measure_client() -> Rows:
    """Turn the client's figures into rows: how many times faster, and how much of the peer's time."""
    found = {item["name"].split(" ")[0]: item for item in client_calls.run()}
    rows = []
    for name, what, must, aim, side in (
        ("record", "client.record() with 4 attributes: times faster than PostHog capture", 8, 20, "above"),
        ("increment", "client.increment(): share of prometheus labelled inc", 1.5, 1, "below"),
    ):
        item = next(value for key, value in found.items() if name in key)
        value = item["ratio"] if side == "above" else 1 / item["ratio"]
        note = f"{item['ours_us']:.2f} against {item['peer_us']:.2f} µs"
        rows.append(row(what, value, "×", must, aim, side, note))
    return rows


PARTS: dict[str, Callable[[], Rows]] = {
    "client": measure_client,
    "writing": writing.run,
    "steady": steady.run,
    "running": running.run,
    "growth": growth.run,
    "dedup": dedup_ids.run,
    "questions": questions.run,
    "funnels": funnels.run,
    "dashboards": dashboards.run,
    "alerts": alerts.run,
}


def describe_machine() -> dict[str, Any]:
    """Say on what was measured: versions, cores, and the device's fsync."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("tallymark", "chdb", "httptools", "litestar", "msgspec", "posthog", "prometheus-client")
    }
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": model,
        "system": f"{platform.system()} {platform.release()}",
        "fsync_p50_ms": round(measure_fsync(), 3),
        "versions": versions,
    }


def measure_fsync() -> float:
    """Return the median of 200 appends of 16 KB with fdatasync, in milliseconds."""
    times = []
    with tempfile.TemporaryFile(dir=ROOT) as file:
        for _ in range(200):
            file.write(b"x" * 16_384)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def measure_parts(names: list[str]) -> tuple[Rows, list[str]]:
    """Measure the parts one after another; return their rows, and a line for each part that could not be measured."""
    rows: Rows = []
    broken = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            found = PARTS[name]()
        except Exception as error:  # noqa: BLE001 - one part that breaks must not keep the others from being measured
            traceback.print_exc()
            broken.append(f"{name} could not be measured: {type(error).__name__}: {error}"[:300])
            continue
        print(render_table(found), file=sys.stderr, flush=True)
        rows += found
    return rows, broken


def main() -> int:
    """Measure the parts that were asked for, print the table, write the JSON; 1 when a must is missed."""
    wanted = [name for argument in sys.argv[1:] for name in argument.replace(",", " ").split()] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        print(f"There is no part {', '.join(unknown)}. Parts: {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    machine = describe_machine()
    rows, broken = measure_parts(wanted)
    print(json.dumps(machine, indent=2))
    print(render_table(rows))
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    path = results / f"{'-'.join(wanted)}.json"
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2, ensure_ascii=False))
    missed = [describe_miss(row) for row in rows if judge(row) == "no"] + broken
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
