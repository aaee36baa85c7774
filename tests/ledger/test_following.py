"""Following the journal: a position is of one journal, and what was delivered is what counts as passed."""

from __future__ import annotations

import asyncio
import struct
from contextlib import closing

import pytest

from tallymark.errors import TallymarkError
from tallymark.journal.record import Heading, Record
from tallymark.journal.segments import SegmentWriter
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.journal.verdicts import RecordVerdicts, Verdict
from tallymark.ledger.following import JournalFollower, Position
from tallymark.ledger.readers import ReaderLag, Readers, ReaderTotals, read_lags

RECEIVED_US = 1_767_614_400_000_000


class Site:
    """A journal whose records are judged as the test says."""

    def __init__(self, folder) -> None:
        self.journal = folder / "journal"
        self.path = folder / "readers.sqlite"
        self.loop = asyncio.new_event_loop()
        self.open()

    def open(self) -> None:
        self.writer = SegmentWriter(self.journal, reserve_bytes=0, segment_bytes=300)
        self.verdicts = VerdictWriter(self.journal, file_bytes=1)

    def append(self, events=2, repeats=0, mark=0) -> None:
        """Append a record of so many events, the first ones repetitions."""
        number = self.verdicts.end
        rows = b"".join(b'{"event_id":"%d-%d-%d"}\n' % (number, place, mark) for place in range(events))
        record = Record(Heading("shop", "http", RECEIVED_US + mark, events), bytes(24 * events), rows)
        self.loop.run_until_complete(self._write(record))
        columns = (
            struct.pack(f"<{repeats}I", *range(repeats)),
            bytes([Verdict.DUPLICATE] * repeats),
            bytes(8 * repeats),
        )
        judged = RecordVerdicts(
            number, "shop", "http", RECEIVED_US + mark, events, 0, 0, *(columns if repeats else ())
        )
        self.verdicts.append([judged], number + 1)

    async def _write(self, record: Record) -> None:
        await self.writer.append(record)

    def follow(self, name="exports", **options) -> JournalFollower:
        return JournalFollower(self.journal, self.path, name, **options)

    def totals(self, name="exports") -> ReaderTotals:
        with closing(Readers(self.path)) as readers:
            return readers.count_totals().get(name, ReaderTotals())

    def close(self) -> None:
        self.writer.close()
        self.verdicts.close()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()
    made.loop.close()


def _numbers(follower, max_bytes=10**6) -> list[int]:
    return [item.record.number for item in follower.read(max_bytes)]


def test_reading_goes_on_behind_what_was_committed(site):
    """What was read and not committed comes again; what was committed does not, and its new events are passed."""
    site.append(3)
    site.append(4, repeats=1)
    with closing(site.follow()) as follower:
        assert _numbers(follower, 1) == [0]
        follower.commit()
        assert _numbers(follower) == [1]
    assert site.totals() == ReaderTotals(3)
    with closing(site.follow()) as follower:
        assert _numbers(follower) == [1]
        follower.commit()
        assert _numbers(follower) == []
        follower.commit()
    assert site.totals() == ReaderTotals(3 + 3)


def test_a_new_reader_begins_where_it_says(site):
    """With the oldest record that is there, or behind the newest."""
    site.append()
    with closing(site.follow()) as first, closing(site.follow("late", from_end=True)) as late:
        site.append()
        assert _numbers(first) == [0, 1]
        assert _numbers(late) == [1]


def test_a_position_of_its_own_ahead_of_the_cursor(site):
    """A reader that kept events and could not say so goes on behind them, and they count as passed."""
    for _ in range(4):
        site.append(2)
    with closing(site.follow()) as follower:
        assert _numbers(follower) == [0, 1, 2, 3]
        position = follower.position
    site.append(5)
    with closing(site.follow()) as follower:
        follower.seek(position)
        assert _numbers(follower) == [4]
        follower.commit()
    assert site.totals() == ReaderTotals(4 * 2 + 5)


def test_a_position_of_its_own_behind_the_cursor(site):
    """A reader whose database was restored reads again what it has lost; nothing is counted twice."""
    for _ in range(4):
        site.append(2)
    with closing(site.follow()) as follower:
        follower.read(1)
        position = follower.position
        follower.read(10**6)
        follower.commit()
    with closing(site.follow()) as follower:
        follower.seek(position)
        assert _numbers(follower) == [1, 2, 3]
        follower.commit()
    assert site.totals() == ReaderTotals(8)


def test_a_position_of_another_journal_is_refused(site, tmp_path):
    """After a restore the same numbers are other records: a reader that kept its position is told, and skips nothing."""
    for mark in range(3):
        site.append(mark=mark)
    with closing(site.follow()) as follower:
        follower.read(10**6)
        position = follower.position
    other = Site(tmp_path / "restored")
    for mark in (0, 1):
        other.append(mark=mark)
    with closing(other.follow()) as follower, pytest.raises(TallymarkError, match="reader_position_unknown"):
        follower.seek(position)
    for mark in (7, 8):
        other.append(mark=mark)
    with closing(other.follow()) as follower:
        with pytest.raises(TallymarkError, match="reader_position_unknown"):
            follower.seek(position)
        follower.seek(Position(0, 0))
        assert _numbers(follower) == [0, 1, 2, 3]
    other.close()
    other.loop.close()


def test_what_is_damaged_is_counted(site):
    """New events that cannot be read any more are on a line of their own: passed and damaged are all there were."""
    for mark in range(3):
        site.append(2, mark=mark)
    for path in site.journal.glob("segment-*"):
        path.write_bytes(path.read_bytes().replace(b'"1-0-1"', b'"x-0-1"'))
    with closing(site.follow()) as follower:
        assert _numbers(follower) == [0, 2]
        follower.commit()
    assert site.totals() == ReaderTotals(4, 0, 2)


def test_how_far_readers_are_behind(site):
    """Each reader's lag is known beside it: records that it has not read, and since when the oldest waits."""
    assert read_lags(site.path, site.journal) == []
    with closing(site.follow()) as follower:
        site.append(2, mark=5)
        site.append(2, mark=9)
        assert read_lags(site.path, site.journal) == [
            ReaderLag("exports", 2, RECEIVED_US + 5, ReaderTotals())
        ]
        follower.read(10**6)
        follower.commit()
        assert read_lags(site.path, site.journal) == [ReaderLag("exports", 0, 0, ReaderTotals(4))]


def test_a_journal_that_was_never_judged_is_refused(tmp_path):
    """Before the first start of the server there is nothing to follow, and nobody becomes a reader of it."""
    with pytest.raises(TallymarkError, match="journal_not_judged"):
        JournalFollower(tmp_path, tmp_path / "readers.sqlite", "exports")
