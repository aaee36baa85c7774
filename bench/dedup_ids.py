"""The dedup index: CPU and time per id as the number of known ids grows; its memory.

`run()` returns rows for the table; every step looks up and adds batches of 5,000 ids, as the loader does.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from rows import Rows, row

from tallymark.dedup.index import DedupIndex

BATCH = 5000
SIZES = tuple(int(float(size)) for size in os.environ.get("TALLYMARK_BENCH_IDS", "1e6,1e7,1e8").split(","))
_DAY_US = 86_400_000_000
_START_US = 1_760_000_000_000_000


def run() -> Rows:
    """Measure random ids, as their fingerprints are, up to the largest size."""
    found = _measure(SIZES)
    random = [item["value"] for item in found]
    found.append(
        row(
            "dedup: CPU per id at the largest size vs. at the smallest",
            random[-1] / random[0],
            "×",
            None,
            2,
            "below",
        )
    )
    return found


def _measure(sizes: tuple[int, ...]) -> Rows:
    """Fill an index over 30 days' worth of receive times; measure the last million ids before each size."""
    chance = np.random.default_rng(1)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        index = DedupIndex(Path(place))
        known = 0
        for size in sizes:
            while known < size - min(size, 1_000_000):
                known = _add(index, chance, known, sizes[-1])
            cpu, started, first = time.process_time(), time.perf_counter(), known
            while known < size:
                known = _add(index, chance, known, sizes[-1])
            count = known - first
            micros = (time.process_time() - cpu) / count * 1e6
            rate = count / (time.perf_counter() - started)
            note = f"{rate:,.0f} ids/s; filters {index.filter_bytes / 1e6:.0f} MB"
            rows.append(
                row(
                    f"dedup: CPU per id at {size:,} known ids",
                    micros,
                    "µs",
                    None,
                    None,
                    "below",
                    note,
                )
            )
    return rows


def _add(index: DedupIndex, chance: np.random.Generator, known: int, last: int) -> int:
    table = chance.integers(0, 2**64, size=(BATCH, 3), dtype=np.uint64)
    high, low, content = (np.ascontiguousarray(table[:, column]) for column in range(3))
    seen, _, _ = index.find(high, low)
    assert not seen.any()
    received_us = _START_US + known * 28 * _DAY_US // last
    index.add(high, low, content, np.full(BATCH, known, dtype=np.uint64), received_us, received_us)
    if index.wants_flush():
        index.flush(known, received_us)
    return known + BATCH


if __name__ == "__main__":
    for item in run():
        print(item)
