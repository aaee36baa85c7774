"""The ledger of a long time is added up where it stands: what is read does not grow with the minutes that it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.ledger import report
from tallymark.ledger.report import build_report
from tallymark.ledger.tables import open_ledger
from tallymark.ledger.tail import Tail, TailRecord

BEGIN, DAYS = datetime(2026, 1, 1, tzinfo=UTC), 4
FIRST = int(BEGIN.timestamp()) // 60


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write every minute of some days, from two sources: all received, most stored, some refused, some of another project."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    connection = open_ledger(path)
    connection.execute("BEGIN")
    for minute in range(FIRST, FIRST + DAYS * 1440):
        for source in ("http", "segment"):
            lines = [
                ("received", "", 5),
                ("stored", "", 3),
                ("refused", "wrong_type", 2),
                ("turned_away", "unauthorized", 1),
            ]
            connection.executemany(
                "INSERT INTO line VALUES ('p', ?, ?, ?, ?, ?)", [(source, minute, *line) for line in lines]
            )
    connection.execute("INSERT INTO line VALUES ('q', 'http', ?, 'received', '', 999)", (FIRST,))
    connection.execute("INSERT INTO line VALUES ('', 'http', ?, 'turned_away', 'unauthorized', 7)", (FIRST,))
    connection.execute("COMMIT")
    connection.close()
    return path


def _report(path, interval, tail=None):
    end = BEGIN + timedelta(days=DAYS)
    return build_report(path, tail or Tail(path.parent), "p", BEGIN, end, interval)


def test_every_interval_has_the_same_totals(path):
    """By minute, hour and day the totals are the same, and the rows add up to them."""
    minutes = DAYS * 1440
    for interval, length in (("minute", 1), ("hour", 60), ("day", 1440)):
        found = _report(path, interval)
        assert found.balanced
        assert (found.totals.received, found.totals.stored) == (10 * minutes, 6 * minutes)
        assert found.totals.refused == {"wrong_type": 4 * minutes}
        assert found.outside.requests_turned_away == {"unauthorized": 2 * minutes + 7}
        assert len(found.rows) == 2 * minutes // length
        assert {row["received"] for row in found.rows} == {5 * length}


def test_what_is_read_is_as_long_as_what_is_answered(path, monkeypatch):
    """Four days by day are read as four rows per source and line, not as 5,760."""
    sizes = []
    build = report._build

    def count(project, counts, horizon):
        sizes.append(len(counts))
        return build(project, counts, horizon)

    monkeypatch.setattr(report, "_build", count)
    _report(path, "day")
    assert sizes[0] <= 2 * 4 * DAYS + 1


def test_what_is_in_flight_stands_in_its_interval(path):
    """A record that the loader has not passed counts in the day in which it was received."""
    tail = Tail(path.parent)
    received = (FIRST + 3 * 1440 + 77) * 60_000_000
    tail._records.append(TailRecord(0, "p", "http", received, 11))
    found = _report(path, "day", tail)
    (row,) = [row for row in found.rows if row["in_flight"]]
    assert (row["time"], row["source"], row["in_flight"]) == (BEGIN + timedelta(days=3), "http", 11)
    assert found.balanced
