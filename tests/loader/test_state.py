"""What is known of the loader from outside: whether it gets on, how far a copy is, and what last kept it from storing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tallymark.clock import to_microseconds
from tallymark.loader.state import (
    STALLED_SECONDS,
    LoaderReport,
    LoaderState,
    describe,
    find_stall,
    read_loader_report,
)

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class _Clock:
    """Time as the test says it."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds


def _ago(seconds):
    return NOW - timedelta(seconds=seconds)


def _stall(moved=1000, waiting=1000, watched=1000, events=3, error=""):
    report = LoaderReport(moved_at=_ago(moved), error=error)
    return find_stall(report, (events, to_microseconds(_ago(waiting))), NOW, _ago(watched))


def test_standing_still_needs_all_three():
    """Events wait, the loader did not move, and somebody has watched for long enough: less is no stall."""
    assert _stall().seconds == 1000
    assert _stall().is_long
    # One that moved, events that have just come, a server that has just started, nothing to do.
    for well in (_stall(moved=5), _stall(waiting=5), _stall(watched=5), _stall(events=0)):
        assert not well.is_long
    assert not _stall(moved=STALLED_SECONDS).is_long
    assert _stall(moved=STALLED_SECONDS + 1).is_long


def test_a_clock_that_was_put_back():
    """A report from later than now is one from before the clock was put back: it hides no stall."""
    assert _stall(moved=-3600).is_long
    assert not _stall(moved=-1).is_long


def test_a_loader_that_never_wrote():
    """Without a report the backlog alone speaks."""
    stall = find_stall(None, (5, to_microseconds(_ago(500))), NOW, _ago(400))
    assert stall.seconds == 400
    assert "5 events wait" in stall.reason


def test_words():
    """One word says what the loader does, and the message what it last met or how far it is."""
    still = _stall(error="Too many partitions.")
    assert describe(LoaderReport(moved_at=NOW), still).word == "stalled"
    assert "1000 s" in still.reason
    assert "Too many partitions." in still.reason
    calm = _stall(events=0)
    assert describe(None, calm).word == "working"
    assert describe(LoaderReport(moved_at=NOW), calm).word == "working"
    retrying = describe(LoaderReport(moved_at=NOW, error="No room."), calm)
    assert (retrying.word, retrying.message) == ("retrying", "No room.")
    copying = describe(LoaderReport(moved_at=NOW, copied=1500, to_copy=4000), calm)
    assert copying.word == "copying"
    assert "38% (1,500 of 4,000)" in copying.message
    waits = describe(LoaderReport(moved_at=NOW, postponed="No room for the copy."), calm)
    assert (waits.word, waits.message) == ("working", "No room for the copy.")


def test_the_report_outlives_the_loader(tmp_path):
    """A loader that dies again and again has not moved; one that stores has, and its error is over."""
    clock = _Clock()
    LoaderState(tmp_path, clock).say_failed("No room.")
    clock.seconds = 100
    state = LoaderState(tmp_path, clock)
    report = read_loader_report(tmp_path)
    assert (report.moved_at, report.error, report.error_at) == (NOW, "No room.", NOW)
    state.say_moved()
    report = read_loader_report(tmp_path)
    assert (report.moved_at, report.error) == (clock.now(), "")


def test_a_copy_that_gets_on_is_no_stall(tmp_path):
    """Rows that are copied are progress; asking how many they are is none."""
    clock = _Clock()
    state = LoaderState(tmp_path, clock)
    clock.seconds = 10
    state.say_copied(0, 100)
    clock.seconds = 20
    state.say_copied(50, 100)
    clock.seconds = 30
    state.say_copied(50, 100)
    report = read_loader_report(tmp_path)
    assert report.moved_at == NOW + timedelta(seconds=20)
    assert (report.copied, report.to_copy) == (50, 100)
    state.say_copy_over()
    assert read_loader_report(tmp_path).to_copy == 0


def test_a_broken_file(tmp_path):
    """A file that cannot be read is none."""
    assert read_loader_report(tmp_path) is None
    (tmp_path / "loader.json").write_bytes(b'{"moved_at": ')
    assert read_loader_report(tmp_path) is None
    LoaderState(tmp_path)
    assert read_loader_report(tmp_path) is not None
