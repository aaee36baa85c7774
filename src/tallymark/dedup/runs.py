"""Sorted runs of fingerprints: in memory while they grow, in immutable files once they are full.

A run is four columns of equal length, sorted by the first half of the fingerprint. Files are mapped, not
read: a look-up touches the few pages that it needs. The index merges and drops runs; nobody else uses them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tallymark.dedup.bloom import Words

Found = NDArray[np.bool_]

_COLUMNS = 4


@dataclass(slots=True)
class Run:
    """Fingerprints (`high`, `low`), the content's hash and the journal record of each id's first event."""

    high: Words
    low: Words
    content: Words
    record: Words

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: Words, low: Words) -> tuple[Found, NDArray[np.intp]]:
        """Return which of the ids are here, and at which place."""
        size = len(self.high)
        place = np.searchsorted(self.high, high)
        place[place == size] = size - 1
        same_high = self.high[place] == high
        found: Found = same_high & (self.low[place] == low)
        # Two ids whose first halves agree are next to impossible, and still must not be confused.
        for at in np.flatnonzero(same_high & ~found):
            here = int(place[at]) + 1
            while here < size and self.high[here] == high[at]:
                if self.low[here] == low[at]:
                    found[at], place[at] = True, here
                    break
                here += 1
        return found, place


def build_run(high: Words, low: Words, content: Words, record: Words) -> Run:
    """Sort columns into a run."""
    order = np.argsort(high, kind="stable")
    return Run(high[order], low[order], content[order], record[order])


def merge_runs(runs: list[Run]) -> Run:
    """Merge runs into one."""
    if len(runs) == 1:
        return runs[0]
    columns = [
        np.concatenate([getattr(run, name) for run in runs]) for name in ("high", "low", "content", "record")
    ]
    return build_run(*columns)


def write_run(run: Run, path: Path) -> None:
    """Write a run durably: the file appears under its name only when it is whole."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        for column in (run.high, run.low, run.content, run.record):
            file.write(np.ascontiguousarray(column).data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def map_run(path: Path, length: int) -> Run:
    """Map a run's file of `length` ids; raises ValueError when the file is not that long."""
    columns = np.memmap(path, dtype=np.uint64, mode="r")
    if columns.size != _COLUMNS * length:
        raise ValueError(f"{path.name} holds {columns.size} words, {_COLUMNS * length} expected")
    table = columns.reshape(_COLUMNS, length)
    return Run(table[0], table[1], table[2], table[3])
