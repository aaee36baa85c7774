"""Who is on call, when turns change, and who is told when nobody answers."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.rota import Escalation, Rota, check
from tests.conftest import utc

MINUTE = timedelta(minutes=1)


def rota(**more):
    given = {"name": "on_call", "people": ("ana", "bo", "cy"), "begins": "2026-01-05T09:00", **more}
    return Rota(**given)


@pytest.mark.parametrize(
    ("now", "present", "until"),
    [
        ("2026-01-05T08:59", "ana", "2026-01-12T09:00"),
        ("2026-01-12T08:59", "ana", "2026-01-12T09:00"),
        ("2026-01-12T09:00", "bo", "2026-01-19T09:00"),
        ("2026-01-26T09:00", "ana", "2026-02-02T09:00"),
        ("2025-06-01T00:00", "ana", "2026-01-12T09:00"),
    ],
)
def test_turns_follow_each_other(now, present, until):
    """A week each, from the hour at which the first one began; before it the first is on call already."""
    assert rota().find_turn(utc(now)) == (present, utc(until))


def test_turns_change_at_the_same_time_on_the_wall():
    """In summer a turn ends an hour earlier by the world's clock."""
    one = rota(timezone="Europe/Berlin")
    assert one.find_turn(utc("2026-03-23T07:59"))[1].astimezone(UTC) == utc("2026-03-23T08:00")
    assert one.find_turn(utc("2026-03-30T06:59"))[1].astimezone(UTC) == utc("2026-03-30T07:00")
    before, after = (one.find_turn(utc(f"2026-03-30T0{hour}:30"))[0] for hour in (6, 7))
    assert before != after


def test_who_is_told_when_nobody_answers():
    """First who is on call, after a while whoever is next, then the others named; an answer stops it."""
    steps = (Escalation(after="15m"), Escalation(after="1h", tell=("boss", "next")))
    one, now = rota(escalate=steps), utc("2026-01-13T00:00")
    known = {"ana", "bo", "cy", "boss"}
    told = [one.find_told(now, minutes * MINUTE, known) for minutes in (0, 14, 15, 60)]
    assert told == [["bo"], ["bo"], ["bo", "cy"], ["bo", "cy", "boss"]]
    assert one.find_told(now, None, known) == ["bo"]
    # Whoever is no receiver is passed over.
    assert one.find_told(now, 15 * MINUTE, {"ana", "cy", "boss"}) == ["cy", "ana"]
    assert one.find_told(now, None, {"boss"}) == ["bo"]


def test_turns_in_the_hour_that_clocks_repeat():
    """A turn that changes within it changes once."""
    one = rota(timezone="Europe/Berlin", begins="2026-10-18T02:30", turn="1w")
    at_work = [one.find_turn(utc("2026-10-25T00:00") + minutes * 10 * MINUTE)[0] for minutes in range(14)]
    assert at_work == sorted(at_work)
    assert set(at_work) == {"ana", "bo"}


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"people": ("ana", "ana")}, "people"),
        ({"people": ("ana", "next")}, "people"),
        ({"begins": "2026-02-30"}, "begins"),
        ({"begins": "9999-12-31"}, "begins"),
        ({"begins": "0001-01-01"}, "begins"),
        ({"turn": "36h"}, "turn"),
        ({"turn": "20w"}, "turn"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"escalate": (Escalation(after="2h"), Escalation(after="1h"))}, "escalate[1].after"),
        ({"escalate": (Escalation(after="2w"),)}, "escalate[0].after"),
    ],
)
def test_what_nobody_could_follow_is_refused(more, place):
    """Each mistake has its place."""
    with pytest.raises(RequestRefused) as refused:
        check(rota(**more))
    assert refused.value.at == place
