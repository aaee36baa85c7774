"""The durable memory of dedup: (project, event_id) -> first record, kept for the horizon.

The judge asks and adds; the loader says when all before a journal position is committed, and only then what
is in memory goes to disk. So after a crash the index never knows more than the ledger, and what it lacks is
read again from the journal. Why not a key-value store: docs/decisions/0003-dedup-index.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from tallymark.clock import DAY_US
from tallymark.crashpoints import reach
from tallymark.dedup.bloom import BloomFilter, Words
from tallymark.dedup.runs import Run, build_run, map_run, merge_runs, write_run
from tallymark.errors import FormatError

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
# Ids in memory before they are written: a restart reads at most so many again.
MEMORY_IDS = 250_000
# A generation is dropped whole at the horizon's end, so none may span much of it.
_GENERATION_DAYS = 3
_MIN_CAPACITY = 1_000_000
_MAX_CAPACITY = 64_000_000
_MERGE_RUNS = 8
_REMEDY = (
    "Restore it from a backup, or move the folder away: the ids of the records that the journal still holds are "
    "learned again, and repetitions of older events will count as new."
)


class RunEntry(msgspec.Struct):
    """A run's file in the manifest."""

    file: str
    ids: int


class GenerationEntry(msgspec.Struct):
    """A generation in the manifest; times in µs since 1970 (receive time)."""

    capacity: int
    ids: int
    oldest_us: int
    newest_us: int
    runs: list[RunEntry]


class Manifest(msgspec.Struct):
    """What is on disk: everything before journal record `record`."""

    version: int
    record: int
    next_file: int
    generations: list[GenerationEntry]


@dataclass(slots=True)
class _Generation:
    """Ids of one stretch of time, behind one filter. `memory` holds what is not on disk yet."""

    bloom: BloomFilter
    oldest_us: int
    newest_us: int
    files: list[RunEntry] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    memory: list[Run] = field(default_factory=list)
    memory_ids: int = 0
    ids: int = 0

    def find(self, high: Words, low: Words) -> tuple[NDArray[np.bool_], Words, Words]:
        """Return which ids are known, with the content and the record of each (0 where unknown)."""
        known = np.zeros(len(high), dtype=np.bool_)
        content = np.zeros(len(high), dtype=np.uint64)
        record = np.zeros(len(high), dtype=np.uint64)
        asked = np.flatnonzero(self.bloom.may_hold(high, low))
        for run in (*self.memory, *self.runs):
            if not len(asked):
                break
            found, place = run.find(high[asked], low[asked])
            hit, at = asked[found], place[found]
            known[hit], content[hit], record[hit] = True, run.content[at], run.record[at]
            asked = asked[~found]
        return known, content, record

    def add(self, run: Run) -> None:
        """Take new ids into memory. Runs of like size are merged, so that few stay to be searched."""
        self.bloom.add(run.high, run.low)
        self.ids += len(run)
        self.memory_ids += len(run)
        self.memory.append(run)
        while len(self.memory) > 1 and len(self.memory[-2]) < 2 * len(self.memory[-1]):
            self.memory[-2:] = [merge_runs(self.memory[-2:])]


