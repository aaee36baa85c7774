"""The judging station: verdicts are durable before anything depends on them, and final through any restart."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

from tallymark.dedup.index import DedupIndex
from tallymark.journal.reader import SegmentReader
from tallymark.journal.segments import SegmentWriter
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.journal.verdicts import VerdictReader
from tallymark.ledger.book import Book, Entry
from tallymark.ledger.readers import ReaderLimits, Readers, ReaderTotals
from tallymark.ledger.report import read_cursor
from tallymark.loader.judging import JudgingSettings, JudgingStation
from tallymark.loader.retention import Retention, RetentionSettings


class Site:
    """A journal with a judging station behind it, without a loader."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.failing = False
        self.opened = []
        self.restart()

    def restart(self, begin=0, **settings) -> None:
        """Start a station that finds what is on disk."""
        self.close()
        self.verdicts = VerdictWriter(self.journal, begin=begin, sync=self._sync, file_bytes=300)
        self.index = DedupIndex(self.folder / "dedup")
        self.readers = Readers(self.folder / "readers.sqlite")
        self.reader = SegmentReader(self.journal)
        self.book = Book(self.folder / "ledger.sqlite")
        cursor = partial(read_cursor, self.folder / "ledger.sqlite")
        retention = Retention(
            self.reader, self.verdicts, self.readers, cursor, RetentionSettings(keep_seconds=0)
        )
        self.station = JudgingStation(
            self.reader, self.index, self.verdicts, retention, threading.Event(), JudgingSettings(**settings)
        )
        self.station.catch_up()
        self.opened = [self.verdicts, self.readers, self.reader, retention, self.book]

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def judge(self) -> None:
        while self.station.judge_once():
            pass

    def verdicts_of(self, number: int = 0) -> list[tuple[int, list[int]]]:
        """Return the number and the verdicts of each judged record from `number` on."""
        reader = VerdictReader(self.journal)
        try:
            return [(found.number, found.expand()[0].tolist()) for found in reader.read(number)]
        finally:
            reader.close()

    def _sync(self, descriptor: int) -> None:
        if self.failing:
            raise OSError(5, "the disk does not take it")
        os.fdatasync(descriptor)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def journal(tmp_path, append_ids):
    """Return what appends records of these ids to the test's journal."""
    writer = SegmentWriter(tmp_path / "journal", reserve_bytes=0, segment_bytes=400)
    yield lambda *ids: append_ids(writer, *ids)
    writer.close()


def test_verdicts_are_final_through_a_restart(site, journal):
    """A station that starts again judges nothing twice, and knows the ids that were judged but not written."""
    journal([1, 2, 2], [2, 3])
    site.judge()
    assert site.verdicts_of() == [(0, [0, 0, 1]), (1, [1, 0])]
    assert DedupIndex(site.folder / "dedup").ids == 0, "nothing is on disk yet"
    site.restart()
    assert site.index.ids == 3
    journal([3, 4])
    site.judge()
    assert site.verdicts_of() == [(0, [0, 0, 1]), (1, [1, 0]), (2, [1, 0])]


def test_a_disk_that_fails(site, journal):
    """Verdicts that could not be made durable do not count, are not remembered, and are made again."""
    journal([1, 2])
    site.judge()
    journal([2, 3])
    site.failing = True
    with pytest.raises(OSError, match="does not take it"):
        site.station.judge_once()
    assert site.index.ids == 2
    assert site.verdicts_of() == [(0, [0, 0])]
    site.failing = False
    journal([3])
    site.judge()
    assert site.verdicts_of() == [(0, [0, 0]), (1, [1, 0]), (2, [1])]
    site.restart()
    assert site.verdicts_of() == [(0, [0, 0]), (1, [1, 0]), (2, [1])]


def test_the_index_is_never_ahead_of_the_log(site, journal):
    """A flush writes what has a durable verdict; a torn log is judged again, to the same verdicts."""
    journal([1, 2], [2, 3], [3, 4])
    site.judge()
    site.station.flush()
    assert DedupIndex(site.folder / "dedup").record == 3
    before = site.verdicts_of()
    site.close()
    for path in site.journal.glob("verdicts-*.log"):
        path.write_bytes(path.read_bytes()[:-3])
    site.restart()
    assert site.verdicts.end < 3
    site.judge()
    assert site.verdicts_of() == before


def test_records_of_an_earlier_version_are_learned_without_verdicts(site, journal):
    """Where the log begins later than the index ends, what lies between is judged by the index alone and not written."""
    journal([1, 2], [2, 3])
    site.close()
    for path in site.journal.glob("verdicts-*"):
        path.unlink()
    site.restart(begin=2)
    assert site.index.ids == 3
    journal([3, 4])
    site.judge()
    assert site.verdicts_of() == [(2, [1, 0])]


