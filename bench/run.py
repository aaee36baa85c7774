"""`make bench`: measure everything in the README's table and print it; also as JSON in bench/results/.

ARGS="writing running" measures parts only: client, writing, running, dedup, questions, funnels, dashboards, alerts.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(ROOT.parent / "demo")]

import alerts  # noqa: E402 - the paths above come first
import client_calls  # noqa: E402 - the paths above come first
import dashboards  # noqa: E402 - the same
import dedup_ids  # noqa: E402 - the same
import funnels  # noqa: E402 - the same
import questions  # noqa: E402 - the same
import running  # noqa: E402 - the same
import writing  # noqa: E402 - the same


def measure_client() -> list[dict[str, Any]]:
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
        rows.append(writing.row(what, value, "×", must, aim, side, note))
    return rows


def measure_questions() -> list[dict[str, Any]]:
    """Turn the questions' figures into rows: our time against what must and aim allow for the baseline's."""
    rows = []
    for item in questions.run():
        note = f"{item['ours_ms']:.0f} ms; baseline {item['baseline_ms']:.0f} ms"
        what = f"question {item['question']} vs. baseline SQL (must ≤ 1.3× + 15 ms, aim ≤ 1.1× + 5 ms)"
        rows.append(writing.row(what, item["ours_ms"], "ms", item["must_ms"], item["aim_ms"], "below", note))
    return rows


PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "client": measure_client,
    "writing": writing.run,
    "running": running.run,
    "dedup": dedup_ids.run,
    "questions": measure_questions,
    "funnels": funnels.run,
    "dashboards": dashboards.run,
    "alerts": alerts.run,
}


def describe_machine() -> dict[str, Any]:
    """Say on what was measured: versions, cores, and the device's fsync."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("tallymark", "chdb", "uvicorn", "litestar", "msgspec", "posthog", "prometheus-client")
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


def judge(row: dict[str, Any]) -> str:
    """Return which bound a figure meets: aim, must, no, or '' where there is none."""
    above = row["side"] == "above"
    for name in ("aim", "must"):
        bound = row[name]
        if bound is not None and (row["value"] >= bound if above else row["value"] <= bound):
            return name
    return "no" if row["must"] is not None else ("not the aim" if row["aim"] is not None else "")


def render_table(rows: list[dict[str, Any]]) -> str:
    """Render the rows as a Markdown table."""
    lines = ["| what | measured | must | aim | meets | |", "|---|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row["side"] == "above" else "≤"
        bounds = [f"{sign} {row[name]:g}" if row[name] is not None else "–" for name in ("must", "aim")]
        cells = [row["what"], f"{row['value']:.3g} {row['unit']}", *bounds, judge(row), row["note"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure the parts that were asked for, print the table, write the JSON; 1 when a must is missed."""
    wanted = sys.argv[1:] or list(PARTS)
    machine = describe_machine()
    rows: list[dict[str, Any]] = []
    for name in wanted:
        print(f"measuring {name} …", file=sys.stderr)
        rows += PARTS[name]()
    print(json.dumps(machine, indent=2))
    print(render_table(rows))
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    path = results / f"{'-'.join(wanted)}.json"
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2, ensure_ascii=False))
    return 1 if any(judge(row) == "no" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