class DedupIndex:
    """The index in `folder`. One process, one thread."""

    def __init__(self, folder: Path, *, horizon_days: float = 30.0, memory_ids: int = MEMORY_IDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._horizon_us = int(horizon_days * DAY_US)
        self._memory_limit = memory_ids
        self._next_file = 0
        self._generations: list[_Generation] = []
        # Everything before this journal record is on disk.
        self.record = 0
        self._load()

    def find(self, high: Words, low: Words) -> tuple[NDArray[np.bool_], Words, Words]:
        """Return for each id: known, content hash and record number of the first event (0 where unknown)."""
        known = np.zeros(len(high), dtype=np.bool_)
        content = np.zeros(len(high), dtype=np.uint64)
        record = np.zeros(len(high), dtype=np.uint64)
        for generation in self._generations:
            here, its_content, its_record = generation.find(high, low)
            content[here], record[here] = its_content[here], its_record[here]
            known |= here
        return known, content, record

    def add(
        self, high: Words, low: Words, content: Words, record: Words, oldest_us: int, newest_us: int
    ) -> None:
        """Remember ids that `find` did not know, received between the two times (µs since 1970)."""
        if not len(high):
            return
        generation = self._open_generation(len(high), newest_us)
        generation.oldest_us = min(generation.oldest_us, oldest_us)
        generation.newest_us = max(generation.newest_us, newest_us)
        generation.add(build_run(high, low, content, record))

    def wants_flush(self) -> bool:
        """Tell whether so much is in memory that it should go to disk at the next commit."""
        return sum(generation.memory_ids for generation in self._generations) >= self._memory_limit

    def flush(self, record: int, now_us: int) -> None:
        """Write what is in memory; all of it stems from records before `record`, which are committed.

        Generations older than the horizon at `now_us` are dropped here.
        """
        for generation in self._generations:
            if generation.memory:
                self._write_memory(generation)
        # One at a time: a clock that jumps for a moment must not cost all memory of ids.
        if self._generations and self._generations[0].newest_us < now_us - self._horizon_us:
            del self._generations[0]
        self.record = record
        reach("dedup.during_flush")
        self._write_manifest()
        self._remove_strays()

    @property
    def ids(self) -> int:
        """Ids known."""
        return sum(generation.ids for generation in self._generations)

    @property
    def filter_bytes(self) -> int:
        """Memory that the filters take."""
        return sum(generation.bloom.nbytes for generation in self._generations)

    def oldest_us(self) -> int | None:
        """Receive time of the oldest id (µs since 1970): a repetition of anything older counts as new."""
        return min((generation.oldest_us for generation in self._generations), default=None)

    def _open_generation(self, coming: int, received_us: int) -> _Generation:
        if self._generations:
            last = self._generations[-1]
            young = received_us - last.oldest_us < min(_GENERATION_DAYS * DAY_US, self._horizon_us // 4)
            if last.ids + coming <= last.bloom.capacity and (young or last.ids < _MIN_CAPACITY // 10):
                return last
        # Growing with what is there keeps the number of filters to ask logarithmic.
        capacity = max(coming, min(_MAX_CAPACITY, max(_MIN_CAPACITY, self.ids)))
        self._generations.append(_Generation(BloomFilter(capacity), received_us, received_us))
        return self._generations[-1]

    def _write_memory(self, generation: _Generation) -> None:
        merged = merge_runs(generation.memory)
        generation.files.append(self._write_file(merged))
        generation.runs.append(merged)
        generation.memory, generation.memory_ids = [], 0
        if len(generation.runs) >= _MERGE_RUNS:
            # Merge the small ones at the end; the large ones at the front are left alone until they are peers.
            start = len(generation.runs) - 1
            total = len(generation.runs[start])
            while start > 0 and len(generation.runs[start - 1]) <= total:
                start -= 1
                total += len(generation.runs[start])
            start = min(start, len(generation.runs) - 2)
            whole = merge_runs(generation.runs[start:])
            generation.files[start:] = [self._write_file(whole)]
            generation.runs[start:] = [whole]
        generation.runs = [self._map(entry) for entry in generation.files]

    def _map(self, entry: RunEntry) -> Run:
        try:
            return map_run(self._folder / entry.file, entry.ids)
        except (OSError, ValueError) as error:
            raise FormatError(f"The dedup index is damaged ({error}). {_REMEDY}", at=entry.file) from error

    def _write_file(self, run: Run) -> RunEntry:
        entry = RunEntry(f"run-{self._next_file:08d}.ids", len(run))
        self._next_file += 1
        write_run(run, self._folder / entry.file)
        return entry

    def _write_manifest(self) -> None:
        generations = [
            GenerationEntry(item.bloom.capacity, item.ids, item.oldest_us, item.newest_us, item.files)
            for item in self._generations
        ]
        manifest = Manifest(FORMAT_VERSION, self.record, self._next_file, generations)
        draft = self._folder / "manifest.draft"
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        # The runs' names must be durable before the manifest that names them.
        self._sync_folder()
        draft.rename(self._folder / MANIFEST_FILE)
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove_strays(self) -> None:
        named = {entry.file for generation in self._generations for entry in generation.files}
        for path in (*self._folder.glob("run-*.ids"), *self._folder.glob("*.draft")):
            if path.name not in named:
                path.unlink()

    def _load(self) -> None:
        path = self._folder / MANIFEST_FILE
        if not path.exists():
            return
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except msgspec.MsgspecError as error:
            raise FormatError(f"The dedup index is damaged ({error}). {_REMEDY}", at=path.name) from error
        if manifest.version > FORMAT_VERSION:
            raise FormatError(
                f"The dedup index has format {manifest.version}; this program reads up to {FORMAT_VERSION}. "
                "Start the newer program again, or restore the backup made before the upgrade.",
                at=path.name,
            )
        self.record, self._next_file = manifest.record, manifest.next_file
        for entry in manifest.generations:
            generation = _Generation(
                BloomFilter(entry.capacity), entry.oldest_us, entry.newest_us, entry.runs
            )
            generation.ids = entry.ids
            for item in entry.runs:
                run = self._map(item)
                generation.bloom.add(run.high, run.low)
                generation.runs.append(run)
            self._generations.append(generation)
        self._remove_strays()