def test_the_index_is_written_though_nothing_new_comes(site, journal):
    """A flood of repetitions does not keep segments for ever: the index is written by time, too."""
    site.restart(flush_seconds=0, tidy_seconds=0)
    for _ in range(5):
        journal([1])
    site.judge()
    site.station._tidy()
    assert DedupIndex(site.folder / "dedup").record == 5


def test_segments_stay_for_the_loader_and_go_with_their_verdicts(site, journal):
    """Segments and verdicts stay until the loader has passed them, and go together then."""
    site.restart(flush_seconds=0, tidy_seconds=0)
    for number in range(40):
        journal(list(range(10 * number, 10 * number + 10)))
        site.judge()
        site.station._tidy()
    assert site.reader.first_number() == 0, "the loader has passed nothing yet"
    site.book.commit(Entry(), 0, 30, 2)
    site.station._tidy()
    assert 0 < site.reader.first_number() <= 30
    log = VerdictReader(site.journal)
    assert 0 < log.begin() <= site.reader.first_number()
    log.close()


@pytest.fixture
def behind(site, journal):
    """Make 40 records of ten new events that the loader has passed, and two readers that have not."""
    site.restart(flush_seconds=0, tidy_seconds=0)
    for number in range(40):
        journal(list(range(10 * number, 10 * number + 10)))
        site.judge()
    site.book.commit(Entry(), 0, 40, 1)
    site.readers.open("idle", 0, lambda: 5, 100, ReaderLimits(0, 0))
    site.readers.open("active", 0, lambda: 20, 200, ReaderLimits(0, 0))
    return site


def test_segments_stay_for_the_slowest_reader(behind):
    """Without limits the journal is kept for every reader, however far it is behind."""
    behind.station._tidy()
    assert behind.reader.first_number() <= 5
    assert behind.readers.count_totals() == {}


def test_a_reader_beyond_its_limits_loses(behind):
    """What such a reader has not read goes, is counted on its line, and costs no other reader anything."""
    behind.readers.open("idle", 0, lambda: 0, 300, ReaderLimits(bytes=1, seconds=0))
    behind.station._tidy()
    first = behind.reader.first_number()
    assert 5 < first <= 20
    assert behind.readers.count_totals() == {"idle": ReaderTotals(0, 10 * (first - 5))}
    assert {state.name: state.record for state in behind.readers.list_states()} == {
        "active": 20,
        "idle": first,
    }


def test_a_reader_that_is_too_old_loses(behind):
    """The age of what a reader has not read is bounded too, against the newest record that was judged."""
    behind.readers.open("idle", 0, lambda: 0, 300, ReaderLimits(bytes=0, seconds=60))
    retention = behind.station._retention
    received_us = 1_767_614_400_000_000
    retention.release(40, received_us + 59 * 10**6)
    assert behind.reader.first_number() <= 5
    retention.release(40, received_us + 61 * 10**6)
    assert behind.reader.first_number() > 5
    assert behind.readers.count_totals()["idle"].lost > 0


def test_a_short_disk_costs_the_longest_idle_reader_first(behind, monkeypatch):
    """When the disk is short, readers lose one after the other, the one first that has not moved for longest."""
    behind.station._tidy()
    retention = behind.station._retention
    monkeypatch.setattr(retention, "is_disk_short", lambda: True)
    retention.release(40, 1)
    assert 5 < behind.reader.first_number() <= 20
    assert set(behind.readers.count_totals()) == {"idle"}
    retention.release(40, 1)
    assert behind.reader.first_number() > 20
    assert set(behind.readers.count_totals()) == {"idle", "active"}


def test_a_reader_that_hangs_does_not_hold_up_judging(behind, journal):
    """While another program keeps the readers' database to itself, nothing is released, and judging goes on."""
    other = Readers(behind.folder / "readers.sqlite")
    behind.readers._connection.execute("PRAGMA busy_timeout = 10")
    other._connection.execute("BEGIN IMMEDIATE")
    journal([1000])
    assert behind.station.judge_once() > 0
    behind.readers._connection.execute("PRAGMA busy_timeout = 10")
    behind.station._tidy()
    assert behind.reader.first_number() <= 5
    other._connection.execute("ROLLBACK")
    other.close()


def test_damage_at_the_end_of_the_journal(site, journal):
    """Durable records that cannot be read do not hold up those that come after them."""
    journal([1], [2])
    site.judge()
    journal([3])
    path = max(site.journal.glob("segment-*"))
    path.write_bytes(path.read_bytes().replace(b'"event_id":"3"', b'"event_id":"7"'))
    site.judge()
    assert site.verdicts.end == 3
    journal([4])
    site.judge()
    assert [number for number, _ in site.verdicts_of()] == [0, 1, 3]
