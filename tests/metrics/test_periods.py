"""What a figure is compared with: moved on the local calendar."""

from __future__ import annotations

import pytest

from tallymark.metrics.periods import shift_span
from tallymark.plan.kinds.metric import Span
from tallymark.queries.period import build_period


@pytest.mark.parametrize(
    ("start", "end", "zone", "comparison", "moved"),
    [
        ("2026-06-08", "2026-06-15", "UTC", "previous", ("2026-06-01", "2026-06-08")),
        ("2026-06-08", "2026-06-10", "UTC", "week", ("2026-06-01", "2026-06-03")),
        # Clocks change on 29 March in Berlin: the days before are whole local days, one hour longer together.
        ("2026-03-30", "2026-04-02", "Europe/Berlin", "previous", ("2026-03-27", "2026-03-30")),
        ("2026-03-29", "2026-03-30", "Europe/Berlin", "week", ("2026-03-22", "2026-03-23")),
        ("2024-02-29", "2024-03-01", "UTC", "year", ("2023-02-28", "2023-03-01")),
        ("2024-02-28", "2024-02-29", "UTC", "year", ("2023-02-28", "2023-03-01")),
        ("2024-02-01", "2024-03-01", "UTC", "year", ("2023-02-01", "2023-03-01")),
        # Six days and a half are compared with the same half of the week before.
        ("2026-06-08", "2026-06-14T12:00:00Z", "UTC", "previous", ("2026-06-01", "2026-06-07T12:00:00Z")),
        ("2026-06-08", "2026-06-08T06:30:00Z", "UTC", "previous", ("2026-06-07", "2026-06-07T06:30:00Z")),
        ("2026-06-08T06:00:00Z", "2026-06-08T12:00:00Z", "UTC", "previous", ("2026-06-08T00:00:00", "2026-06-08T06:00:00")),
    ],
)  # fmt: skip
def test_moved(start, end, zone, comparison, moved):
    """Days stay days, a leap day becomes the day before, and the moved time ends where it should."""
    found = shift_span(Span(start=start, end=end, timezone=zone), comparison)
    wanted = build_period(*moved, "", zone)
    got = build_period(found.start, found.end, "", found.timezone)
    assert (got.start, got.end) == (wanted.start, wanted.end)
